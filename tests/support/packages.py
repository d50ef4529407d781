"""Debian's packages that some tests need: brought when they are missing, never left out."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_INSTALL: Final = (
    "apt-get -o DPkg::Lock::Timeout=120 install -qq -y --no-install-recommends {package}"
)
_NO_SERVICE: Final = "printf '#!/bin/sh\\nexit 101\\n' >{policy}; chmod 755 {policy}"
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Debian's way to say "start no services" (see invoke-rc.d(8))."""


class Missing(Exception):
    """A program is not there and cannot be brought; the text says which, and from where."""


def brought(program: str, package: str, *, among: str = "") -> Path:
    """Find a program; install Debian's package first if it is not there.

    Args:
        program: its name.
        package: what brings it.
        among: where Debian keeps it, as a pattern below the root, if not on the search path.

    Raises:
        Missing: it cannot be had on this machine.
    """
    found = _find(program, among)
    if found is None:
        # One at a time, whichever process of the tests needs it.
        with Path(tempfile.gettempdir(), "courier-packages.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = "" if _find(program, among) else _install(package)
        found = _find(program, among)
        if found is None:
            raise Missing(f"{program}: Debian's package {package} could not be had: {said}")
    return Path(found)


def _find(program: str, among: str) -> str | None:
    folders = sorted(str(each) for each in Path("/").glob(among)) if among else []
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(folders))


def _install(package: str) -> str:
    install, quiet = _INSTALL.format(package=package), ""
    if not _POLICY.exists():
        quiet = f"trap 'rm -f {_POLICY}' EXIT; {_NO_SERVICE.format(policy=_POLICY)};"
    script = f"{quiet} {install} || {{ apt-get update -qq && {install}; }}"
    before = () if os.geteuid() == 0 else ("sudo", "-n")
    done = subprocess.run(
        [*before, "sh", "-c", script],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return " / ".join(done.stdout.splitlines()[-3:])
