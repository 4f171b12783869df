#!/bin/sh
# check.sh: what could break beyond `make test`: other compilers, standards and flags, sanitizers, two
# translation units, real data. A step that lacks its tool is skipped and says so.
# NN_DATA names a folder with mnist/ and cifar10/ for the steps on real data (default: data).
set -u
build=${BUILD:-build}
dir=$build/check
data=${NN_DATA:-data}
mkdir -p "$dir" "$build/tmp"
passed=0 failed=0 skipped=0
unset MAKEFLAGS MFLAGS # the makes below share out the cores themselves

have() { command -v "$1" >/dev/null 2>&1; }
pass() { passed=$((passed + 1)); }
skip() { echo "skipped: $1"; skipped=$((skipped + 1)); }
judge() { # judge NAME STATUS LOG: quiet after a success
  if [ "$2" = 0 ]; then pass
  else failed=$((failed + 1)); echo "FAILED: $1"; tail -n 25 "$3"
  fi
}
step() { # step NAME COMMAND...
  what=$1; shift
  "$@" >"$dir/log" 2>&1
  judge "$what" $? "$dir/log"
}
# Steps that share nothing, as many at once as there are cores: `later` like step, then `join`.
cores=$(getconf _NPROCESSORS_ONLN)
waiting=0
later() {
  waiting=$((waiting + 1))
  echo "$1" >"$dir/$waiting.name"
  shift
  { "$@" >"$dir/$waiting.log" 2>&1; echo $? >"$dir/$waiting.status"; } &
  [ $waiting -lt "$cores" ] || join
}
join() {
  wait
  while [ $waiting -gt 0 ]; do
    judge "$(cat "$dir/$waiting.name")" "$(cat "$dir/$waiting.status")" "$dir/$waiting.log"
    rm "$dir/$waiting".*
    waiting=$((waiting - 1))
  done
}

strict='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
printf '#define NN_IMPLEMENTATION\n#include "nn.h"\nint main(void) { return nn_kernel_path()[0] == 0; }\n' >"$dir/body.c"
printf '#include "nn.h"\nint other(void);\nint other(void) { return nn_status_string(NN_OK)[0]; }\n' >"$dir/use.c"
printf '#define NN_STATIC\n#define NN_IMPLEMENTATION\n#include "nn.h"\nint third(void);\nint third(void) { return nn_kernel_path()[0]; }\n' >"$dir/static.c"
for name in body use static; do cp "$dir/$name.c" "$dir/$name.cc"; done

