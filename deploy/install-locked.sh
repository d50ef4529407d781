#!/bin/sh
# Installs requirement files exactly as they are pinned:
#
#   sh deploy/install-locked.sh PIP FILE...        # PIP: a pip, with options where it needs some
#
# A lock file is complete, so pip must not resolve anything (`--no-deps`): it would look extras up
# anew, and refuse the lock on the day when an index has a newer release of one (seen with pip 23.2:
# `coverage[toml]`, asked for by pytest-cov). `pip check` says afterwards whether the lock was complete.
set -eu
pip=$1
shift
for file; do
  set -- "$@" --requirement "$file"
  shift
done
# PIP is split into words on purpose. Other options come by the environment (PIP_QUIET=1 ...).
# shellcheck disable=SC2086
$pip install --no-deps --require-hashes "$@"
# shellcheck disable=SC2086
$pip check
