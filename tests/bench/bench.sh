#!/bin/sh
# bench.sh: builds the benchmark with plain -O2 and runs it on one thread: matrix products against the
# BLAS libraries that are installed and the physical peak, training and inference against NumPy and
# PyTorch where Python has them, and kann where KANN names the folder of its sources; what compiling the
# header takes; convolutions as parts of the peak; then, with OpenMP, two threads against one. Results
# also go to out/bench.csv, and the ratios of them to a chart, out/bench.png.
set -eu
build=${BUILD:-build}
mkdir -p "$build" out
${CC:-cc} -std=c99 -O2 -Wall -Wextra tests/bench/bench.c -o "$build/bench" -lm -ldl
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 BLIS_NUM_THREADS=1 MKL_NUM_THREADS=1
# OpenBLAS takes a slower kernel than the CPU has when it does not know the model
if grep -q avx512f /proc/cpuinfo 2>/dev/null; then
  export OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-SKYLAKEX}
fi
if [ -n "${KANN:-}" ]; then
  sources="tests/bench/kann.c $KANN/kann.c $KANN/kautodiff.c"
  export BENCH_KANN="$build/bench_kann"
  ${CC:-cc} -O3 -march=native -w -DHAVE_CBLAS -I"$KANN" $sources -o "$BENCH_KANN" -l:libopenblas.so.0 -lm 2>/dev/null ||
    ${CC:-cc} -O3 -march=native -w -I"$KANN" $sources -o "$BENCH_KANN" -lm
fi
"$build/bench" "$@"
[ $# = 0 ] || exit 0
${CC:-cc} -std=c99 -O2 -Wall -Wextra tests/bench/conv.c -o "$build/bench_conv" -lm
BENCH_CSV=out/bench.csv "$build/bench_conv"
if ${CC:-cc} -std=c99 -O2 -fopenmp tests/bench/bench.c -o "$build/bench_threads" -lm -ldl 2>/dev/null; then
  (unset OMP_NUM_THREADS; "$build/bench_threads" threads)
fi
sh tests/get_stb.sh "$build/stb"
${CC:-cc} -std=c99 -O1 -Wall -Wextra -I"$build/stb" tests/bench/figure.c -o "$build/bench_figure" -lm
"$build/bench_figure" out/bench.csv out/bench.png
