#!/bin/sh
# real_data.sh digits | mnist DIR | cifar10 DIR: the numbers of the courses on real data, within bands
# that seeds need and bugs do not fit in.
set -eu
dir=${BUILD:-build}/real
mkdir -p "$dir"
${CC:-cc} -std=c99 -O2 -Wall -Wextra tests/real_data.c -o "$dir/real_data" -lm
"$dir/real_data" "$@"
