#!/usr/bin/env bash
# Fuzzes every Fuzz function of the workspace for the given time each.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
grep -rlE '^func Fuzz' --include='*_test.go' pkg executor services tests | sort | while read -r file; do
  for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' "$file"); do
    echo "== $(dirname "$file") $name"
    go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time" </dev/null
  done
done
