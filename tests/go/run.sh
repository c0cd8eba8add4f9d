#!/bin/sh
# Tests the library from a Go program. Needs target/release/libvsession.so and target/simulator/simulator.
# Arguments go to 'go test', for example: tests/go/run.sh -v -run Queue
set -eu
cd "$(dirname "$0")"
target=../../target

for built in "$target/release/libvsession.so" "$target/simulator/simulator"; do
	if [ ! -e "$built" ]; then
		echo "$built is missing; run 'make all simulator-binary' first" >&2
		exit 1
	fi
done

# The loader looks for the library by its SONAME, but cargo uses another file name.
ln -sf libvsession.so "$target/release/libvsession.so.0"

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "not formatted: $unformatted" >&2
	exit 1
fi
go vet ./...
# -count=1: a cached result says nothing about a rebuilt library.
go test -race -count=1 -timeout 300s "$@" ./...
