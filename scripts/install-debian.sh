#!/bin/sh
# Installs what the tests need from Debian: Postgres 15 with pg_cron, pgTAP and plpgsql_check, and pg_prove.
set -eu
packages="postgresql-15 postgresql-15-cron postgresql-15-pgtap postgresql-15-plpgsql-check libtap-parser-sourcehandler-pgtap-perl"

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need these Debian packages, and this machine has no apt-get:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "The tests need these Debian packages; install them as root: apt-get install$missing" >&2
  exit 1
fi
echo "installing from Debian:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >&2
