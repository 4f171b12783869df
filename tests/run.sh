#!/bin/sh
# run.sh PROGRAM...: runs each test program on every kernel path of this CPU and adds up its counts.
# TEST_PATHS limits the paths; ISA is the program that knows which there are (default build/isa). With
# TEST_RUNNER, an emulator, the paths are TEST_PATHS. Output of a program is shown when it fails; what
# was skipped, at the end. Programs share out the cores; each has a folder of its own for what it
# writes, named after it.
set -u
build=${BUILD:-build}
export OMP_WAIT_POLICY=passive # the threads of several programs at once would wait for each other
passed=0 failed=0 skipped=0

add() { # passed failed skipped status
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  if [ "$2" = 0 ] && [ "$4" != 0 ]; then failed=$((failed + 1)); fi
}

paths=
for path in ${TEST_PATHS:-portable avx2 avx512 neon}; do
  if [ -n "${TEST_RUNNER:-}" ] || [ "$(NN_ISA=$path "${ISA:-$build/isa}")" = "$path" ]; then
    paths="$paths $path"
  fi
done

# Figures know nothing of kernels, and exported C is compiled and compared with outputs that are the same
# on every path (test_determinism).
paths_of() {
  case $1 in test_chart* | test_export*) echo ${paths##* } ;; *) echo $paths ;; esac
}

run() { # run PROGRAM, on each of its paths: a log and a status
  name=$(basename "$1")
  mkdir -p "$build/tmp/$name"
  for path in $(paths_of "$name"); do
    NN_ISA=$path ${TEST_RUNNER:-} "$1" >"$build/log/$name.$path" 2>&1
    echo $? >"$build/log/$name.$path.status"
  done
}

if [ "$1" = --one ]; then
  run "$2"
  exit
fi
rm -rf "$build/log"
mkdir -p "$build/log"
printf '%s\n' "$@" | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I{} sh "$0" --one {}

for program in "$@"; do
  name=$(basename "$program")
  for path in $(paths_of "$name"); do
    log=$build/log/$name.$path
    status=$(cat "$log.status")
    line=$(tail -n 1 "$log" | sed -n 's/^[a-z_]*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ -z "$line" ]; then
      echo "$name ($path): ended with status $status before its count"
      line="0 1 0"
    fi
    add $line $status
    case $line-$status in
      *' 0 '*-0) ;;
      *) echo "$name ($path):"; grep -v '^skipped' "$log" | tail -n 30 ;;
    esac
  done
done
cat "$build"/log/* | grep '^skipped' | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2 (\1 times)/'
echo "paths:$paths"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