# -- every compiler and standard, at strict settings --
for cc in gcc clang; do
  have $cc || { skip "$cc is not here"; continue; }
  cxx=g++; [ $cc = gcc ] || cxx=clang++
  for std in c99 c11 c2x; do
    for real in '' -DNN_DOUBLE; do
      what_for='-fsyntax-only' # optimised once, for the warnings that need it
      [ $std != c99 ] || what_for="-O1 -o $dir/$cc$real -lm"
      later "$cc -std=$std $real" $cc -std=$std $strict -Wc++-compat $real -I. "$dir/body.c" $what_for
    done
    for file in use static; do
      later "$cc -std=$std $file" $cc -std=$std $strict -Wc++-compat -O0 -I. -c "$dir/$file.c" -o "$dir/$cc-$std-$file.o"
    done
  done
  have $cxx || { skip "$cxx is not here"; continue; }
  for std in c++11 c++14 c++17 c++20; do
    later "$cxx -std=$std" $cxx -std=$std $strict -fsyntax-only -I. "$dir/body.cc"
  done
  later "$cxx in three units" $cxx -std=c++17 $strict -O1 -I. "$dir/body.cc" "$dir/use.cc" "$dir/static.cc" -o "$dir/$cxx-three" -lm
  later "$cc in three units" $cc -std=c99 $strict -O2 -DNDEBUG -I. "$dir/body.c" "$dir/use.c" "$dir/static.c" -o "$dir/$cc-three" -lm
  later "$cc -DNN_NO_SIMD" $cc -std=c99 $strict -O2 -DNN_NO_SIMD -I. "$dir/body.c" -o "$dir/$cc-no-simd" -lm
  for test in tests/*.c examples/*.c; do
    later "$cc strict: $test" $cc -std=c99 $strict -fsyntax-only -DTEST_TMP='"x"' -I"$build/stb" "$test"
  done
done
join

# -- what the object file exports and what it can change --
symbols() {
  # without -fPIC constant tables with pointers stay in a read-only section
  ${CC:-cc} -O0 -fno-pic -I. -c "$dir/body.c" -o "$dir/body.o" || return 1
  nm -g --defined-only "$dir/body.o" | awk '$3 !~ /^(nn_|main$)/ {print "exports " $3; bad = 1} END {exit bad}' || return 1
  nm "$dir/body.o" | awk '$2 ~ /^[bBdD]$/ && $3 !~ /^(nn__message|chosen)/ {print "writable " $3; bad = 1} END {exit bad}'
}
step 'symbols' symbols

# -- the tests again: other optimisation, other compiler, sanitizers --
tests='random plain graph ops gradcheck optim train data determinism'
suite() { # suite NAME COMPILER FLAGS...: builds all tests in float and double, then runs them
  suite_dir=$dir/$1 suite_cc=$2; shift 2
  mkdir -p "$suite_dir"
  export suite_compile="$suite_cc -std=c99 $*" suite_tmp="$build/tmp"
  list=
  for t in $tests; do
    for real in ${suite_reals:-float double}; do
      list="$list $suite_dir/test_${t}_$real"
    done
  done
  printf '%s\n' $list | xargs -P "$cores" -I{} sh -c '
    name=$(basename {}) real=-DNN_DOUBLE
    [ "${name##*_}" = double ] || real=
    $suite_compile $real -DTEST_TMP=\"$suite_tmp/$name\" "tests/${name%_*}.c" -o {} -lm ||
      { echo "{}: $suite_compile"; exit 255; }' || return 1
  BUILD=$build TEST_PATHS=${suite_paths:-} sh tests/run.sh $list
}
suite_paths=
tests='ops gradcheck train'
step 'tests at -Ofast -DNDEBUG' suite ofast "${CC:-cc}" -Ofast -DNDEBUG
# vectors take a minute to compile here: in double they are checked where memory is reached by size
sanitize='-g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined'
tests='data plain'
step 'tests under ASan and UBSan' suite asan "${CC:-cc}" $sanitize
tests='graph train optim' suite_reals=float
step 'the others under ASan and UBSan' suite asan "${CC:-cc}" $sanitize
suite_reals=double suite_paths=portable
step 'the others under ASan and UBSan, double' suite asan "${CC:-cc}" $sanitize -DNN_NO_SIMD
suite_paths=
suite_reals=
tests=determinism
for cc in gcc clang; do
  have $cc || continue
  for level in -O0 -O2 '-O3 -march=native'; do
    suite_reals=
    if [ $cc = gcc ]; then # `make test` has float at all levels, and double at -O2
      [ "$level" != -O2 ] || continue
      suite_reals=double
    elif [ "$level" = '-O3 -march=native' ]; then suite_reals=float
    fi
    step "the same bits: $cc $level" suite "bits_$cc" $cc $level
  done
done
suite_reals=
if have clang; then
  tests=plain suite_paths='avx2 avx512 neon' suite_reals=float # double: in the step above
  step 'the loops that clang -O0 has of its own' suite bits_clang clang -O0
  tests=determinism suite_paths= suite_reals=
fi
if echo 'int main(void) { return 0; }' | ${CC:-cc} -fopenmp -x c - -o "$dir/probe" 2>/dev/null; then
  step 'the same bits with OpenMP' suite omp "${CC:-cc}" -O2 -fopenmp
else skip 'OpenMP: the compiler does not have it'
fi
if echo 'int main(void) { return 0; }' | ${CC:-cc} -m32 -x c - -o "$dir/probe" -lm 2>/dev/null && "$dir/probe"; then
  step 'the same bits with -m32' suite m32 "${CC:-cc}" -O2 -m32
else skip '-m32: the compiler or the system does not have it'
fi
arm=aarch64-linux-gnu-gcc
if have $arm && have qemu-aarch64; then
  neon() { # neon TEST FLAG COMPILER...
    neon_test=tests/test_$1.c neon_flag=$2 neon_program=$dir/neon_$(echo "$*" | tr -c 'a-zA-Z0-9\n' _)
    shift 2
    "$@" -std=c99 -static $neon_flag "$neon_test" -o "$neon_program" -lm && qemu-aarch64 "$neon_program"
  }
  for test in determinism plain; do
    later "$test on NEON" neon $test '' $arm -O2
    later "$test on NEON, double" neon $test -DNN_DOUBLE $arm -O2
  done
  if have clang; then
    clang="clang --target=aarch64-linux-gnu"
    later "determinism on NEON, clang -O2" neon determinism '' $clang -O2 -Werror
    later "determinism on NEON, clang -O0, double" neon determinism -DNN_DOUBLE $clang -O0 -Werror
  fi
  join
else skip "NEON: $arm or qemu-aarch64 is not here"
fi

# -- a locale with a decimal comma --
if have localedef && mkdir -p "$dir/locale" &&
  { [ -d "$dir/locale/de_DE.UTF-8" ] || localedef -i de_DE -f UTF-8 "$dir/locale/de_DE.UTF-8" >/dev/null 2>&1; }; then
  comma() {
    for test in test_data_float test_train_float; do
      make -s "$build/$test" && mkdir -p "$build/tmp/$test" || return 1
      LOCPATH=$(cd "$dir/locale" && pwd) "$build/$test" | tee "$dir/comma.txt" || return 1
      tail -n 1 "$dir/comma.txt" | grep -q ' 0 failed, 0 skipped' || return 1
    done
  }
  step 'a locale with a decimal comma' comma
else skip 'a locale with a decimal comma: localedef cannot make one'
fi

# -- compressed files --
if echo '#include <zlib.h>' | ${CC:-cc} -E - >/dev/null 2>&1; then
  step 'NN_USE_ZLIB' sh tests/zlib.sh
else skip 'NN_USE_ZLIB: zlib.h is not here'
fi

# -- the documentation's programs, the examples one by one, the installed header --
step 'snippets' sh tests/snippets.sh
step 'the licence' sh tests/licence.sh
for example in examples/*.c; do later "$example alone, without stb" ${CC:-cc} -O2 -fsyntax-only "$example"; done
join
step 'all examples as programs' make -s examples tasks # reproduce runs them further down
installs() {
  make -s install PREFIX="$(pwd)/$dir/prefix" && cp "$dir/body.c" "$dir/prefix/prog.c" &&
    sed -i 's/"nn.h"/<nn.h>/' "$dir/prefix/prog.c" &&
    ${CC:-cc} -O1 -I"$dir/prefix/include" "$dir/prefix/prog.c" -o "$dir/prefix/prog" -lm && "$dir/prefix/prog" &&
    grep -q '^Cflags' "$dir/prefix/lib/pkgconfig/nn.pc"
}
step 'make install' installs

# -- real data --
real_data() { make -s "$build/real_data" && "$build/real_data" "$@"; }
step 'digits over ten seeds' real_data digits
if [ -f "$data/mnist/train-images-idx3-ubyte" ]; then
  step 'MNIST: the courses'"'"' numbers' real_data mnist "$data"
else skip "MNIST: $data/mnist is not there (make data)"
fi
if [ -f "$data/cifar10/data_batch_1.bin" ]; then
  step 'CIFAR-10 loads' real_data cifar10 "$data"
else skip "CIFAR-10: $data/cifar10 is not there (make data)"
fi

# -- the five reports: what is certain exactly, what depends on the seed within its band --
reproduce() { make -s reproduce QUICK=1 NN_DATA="$data" OUT="$dir/out" && [ -s "$dir/out/report.html" ]; }
if [ -f "$data/mnist/train-images-idx3-ubyte" ] && [ -f "$data/cifar10/data_batch_1.bin" ]; then
  step 'make reproduce QUICK=1' reproduce
else skip "make reproduce: MNIST and CIFAR-10 are not in $data (make data)"
fi
without_data() {
  ! make -s reproduce NN_DATA="$dir/nowhere" OUT="$dir/out" >"$dir/without_data" 2>&1 &&
    grep -q 'make data' "$dir/without_data"
}
step 'make reproduce without the data says what to do' without_data
offline() { # what curl and wget take for a network that answers nothing
  rm -rf "$dir/offline"
  ! https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 sh tests/get_data.sh "$dir/offline" &&
    [ ! -e "$dir/offline" ]
}
step 'make data without a network leaves nothing behind' offline
each_says() { # each_says STATUS TEXT OPTION...: every example
  each_status=$1 each_text=$2; shift 2
  for each in examples/*.c; do
    each=$build/$(basename "$each" .c)
    "$each" "$@" >"$dir/each" 2>&1
    [ $? = "$each_status" ] && grep -q -- "$each_text" "$dir/each" || { echo "$each $*:"; cat "$dir/each"; return 1; }
  done
}
step 'every example answers --help' each_says 0 '--help  *this text' --help
step 'every example answers an unknown option' each_says 2 'unknown option --helf' --helf
quickstart_alone() { # its own compile line, in a folder that has nothing else
  rm -rf "$dir/clone" && mkdir "$dir/clone" && cp -r nn.h examples "$dir/clone" && (cd "$dir/clone" &&
    ${CC:-cc} -O2 examples/quickstart.c -lm -o quickstart && ./quickstart --out some/where && [ -d some/where ])
}
step 'the quickstart in a fresh clone' quickstart_alone

echo "check: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
