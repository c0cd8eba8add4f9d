#!/bin/sh
# Runs the stress program against the simulator and compares what its threads saw with the simulator's log.
#
#     tests/stress/run.sh SECONDS [SEED]         the release library, over TLS
#     tests/stress/run.sh tsan SECONDS [SEED]    library, Rust's standard library and program under the ThreadSanitizer
#     tests/stress/run.sh prove                  shows that planted faults are found: wrong histories, a race in C, a race in the library
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
simulator=$root/target/simulator/simulator
built=$root/target/stress
triple=$(rustc -vV | sed -n 's/^host: //p')
runtime=$(rustc --print sysroot)/lib/rustlib/$triple/lib/librustc-stable_rt.tsan.a
mkdir -p "$built"
# The sanitizer cannot report a race whose earlier access is no longer in its thread's history, so the history is as long as
# possible.
export TSAN_OPTIONS="exitcode=66 second_deadlock_stack=1 history_size=7"

# Builds the library with the faults of tests/plants.toml, of which VSESSION_PLANT selects one. The standard library is built
# with it: the ThreadSanitizer understands only instrumented code, and this way nothing needs to be suppressed.
tsan_library() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread --cfg vsession_plants" cargo build --quiet -Zbuild-std --target "$triple" \
        --target-dir target/tsan
}

# tsan_program SOURCE PROGRAM
tsan_program() {
    gcc -std=gnu11 -O1 -g -Wall -Wextra -Werror -fsanitize=thread -Iinclude -c "$1" -o "$2.o"
    # Rust's sanitizer runtime differs from gcc's.
    gcc "$2.o" "target/tsan/$triple/debug/libvsession.a" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
        -lstdc++ -pthread -ldl -lm -o "$2"
}

# stress PROGRAM SECONDS SEED FLAGS...: runs it and checks the history.
stress() {
    program=$1 seconds=$2 seed=$3
    shift 3
    make -s simulator-binary
    rm -rf "$built/history"
    mkdir "$built/history"
    export program seconds seed built
    # shellcheck disable=SC2016
    timeout -k 10 "$((seconds + 300))" "$simulator" -log 5000000 -like 9.0.1 "$@" -- sh -c '
        "$program" "$seconds" 32 "$seed" "$built/history" && python3 tests/stress/check_history.py "$built/history"'
}

# must_fail TEXT COMMAND...: the command must fail and print TEXT.
must_fail() {
    text=$1
    shift
    if "$@" >"$built/output" 2>&1 || ! grep -q "$text" "$built/output"; then
        cat "$built/output"
        echo "planted and not found: $text"
        return 1
    fi
    echo "found: $text"
}

case ${1:-} in
prove)
    python3 tests/stress/check_history.py prove
    tsan_library
    tsan_program tests/stress/planted_race.c "$built/planted"
    must_fail "data race .*planted_race.c" "$built/planted" in-c
    "$built/planted"
    python3 -c 'import tomllib
for name, plant in tomllib.load(open("tests/plants.toml", "rb"))["stress"].items():
    print(name, plant["says"])' >"$built/plants"
    while read -r name text; do
        must_fail "$text" env VSESSION_PLANT="$name" "$built/planted"
    done <"$built/plants"
    ;;
tsan)
    tsan_library
    tsan_program tests/stress/stress.c "$built/stress-tsan"
    stress "$built/stress-tsan" "${2:?seconds}" "${3:-1}" -tls=false
    ;;
*)
    make -s all
    gcc -std=gnu11 -O1 -g -Wall -Wextra -Werror -Iinclude tests/stress/stress.c -o "$built/stress" \
        -Ltarget/release -lvsession "-Wl,-rpath,$root/target/release" -pthread
    stress "$built/stress" "${1:?seconds}" "${2:-1}"
    ;;
esac
