#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME, one after the other, and
# goes on after a failure so that one run shows all of them.
set -eu

failed=
count=0
for file in $(find . -name '*_test.go' -not -path './bin/*' -exec grep -l '^func Fuzz' {} + | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$file"); do
		count=$((count + 1))
		dir=$(dirname "$file")
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" -fuzzminimizetime 1s "$dir" || failed="$failed $dir:$target"
	done
done

if [ -n "$failed" ]; then
	echo "fuzz: failed:$failed" >&2
	exit 1
fi
echo "fuzz: $count targets, ${FUZZTIME:-10s} each, no failure"
