#!/bin/sh
# check.sh: what could break beyond `make test`: other compilers, standards and flags, sanitizers,
# other machines, real data. A step that lacks its tool is skipped and says so.
# NN_DATA names a folder with mnist/ and cifar10/ for the steps on real data (default: data).
# build/check/times has the seconds that each step took.
set -u
build=${BUILD:-build}
dir=$build/check
data=${NN_DATA:-data}
cc=${CC:-cc}

unset MAKEFLAGS MFLAGS # the makes below share out the cores themselves
rm -rf "$dir"
mkdir -p "$dir" "$build/tmp"
passed=0 failed=0 skipped=0

have() { command -v "$1" >/dev/null 2>&1; }
skip() { echo "skipped: $1"; skipped=$((skipped + 1)); }

# Steps wait in a queue for `join`, where as many workers as there are cores take the next one each:
# what is between two joins may run in any order, at the same time.
queued=0 queue=$dir/queue
step() { # step NAME COMMAND...
  mkdir -p "$queue"
  queued=$((queued + 1))
  echo "$1" >"$queue/$queued.name"
  shift
  for word in "$@"; do
    printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
  done >"$queue/$queued.command"
}
worker() {
  at=0
  while [ $at -lt $queued ]; do
    at=$((at + 1))
    mkdir "$queue/$at.taken" 2>/dev/null || continue # another worker's
    begin=$(date +%s)
    (eval "$(cat "$queue/$at.command")") >"$queue/$at.log" 2>&1
    echo $? >"$queue/$at.status"
    echo "$(($(date +%s) - begin)) $(cat "$queue/$at.name")" >>"$dir/times"
  done
}
join() {
  workers=$(getconf _NPROCESSORS_ONLN)
  while [ "$workers" -gt 0 ]; do
    worker &
    workers=$((workers - 1))
  done
  wait
  at=0
  while [ $at -lt $queued ]; do
    at=$((at + 1))
    if [ "$(cat "$queue/$at.status")" = 0 ]; then passed=$((passed + 1)) # quiet after a success
    else failed=$((failed + 1)); echo "FAILED: $(cat "$queue/$at.name")"; tail -n 25 "$queue/$at.log"
    fi
  done
  rm -rf "$queue"
  queued=0
}

# -- compilers, standards, flags, machines: one table --
#
# A row takes one compiler with one set of flags, for each of its reals. What it compiles or runs:
#   body      a program with the body of nn.h
#   use       a file that includes nn.h alone;   static   one with a private copy, NN_STATIC
#   units     a program of all three
#   sources   every test and example;            examples   every example
#   else      the test programs of that name are built and run, on all paths that the CPU has or on
#             those in the last column
# A row whose compiler is missing or cannot make a program with its flags is skipped.
#
# With -DNN_STATIC in the flags each test has a private body of what it uses: the plain layer's is a third
# of the whole. With sanitizers clang compiles a body in less than half of gcc's time, but gcc optimises the
# kernels even there: gcc has the tests that compute much, clang the others.
w='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
c="-Wc++-compat -Wbad-function-cast -Wfloat-equal -Wswitch-default $w"
sanitize='-g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined'
m32=-m32 # beside a cross compiler Debian's headers for -m32 are in the folder of the 64-bit ones
echo '#include <errno.h>' | $cc -m32 -x c -E - >/dev/null 2>&1 ||
  m32="-m32 -isystem /usr/include/$($cc -print-multiarch 2>/dev/null)"
arm=aarch64-linux-gnu

