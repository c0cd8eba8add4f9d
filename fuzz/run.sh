#!/bin/sh
# The fuzzer. Builds it, with the library, for the AddressSanitizer and with coverage; stable Rust will do.
#
#     fuzz/run.sh SECONDS [TARGET...]   all targets, or these, in about so many seconds together; one line for each
#     fuzz/run.sh keep TARGET...        adds to the corpora what was found and covers more; give the files names that say what they are
#     fuzz/run.sh prove                 planted faults are found: a panic, an overread, a leak, growth, a hang; and those of
#                                     tests/plants.toml in the library, at least one for each target
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

# build: the fuzzer.
build() {
    mkdir -p "$built"
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$built"
    # Beside it first: it may be running.
    cp "$built/$triple/release/fuzz" "$program.new"
    mv "$program.new" "$program"
}

# run PROGRAM TARGET SECONDS FOLDER...: status 0 when nothing was found; the output goes to the target's log.
run() {
    program=$1 target=$2 seconds=$3
    shift 3
    mkdir -p "$built/findings" "$built/logs"
    log=$built/logs/$target
    # Where a server's threads work beside the target, a look for leaks after each input takes most of the time. There it
    # is done once, at the end.
    case $target in
    api | http) leaks=0 ;;
    *) leaks=1 ;;
    esac
    # shellcheck disable=SC2086
    VSESSION_FUZZ_TARGET=$target timeout -k 5 "$((seconds + 600))" "$program" $limits -max_total_time="$seconds" -max_len=4096 \
        -dict=fuzz/words.dict -detect_leaks=$leaks -artifact_prefix="$built/findings/$target-" -print_final_stats=1 "$@" >"$log" 2>&1 && return 0
    echo "status $?; 124: it did not end" >>"$log"
    return 1
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

# finds TARGET TEXT [FOLDER...]: the fuzzer finds what is planted there, from these seeds or from nothing, and says TEXT.
finds() {
    target=$1 text=$2
    shift 2
    # The first folder is where the fuzzer puts what it makes.
    rm -rf "$built/scratch"
    mkdir "$built/scratch"
    if run "$program" "$target" 300 -timeout=3 "$built/scratch" "$@" || ! grep -a -q "$text" "$built/logs/$target"; then
        grep -a -v '^ *#' "$built/logs/$target" | tail -n 25
        echo "planted and not found: $target"
        exit 1
    fi
    echo "found: $target: $text"
    rm -f "$built/findings/$target"-*
}

# plants: lines of a name, the target that finds it and what it says, from tests/plants.toml.
plants() {
    python3 -c 'import tomllib
for name, plant in tomllib.load(open("tests/plants.toml", "rb"))["fuzzing"].items():
    print(name, plant["target"], plant["says"])'
}

case ${1:-} in
one)
    one "$2" "$3"
    ;;
keep)
    shift
    build
    for target; do
        VSESSION_FUZZ_TARGET=$target "$program" -merge=1 "fuzz/corpus/$target" "$built/found/$target"
    done
    ;;
prove)
    build
    finds planted_panic "panicked at .*planted.rs"
    finds planted_overread "heap-buffer-overflow"
    finds planted_leak "LeakSanitizer: detected memory leaks"
    finds planted_growth "libFuzzer: out-of-memory"
    finds planted_hang "libFuzzer: timeout after"
    plants >"$built/plants"
    while read -r name target text; do
        VSESSION_PLANT=$name
        export VSESSION_PLANT
        finds "$target" "$text" "fuzz/corpus/$target"
    done <"$built/plants"
    for target in $(VSESSION_FUZZ_TARGET=list "$program"); do
        grep -q " $target " "$built/plants" || {
            echo "no fault is planted for $target"
            exit 1
        }
    done
    echo "$(wc -l <"$built/plants") faults planted in the library are found"
    ;;
[0-9]*)
    seconds=$1
    shift
    build
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
