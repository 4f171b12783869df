#!/bin/sh
# run.sh PROGRAM...: runs each test program on every kernel path of this CPU and adds up its counts.
# TEST_PATHS limits the paths. Output of a program is shown when it fails or skips something.
set -u
here=$(dirname "$0")
build=${BUILD:-build}
mkdir -p "$build/tmp" "$build/log"
passed=0 failed=0 skipped=0

add() { # passed failed skipped status
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  if [ "$2" = 0 ] && [ "$4" != 0 ]; then failed=$((failed + 1)); fi
}

paths=
for path in ${TEST_PATHS:-portable avx2 avx512 neon}; do
  [ "$(NN_ISA=$path "$build/isa")" = "$path" ] && paths="$paths $path"
done

for program in "$@"; do
  name=$(basename "$program")
  on=$paths
  case $name in test_chart*) on=${paths##* } ;; esac # figures know nothing of kernels
  for path in $on; do
    log=$build/log/$name.$path
    NN_ISA=$path $program >"$log" 2>&1
    status=$?
    line=$(tail -n 1 "$log" | sed -n 's/^[a-z_]*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ -z "$line" ]; then
      echo "$name ($path): ended with status $status before its count"
      line="0 1 0"
    fi
    add $line $status
    if [ "${line#* 0 }" != 0 ] || [ $status != 0 ]; then
      echo "$name ($path):"
      grep -v '^hash' "$log" | tail -n 30
    fi
  done
done
echo "paths:$paths"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
