#!/usr/bin/env bash
# Fuzzes every Fuzz function of the workspace with the given number of inputs each. It is a number, not a time,
# because Go before 1.27 may fail with "context deadline exceeded" when the time ends (go.dev/issue/75804).
set -euo pipefail
cd "$(dirname "$0")/.."
inputs=${1:?usage: tests/fuzz.sh INPUTS}
grep -rlE '^func Fuzz' --include='*_test.go' pkg executor services tests | sort | while read -r file; do
  for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' "$file"); do
    echo "== $(dirname "$file") $name"
    go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "${inputs}x" \
      -fuzzminimizetime 100x </dev/null
  done
done
