#!/bin/sh
# portability.sh: the determinism test, in both reals, and four suites on other processors, systems and
# C libraries, each under its emulator. All have to come to the hashes that stand in the tests, whatever
# the order of bytes or the size of a pointer. A machine whose tools are missing is skipped and named.
#   portability.sh [MACHINE...]     only these rows of the table
set -u
build=${BUILD:-build}/portability
mkdir -p "$build/tmp"
wasi() { # runs a WASI program under node, which sees this folder as /
  node --no-warnings -e '
    const { WASI } = require("wasi"), fs = require("fs");
    const wasi = new WASI({ version: "preview1", args: [process.argv[1]], preopens: { ".": "." }, returnOnExit: true });
    WebAssembly.compile(fs.readFileSync(process.argv[1]))
      .then((m) => WebAssembly.instantiate(m, wasi.getImportObject()))
      .then((i) => process.exit(wasi.start(i)));' "$1"
}
wine() { WINEDEBUG=-all "$(command -v wine64 || echo /usr/lib/wine/wine64)" "$1" | tr -d '\r'; }
native() { "$1"; }

cat >"$build/table" <<'TABLE'
# machine    | compiler                     | flags                       | runs with         | packages
i686         | i686-linux-gnu-gcc           | -O2 -static                 | qemu-i386         | gcc-i686-linux-gnu
armhf        | arm-linux-gnueabihf-gcc      | -O2 -static                 | qemu-arm          | gcc-arm-linux-gnueabihf
aarch64      | aarch64-linux-gnu-gcc        | -O2 -static                 | qemu-aarch64      | gcc-aarch64-linux-gnu
riscv64      | riscv64-linux-gnu-gcc        | -O2 -static                 | qemu-riscv64      | gcc-riscv64-linux-gnu
ppc64le      | powerpc64le-linux-gnu-gcc    | -O2 -static                 | qemu-ppc64le      | gcc-powerpc64le-linux-gnu
s390x        | s390x-linux-gnu-gcc          | -O2 -static                 | qemu-s390x        | gcc-s390x-linux-gnu
mingw-w64    | x86_64-w64-mingw32-gcc       | -O2 -static                 | wine              | gcc-mingw-w64-x86-64 wine64
wasm         | clang --target=wasm32-wasi   | -O2 -Wl,-z,stack-size=4194304 | wasi              | clang lld wasi-libc libclang-rt-14-dev-wasm32 nodejs
musl         | musl-gcc                     | -O2 -static                 | native            | musl-tools
tcc          | tcc                          |                             | native            | tcc
TABLE

passed=0 failed=0 skipped=0
check() { # check PROGRAM: whether it ends well, with its count at the end
  $runner "$1" >"$1.log" 2>&1 && tail -n 1 "$1.log" | grep -q ', 0 failed'
}
while IFS='|' read -r machine compiler flags runner packages <&3; do
  machine=$(echo $machine) compiler=$(echo $compiler) runner=$(echo $runner)
  case $machine in '#'*) continue ;; esac
  case " ${*:-$machine} " in *" $machine "*) ;; *) continue ;; esac
  printf '#include <math.h>\n#include <stdio.h>\nint main(void) { return puts("0 passed, 0 failed") < 0; }\n' >"$build/probe.c"
  if ! $compiler $flags "$build/probe.c" -o "$build/probe.exe" -lm 2>/dev/null || ! check "$build/probe.exe"; then
    echo "skipped: $machine: install$packages"
    skipped=$((skipped + 1))
    continue
  fi
  begin=$(date +%s)
  rows='determinism determinism-DNN_DOUBLE random optim plain ops'
  [ "$machine" != tcc ] || rows=${rows% plain ops} # their tables of infinities are no constants to it
  for row in $rows; do
    name=${row%-D*} real=; [ "$row" = "$name" ] || real=-DNN_DOUBLE
    program=$build/$machine-$row.exe # as Windows wants it
    if $compiler $flags $real -DTEST_TMP="\"$build/tmp\"" "tests/test_$name.c" -o "$program" -lm >"$program.log" 2>&1 &&
      check "$program"; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      echo "FAILED: $machine: test_$name $real"
      grep -v '^skipped' "$program.log" | tail -n 20
    fi
  done
  echo "$machine: $(($(date +%s) - begin)) s"
done 3<"$build/table"
echo "portability: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
