#!/bin/sh
# Installs with apt what the tests need beyond Rust, Go, gcc, make and Python, or names what to install by hand. Prints
# nothing when nothing is missing. `make test` calls it.
set -eu

missing=
packages=
# tool COMMAND PACKAGE
tool() {
    command -v "$1" >/dev/null 2>&1 && return 0
    missing="$missing $1"
    packages="$packages $2"
}
tool gcc gcc
tool g++ g++
tool make make
tool python3 python3
tool valgrind valgrind
tool nm binutils
tool readelf binutils
tool abidiff abigail-tools
tool strace strace
tool curl curl
tool unshare util-linux
tool ip iproute2
tool openssl openssl
tool tinyproxy tinyproxy
tool microsocks microsocks

# Debian has the modules that make environments in a package of its own.
python3 -c 'import ensurepip, venv' 2>/dev/null || {
    missing="$missing python3-venv"
    packages="$packages python3-venv"
}

# valgrind replaces functions of the dynamic linker and needs the linker's symbols to find them.
if [ -e /etc/debian_version ] && command -v dpkg-query >/dev/null 2>&1; then
    case $(dpkg-query -W -f '${Status}' libc6-dbg 2>/dev/null || true) in
    *" installed") ;;
    *)
        missing="$missing libc6-dbg"
        packages="$packages libc6-dbg"
        ;;
    esac
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing for the tests:$packages"
        log=$(mktemp)
        # shellcheck disable=SC2086
        if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            echo "the packages could not be installed; install them by hand:$packages" >&2
            exit 1
        fi
        rm -f "$log"
    else
        echo "the tests need:$missing; as root: apt-get install$packages" >&2
        exit 1
    fi
fi

# apt's versions of these are too old.
for given in cargo go; do
    command -v "$given" >/dev/null 2>&1 || {
        echo "the tests need $given; README.md says which version" >&2
        exit 1
    }
done
python3 -c 'import tomllib' 2>/dev/null || {
    echo "the tests need Python 3.11 or newer" >&2
    exit 1
}
# The ThreadSanitizer needs an instrumented build of the standard library.
if [ ! -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]; then
    command -v rustup >/dev/null 2>&1 && rustup --quiet component add rust-src >&2 || {
        echo "the tests need the sources of Rust's standard library: rustup component add rust-src" >&2
        exit 1
    }
fi
for component in rustfmt clippy; do
    cargo "$([ $component = rustfmt ] && echo fmt || echo clippy)" --version >/dev/null 2>&1 || {
        echo "the tests need $component: rustup component add $component" >&2
        exit 1
    }
done
