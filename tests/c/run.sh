#!/bin/sh
# Compiles the C tests and the examples as C and as C++, and runs each against its own simulator. Prints one line for each
# test, the output of those that fail, and a last line with the totals.
#
#     tests/c/run.sh [WORD...]     only tests whose name contains one of the words
#     tests/c/run.sh memcheck      only the C tests, each under valgrind
#     tests/c/run.sh asan          only the C tests; they and the library under the AddressSanitizer, which also finds leaks
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
make -s all simulator-binary || exit 1

built=$root/target/c-tests
mkdir -p "$built"
simulator=$root/target/simulator/simulator
# No test may leave a session on the server.
export SIMULATOR_NO_SESSIONS_LEFT=1
warnings="-Wall -Wextra -Werror -pedantic"
linked="-Ltarget/release -lvsession -Wl,-rpath,$root/target/release -pthread"
passed=0
failed=0
words=$*

# Whether a test is selected.
wanted() {
    [ -z "$words" ] && return 0
    for word in $words; do
        case $1 in *"$word"*) return 0 ;; esac
    done
    return 1
}

# check NAME COMMAND...: runs one test; one that hangs is ended after some minutes.
check() {
    title=$1
    shift
    wanted "$title" || return 0
    if timeout -k 10 "${VSESSION_TEST_LONGEST:-300}" "$@" >"$built/output" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $title"
    else
        status=$?
        failed=$((failed + 1))
        echo "FAIL  $title (status $status)"
        sed 's/^/      /' "$built/output"
    fi
}

checked_by_valgrind="boundary session shared"
if [ "${1:-}" = memcheck ]; then
    words=valgrind-
    checked_by_valgrind="boundary session shared events cancel fork callback exit shutdown signals log clock" # small_stacks reads below its stack
fi
if [ "${1:-}" = asan ]; then
    built=$root/target/asan/c-tests
    mkdir -p "$built"
    words=-asan
    languages=asan
    triple=$(rustc -vV | sed -n 's/^host: //p')
    runtime=$(rustc --print sysroot)/lib/rustlib/$triple/lib/librustc-stable_rt.asan.a
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" cargo build --quiet --target "$triple" --target-dir target/asan || exit 1
fi
as_asan() { # Rust's sanitizer runtime differs from gcc's
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c11 -g -O1 $warnings -fsanitize=address -Iinclude -c "$1" -o "$2.o" &&
        ${CC:-gcc} "$2.o" "target/asan/$triple/debug/libvsession.a" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
            -lstdc++ -lrt -pthread -ldl -lm -lgcc_s -lutil -o "$2"
}
as_c() { # as_c SOURCE PROGRAM: pedantic C11
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c11 -g -O1 $warnings -Iinclude "$1" -o "$2" $linked
}
as_cpp() {
    # shellcheck disable=SC2086
    ${CXX:-g++} -std=c++17 -g -O1 $warnings -Iinclude -x c++ "$1" -o "$2" $linked
}
# both NAME SOURCE [FLAGS OF THE SIMULATOR] -- COMMAND...: compiles twice, runs each as COMMAND with `$program` set.
both() {
    name=$1 # not the variables of check, which are global too
    source=$2
    shift 2
    for language in ${languages:-c cpp}; do
        program=$built/$name-$language
        wanted "$name-$language" || continue
        rm -f "$program"
        if ! "as_$language" "$source" "$program" >"$built/compiled" 2>&1; then
            check "$name-$language" sh -c "cat '$built/compiled'; exit 1"
            continue
        fi
        # A forked child does not free what it inherited, and a process that ends in the middle of a call does not free what
        # the call uses. Both look like leaks.
        leaks=1
        case $name in fork | exit | no_threads) leaks=0 ;; esac
        check "$name-$language" env program="$program" ASAN_OPTIONS=detect_leaks=$leaks "$simulator" "$@"
    done
}

# The header alone, in every language that includes it.
for standard in c99 c11 c17 c2x; do
    # shellcheck disable=SC2086
    check "header-$standard" "${CC:-gcc}" -std=$standard $warnings -fsyntax-only -x c include/vsession.h
done
for standard in c++11 c++17 c++20; do
    # shellcheck disable=SC2086
    check "header-$standard" "${CXX:-g++}" -std=$standard $warnings -fsyntax-only -x c++ include/vsession.h