cat >"$dir/table" <<TABLE
# name                 | compiler | flags                            | what       | reals        | paths
gcc C99                | gcc      | -std=c99 $c -O1                  | body       | float double |
gcc C99, other files   | gcc      | -std=c99 $c -O0                  | use static | float        |
gcc C11                | gcc      | -std=c11 $c -fsyntax-only        | body       | float double |
gcc C11, other files   | gcc      | -std=c11 $c -O0                  | use static | float        |
gcc C2x                | gcc      | -std=c2x $c -fsyntax-only        | body       | float double |
gcc C2x, other files   | gcc      | -std=c2x $c -O0                  | use static | float        |
gcc C++11              | g++      | -std=c++11 $w -Wold-style-cast -fsyntax-only | body       | float        |
gcc C++14              | g++      | -std=c++14 $w -fsyntax-only      | body       | float        |
gcc C++17              | g++      | -std=c++17 $w -fsyntax-only      | body       | float        |
gcc C++20              | g++      | -std=c++20 $w -fsyntax-only      | body       | float        |
gcc C++, three units   | g++      | -std=c++17 $w -O0                | units      | float        |
gcc, three units       | gcc      | -std=c99 $c -O2 -DNDEBUG         | units      | float        |
gcc, no SIMD           | gcc      | -std=c99 $c -O2 -DNN_NO_SIMD     | body       | float        |
gcc, no files          | gcc      | -std=c99 $c -O1 -DNN_NO_STDIO    | body use static | float   |
gcc, no training       | gcc      | -std=c99 $c -O1 -DNN_NO_TRAINING | body use static | float   |
gcc, neither           | gcc      | -std=c99 $c -O1 -DNN_NO_STDIO -DNN_NO_TRAINING | units | float |
clang++, neither       | clang++  | -std=c++11 $w -O1 -DNN_NO_STDIO -DNN_NO_TRAINING | units | float |
gcc, strict            | gcc      | -std=c99 $w -fsyntax-only        | sources    | float        |
clang C99              | clang    | -std=c99 $c -O1                  | body       | float double |
clang C99, other files | clang    | -std=c99 $c -O0                  | use static | float        |
clang C11              | clang    | -std=c11 $c -Wcomma -Wused-but-marked-unused -fsyntax-only | body       | float double |
clang C11, other files | clang    | -std=c11 $c -O0                  | use static | float        |
clang C2x              | clang    | -std=c2x $c -fsyntax-only        | body       | float double |
clang C2x, other files | clang    | -std=c2x $c -O0                  | use static | float        |
clang C++11            | clang++  | -std=c++11 $w -Wold-style-cast -fsyntax-only | body       | float        |
clang C++14            | clang++  | -std=c++14 $w -fsyntax-only      | body       | float        |
clang C++17            | clang++  | -std=c++17 $w -fsyntax-only      | body       | float        |
clang C++20            | clang++  | -std=c++20 $w -fsyntax-only      | body       | float        |
clang C++, three units | clang++  | -std=c++17 $w -O0                | units      | float        |
clang, three units     | clang    | -std=c99 $c -O2 -DNDEBUG         | units      | float        |
clang, no SIMD         | clang    | -std=c99 $c -O2 -DNN_NO_SIMD     | body       | float        |
clang, strict          | clang    | -std=c99 $w -fsyntax-only        | sources    | float        |
alone and without stb  | $cc      | -O2 -fsyntax-only -DCHART_NO_STB | examples   | float        |
-Ofast                 | $cc                 | -Ofast -DNDEBUG        | ops gradcheck train          | float        | avx2 neon
-Ofast, portable       | $cc                 | -Ofast -DNN_STATIC     | plain                        | float        | portable
ASan and UBSan         | $cc                 | -O1 -DNN_STATIC $sanitize | plain conv                | float        | avx2 avx512 neon
ASan and UBSan of clang | clang              | -O0 -DNN_STATIC $sanitize | graph train augment optim norm | float   | avx2 neon
ASan and UBSan, files  | clang              | -O0 -DNN_STATIC $sanitize | data npy save             | float        | avx2 neon
ASan and UBSan, double | $cc                 | -O1 -DNN_STATIC $sanitize | plain                     | double       |
UBSan of clang         | clang               | -O0 -DNN_STATIC -fsanitize=undefined -fno-sanitize-recover=undefined | conv | float | avx2 neon
ASan, double, portable | clang               | -O0 $sanitize -DNN_NO_SIMD | graph train optim        | double       | portable
bits, gcc -O0          | gcc                 | -O0                    | determinism                  | double       |
bits, gcc -O3          | gcc                 | -O3 -march=native      | determinism                  | double       |
bits, clang -O0        | clang               | -O0                    | determinism                  | float        |
bits, clang -O2        | clang               | -O2                    | determinism                  | float double |
bits, clang -O3        | clang               | -O3 -march=native      | determinism                  | float        |
bits, contract=fast    | clang               | -O2 -ffp-contract=fast | determinism                  | float        | avx2
loops of clang -O0     | clang               | -O0 -DNN_STATIC        | plain                        | float        | avx2 avx512 neon
the smallest stack     | $cc                 | -O1 -DNN_STATIC -DNN_STACK_BYTES=4096 -DNN_NO_STDIO -DNN_NO_TRAINING | plain | float |
OpenMP, large products | $cc                 | -O1 -fopenmp -DNN_STATIC | plain graph augment        | float        |
-m32                   | $cc                 | -O2 $m32               | determinism                  | float double | portable
NEON, gcc              | $arm-gcc            | -O2 -static            | determinism plain conv       | float        | neon
NEON, clang -O2        | clang --target=$arm | -O2 -static -Werror    | determinism                  | float        | neon
NEON, clang -O0        | clang --target=$arm | -O0 -static -Werror    | determinism                  | double       | neon
TABLE

