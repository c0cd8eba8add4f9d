#!/bin/sh
# Installs what the benchmarks need beyond the tests; does nothing if it is installed.
set -eu

missing=
for package in libcurl4-openssl-dev libxml2-dev libssl-dev python3-venv strace zlib1g-dev; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
$as_root apt-get install -y -qq --no-install-recommends $missing
