#!/bin/sh
# reproduce.sh BUILD: runs every program of the reports, as many at a time as there are cores, then
# writes the results and the page. SEEDS (default 5) independent runs of what is random; with QUICK=1
# one, and the results are checked against their bands. NN_DATA: where the data is (default data).
# OUT: where results go (default out). MORE=1: the programs beyond the five reports instead; of the
# convolutional nets, which take as long as all the others, one run unless SEEDS is set.
set -u
build=${1:?usage: reproduce.sh BUILD}
data=${NN_DATA:-data}
out=${OUT:-out}
more=
if [ "${QUICK:-0}" = 1 ]; then seeds=${SEEDS:-1}; else seeds=${SEEDS:-5}; fi

# the longest first, so that no core waits for one at the end; with the percentage of all the work
programs='tdt4265_a2_task4_topology 39  tdt4265_a2_task3_tricks 18  tdt4265_a2_task1_gradients 10
  tdt4265_a1_task4_l2 9  dd2424_a1_linear 9  tdt4265_a2_task2_mlp 6  tdt4265_a1_task3_softmax 3
  dd2424_a1_gradients 3  tdt4265_a1_task1_gradients 2  tdt4265_a1_task2_logistic 1'

if [ "${MORE:-0}" = 1 ]; then
  more=--more
  programs='dd2424_a3_patchify 51  tdt4265_a3_task2_cnn 14  tdt4265_a3_task3_better 14
    dd2424_a3_batch_norm 9  dd2424_a2_search 7  dd2424_a1_bonus 4  dd2424_a2_cyclical 1'
fi

if [ $# -gt 1 ]; then # one program and its percentage, started by xargs below
  case $2 in tdt4265_a3_*) seeds=${SEEDS:-1} ;; esac
  begin=$(date +%s)
  if ! "$build/$2" --data "$data" --out "$out" --seeds "$seeds" >"$out/log/$2.txt" 2>&1; then
    echo "FAILED: $2"
    tail -n 10 "$out/log/$2.txt"
    exit 1
  fi
  echo "$3" >"$out/log/$2.done"
  part=$(cat "$out"/log/*.done | awk '{sum += $1} END {print sum}')
  now=$(date +%s)
  left=$(((now - REPRODUCE_START) * (100 - part) / part))
  echo "$part %: $2 in $((now - begin)) s, about $left s left"
  exit 0
fi

if [ ! -f "$data/mnist/train-images-idx3-ubyte" ] || [ ! -f "$data/cifar10/data_batch_1.bin" ]; then
  echo "reproduce: MNIST and CIFAR-10 are not in '$data': 'make data' fetches them (12 MB and 170 MB)," >&2
  echo "reproduce: or NN_DATA names a folder with mnist/ and cifar10/" >&2
  exit 1
fi
mkdir -p "$out/log" || exit 1
rm -f "$out"/log/*.done
REPRODUCE_START=$(date +%s)
export REPRODUCE_START
printf '%s\n' $programs |
  xargs -P "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" -n 2 sh "$0" "$build" || exit 1
echo "all of it: $(($(date +%s) - REPRODUCE_START)) s, seeds: $seeds"
if [ "${QUICK:-0}" = 1 ]; then "$build/report" --out "$out" $more --check
else "$build/report" --out "$out" $more
fi
