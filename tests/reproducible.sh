#!/bin/sh
# Every directory produces the same library. Builds the sources again in another directory, with another cargo home, locale
# and time zone and one job at a time, and compares the shared libraries byte for byte. The check must also notice a planted
# fault, a build that keeps the machine's paths. Takes some minutes; needs no network where `make all` ran before.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
make -s all
here=target/release/libvsession.so

away=$(mktemp -d "${TMPDIR:-/tmp}/vsession-reproducible-XXXXXX")
trap 'rm -rf "$away"' EXIT
home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$away/another home/registry" "$away/a folder/with a name that is longer"
# Downloads are shared and unpacked again.
for downloaded in registry/index registry/cache config.toml; do
    [ ! -e "$home/$downloaded" ] || ln -s "$home/$downloaded" "$away/another home/$downloaded"
done
copy="$away/a folder/with a name that is longer/vsession"
mkdir "$copy"
tar -cf - --exclude=./target --exclude=./fuzz/target --exclude=./.git . | tar -xf - -C "$copy"

build() { # build FOLDER [VARIABLE=VALUE]
    env -u MAKEFLAGS -u MFLAGS CARGO_HOME="$away/another home" CARGO_BUILD_JOBS=1 LC_ALL=C TZ=Asia/Kathmandu make -s -C "$@" all
}

fail() {
    echo "$*"
    exit 1
}

# Strings of the library that contain a directory of this machine.
paths_in() {
    strings -n 4 "$1" | grep -F -e "$root/" -e "$home" -e "$away" -e "$(rustc --print sysroot)" | sort | uniq -c | sort -rn | head -n 10
}

build "$copy"
sha256sum "$here" "$copy/$here"
for library in "$here" "$copy/$here"; do
    [ -z "$(paths_in "$library")" ] || fail "paths of this machine in $library: $(paths_in "$library")"
done
cmp "$here" "$copy/$here" || fail "the library depends on the directory in which it is built"
reproduced=$(sha256sum <"$here")

# The planted fault: a build that does not replace the machine's paths.
build "$copy" WITHOUT_PATHS=
! cmp -s "$here" "$copy/$here" || fail "a library that depends on its directory was not noticed"
[ -n "$(paths_in "$copy/$here")" ] || fail "the machine's paths in the library were not noticed"
echo "found: a library that contains the machine's paths"
echo "the same library from both directories: ${reproduced%% *}"
