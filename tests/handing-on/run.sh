#!/bin/sh
# The library logs in (examples-c/hand_on.c), and curl, govc and pyVmomi use its session without credentials, with the code in
# docs/handing-on.md.
# Needs target/release/libvsession.so and target/simulator/simulator.
#
#     tests/handing-on/run.sh [WORD...]     only tests whose name contains one of the words
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
here=tests/handing-on
built=target/handing-on
simulator=target/simulator/simulator
for needed in target/release/libvsession.so "$simulator"; do
    [ -e "$needed" ] || {
        echo "$needed is missing; run 'make all simulator-binary' first" >&2
        exit 1
    }
done
mkdir -p "$built"
ln -sf libvsession.so target/release/libvsession.so.0
unset GOVC_PERSIST_SESSION GOVMOMI_HOME GOVC_VI_JSON
words=$*
passed=0
failed=0

"${CC:-gcc}" -std=c11 -g -O1 -Wall -Wextra -Werror -pedantic -Iinclude examples-c/hand_on.c -o "$built/hand_on" \
    -Ltarget/release -lvsession "-Wl,-rpath,$root/target/release" || exit 1
(cd "$here/govc" && go vet ./... && go build -o "$root/$built/govc" .) || exit 1
PATH=$root/$built:$PATH

# pyVmomi is in an environment of its own, which is made once for each version.
python=$built/venv/bin/python
if ! cmp -s "$here/requirements.txt" "$built/venv/installed"; then
    rm -rf "$built/venv"
    python3 -m venv "$built/venv" || exit 1
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" &&
        cp "$here/requirements.txt" "$built/venv/installed"
fi

# block HEADING NUMBER: writes a block of code of the page into a file, and prints the file's name.
block() {
    awk -v heading="### $1" -v wanted="$2" '
        /^```/ { code = !code; count += code && below; next }
        !code && /^#/ { below = $0 == heading }
        code && below && count == wanted
    ' docs/handing-on.md >"$built/$1-$2"
    echo "$built/$1-$2"
}

# No test may leave a session on the server.
export SIMULATOR_NO_SESSIONS_LEFT=1

# check NAME PROFILE STATUS TEXT COMMAND...: the command with the session of a program, which must end with the status, having logged in
# once and nobody else. What they print contains the text.
check() {
    name="$1, like $2" profile=$2 status=$3 text=$4
    shift 4
    [ -z "$words" ] || {
        selected=
        for word in $words; do
            case $name in *"$word"*) selected=1 ;; esac
        done
        [ -n "$selected" ] || return 0
    }
    rm -rf "$built/home"
    # shellcheck disable=SC2016
    wanted=$status timeout -k 10 300 "$simulator" -like "$profile" -- sh -c '
        export HOME="$1" GOVC_URL="$VSESSION_TEST_URL" GOVC_TLS_CA_CERTS="$VSESSION_TEST_CA"
        shift
        env -u VSESSION_TEST_URL -u VSESSION_TEST_USER -u VSESSION_TEST_PASSWORD "$@"
        status=$?
        [ $status -eq "$wanted" ] || { echo "it ended with $status and not with $wanted"; exit 1; }
        curl -s "$VSESSION_TEST_CONTROL/stats" | grep -o "\"logins\":[0-9]*" | grep -x "\"logins\":1"
    ' sh "$root/$built/home" "$built/hand_on" "$@" >"$built/output" 2>&1 </dev/null
    if [ $? -eq 0 ] && grep -q "$text" "$built/output"; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/      /' "$built/output"
    fi
}

for profile in plain 9.0.1; do
    check curl $profile 0 "<returnval>" sh -e "$(block curl 1)"
    check govc $profile 0 "^/DC0$" sh -e "$(block govc 1)"
    check pyVmomi $profile 0 "^user$" "$python" "$(block pyVmomi 1)"
    check "a stub of pyVmomi" $profile 0 "^user$" "$python" "$(block pyVmomi 2)"
done
check "curl, VI JSON" plain 0 '"userName":"user"' sh -e "$(block curl 3)"
check "curl, VI JSON" 9.0.1 0 '"userName":"user"' sh -e "$(block curl 3)"
check "curl, REST" 9.0.1 0 DC0_C0_RP0_VM0 sh -e "$(block curl 2)"
check "govc, REST" 9.0.1 0 DC0_C0_RP0_VM0 sh -e "$(block govc 2)"
# The page warns of these.
check "a command that logs out ends the session for the program too" plain 1 "ended while" \
    sh -c 'govc session.login -cookie "$VSESSION_COOKIE_VALUE" && govc session.logout'
check "govc logs out if it must not keep the session" plain 1 "ended while" \
    env GOVC_PERSIST_SESSION=false sh -c 'govc session.login -cookie "$VSESSION_COOKIE_VALUE"'
check "the status of a command" plain 7 "" sh -c 'exit 7'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