done

# Compares the library's exports, the header, the coverage of the tests and README's program.
for subject in functions exports header soname readme prove; do
    check "abi-$subject" python3 tests/abi/check.py "$subject"
done
check abi-layouts tests/abi/layouts.py check
check abi-layouts-prove tests/abi/layouts.py prove

# A login that is never logged out: the command succeeds and the test must fail.
# shellcheck disable=SC2016
check a-session-left-is-found sh -c '! "$@"' sh "$simulator" -tls=false -- \
    sh -c 'curl -sf -X POST "${VSESSION_TEST_URL%/sdk}/rest/com/vmware/cis/session"'

for test in boundary session shared events cancel fork callback exit shutdown signals no_threads; do
    # shellcheck disable=SC2016
    both "$test" "tests/c/$test.c" -- sh -c 'exec "$program"'
done
# shellcheck disable=SC2016
both small_stacks tests/c/small_stacks.c -- sh -c 'exec "$program"'
# shellcheck disable=SC2016
check small_stacks-finds-an-overflow sh -c '! "$@"' sh "$simulator" -- "$built/small_stacks-c" 24
# The program loads the library itself, and two copies at a time.
if wanted loading; then
    rm -f "$built/loading"
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=gnu11 -g -O1 $warnings -Iinclude tests/c/loading.c -o "$built/loading" -ldl -pthread
    cp target/release/libvsession.so "$built/another.so"
    check loading "$simulator" -- "$built/loading" "$root/target/release/libvsession.so" "$built/another.so"
    # What would happen without the linker flag that keeps the library loaded.
    tests/abi/unloadable.py target/release/libvsession.so "$built/unloadable.so"
    check loading-finds-what-can-be-unloaded sh -c '! "$@"' sh \
        "$simulator" -- "$built/loading" "$built/unloadable.so" "$built/another.so"
fi
# shellcheck disable=SC2016
both session-esx tests/c/session.c -mode esx -- sh -c 'VSESSION_TEST_MODE=esx exec "$program"'
# shellcheck disable=SC2016
both log tests/c/log.c -password 's3cr3t-Pa55' -- sh -c 'exec "$program"'

# The test searches all memory of the process, which the AddressSanitizer makes enormous.
if [ "${languages:-}" != asan ]; then
    secret=hush-of-the-password-0123456789
    # shellcheck disable=SC2016
    both wiped tests/c/wiped.c -password $secret -- sh -c 'exec "$program"'
    # shellcheck disable=SC2016
    both wiped-plain-http tests/c/wiped.c -tls=false -password $secret -- sh -c 'exec "$program"'
    check wiped-finds-a-copy sh -c '! "$@"' sh "$simulator" -tls=false -password $secret -- "$built/wiped-c" --keep
fi

# Without TLS, because a jump of the clock invalidates certificates.
# shellcheck disable=SC2016
both clock tests/c/clock.c -tls=false -- sh -c 'exec "$program"'
check python-asyncio "$simulator" -- python3 tests/python/events.py target/release/libvsession.so
check python-interrupted "$simulator" -tls=false -- python3 tests/python/interrupted.py target/release/libvsession.so

# The examples, with a URL and with govc's variables.
for example in minimal events cancel shared_session; do
    # shellcheck disable=SC2016
    both "example-$example" "examples-c/$example.c" -- sh -c 'exec "$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA"'
done
# The simulator's counter shows that no session is left.
# shellcheck disable=SC2016
both example-many_sessions examples-c/many_sessions.c -- sh -c \
    '"$program" 1000 "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" && curl -s "$VSESSION_TEST_CONTROL/stats" | grep -q "\"sessions\": *0,"'
# shellcheck disable=SC2016
both example-minimal-environment examples-c/minimal.c -- \
    sh -c 'GOVC_URL=$VSESSION_TEST_URL GOVC_TLS_CA_CERTS=$VSESSION_TEST_CA exec "$program"'
# shellcheck disable=SC2016
both example-http examples-c/http.c -- sh -c \
    '"$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" | grep -q "^\"20.*Z\"" && ! "$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" /none'
# shellcheck disable=SC2016
both example-power_states examples-c/power_states.c -- sh -c \
    '"$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" | grep -q "^poweredOn	DC0_C0_RP0_VM0$"'
