#!/bin/sh
# zlib.sh: with NN_USE_ZLIB the loaders read .gz files; a damaged or truncated one is an error.
set -eu
dir=${BUILD:-build}/zlib
rm -rf "$dir"; mkdir -p "$dir"
printf '\000\000\010\003\000\000\000\002\000\000\000\002\000\000\000\002abcdEFGH' | gzip -c >"$dir/train-images-idx3-ubyte.gz"
printf '\000\000\010\001\000\000\000\002\003\007' | gzip -c >"$dir/train-labels-idx1-ubyte.gz"
cat >"$dir/prog.c" <<'C'
#define NN_IMPLEMENTATION
#define NN_USE_ZLIB
#include "nn.h"

int main(int argc, char **argv)
{
    nn_dataset d;
    nn_status status = nn_load_mnist(argv[1], &d, NULL);
    if (argc > 2)
        return puts(nn_last_error()), status != (argv[2][0] == 'b' ? NN_ERROR_TOO_LARGE : NN_ERROR_TRUNCATED);
    if (status != NN_OK) return puts(nn_last_error()), 1;
    int good = d.count == 2 && d.features == 4 && d.labels[0] == 3 && d.labels[1] == 7 &&
               memcmp(d.samples, "abcdEFGH", 8) == 0;
    nn_dataset_free(&d);
    return good ? 0 : 1;
}
C
${CC:-cc} -std=c99 -O0 -Wall -Wextra -I. "$dir/prog.c" -o "$dir/prog" -lm -lz
"$dir/prog" "$dir"
head -c 30 "$dir/train-images-idx3-ubyte.gz" >"$dir/cut" && mv "$dir/cut" "$dir/train-images-idx3-ubyte.gz"
"$dir/prog" "$dir" damaged
# 300 MB of zeros are 0.3 MB of gzip: refused before they fill the memory
head -c 300000000 /dev/zero | gzip -1 -c >"$dir/train-images-idx3-ubyte.gz"
"$dir/prog" "$dir" bomb
