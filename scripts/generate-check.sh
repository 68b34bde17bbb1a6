#!/bin/sh
# Fails if `make generate` changes a file. It compares with the working tree,
# not with the last commit, so that it can be run before one.
set -eu

before=$(mktemp)
after=$(mktemp)
trap 'rm -f "$before" "$after"' EXIT

sums() {
	find . -type f -not -path './.git/*' -not -path './bin/*' -not -path './data/*' -exec cksum {} + | sort -k 3
}

sums >"$before"
go generate ./...
sums >"$after"
if ! diff "$before" "$after" >&2; then
	echo "generate: these files were stale; they are fresh now, look at them and commit them" >&2
	exit 1
fi
