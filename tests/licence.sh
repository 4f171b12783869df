#!/bin/sh
# licence.sh: LICENSE holds the text at the end of nn.h, word for word, then the credit of the digits,
# and nothing else that would make it long.
set -eu
dir=${BUILD:-build}/licence
mkdir -p "$dir"
words() { tr -s '[:space:]' '\n' | sed '/^$/d'; }
fail() { echo "LICENSE: $1"; exit 1; }

size=$(wc -c <LICENSE)
[ "$size" -lt 8000 ] || fail "$size bytes are more than a licence"
sed -n '/--- >>licence$/,/^ *end of nn\.h/p' nn.h | sed '1d;$d' | words >"$dir/header"
sed '/^DATA$/,$d' LICENSE | words >"$dir/file"
grep -q MERCHANTABILITY "$dir/header" || fail "nn.h has no licence at its end"
diff "$dir/header" "$dir/file" || fail "differs from the text at the end of nn.h, words as above"
for part in examples/digits.h 'E. Alpaydin' 'CC BY 4.0' https://doi.org/10.24432/C50P49; do
  sed '1,/^DATA$/d' LICENSE | grep -qF "$part" || fail "no $part in the credit of the data"
done
