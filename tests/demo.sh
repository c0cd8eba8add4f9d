#!/bin/sh
# The demo: tests/demo.sh [URL]. Called by `make demo`, which builds the library and the simulator.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

say() {
    echo "$*" >&2
    exit 1
}
command -v "${CC:-gcc}" >/dev/null || say "demo: no C compiler; install gcc"
[ -e target/release/libvsession.so.0 ] || say "demo: no target/release/libvsession.so; run 'make demo'"

mkdir -p target/demo
"${CC:-gcc}" -std=c11 -O2 -Wall -Wextra -Werror -pedantic -Iinclude examples-c/shared_session.c -o target/demo/shared_session \
    -Ltarget/release -lvsession -Wl,-rpath,"$root/target/release" -pthread

if [ -z "${1:-}" ]; then
    [ -x target/simulator/simulator ] || say "demo: no simulator; run 'make demo'"
    # Only the command inside knows the URL.
    # shellcheck disable=SC2016
    exec target/simulator/simulator -- \
        sh -c 'exec target/demo/shared_session "$VSESSION_TEST_URL" "$VSESSION_TEST_CA"'
fi
# The password goes through the environment, where other users of the machine cannot read it, and GOVC_INSECURE and
# GOVC_TLS_CA_CERTS apply. Credentials in the URL take precedence over those that are set for another server.
case $1 in *@*) unset GOVC_USERNAME GOVC_PASSWORD ;; esac
unset VSESSION_TEST_CONTROL
GOVC_URL=$1 exec target/demo/shared_session
