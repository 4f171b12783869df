#!/bin/sh
# get_stb.sh DIR: makes stb_image_write.h available, which the examples write their pictures with.
# Uses the compiler's include path; else tries, for at most 10 seconds, to put the file into DIR: the
# upstream file at a fixed commit, checked by its SHA-256, or the distribution's package unpacked
# there without root. Where that fails the programs build all the same and skip their pictures, so
# this never fails.
set -u
dir=$1
commit=31c1ad37456438565541f4919958214b6e762fb4
sum=cbd5f0ad7a9cf4468affb36354a1d2338034f2c12473cf1a8e32053cb6914a05
url=https://raw.githubusercontent.com/nothings/stb/$commit/stb_image_write.h
mkdir -p "$dir"

have() { command -v "$1" >/dev/null 2>&1; }
limited() { if have timeout; then timeout 5 "$@"; else "$@"; fi; }
sha256() { { sha256sum || shasum -a 256; } 2>/dev/null | cut -d' ' -f1; }

for name in '<stb/stb_image_write.h>' '"stb_image_write.h"'; do
  echo "#include $name" | ${CC:-cc} -x c -E -I"$dir" - >/dev/null 2>&1 && exit 0
done

part=$dir/download.part
if have curl; then curl -fsSL --connect-timeout 3 --max-time 5 -o "$part" "$url"
elif have wget; then limited wget -q -T 3 -t 1 -O "$part" "$url"
fi 2>/dev/null
if [ -f "$part" ] && [ "$(sha256 <"$part")" = "$sum" ]; then
  mv "$part" "$dir/stb_image_write.h"
  exit 0
fi
rm -f "$part"

if have apt-get && have dpkg-deb; then
  apt=$dir/apt
  mkdir -p "$apt"
  (cd "$apt" && limited apt-get -o Acquire::Retries=0 download libstb-dev) >/dev/null 2>&1
  for package in "$apt"/libstb-dev_*.deb; do
    [ -f "$package" ] && dpkg-deb -x "$package" "$apt/unpacked" &&
      cp "$apt/unpacked/usr/include/stb/stb_image_write.h" "$dir/stb_image_write.h"
  done
  rm -rf "$apt"
fi
[ -f "$dir/stb_image_write.h" ] ||
  echo "no stb_image_write.h: the examples skip their pictures (libstb-dev has it; then make clean)"
exit 0
