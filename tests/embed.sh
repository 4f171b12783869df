#!/bin/sh
# embed.sh: examples/embed, from training to a Cortex-M in qemu. The network is exported again, which
# gives the file that is there to the byte, as training gives the same bits everywhere; it and one with
# convolutions, as float and int8, are compiled for an M4 with floating point and an M0 without, and
# pass their own tests there.
set -eu
build=${BUILD:-build}
dir=$build/embed
from=examples/embed
for tool in arm-none-eabi-gcc qemu-system-arm; do
  command -v $tool >/dev/null 2>&1 || { echo "skipped: examples/embed: no $tool here"; exit 0; }
done
mkdir -p "$dir"
${CC:-cc} -O2 $from/export.c -o "$dir/export" -lm
"$dir/export" --out "$dir/digits.c"
"$dir/export" --out "$dir/digits8.c" --int8 1
cmp "$dir/digits.c" $from/digits.c
"$dir/export" --images 1 --out "$dir/images.c"
"$dir/export" --images 1 --out "$dir/images8.c" --int8 1

run() { # run BOARD TICK FILE LEVEL MULTIPLY_ADDS FLAGS...
  board=$1 tick=$2 file=$3 level=$4 count=$5; shift 5
  arm-none-eabi-gcc "$@" $level -mthumb -std=c99 -Wall -Wextra -ffunction-sections -fdata-sections \
    -Wl,--gc-sections -nostartfiles --specs=nosys.specs -T $from/link.ld -I"$dir" \
    -DTICK="$tick" -DNETWORK="\"$file\"" '-DNET(name)=digits_##name' \
    "-DMULTIPLY_ADDS=($count)" $from/main.c -lm -o "$dir/$board.elf"
  echo "$board, $file, $level: $(timeout 60 qemu-system-arm -M "$board" -nographic -monitor none -serial none \
    -semihosting -icount shift=0 -kernel "$dir/$board.elf" 2>&1 || echo failed)" | tee "$dir/log"
  grep -q 'test passed' "$dir/log"
}
for file in digits.c digits8.c images.c images8.c; do
  count='64*16+16*10'
  case $file in images*) count='64*9*8+16*9*8*12+12*10' ;; esac
  run mps2-an386 40 $file -O2 $count -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
  run mps2-an386 40 $file -Os $count -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
  run microbit 16 $file -O2 $count -mcpu=cortex-m0
done
