#!/bin/sh
# Checks what the library takes from outside: licences, sources, duplicates and known vulnerabilities, with cargo-deny and
# deny.toml.
#
#     tests/supply.sh            all checks; advisories only if their database is present or can be fetched
#     tests/supply.sh quick      only what cargo itself can check: Cargo.lock, sources, duplicates
#     tests/supply.sh prove      shows that a forbidden licence, registry and second version are found, and a wrong bill of materials
#     tests/supply.sh sbom       writes the bill of materials, target/release/libvsession.cdx.json
#
# The tools are built once, under target/tools.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
PATH=$root/target/tools/bin:$PATH

# tool CRATE VERSION
tool() {
    cargo install --quiet --locked --root target/tools "$1@$2"
}

# refuses WORD KEY LINE: replaces the line of the key in deny.toml; cargo-deny must fail and print WORD. No crate is fetched
# for this: the line forbids what is already there.
refuses() {
    word=$1 key=$2 line=$3
    sed "s|^$key = .*|$line|" deny.toml >target/planted-deny.toml
    ! cmp -s deny.toml target/planted-deny.toml
    if cargo deny --locked --config target/planted-deny.toml check licenses bans sources >target/planted-deny.log 2>&1 ||
        ! grep -qF "$word" target/planted-deny.log; then
        cat target/planted-deny.log
        echo "planted and not found: $line"
        return 1
    fi
    echo "found: $word"
}

case ${1:-} in
quick)
    cargo metadata --locked --format-version 1 >/dev/null # fails if Cargo.lock is out of date
    strangers=$(grep '^source = ' Cargo.lock | grep -vxF 'source = "registry+https://github.com/rust-lang/crates.io-index"' || true)
    # A line without a branch symbol at its start names a crate that has two versions.
    duplicates=$(cargo tree --locked --duplicates --edges normal,no-proc-macro --depth 0)
    [ -z "$strangers$duplicates" ] || {
        printf 'not from crates.io:\n%s\nmore than one version:\n%s\n' "$strangers" "$duplicates"
        exit 1
    }
    ;;
prove)
    tool cargo-deny 0.20.2
    refuses 'error[rejected]' allow 'allow = ["MIT"]'
    refuses 'error[duplicate]' skip-tree 'skip-tree = []'
    refuses 'error[source-not-allowed]' allow-registry 'allow-registry = ["https://example.com/index"]'
    tool cargo-cyclonedx 0.5.9
    packaging/sbom.py prove
    ;;
sbom)
    tool cargo-cyclonedx 0.5.9
    packaging/sbom.py
    ;;
"")
    tool cargo-deny 0.20.2
    cargo deny --locked check licenses bans sources
    if cargo deny --locked fetch db >target/advisories.log 2>&1; then
        cargo deny --locked check advisories
    elif ls -d "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/advisory-db-*/ >/dev/null 2>&1; then
        echo "advisories: checked against the database as last fetched"
        cargo deny --locked check --disable-fetch advisories
    else
        echo "advisories not checked: their database (github.com/RustSec/advisory-db) cannot be fetched here"
    fi
    ;;
*)
    sed -n '2,10p' "$0"
    exit 2
    ;;
esac
