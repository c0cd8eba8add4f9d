#!/bin/sh
# The demo succeeds with the simulator and with a URL and prints its documented lines. It fails when there is no server.
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT

fail() {
    echo "$*"
    cat "$out"
    exit 1
}

tests/demo.sh >"$out" || fail "the demo failed"
[ "$(tail -n 1 "$out")" = "demo: calls 4800, failed 0, logins 2, sessions left 0" ] || fail "another last line"
grep -q "active -> expired" "$out" || fail "the timeline lacks the end of the session"
grep -q "epoch 1 -> 2" "$out" || fail "the timeline lacks the new epoch"

# shellcheck disable=SC2016
target/simulator/simulator -- sh -c 'GOVC_TLS_CA_CERTS=$VSESSION_TEST_CA tests/demo.sh "$VSESSION_TEST_URL"' >"$out" || fail "the demo failed with a URL"
[ "$(tail -n 1 "$out")" = "demo: calls 4800, failed 0, logins 1 (as this program saw them)" ] || fail "another last line with a URL"

if tests/demo.sh https://user:pass@127.0.0.1:9/sdk >"$out" 2>&1; then fail "the demo succeeded without a server"; fi
grep -q VSESSION_E_CONNECT "$out" || fail "the failure is not named"
grep -q "Check the host" "$out" || fail "the failure does not say what to do"
