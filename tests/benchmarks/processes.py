"""What processes use of the machine, and on which cores they may run."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.demo.node import PrivateNode

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CORES: Final = frozenset(os.sched_getaffinity(0))
_APART: Final = frozenset({max(_CORES)}) if len(_CORES) > 1 else _CORES


@dataclass(frozen=True)
class Used:
    """What a group of processes has used of a core so far, and has of memory now."""

    seconds: float
    megabytes: float


class Node(PrivateNode):
    """A private node whose process is known."""

    @property
    def pid(self) -> int:
        """The server is among what this has started."""
        return self._process.pid if self._process else 0


def used(roots: Iterable[int]) -> Used:
    """Look at processes and all that they started."""
    parents: dict[int, int] = {}
    figures: dict[int, tuple[float, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        # With those of children that have ended: PostgreSQL has one for each connection.
        cpu = sum(int(each) for each in fields[11:15]) / _TICKS
        figures[pid] = (cpu, int(fields[21]) * _PAGE / 1e6)
    wanted = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    found = [figures[pid] for pid in wanted if pid in figures]
    return Used(sum(cpu for cpu, _ in found), sum(memory for _, memory in found))


def keep_apart(pid: int = 0) -> None:
    """Have a process (this one: 0) on the one core of load and appliances; others have them all."""
    os.sched_setaffinity(pid, _APART)


def let_roam(pid: int) -> None:
    """Have a process on every core, though it was started by one that is kept apart."""
    os.sched_setaffinity(pid, _CORES)


def forget_peak(pid: int) -> float:
    """Begin anew with the most memory that a process has had; give what it has, in MiB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most memory that a process has had, in MiB."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise AssertionError(name)