printf '#define NN_IMPLEMENTATION\n#include "nn.h"\nint main(void) { return nn_kernel_path()[0] == 0; }\n' >"$dir/body.c"
printf '#include "nn.h"\nint other(void);\nint other(void) { return nn_status_string(NN_OK)[0]; }\n' >"$dir/use.c"
printf '#define NN_STATIC\n#define NN_IMPLEMENTATION\n#include "nn.h"\nint third(void);\nint third(void) { return nn_kernel_path()[0]; }\n' >"$dir/static.c"
printf '#include <errno.h>\nint main(void) { return errno; }\n' >"$dir/probe.c"
for name in body use static probe; do cp "$dir/$name.c" "$dir/$name.cc"; done

# The columns of the present row: name compiler flags what reals paths.
can_run() { # whether the row's compiler makes programs that run here
  runner=
  case $compiler in *$arm*) runner=qemu-aarch64 ;; esac
  have "${compiler%% *}" && { [ -z "$runner" ] || have $runner; } || return 1
  case $flags in
    *-fsyntax-only*) $compiler $flags "$dir/probe.$ext" ;;
    *) $compiler $flags "$dir/probe.$ext" -o "$dir/probe" -lm && $runner "$dir/probe" ;;
  esac >/dev/null 2>&1
}
compile() { # compile ITEM REAL
  real=; [ "$2" = float ] || real=-DNN_DOUBLE
  out=$dir/$1-$2-$(echo "$name" | tr -c 'a-zA-Z0-9+\n' _) files=
  case $flags in *-fsyntax-only*) end= ;; *) end="-o $out -lm" ;; esac
  case $1 in
    body) files=$dir/body.$ext ;;
    use | static) files=$dir/$1.$ext; end="-c -o $out.o" ;;
    units) files="$dir/body.$ext $dir/use.$ext $dir/static.$ext" ;;
  esac
  step "$name: $1, $2" $compiler $flags $real -I. $files $end
}
# `make test` has determinism and conv with threads.
run_tests() { # run_tests FOLDER COMPILER FLAGS REALS PATHS RUNNER TEST...
  row=$1 row_cc=$2 row_flags=$3 row_reals=$4 row_paths=$5 row_runner=$6; shift 6
  tests=$* && set -- THREADED=determinism
  case $row_flags in *-DNN_STATIC*) set -- THREADED= "ALONE=$tests" ;; esac
  ISA=$build/isa TEST_PATHS=$row_paths TEST_RUNNER=$row_runner make -s suite BUILD="$row" \
    CC="$row_cc" CFLAGS="$row_flags" OPENMP=/dev/null TESTS="$tests" REALS="$row_reals" "$@"
}
make -s "$build/isa"
while IFS='|' read -r name compiler flags what reals paths <&3; do
  name=$(echo $name) compiler=$(echo $compiler) flags=$(echo $flags) paths=$(echo $paths)
  case $name in '#'*) continue ;; esac
  case $compiler in *++*) ext=cc ;; *) ext=c ;; esac
  can_run || { skip "$name: no $compiler here that makes programs with $flags"; continue; }
  tests=
  for item in $what; do
    case $item in
      body | use | static | units) for r in $reals; do compile "$item" "$r"; done ;;
      sources | examples)
        sources=examples/*.c; [ $item = examples ] || sources="tests/*.c examples/*.c"
        for file in $sources; do
          [ "$file" != tests/exported_mnist.c ] || continue # which includes what is exported
          step "$name: $file" $compiler $flags -DTEST_TMP='"x"' -I"$build/stb" "$file"
        done ;;
      *) tests="$tests $item" ;;
    esac
  done
  row=$dir/rows/$(echo "$name" | tr -c 'a-zA-Z0-9+\n' _)
  [ -z "$tests" ] || step "$name:$tests" run_tests "$row" "$compiler" "$flags" "$reals" "$paths" "$runner" $tests
done 3<"$dir/table"

# -- the shape of nn.h: what it exports, what it can change, what its sections use --
symbols() {
  # without -fPIC constant tables with pointers stay in a read-only section
  $cc -O0 -fno-pic -I. -c "$dir/body.c" -o "$dir/body.o" || return 1
  nm -g --defined-only "$dir/body.o" | awk '$3 !~ /^(nn_|main$)/ {print "exports " $3; bad = 1} END {exit bad}' || return 1
  nm "$dir/body.o" | awk '$2 ~ /^[bBdD]$/ && $3 !~ /^(nn__message|chosen)/ {print "writable " $3; bad = 1} END {exit bad}'
}
step 'symbols' symbols
step 'sections of nn.h' sh tests/sections.sh
hostile() { ${CC:-cc} -std=c99 -O0 tests/hostile.c -o "$dir/hostile" -lm && "$dir/hostile"; }
step 'names that other headers take' hostile
mixture() { # files that were compiled with other options that change a type do not link
  printf '#include "nn.h"\nint main(void) { return nn_status_string(NN_OK)[0] == 0; }\n' >"$dir/mix.c"
  $cc -O0 -c -DNN_IMPLEMENTATION -x c nn.h -o "$dir/mix.o" &&
    $cc -O0 -I. "$dir/mix.c" "$dir/mix.o" -o "$dir/mix" -lm && "$dir/mix" || return 1
  for option in NN_DOUBLE:nn_real_is_double NN_NO_STDIO:nn_stdio_is_out; do
    ! $cc -O0 -D${option%:*} -I. "$dir/mix.c" "$dir/mix.o" -o "$dir/mix" -lm >"$dir/mix.log" 2>&1 &&
      grep -q "${option#*:}" "$dir/mix.log" || { echo "${option%:*} in one file links"; return 1; }
  done
}
step 'files with other options do not link' mixture
small() { $cc -std=c99 -O1 tests/small.c -o "$dir/small" -lm && "$dir/small"; }
step 'without files, training and thread-local storage' small
step 'the licence' sh tests/licence.sh
contraction() { # fused products would give other bits: refused, where the compiler can make them
  printf '#define NN_IMPLEMENTATION\n#include "nn.h"\nint main(void) { return nn_net_create(NULL) != NULL || !strstr(nn_last_error(), "-ffp-contract=off"); }\n' >"$dir/fused.c"
  clang -O1 -mfma -ffp-contract=fast -DNN_NO_STDIO -DNN_NO_TRAINING -I. "$dir/fused.c" -o "$dir/fused" -lm && "$dir/fused"
}
if have clang && grep -qw fma /proc/cpuinfo 2>/dev/null; then step 'contracted products are refused' contraction
else skip 'contracted products are refused: no clang or no CPU with fused multiply-add'
fi

# -- compressed files --
if echo '#include <zlib.h>' | $cc -E - >/dev/null 2>&1; then
  step 'NN_USE_ZLIB' sh tests/zlib.sh
else skip 'NN_USE_ZLIB: zlib.h is not here'
fi

# -- the documentation's programs, the examples --
step 'snippets' sh tests/snippets.sh
step 'all examples as programs, and tests' make -s examples tasks more-tasks "$build/real_data" \
  "$build/test_data_float" "$build/test_train_float" "$build/test_save_float" # for what follows
join

# -- the five reports: what is certain exactly, what depends on the seed within its band --
reproduce() { make -s reproduce QUICK=1 NN_DATA="$data" OUT="$dir/out" && [ -s "$dir/out/report.html" ]; }
if [ -f "$data/mnist/train-images-idx3-ubyte" ] && [ -f "$data/cifar10/data_batch_1.bin" ]; then
  step 'make reproduce QUICK=1' reproduce
else skip "make reproduce: MNIST and CIFAR-10 are not in $data (make data)"
fi

# -- a locale with a decimal comma --
if have localedef && mkdir -p "$dir/locale" &&
  localedef -i de_DE -f UTF-8 "$dir/locale/de_DE.UTF-8" >/dev/null 2>&1; then
  comma() {
    for test in test_data_float test_train_float test_save_float; do
      make -s "$build/$test" && mkdir -p "$build/tmp/$test" || return 1
      LOCPATH=$(cd "$dir/locale" && pwd) "$build/$test" | tee "$dir/comma.txt" || return 1
      tail -n 1 "$dir/comma.txt" | grep -q ' 0 failed, 0 skipped' || return 1
    done
  }
  step 'a locale with a decimal comma' comma
else skip 'a locale with a decimal comma: localedef cannot make one'
fi

# -- the examples, the installed header --
each_says() { # each_says STATUS TEXT OPTION...: every example answers so
  each_status=$1 each_text=$2; shift 2
  for each in examples/*.c; do
    each=$build/$(basename "$each" .c)
    said=$("$each" "$@" 2>&1)
    [ $? = "$each_status" ] && echo "$said" | grep -q -- "$each_text" || { echo "$each $*:"; echo "$said"; return 1; }
  done
}
step 'every example answers --help' each_says 0 '--help  *this text' --help
step 'every example answers an unknown option' each_says 2 'unknown option --helf' --helf
tables() { # the examples on their own tables, and on the same ones as a user's, by numbers of columns
  out=$dir/tables right='^Accuracy 87\.3 ± 4\.9 % in 5 folds$' energy=' 21\.6  *57\.45  *0\.859$'
  "$build/csv" --out "$out" | grep -- "$right" && "$build/regression" --out "$out" | grep "^energy .*$energy" &&
    "$build/csv" --data "$out/birds.csv" --ignore 1 --one-hot 2 --out "$out/again" | grep -- "$right" &&
    "$build/regression" --data "$out/houses.csv" --ignore 1 --one-hot 5,6 --targets -3..-1 --out "$out/again" |
      grep "^target 3 .*$energy"
}
step 'tables: csv and regression' tables
quickstart_alone() { # its own compile line, in a folder that has nothing else
  mkdir "$dir/clone" && cp -r nn.h examples "$dir/clone" && (cd "$dir/clone" &&
    $cc -O2 examples/quickstart.c -lm -o quickstart && ./quickstart --out some/where && [ -d some/where ])
}
step 'the quickstart in a fresh clone' quickstart_alone
if have arm-none-eabi-gcc && have qemu-system-arm; then step 'a network on microcontrollers' sh tests/embed.sh
else skip 'a network on microcontrollers: no arm-none-eabi-gcc or no qemu-system-arm'
fi
if ${PYTHON:-python3} -c 'import numpy' >/dev/null 2>&1; then step 'NumPy and onnxruntime' make -s interop
else skip 'NumPy and onnxruntime: Python has no numpy (PYTHON names another)'
fi
installs() {
  make -s install PREFIX="$(pwd)/$dir/prefix" && cp "$dir/body.c" "$dir/prefix/prog.c" &&
    sed -i 's/"nn.h"/<nn.h>/' "$dir/prefix/prog.c" &&
    $cc -O1 -I"$dir/prefix/include" "$dir/prefix/prog.c" -o "$dir/prefix/prog" -lm && "$dir/prefix/prog" &&
    grep -q '^Cflags' "$dir/prefix/lib/pkgconfig/nn.pc"
}
step 'make install' installs

# -- files that outlive the process, and Python's --
kill_9() { $cc -O2 tests/kill.c -o "$dir/kill" -lm && "$dir/kill" 20 "$dir/kill.safetensors"; }
step 'a training killed at 20 moments ends with the same bits' kill_9
python=${PYTHON:-python3}
interop() {
  for real in float double; do
    $cc -O1 $([ $real = float ] || echo -DNN_DOUBLE) tests/interop_torch.c -o "$dir/interop_$real" -lm &&
      "$python" tests/interop_torch.py "$dir/interop_$real" $real || return 1
  done
}
if "$python" -c 'import numpy, torch, safetensors' 2>/dev/null; then
  step 'files to and from PyTorch' interop
else skip "files to and from PyTorch: $python has no numpy, torch and safetensors"
fi

# -- real data --
saved_mnist() { # the network of mnist_mlp, interrupted and resumed, in predict: an IDX file, a PGM
  file=$dir/mnist.safetensors
  images=$data/mnist/t10k-images-idx3-ubyte
  timeout -s INT 1 "$build/mnist_mlp" --data "$data" --save "$file" 2>/dev/null
  "$build/mnist_mlp" --data "$data" --resume "$file" 2>/dev/null | grep 'validation loss 0\.14' &&
    "$build/predict" --net "$file" --input "$images" --labels "$data/mnist/t10k-labels-idx1-ubyte" |
      grep '^96[0-9][0-9] of 10000 right' &&
    { printf 'P5\n# the first of them, a 7\n28 28 255\n'; tail -c +17 "$images" | head -c 784; } >"$dir/seven.pgm" &&
    "$build/predict" --net "$file" --input "$dir/seven.pgm" | grep '^0: class 7  probability'
}
real_data() { make -s "$build/real_data" && "$build/real_data" "$@"; }
step 'digits over ten seeds' real_data digits
if [ -f "$data/mnist/train-images-idx3-ubyte" ]; then
  step 'MNIST: the courses'"'"' numbers' real_data mnist "$data"
  exported() { # as plain C, with fused multiply-add in hardware where there is, and as C++
    from=$data/mnist/t10k-images-idx3-ubyte at=$(pwd)/$dir
    real_data export "$data" "$dir" || return 1
    for how in "$cc -O2" "$cc -O2 -march=native" "${CXX:-c++} -O1 -xc++"; do
      $how "-DNETWORK=\"$at/mnist.c\"" "-DINT8=\"$at/mnist8.c\"" tests/exported_mnist.c \
        -o "$dir/exported" && "$dir/exported" "$from" "$dir/mnist.out" || return 1
    done
  }
  step 'MNIST: the exported network' exported
  step 'MNIST: saved, opened again, asked about pictures' saved_mnist
else skip "MNIST: $data/mnist is not there (make data)"
fi
if [ -f "$data/cifar10/data_batch_1.bin" ]; then
  step 'CIFAR-10 loads' real_data cifar10 "$data"
else skip "CIFAR-10: $data/cifar10 is not there (make data)"
fi
offline() { # what curl and wget take for a network that answers nothing
  ! https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 sh tests/get_data.sh "$dir/offline" &&
    [ ! -e "$dir/offline" ]
}
step 'make data without a network leaves nothing behind' offline

more() { # of what make reproduce-more runs only what takes seconds, and its page
  "$build/dd2424_a2_cyclical" --data "$data" --out "$dir/more" >"$dir/more.txt" &&
    grep -q '^course figure 3 test accuracy, %  *45\.85  *4[4-8]' "$dir/more.txt" &&
    grep -q '^course figure 4 test accuracy, %  *47\.47  *4[5-9]' "$dir/more.txt" &&
    "$build/report" --out "$dir/more" --more && [ -s "$dir/more/more.html" ]
}
if [ -f "$data/cifar10/data_batch_1.bin" ]; then step 'cyclical rates and the page of reproduce-more' more
else skip "cyclical rates: CIFAR-10 is not in $data (make data)"
fi
without_data() {
  ! make -s reproduce NN_DATA="$dir/nowhere" OUT="$dir/nothing" >"$dir/without_data" 2>&1 &&
    grep -q 'make data' "$dir/without_data"
}
step 'make reproduce without the data says what to do' without_data
join

echo "check: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
