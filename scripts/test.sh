#!/bin/sh
# Runs every test, with the race detector where a C compiler is present. With
# CI=true neither a skipped test nor a missing compiler is accepted.
set -eu

strict=
[ "${CI:-}" != true ] || strict=-noskip

race=-race
cgo=1
if ! command -v "$(go env CC)" >/dev/null 2>&1; then
	if [ -n "$strict" ]; then
		echo "test: no C compiler for the race detector, and CI=true needs it" >&2
		exit 1
	fi
	echo "test: no C compiler, so without the race detector"
	race=
	cgo=0
fi

(cd tools && go test -count=1 ./testreport)
mkdir -p bin
(cd tools && CGO_ENABLED=0 go build -o ../bin/testreport ./testreport)

CGO_ENABLED=0 go build -o bin/withengines ./test/withengines

export CGO_ENABLED="$cgo"

# shellcheck disable=SC2086 # options that may be empty, and a list of packages
bin/testreport $strict -- \
	go test -json $race -shuffle=on -timeout "${TIMEOUT:-20m}" ${PKGS:-./...}

# Whoever asked for some packages has what they asked for.
[ "${PKGS:-./...}" = ./... ] || exit 0

# Once more, on the other engines, all that keeps rows or bodies.
engines='./internal/account/... ./internal/policy/... ./internal/mailbox ./internal/queue/... ./internal/route ./internal/source ./internal/relay/event ./internal/intake
	./internal/bounce ./internal/feedback ./internal/outbound/sts ./internal/shaping ./internal/report/... ./internal/control ./internal/smtpd ./internal/access/... ./internal/blob/...
	./internal/move ./internal/app ./test/e2e'
echo "test: the same on PostgreSQL, with bodies in it"
# shellcheck disable=SC2086
HAYAUMA_TEST_BODIES=postgres bin/withengines bin/testreport $strict -- \
	go test -json $race -shuffle=on -timeout "${TIMEOUT:-20m}" $engines
echo "test: the server on PostgreSQL, with bodies in S3"
# shellcheck disable=SC2086
HAYAUMA_TEST_BODIES=s3 bin/withengines bin/testreport $strict -- \
	go test -json $race -shuffle=on -timeout "${TIMEOUT:-20m}" ./internal/app ./test/e2e
echo "test: one long history on both SQL engines, and the simulation of queue and relay"
# Without the race detector, under which only a twentieth of them is run.
CGO_ENABLED=0 bin/testreport $strict -- go test -json -timeout "${TIMEOUT:-20m}" ./test/history ./test/sim
