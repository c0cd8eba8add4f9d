#!/bin/sh
# Runs the long forms of the tests one after another, in about the given number of minutes. Prints one line for each step,
# and the output of a step that fails. Exits with status 1 if one failed.
#
#     tests/proof.sh [MINUTES]      30 by default
set -u
cd "$(dirname "$0")/.." || exit 1
minutes=${1:-30}
seed=$(date +%Y%m%d)
built=target/proof
mkdir -p "$built"
failed=0
# A step that hangs fails, and the next one starts.
longest=${VSESSION_PROOF_LONGEST:-3600}

# step PERCENT NAME COMMAND...: runs a step; `SECONDS` in the command stands for its share of the time.
step() {
    seconds=$((minutes * 60 * $1 / 100))
    name=$2
    shift 2
    for word; do
        shift
        [ "$word" = SECONDS ] && word=$seconds
        set -- "$@" "$word"
    done
    began=$(date +%s)
    if timeout -k 30 "$longest" "$@" >"$built/$name.log" 2>&1; then
        echo "ok    $name ($(($(date +%s) - began)) s): $(grep . "$built/$name.log" | tail -n 1)"
    else
        failed=1
        echo "FAIL  $name: $*"
        tail -n 60 "$built/$name.log" | sed 's/^/      /'
    fi
}

echo "about $minutes minutes, seed $seed"
step 0 stress-prove tests/stress/run.sh prove
step 0 models-prove tests/models/run.py prove
step 10 models tests/models/run.py in SECONDS
step 30 stress-tsan tests/stress/run.sh tsan SECONDS "$seed"
step 10 stress tests/stress/run.sh SECONDS "$seed"
step 0 fuzz-prove fuzz/run.sh prove
step 30 fuzz fuzz/run.sh SECONDS
step 20 faults tests/faults/every-byte.sh SECONDS
step 0 lockout env VSESSION_TEST_LONG=1 cargo test --quiet --test acceptance a_password_that_was_changed
step 0 asan tests/c/run.sh asan
step 0 cycles env VSESSION_TEST_CYCLES=100000 VSESSION_TEST_LONGEST=1800 tests/c/run.sh cycles
step 0 memcheck env VSESSION_TEST_LONGEST=1200 tests/c/run.sh memcheck
step 0 coverage-prove tests/coverage/report.py prove
step 0 coverage tests/coverage/run.sh
step 0 supply tests/supply.sh
step 0 supply-prove tests/supply.sh prove
step 0 sbom tests/supply.sh sbom
step 0 reproducible tests/reproducible.sh
exit $failed
