#!/bin/sh
# get_data.sh DIR: MNIST and CIFAR-10 as raw files under DIR/mnist and DIR/cifar10. What is there is
# kept. Mirrors are tried in order, downloads resume, and every raw file is checked by its SHA-256.
set -u
dest=${1:?usage: get_data.sh DIR}
failed=0

sha256() { { sha256sum || shasum -a 256; } 2>/dev/null | cut -d' ' -f1; }
matches() { [ -f "$1" ] && [ "$(sha256 <"$1")" = "$2" ]; }

fetch() { # fetch URL FILE: resumes FILE
  echo "fetching $1"
  if command -v curl >/dev/null; then curl -fL --progress-bar --connect-timeout 10 -C - -o "$2" "$1"
  elif command -v wget >/dev/null; then wget -c -T 10 -t 1 -O "$2" "$1"
  else echo "neither curl nor wget is here" >&2; return 1
  fi
}

mnist() { # mnist FILE SHA256
  out=$dest/mnist/$1
  [ $failed = 0 ] || return # the mirrors will not have this one either
  [ -f "$out" ] && { echo "$out is there"; return; }
  mkdir -p "$dest/mnist"
  for mirror in https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist; do
    fetch "$mirror/$1.gz" "$out.gz.part" || continue
    if gzip -dc <"$out.gz.part" >"$out.part" && matches "$out.part" "$2"; then
      mv "$out.part" "$out"
      rm -f "$out.gz.part"
      return
    fi
    echo "$mirror/$1.gz: not the expected file (SHA-256 of the content differs from $2)" >&2
    rm -f "$out.part" "$out.gz.part"
  done
  failed=1
}

cifar() {
  url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
  archive=$dest/cifar-10-binary.tar.gz
  sum=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
  for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    [ -f "$dest/cifar10/$file.bin" ] || missing=1
  done
  [ -n "${missing:-}" ] || { echo "$dest/cifar10 is there"; return; }
  mkdir -p "$dest/cifar10"
  echo "CIFAR-10 is 170 MB from a slow server: an hour is possible, a second call goes on where this stops"
  matches "$archive" $sum || fetch "$url" "$archive" || { failed=1; return; }
  if matches "$archive" $sum; then
    tar -xzf "$archive" -C "$dest/cifar10" --strip-components=1 && rm -f "$archive"
  else
    echo "$archive: SHA-256 differs from $sum: remove it and call again" >&2
    failed=1
  fi
}

mnist train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
mnist train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
mnist t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
mnist t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
cifar
if [ $failed = 0 ]; then
  echo "MNIST and CIFAR-10 are under $dest"
  exit
fi
find "$dest" -type f -size 0 -exec rm -f {} + # what wget leaves where nothing came
rmdir "$dest/mnist" "$dest/cifar10" "$dest" 2>/dev/null
echo "Not all of the data is here: connect this machine to the network and call 'make data' again," \
  "which goes on where it stopped, or let NN_DATA name a folder with mnist/ and cifar10/." >&2
exit 1
