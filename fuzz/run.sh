#!/bin/sh
# The fuzzer. Builds it, with the library, for the AddressSanitizer and with coverage; stable Rust will do.
#
#     fuzz/run.sh SECONDS [TARGET...]   all targets, or these, in about so many seconds together; one line for each
#     fuzz/run.sh keep TARGET...        adds to the corpora what was found and covers more; give the files names that say what they are
#     fuzz/run.sh prove                 planted faults are found: a panic, an overread, a leak, growth, a hang, and one in the library for each target
#
# What is found lies in target/fuzz/findings, and what covers new ground in target/fuzz/found, from where the next run goes on.
# `VSESSION_FUZZ_TARGET=NAME target/fuzz/bin FILE` runs one input again; with VSESSION_FUZZ_TRACE=1 the target `api` says what it calls.
set -eu
cd "$(dirname "$0")/.."
built=$PWD/target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
program=$built/bin
# Memory that a target holds: one allocation, and all together. The sanitizer's own stays below 150 MB.
limits="-timeout=20 -rss_limit_mb=700 -malloc_limit_mb=200"
export ASAN_OPTIONS="quarantine_size_mb=16:allocator_may_return_null=1:detect_leaks=1"

# build FOLDER PROGRAM: the fuzzer of the sources in FOLDER.
build() {
    mkdir -p "$built"
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --quiet --release --locked --manifest-path "$1/fuzz/Cargo.toml" --target "$triple" --target-dir "$built"
    # Beside it first: it may be running.
    cp "$built/$triple/release/fuzz" "$2.new"
    mv "$2.new" "$2"
}

# run PROGRAM TARGET SECONDS FOLDER...: status 0 when nothing was found; the output goes to the target's log.
run() {
    program=$1 target=$2 seconds=$3
    shift 3
    mkdir -p "$built/findings" "$built/logs"
    log=$built/logs/$target
    # shellcheck disable=SC2086
    VSESSION_FUZZ_TARGET=$target timeout -k 5 "$((seconds + 120))" "$program" $limits -max_total_time="$seconds" -max_len=4096 \
        -dict=fuzz/words.dict -artifact_prefix="$built/findings/$target-" -print_final_stats=1 "$@" >"$log" 2>&1
}

# stat NAME TARGET: a number from the end of the target's log.
stat() {
    grep -a "$1" "$built/logs/$2" | tail -n 1 | sed "s/.*$1 *//; s/ .*//"
}

# one TARGET SECONDS: a run, and its line.
one() {
    mkdir -p "$built/found/$1"
    if run "$program" "$1" "$2" "$built/found/$1" "fuzz/corpus/$1"; then
        echo "ok    $1: $(stat stat::number_of_executed_units: "$1") runs, coverage $(stat cov: "$1"), at most $(stat stat::peak_rss_mb: "$1") MB"
    else
        echo "FAIL  $1:"
        grep -a -v '^ *#\|^ *at \|^ *[0-9]*: \|^INFO\|^stat::' "$built/logs/$1" | tail -n 25 | sed 's/^/      /'
        return 1
    fi
}

# finds TARGET TEXT: the fuzzer finds what is planted there, from nothing, and says TEXT.
finds() {
    if run "$program" "$1" 120 -timeout=3 || ! grep -a -q "$2" "$built/logs/$1"; then
        grep -a -v '^ *#' "$built/logs/$1" | tail -n 25
        echo "planted and not found: $1"
        exit 1
    fi
    echo "found: $1"
    rm -f "$built/findings/$1"-*
}

case ${1:-} in
one)
    one "$2" "$3"
    ;;
keep)
    shift
    build . "$program"
    for target; do
        VSESSION_FUZZ_TARGET=$target "$program" -merge=1 "fuzz/corpus/$target" "$built/found/$target"
    done
    ;;
prove)
    build . "$program"
    finds planted_panic "panicked at .*planted.rs"
    finds planted_overread "heap-buffer-overflow"
    finds planted_leak "LeakSanitizer: detected memory leaks"
    finds planted_growth "libFuzzer: out-of-memory"
    finds planted_hang "libFuzzer: timeout after"
    ;;
[0-9]*)
    seconds=$1
    shift
    build . "$program"
    targets=${*:-$(VSESSION_FUZZ_TARGET=list "$program")}
    number=$(echo "$targets" | wc -w)
    jobs=$(nproc)
    share=$((seconds * jobs / number))
    [ "$share" -ge 1 ] || share=1
    echo "$number targets, $share seconds each, $jobs at a time"
    status=0
    echo "$targets" | tr ' ' '\n' | xargs -P "$jobs" -I '{}' "$0" one '{}' "$share" || status=1
    [ "$status" -eq 0 ] && echo "$number targets ran, nothing was found"
    exit "$status"
    ;;
*)
    sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p }' "$0"
    exit 2
    ;;
esac