# shellcheck disable=SC2016
both example-storage_policy examples-c/storage_policy.c -- sh -c \
    '"$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" | grep -q "Default Storage Policy"'
# shellcheck disable=SC2016
both example-property examples-c/property.c -- sh -c \
    '"$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" | grep -q "serverClock.*Z$" && ! "$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" Folder none name'
# The simulator's first machine, which is on. It is off afterwards, so that it cannot be powered off once more.
# shellcheck disable=SC2016
both example-task examples-c/task.c -- sh -c \
    'for id in $(seq 40 80); do "$program" "$VSESSION_TEST_URL" "$VSESSION_TEST_CA" "vm-$id" PowerOffVM_Task 2>/dev/null | grep -q done && exec sh -c "! \"$program\" \"$VSESSION_TEST_URL\" \"$VSESSION_TEST_CA\" vm-$id PowerOffVM_Task"; done; exit 1'
# With other programs: tests/handing-on/run.sh
# shellcheck disable=SC2016
both example-hand_on examples-c/hand_on.c -- sh -c \
    'GOVC_URL=$VSESSION_TEST_URL GOVC_TLS_CA_CERTS=$VSESSION_TEST_CA exec "$program" sh -c "test \$VSESSION_EPOCH = 1"'
check demo tests/c/demo_test.sh

# The static library, with the libraries that `rustc --print native-static-libs` names.
if wanted static; then
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c11 $warnings -Iinclude tests/c/session.c target/release/libvsession.a -o "$built/static" \
        -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc 2>"$built/compiled" || { cat "$built/compiled"; rm -f "$built/static"; }
    check static "$simulator" -- "$built/static"
    check static-needs-no-shared sh -c "test -x '$built/static' && ! readelf -d '$built/static' | grep vsession"
fi

# Checks for leaks and invalid accesses. "Possibly lost" is ignored: arc-swap and hashbrown keep pointers into the middle of
# allocations that live as long as the process. The threads are few, because valgrind runs one at a time.
memcheck="valgrind --quiet --errors-for-leak-kinds=definite,indirect --error-exitcode=9 --num-callers=60"
for test in $checked_by_valgrind; do
    wanted "valgrind-$test" || wanted "valgrind-$test-plain-http" || continue
    rm -f "$built/$test-memcheck"
    as_c "tests/c/$test.c" "$built/$test-memcheck"
    password=pass
    leaks=full
    case $test in
    log) password=s3cr3t-Pa55 ;;
    fork | exit) leaks=no ;; # as above
    esac
    # Without TLS, because a jump of the clock invalidates certificates.
    # shellcheck disable=SC2086
    [ "$test" = clock ] || check "valgrind-$test" "$simulator" -password $password -- \
        env VSESSION_TEST_THREADS=8 $memcheck --leak-check=$leaks --suppressions=tests/c/valgrind-tls.supp "$built/$test-memcheck"
    # shellcheck disable=SC2086
    check "valgrind-$test-plain-http" "$simulator" -tls=false -password $password -- \
        env VSESSION_TEST_THREADS=8 $memcheck --leak-check=$leaks "$built/$test-memcheck"
done
if wanted valgrind-finds-a-leak; then
    as_c tests/c/planted_leak.c "$built/planted_leak"
    # shellcheck disable=SC2086
    check valgrind-finds-a-leak sh -c '"$@"; [ $? -eq 9 ]' sh $memcheck --leak-check=full "$built/planted_leak"
fi
if [ "${languages:-}" = asan ]; then
    as_asan tests/c/planted_leak.c "$built/planted_leak-asan"
    check finds-a-leak-asan sh -c '"$1" 2>&1 | grep "LeakSanitizer: detected"' sh "$built/planted_leak-asan"
fi

# Nothing grows over many cycles, and the test notices what does.
if wanted cycles; then
    as_c tests/c/cycles.c "$built/cycles"
    check cycles "$simulator" -endpoints vim -tls=false -- "$built/cycles" "${VSESSION_TEST_CYCLES:-1500}"
    check cycles-finds-a-leak sh -c '! "$@"' sh "$simulator" -endpoints vim -tls=false -- "$built/cycles" 1000 leak
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
