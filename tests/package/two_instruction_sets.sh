#!/bin/sh
# two_instruction_sets.sh SOURCES SCRATCH NM COMPILER ARGUMENTS...: one unit with -march=native and one without give right
# results in one program, linked in either order, and share no function of the library that depends on the difference.
set -e
sources=$1 scratch=$2/instruction_sets nm=$3
shift 3
rm -rf "$scratch"
mkdir -p "$scratch"
"$@" -DUNIT_NAME=first -march=native -c "$sources/unit.cpp" -o "$scratch/first.o"
"$@" -DUNIT_NAME=second -c "$sources/unit.cpp" -o "$scratch/second.o"
for order in "first second" "second first"; do
  objects=
  for unit in $order; do objects="$objects $scratch/$unit.o"; done
  # shellcheck disable=SC2086
  "$@" "$sources/main.cpp" $objects -o "$scratch/program"
  "$scratch/program"
done
for unit in first second; do "$nm" -C "$scratch/$unit.o" | sed -n 's/^[0-9a-f]* [WuV] //p' | sort >"$scratch/$unit.names"; done
comm -12 "$scratch/first.names" "$scratch/second.names" >"$scratch/shared.names"
if grep -E 'dream::.*(Cpu|cpu::|RowSelection)' "$scratch/shared.names"; then
  echo "the functions above are one for both instruction sets"
  exit 1
fi
grep -q 'dream::' "$scratch/first.names"
