#!/bin/sh
# The fuzzer. Builds it, with the library, for the AddressSanitizer and with coverage; stable Rust will do.
#
#     fuzz/run.sh SECONDS [TARGET...]   all targets, or these, in about so many seconds together; one line for each
#     fuzz/run.sh keep TARGET...        adds to the corpora what was found and covers more; give the files names that say what they are
#     fuzz/run.sh prove                 planted faults are found: a panic, an overread, a leak, growth, a hang; one in the library for each
#                                     target; and descriptors and threads that the library keeps
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

# plant FILE EXPRESSION: changes a file of the copy by sed; what changes nothing no longer fits the source.
plant() {
    cp "$copy/src/$1" "$copy/before"
    sed -i "$2" "$copy/src/$1"
    ! cmp -s "$copy/before" "$copy/src/$1" || {
        echo "this changes nothing in src/$1: $2"
        exit 1
    }
}

# A fault in the library for each target: the copy in `$copy` gets them all.
plant_all() {
    plant soap/xml/reader.rs 's/ends_with(b"]]")/ends_with(b"]]]]")/'               # reply: the reader takes "]]>"
    plant soap/fault.rs 's/_ => error.not_run()/_ => error.ran()/'                  # fault
    plant vim/versions.rs 's/len() <= 32/len() <= 40/'                             # versions
    plant vim/service_content.rs 's/is_none_or(|(_, id)| id.is_empty())/is_none()/' # service_content
    plant soap/xml/date_time.rs 's/(1..=9999).contains(&year)/(1..=99999).contains(\&year)/' # current_session
    plant soap/cookie.rs 's/(0x21..=0x7e)/(0x20..=0x7e)/'                           # set_cookie
    plant soap/arguments.rs '/^fn is_blank/,/^}/ s/text.bytes().all.*/text.trim().is_empty()/' # arguments
    plant runtime/redact.rs 's/shown.push_str(MASK);/shown.push_str(if at == 0 { MASK } else { \&text[at..at + length] });/' # redaction
    plant config/url.rs 's/is not a port (1 to 65535){CODES}/is not a port: {number}/' # url
    plant config/options.rs 's/(least..=most).contains/(least..=most + 1).contains/' # option
    plant config/env.rs 's/"environment variable {name}: {problem}"/"environment: {}{problem}", \&name[name.len()..]/' # environment
    plant config/proxy.rs 's/"this kind of proxy is not supported".into()/format!("{address} is not supported")/' # proxy
    plant config/known_hosts.rs 's/(1\.\.)\.zip/(0..).zip/'                            # known_hosts
    plant http/reply.rs 's/Some(Gunzip::new())/None/' # head
    plant net/pem.rs 's/is not PEM: {} (/is not PEM: {error:?} {} (/'               # pem
    plant net/trust_store.rs 's/= tls_error::outside_validity(parsed.validity, now_is, "it")/= None/' # certificate
    plant http/head.rs '/^pub(super) fn improper/,/^}/ s/VSESSION_E_PROTOCOL/VSESSION_E_CONFIG/' # http
    plant ffi/call.rs 's/size.min(size_of::<T>()),/size_of::<T>(),/'                # api
}

# What is left open, where the environment has LEAK in it; a thread for each worker that is started.
plant_leaks() {
    leak='std::env::var("LEAK").is_ok_and(|leak| leak == '
    plant ffi/queue.rs "s/queue.close();/queue.close(); if $leak\"descriptors\") { std::mem::forget(queue) }/"
    plant runtime/workers.rs "s/let builder = thread::Builder::new()/if $leak\"threads\") { thread::spawn(|| loop { thread::park() }); } \
        let builder = thread::Builder::new()/"
}

# planted PLANTER: the fuzzer of a copy of the sources with what PLANTER puts there.
planted() {
    copy=$built/copy
    rm -rf "$copy"
    mkdir -p "$copy/tests/rust"
    cp -r Cargo.toml Cargo.lock build.rs cbindgen.toml src fuzz "$copy"
    cp -r tests/rust/support "$copy/tests/rust"
    "$1"
    program=$built/planted
    build "$copy" "$program"
    # Both libraries have one name; cargo would take the planted one for the other.
    rm -rf "$built/$triple/release/.fingerprint"/vsession-*
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
    planted plant_leaks
    for LEAK in descriptors threads; do
        export LEAK
        finds api "$LEAK are left" fuzz/corpus/api
    done
    planted plant_all
    targets=$(VSESSION_FUZZ_TARGET=list "$program")
    for target in $targets; do
        finds "$target" "ERROR: \(libFuzzer\|AddressSanitizer\|LeakSanitizer\)" "fuzz/corpus/$target"
    done
    echo "$(echo "$targets" | wc -w) targets find what is planted in the library"
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
