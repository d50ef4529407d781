"""Debian's RabbitMQ package, installed without starting the broker that comes with it."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Sequence
from typing import Final

from service.demo.probe import BrokerUnavailable

_SUDO: Final = ("sudo", "-n")
# Debian's way to say "start no services" is this file (see invoke-rc.d(8)); systemd has one more.
# A file that is there already is somebody else's policy and stays. The package lists are fetched
# only when the package cannot be had without.
_SCRIPT: Final = """
set -eu
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 LC_ALL=C.UTF-8
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\\nexit 101\\n' >"$policy"
    chmod 755 "$policy"
fi
install() {
    apt-get -o DPkg::Lock::Timeout=60 install -y --no-install-recommends rabbitmq-server
}
install || { apt-get update; install; }
"""


async def install_rabbitmq(
    say: Callable[[str], None], *, before: Sequence[str] | None = None
) -> None:
    """Install Debian's package `rabbitmq-server`; no broker is started by that.

    When it is cancelled, the installation is waited for: `apt-get` gets the terminal's Ctrl-C
    as well and ends in order, and one that is cut off in the middle leaves a broken system.

    Args:
        say: told that it is done, before it is done.
        before: what to put before a command that root must run; found out unless given.

    Raises:
        BrokerUnavailable: this is no Debian, we may not, or it failed.
    """
    if before is None:
        before = await asyncio.to_thread(_here)
    say("RabbitMQ: installing Debian's package rabbitmq-server; its own service is not started")
    command = [*before, "sh", "-c", _SCRIPT]
    work = asyncio.ensure_future(
        asyncio.to_thread(
            subprocess.run,
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    )
    try:
        done = await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-5:])
        raise BrokerUnavailable(f"apt-get could not install rabbitmq-server:\n{tail}")


def privilege(*, has: Collection[str], root: bool, sudo_works: Callable[[], bool]) -> list[str]:
    """What to put before a command that root must run; nothing where we are root.

    Args:
        has: which of `apt-get` and `sudo` there are.
        root: whether we are root.
        sudo_works: whether `sudo` asks for no password.

    Raises:
        BrokerUnavailable: there is no such way; the text says why.
    """
    if "apt-get" not in has:
        raise BrokerUnavailable("it can be installed from here only on Debian and its kin")
    if root:
        return []
    if "sudo" in has and sudo_works():
        return list(_SUDO)
    raise BrokerUnavailable("installing it needs root, or sudo without a password")


def _here() -> list[str]:
    """The privilege on this machine."""
    return privilege(
        has=[command for command in ("apt-get", "sudo") if shutil.which(command)],
        root=os.geteuid() == 0,
        sudo_works=lambda: (
            not subprocess.call(  # noqa: S603 - our own arguments, no shell
                [*_SUDO, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        ),
    )
