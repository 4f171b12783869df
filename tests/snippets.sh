#!/bin/sh
# snippets.sh: compiles and runs the programs that stand in the README and in nn.h's first comment.
set -eu
dir=${BUILD:-build}/snippets
mkdir -p "$dir"
awk '/^```c$/ {n++; file = sprintf("'"$dir"'/readme%d.c", n); printf "" >file; next}
     /^```/ {file = ""} file {print >file}' README.md
awk '/A WHOLE PROGRAM/ {on = 1} /WHICH CALLS DO I NEED/ {exit}
     on && /^        / {print substr($0, 9)} on && /^$/ {print ""}' nn.h >"$dir/header1.c"
for file in "$dir"/readme1.c "$dir"/header1.c; do
  grep -q 'int main' "$file" || { echo "$file: no program found"; exit 1; }
done
for file in "$dir"/*.c; do
  ${CC:-cc} -std=c99 -O2 -Wall -Wextra -Werror -I. "$file" -o "${file%.c}" -lm
  "${file%.c}" >"${file%.c}.txt"
  tail -n 1 "${file%.c}.txt"
done
