#!/bin/sh
# The fault matrix, and then every byte of every reply for so many seconds; says last how far that went.
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
