#!/bin/sh
# Installs requirement files exactly as they are pinned:
#
#   sh deploy/install-locked.sh PIP FILE...        # PIP: a pip, with options where it needs some
#
# A lock file is complete, so pip must not resolve anything (`--no-deps`): it would look extras up
# anew, and refuse the lock on the day when an index has a newer release of one (seen with pip 23.2:
# `coverage[toml]`, asked for by pytest-cov). `pip check` then names what is missing, except what
# only an extra wants: pip does not record which extras were asked for.
set -eu
pip=$1
shift
for file; do
  set -- "$@" --requirement "$file"
  shift
done
# PIP is split into words on purpose.
# shellcheck disable=SC2086
$pip install --quiet --quiet --no-deps --require-hashes "$@"
# shellcheck disable=SC2086
missing=$($pip check 2>&1) || { echo "$missing" >&2; exit 1; }
