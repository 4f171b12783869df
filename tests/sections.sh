#!/bin/sh
# sections.sh: nn.h keeps to its own rules. No line over 100 columns, no section over 600 lines, no
# function or macro over 60; and every section of the implementation uses only those above it: the
# header, cut off behind a section and with its open conditionals closed, compiles. NN_STATIC makes
# public functions static there, so that a call of one that is defined further down is an error too;
# without SIMD the kernels are there once, so that a cut among them leaves nothing half done.
set -u
header=${1:-nn.h}
dir=${BUILD:-build}/sections
rm -rf "$dir"
mkdir -p "$dir"

awk '
function complain(what, lines, limit) {
  if (lines <= limit) return
  printf "%s:%d: %s has %d lines, at most %d are allowed\n", FILENAME, FNR, what, lines, limit
  bad = 1
}
length($0) > 100 {
  printf "%s:%d: %d columns, at most 100 are allowed\n", FILENAME, FNR, length($0)
  bad = 1
}
/^\/\* -+ >>[a-z-]+/ {
  if (section) complain("section " section, FNR - start, 600)
  section = $0; sub(/^\/\* -+ /, "", section); sub(/ .*/, "", section)
  start = FNR
}
/^[a-zA-Z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); first = FNR }
/^{$/ { open = 1 }
/^}/ && open { complain(name "()", FNR - first + 1, 60); open = 0 }
/^#define/ { macro = $2; sub(/\(.*/, "", macro); first_of_macro = FNR }
/\\$/ { in_macro = 1; next }
in_macro { complain(macro, FNR - first_of_macro + 1, 60); in_macro = 0 }
END { if (section) complain("section " section, FNR - start, 600); exit bad }
' "$header"
bad=$?

# The implementation's sections: tag and last line of each.
awk '/^ *IMPLEMENTATION$/ {on = 1}
     on && /^\/\* -+ >>[a-z-]+/ {
       if (tag) print tag, FNR - 1
       tag = $0; sub(/.*>>/, "", tag); sub(/ .*/, "", tag)
     }' "$header" >"$dir/ends"
[ "$(wc -l <"$dir/ends")" -gt 10 ] || { echo "$header: its sections were not found"; exit 1; }

: >"$dir/seen"
check_prefix() { # check_prefix TAG LAST_LINE: prints what sections before it had not to answer for
  mkdir -p "$dir/$1"
  awk -v last="$2" '
    FNR > last {exit} {print}
    /^#if/ {depth++} /^#endif/ {depth--}
    END {while (depth-- > 0) print "#endif"}' "$header" >"$dir/$1/nn.h"
  printf '#define NN_STATIC\n#define NN_NO_SIMD\n#define NN_IMPLEMENTATION\n#include "nn.h"\nint none;\n' >"$dir/$1/prefix.c"
  ${CC:-cc} -std=c99 -fsyntax-only "$dir/$1/prefix.c" >"$dir/$1/log" 2>&1
  grep -E 'error: |warning: ' "$dir/$1/log" |
    sed 's/^[^ ]*nn\.h:\([0-9]*\):[0-9]*: [a-z ]*: /\1: /' | sort -u >"$dir/$1/errors"
  grep -vxFf "$dir/seen" "$dir/$1/errors" >"$dir/new"
  sed "s|^|$header, up to >>$1: line |" "$dir/new" | head -n 8
  cat "$dir/new" >>"$dir/seen"
}
while read -r tag last; do check_prefix "$tag" "$last"; done <"$dir/ends"
[ $bad = 0 ] && [ ! -s "$dir/seen" ]
