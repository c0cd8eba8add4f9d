#!/bin/sh
# Runs the fault matrix, and then faults at every byte of every reply for the given number of seconds. The last line says how
# many bytes it tried.
#
#     tests/faults/every-byte.sh SECONDS
set -u
cd "$(dirname "$0")/../.." || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
VSESSION_TEST_BYTES_SECONDS=$1 cargo test --test faults -- --nocapture >"$log" 2>&1
status=$?
cat "$log"
grep 'bytes of replies' "$log"
exit $status
