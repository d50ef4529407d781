"""What `courier check` looks at, and what it found.

- `settings`: each value and where it came from; variables that are no settings.
- `addresses`: which of the broker's addresses answer.
- `broker`: its version, limits, permissions, what stands there, whether a courier runs.
- `ledger`: its file, its version, whose it is, what is open in it.
- `appliances`: a login at each, its certificate, its clock.
- `ready`: asks the service that runs; imports nothing of the others, so that probes are quick.

Nothing here changes what a running service relies on: nothing is consumed, purged or owned, and
the ledger is only read. What is missing on the broker is declared, as every start does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.messages.wire import Json


class State(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: settings, broker, ledger, appliances or service.
        what: which thing there; the name is stable.
        detail: one sentence for a person.
        facts: the same for a program; the names are stable.
    """

    part: str
    what: str
    state: State
    detail: str
    facts: dict[str, Json] = field(default_factory=dict)


def worst(findings: Sequence[Finding]) -> State:
    """Tell how well everything is together."""
    found = {finding.state for finding in findings}
    return next((state for state in (State.FAILED, State.WARNING) if state in found), State.OK)


def document(findings: Sequence[Finding]) -> dict[str, Json]:
    """Give what `--json` prints: `state`, and `findings` with the attributes of `Finding`."""
    return {"state": worst(findings), "findings": [asdict(finding) for finding in findings]}
