#!/bin/sh
# Builds the fuzzer, with the library, for the AddressSanitizer and with coverage, and runs it. Stable Rust suffices.
#
#     fuzz/run.sh SECONDS [TARGET...]   runs all targets, or these, in about this many seconds in total; one line for each
#     fuzz/run.sh keep TARGET...        adds findings that increase coverage to the corpora; rename the files for what they hold
#     fuzz/run.sh prove                 shows that planted faults are found: a panic, an overread, a leak, growth, a hang; and those of
#                                     tests/plants.toml in the library, at least one for each target
#
# Findings go to target/fuzz/findings. Inputs that add coverage go to target/fuzz/found, where the next run starts.
# `VSESSION_FUZZ_TARGET=NAME target/fuzz/bin FILE` repeats one input; with VSESSION_FUZZ_TRACE=1 the target `api` prints its calls.
set -eu
cd "$(dirname "$0")/.."
built=$PWD/target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
program=$built/bin
# Limits on the memory of a target: one allocation, and the total. The sanitizer's own stays below 150 MB.
limits="-timeout=20 -rss_limit_mb=700 -malloc_limit_mb=200"
export ASAN_OPTIONS="quarantine_size_mb=16:allocator_may_return_null=1:detect_leaks=1"

# build: builds the fuzzer.
build() {
    mkdir -p "$built"
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$built"
    # Written beside it first, because the fuzzer may be running.
    cp "$built/$triple/release/fuzz" "$program.new"
    mv "$program.new" "$program"
}

# run PROGRAM TARGET SECONDS FOLDER...: runs a target; status 0 if nothing was found. The output goes to the target's log.
run() {
    program=$1 target=$2 seconds=$3
    shift 3
    mkdir -p "$built/findings" "$built/logs"
    log=$built/logs/$target
    # Where a server's threads run beside the target, a leak check after each input takes most of the time. There it runs
    # once, at the end.
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

# stat NAME TARGET: prints a number from the end of the target's log.
stat() {
    grep -a "$1" "$built/logs/$2" | tail -n 1 | sed "s/.*$1 *//; s/ .*//"
}

# one TARGET SECONDS: runs a target and prints its line.
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

# finds TARGET TEXT [FOLDER...]: the fuzzer must find what is planted there, from these seeds or from none, and print TEXT.
finds() {
    target=$1 text=$2
    shift 2
    # The fuzzer writes its new inputs to the first directory.
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

# plants: prints a line for each plant: its name, the target that finds it and the text of the finding, from
# tests/plants.toml.
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
