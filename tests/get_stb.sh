#!/bin/sh
# get_stb.sh DIR: makes stb_image_write.h available, which the examples write their pictures with. Uses
# the compiler's include path; else puts the file into DIR: the upstream file at a fixed commit,
# checked by its SHA-256, or the distribution's package unpacked there without root. When all of that
# fails the programs still build and skip their pictures, so this never fails.
set -u
dir=$1
commit=31c1ad37456438565541f4919958214b6e762fb4
sum=cbd5f0ad7a9cf4468affb36354a1d2338034f2c12473cf1a8e32053cb6914a05
url=https://raw.githubusercontent.com/nothings/stb/$commit/stb_image_write.h
mkdir -p "$dir"

for name in '<stb/stb_image_write.h>' '"stb_image_write.h"'; do
  echo "#include $name" | ${CC:-cc} -x c -E -I"$dir" - >/dev/null 2>&1 && exit 0
done

part=$dir/download.part
if command -v curl >/dev/null; then curl -fsSL --connect-timeout 3 --max-time 20 -o "$part" "$url"
elif command -v wget >/dev/null; then wget -q -T 3 -t 1 -O "$part" "$url"
fi 2>/dev/null
if [ -f "$part" ] && [ "$(sha256sum <"$part" 2>/dev/null | cut -d' ' -f1)" = "$sum" ]; then
  mv "$part" "$dir/stb_image_write.h"
  exit 0
fi
rm -f "$part"

if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  apt=$(cd "$dir" && pwd)/apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  private="-o Dir::State::Lists=$apt/lists -o Dir::Cache=$apt/cache -o Debug::NoLocking=1
    -o APT::Sandbox::User= -o Acquire::Retries=0 -o Acquire::http::Timeout=3 -o Acquire::https::Timeout=3"
  (cd "$apt" && { apt-get download libstb-dev ||
    { timeout 40 apt-get $private update && apt-get $private download libstb-dev; }; }) >/dev/null 2>&1
  for package in "$apt"/libstb-dev_*.deb; do
    [ -f "$package" ] && dpkg-deb -x "$package" "$apt/unpacked" &&
      cp "$apt/unpacked/usr/include/stb/stb_image_write.h" "$dir/stb_image_write.h"
  done
  rm -rf "$apt"
fi
[ -f "$dir/stb_image_write.h" ] || echo "no stb_image_write.h here: programs will skip their pictures"
exit 0
