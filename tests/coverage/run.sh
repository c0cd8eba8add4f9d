#!/bin/sh
# Which lines of src the suites reach: builds the library and the Rust tests with LLVM's counters, runs the suites, and has
# tests/coverage/report.py write a page and compare it with the comments in src. Needs rustup's llvm-tools.
#
#     tests/coverage/run.sh [SECONDS]     this many seconds of stress, 20 by default
#     tests/coverage/run.sh report        only the report, from the last run
#
# The counters are mapped into files (%c), so that processes that are killed, fork or leave by _exit count too.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
built=$root/target/coverage
profiles=$built/profiles
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
if [ ! -x "$tools/llvm-cov" ]; then
    rustup --quiet component add llvm-tools || {
        echo "coverage needs LLVM's tools: rustup component add llvm-tools" >&2
        exit 1
    }
fi
mkdir -p "$built"

# Only the library is counted, not its dependencies.
wrapper=$built/counting-rustc
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "$@" -Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation\n' >"$wrapper"
chmod +x "$wrapper"
# Optimized a little, because tests measure time and stack use.
counting() {
    env LLVM_PROFILE_FILE=/dev/null CARGO_TARGET_DIR="$built" RUSTC_WORKSPACE_WRAPPER="$wrapper" CARGO_PROFILE_DEV_OPT_LEVEL=1 \
        cargo "$@"
}

if [ "${1:-}" != report ]; then
    # The programs and the library that hold counters.
    counting build --quiet
    counting test --no-run --lib --test acceptance --test faults --message-format=json 2>/dev/null |
        python3 -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line).get("executable")
    if made: print(made)' >"$built/programs"
    [ -s "$built/programs" ]
fi

failed=0
suite() { # suite NAME COMMAND...
    name=$1
    shift
    if env LLVM_PROFILE_FILE="$profiles/$name-%p-%m%c.profraw" LD_LIBRARY_PATH="$built/debug" "$@" >"$built/$name.log" 2>&1; then
        echo "ok    $name: $(tail -n 1 "$built/$name.log")"
    else
        failed=1
        echo "FAIL  $name"
        grep -A 8 -e FAIL -e FAILED -e panicked "$built/$name.log" | head -n 60
    fi
}

if [ "${1:-}" != report ]; then
    rm -rf "$profiles"
    mkdir -p "$profiles"
    make -s all simulator-binary
    ln -sf libvsession.so "$built/debug/libvsession.so.0"
    # The Rust tests start their own binary again and read their sources, so they run in the project's directory, as under
    # cargo.
    while read -r program; do
        name=$(basename "$program" | sed 's/-[0-9a-f]*$//')
        suite "rust-$name" "$program" --quiet --test-threads 6
    done <"$built/programs"
    # Selected by language, which leaves out those under valgrind and those that name another library.
    suite c tests/c/run.sh -cpp session-esx-c small_stacks-c
    suite go tests/go/run.sh
    suite stress tests/stress/run.sh "${1:-20}"
fi

# Each program has its own counters, because functions of one name differ between programs.
exported() { # exported NAME PROGRAM PROFILES...
    name=$1 program=$2
    shift 2
    "$tools/llvm-profdata" merge --sparse --failure-mode=all -o "$built/$name.profdata" "$@"
    "$tools/llvm-cov" export --format=text --instr-profile "$built/$name.profdata" "$program" --sources "$root/src" >"$built/$name.json"
}
exports=
while read -r program; do
    name=rust-$(basename "$program" | sed 's/-[0-9a-f]*$//')
    exported "$name" "$program" "$profiles/$name"-*
    exports="$exports $built/$name.json"
done <"$built/programs"
exported library "$built/debug/libvsession.so" "$profiles"/c-* "$profiles"/go-* "$profiles"/stress-*
# shellcheck disable=SC2086
tests/coverage/report.py $exports "$built/library.json"
exit $failed
