"""Lines of the event log for those who read it, and `courier log` over them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from service.cli import program

Fields = dict[str, Any]

BEGAN: Final = datetime(2026, 3, 4, 9, 12, 31, 482000, tzinfo=UTC)


def told(event: str, after: float = 0, *, of: str | None = "c-1", **fields: object) -> Fields:
    """A line about a command, so many milliseconds after the first."""
    at = (BEGAN + timedelta(milliseconds=after)).isoformat(timespec="milliseconds")
    about = {
        "command_id": of,
        "command_type": "courier.query-sms-balance.v1",
        "correlation_id": of,
        "appliance": "fac-1",
    }
    first = {"timestamp": at.replace("+00:00", "Z"), "level": "info", "event": event}
    return first | (about if of else {}) | fields


def whole(of: str = "c-1", after: float = 0) -> list[Fields]:
    """An ordinary story."""
    return [
        told("command-received", after, of=of, attempt=1),
        told("appliance-answered", after + 20, of=of, requests=2, status=200, duration_ms=15.2),
        told("command-finished", after + 21, of=of, conclusion="succeeded", attempt=1),
        told("result-told", after + 24, of=of, event_id="e-1", duration_ms=2.5),
    ]


def shown(directory: Path, lines: list[Fields] | list[str], *options: str) -> str:
    """Run `courier log` over some lines; what it prints."""
    path = directory / "courier.log"
    given = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("\n".join(given).encode("utf-8", "surrogatepass"))
    result = CliRunner().invoke(program(), ["log", str(path), *options])
    assert 0 == result.exit_code, result.output
    return result.stdout
