#!/bin/sh
# snippets.sh: compiles and runs the programs that stand in the README and in nn.h's first comment, with
# a body that is compiled once, and the README's compile lines as they stand.
set -eu
build=${BUILD:-build}
dir=$build/snippets
mkdir -p "$dir"
awk '/^```c$/ {n++; file = sprintf("'"$dir"'/readme%d.c", n); printf "" >file; next}
     /^```/ {file = ""} file {print >file}' README.md
awk '/A WHOLE PROGRAM/ {on = 1} /WHICH CALLS DO I NEED/ {exit}
     on && /^        / {print substr($0, 9)} on && /^$/ {print ""}' nn.h >"$dir/header1.c"
for file in "$dir"/readme1.c "$dir"/header1.c; do
  grep -q 'int main' "$file" || { echo "$file: no program found"; exit 1; }
done
make -s BUILD="$build" "$build/nn_float.o"
for file in "$dir"/*.c; do
  ${CC:-cc} -std=c99 -O2 -Wall -Wextra -Werror -DNN__IMPLEMENTED -I. "$file" "$build/nn_float.o" -o "${file%.c}" -lm
  (cd "$dir" && "./$(basename "${file%.c}")") >"${file%.c}.txt" # the second reads the first's file
  tail -n 1 "${file%.c}.txt"
done

# prog.c is the README's program; with nn.o it goes without the body.
lines=$dir/lines
rm -rf "$lines" && mkdir "$lines"
cp nn.h "$lines"
grep '^cc ' README.md >"$lines/all"
grep -q 'nn\.o' "$lines/all" || { echo "README.md: no line that compiles the header once"; exit 1; }
while read -r line; do
  case $line in *nn.o*) without='/define NN_/d' ;; *) without= ;; esac
  sed "$without" "$dir/readme1.c" >"$lines/prog.c"
  (cd "$lines" && eval "${CC:-cc} ${line#cc}" >/dev/null) || { echo "README.md: $line"; exit 1; }
done <"$lines/all"
