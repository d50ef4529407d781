"""A network of its own for each of several programs: namespaces on a bridge that leads nowhere.

Linux only, as root, with iproute2. Whoever is partitioned from another sends to a hardware address
that nobody has: everything vanishes without a word, as on a network that is broken.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

_NOWHERE: Final = "02:00:00:00:de:ad"
_DEVICE: Final = "out"


@dataclass(frozen=True)
class Place:
    """Where a program lives.

    Attributes:
        host: its address.
        namespace: its network namespace; None is the machine's own network.
    """

    host: str
    namespace: str | None = None

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command is put behind so that it runs there."""
        return ("ip", "netns", "exec", self.namespace) if self.namespace else ()


def _ip(*words: str) -> None:
    done = subprocess.run(
        ["ip", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def places(count: int, subnet: str) -> Iterator[list[Place]]:
    """Have some networks for as long as the body lasts.

    Args:
        count: how many.
        subnet: the first three numbers of their addresses, such as 10.203.17.
    """
    mark = uuid4().hex[:6]
    switch = f"cs-{mark}"
    found = [Place(f"{subnet}.{number + 1}", f"cn-{mark}-{number + 1}") for number in range(count)]
    with ExitStack() as stack:
        # In a namespace of its own: packet filters of the machine, such as Docker's, would see
        # what goes over a bridge of the machine's, and drop it.
        _ip("netns", "add", switch)
        stack.callback(_ip, "netns", "del", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        door = f"cd-{mark}"
        _ip("link", "add", door, "type", "veth", "peer", "name", "machine", "netns", switch)
        _ip("addr", "add", f"{subnet}.254/24", "dev", door)
        _ip("link", "set", door, "up")
        _ip("-n", switch, "link", "set", "machine", "master", "bridge", "up")
        for number, place in enumerate(found, 1):
            name, port = str(place.namespace), f"port-{number}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            peer = ("peer", "name", _DEVICE, "netns", name)
            _ip("-n", switch, "link", "add", port, "type", "veth", *peer)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{place.host}/24", "dev", _DEVICE)
            _ip("-n", name, "link", "set", _DEVICE, "up")
        yield found


def part(one: Place, other: Place) -> None:
    """Let nothing pass between two places any more; each is still reached by everybody else."""
    for here, there in ((one, other), (other, one)):
        words = ("neigh", "replace", there.host, "lladdr", _NOWHERE)
        _ip("-n", str(here.namespace), *words, "dev", _DEVICE, "nud", "permanent")


def join(one: Place, other: Place) -> None:
    """Let everything pass again between two places that were parted."""
    for here, there in ((one, other), (other, one)):
        _ip("-n", str(here.namespace), "neigh", "del", there.host, "dev", _DEVICE)
