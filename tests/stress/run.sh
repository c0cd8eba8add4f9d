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

# tsan_library FOLDER: builds the library from the sources in FOLDER. The standard library is built with it: the sanitizer
# understands only instrumented code, and this way nothing needs to be suppressed.
tsan_library() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread" cargo build --quiet -Zbuild-std --target "$triple" \
        --manifest-path "$1/Cargo.toml" --target-dir "$root/target/tsan"
}

# tsan_program SOURCE PROGRAM [FLAG]
tsan_program() {
    gcc -std=gnu11 -O1 -g -Wall -Wextra -Werror -fsanitize=thread -Iinclude ${3:-} -c "$1" -o "$2.o"
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
    timeout -k 10 "$((seconds + 300))" "$simulator" -log 5000000 "$@" -- sh -c '
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
    tsan_library "$root"
    tsan_program tests/stress/planted_race.c "$built/planted"
    must_fail "data race .*planted_race.c" "$built/planted"
    # The same in Rust: the function that this program calls gets an unsynchronized counter.
    rm -rf "$built/copy"
    mkdir "$built/copy"
    cp -r Cargo.toml Cargo.lock build.rs cbindgen.toml src "$built/copy"
    sed -i '/fn vsession_version_number()/,/^}/ s/^    guard/    { static mut CALLS: u32 = 0; \/\/ SAFETY: none: a planted race.\n unsafe { CALLS = CALLS.wrapping_add(1) } }\n    guard/' \
        "$built/copy/src/ffi/library.rs"
    grep -q "static mut CALLS" "$built/copy/src/ffi/library.rs"
    tsan_library "$built/copy"
    tsan_program tests/stress/planted_race.c "$built/planted" -DNOT_IN_C
    # Both libraries have the same name, so cargo would confuse them in one target directory.
    cargo clean --quiet -p vsession --target "$triple" --target-dir target/tsan
    must_fail "data race .*ffi/library.rs" "$built/planted"
    ;;
tsan)
    tsan_library "$root"
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
