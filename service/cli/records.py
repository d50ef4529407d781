"""How the ledger's entries are shown: a table, a story, JSON."""

from __future__ import annotations

import json
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.ledger import Record, Told
from service.ledger.moment import Moment
from service.messages.commands import name_of
from service.messages.wire import Json, format_instant, now
from service.settings import Settings
from service.telemetry import redact


def print_table(records: list[Record]) -> None:
    """Print one line per entry, however long: whoever copies an id gets all of it."""
    table = Table("id", "source", "command", "appliance", "state", "since", box=None)
    for record in records:
        cells = (record.id, record.source, name_of(record.type), record.appliance)
        table.add_row(*(Text(cell) for cell in (*cells, _state(record), _since(record))))
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    Console(width=max(console.width, needed)).print(table)


def story(record: Record, settings: Settings) -> list[str]:
    """Tell what happened to a command, one line per step; all figures as they are stored."""
    lines = [f"{name_of(record.type)} {record.id} of {record.source} on {record.appliance}"]
    if record.intent:
        at = format_instant(record.intent.recorded.at)
        lines.append(f"  {at}  write announced; read before it: {record.intent.before.decode()}")
        if record.intent.answer:
            heard = redact(record.intent.answer.decode())
            lines.append(f"  {' ' * len(at)}  heard: {heard}")
    if record.told:
        at = format_instant(record.told.at)
        lines.append(f"  {at}  ended {record.told.conclusion}{_why(record.told)}")
        lines.append(f"  {' ' * len(at)}  told: {record.told.data.decode()}")
    elif record.withdrawn_at:
        at = format_instant(record.withdrawn_at)
        lines.append(f"  {at}  write withdrawn before it was sent; it runs when it comes back")
    else:
        lines.append(f"  still being read back; {prospect(record, settings)}")
    if record.settlement:
        said = record.settlement
        by = f"settled as {said.verdict} by {said.settled_by}: {said.note}"
        lines.append(f"  {format_instant(said.at)}  {by}")
    return lines


def document(record: Record) -> dict[str, Json]:
    """Give everything that is known, for a program."""
    intent, told, said = record.intent, record.told, record.settlement
    return {
        "source": record.source,
        "id": record.id,
        "type": record.type,
        "appliance": record.appliance,
        "state": told.conclusion if told else _state(record),
        "intent": {
            "at": format_instant(intent.recorded.at),
            "before": json.loads(intent.before),
            "heard": json.loads(redact(intent.answer.decode())) if intent.answer else None,
        }
        if intent
        else None,
        "finished": {"at": format_instant(told.at), "data": json.loads(told.data)}
        if told
        else None,
        "settled": {
            "at": format_instant(said.at),
            "verdict": said.verdict,
            "note": said.note,
            "settled_by": said.settled_by,
        }
        if said
        else None,
    }


def prospect(record: Record, settings: Settings) -> str:
    """Say when an open intent comes to its end."""
    age = record.intent.recorded.age(Moment.current()) if record.intent else 0.0
    left = settings.recovery_ttl - age
    if left > 0:
        latest = format_instant(now() + timedelta(seconds=left))
        return f"it ends by itself at {latest} at the latest"
    return "its time is over: it ends when the service runs and the command comes back"


def _why(told: Told) -> str:
    error = json.loads(told.data)["error"]
    return f" ({error['code']}): {error['message']}" if error else ""


def _state(record: Record) -> str:
    if record.told is None:
        return "withdrawn" if record.withdrawn_at else "open"
    settled = f", {record.settlement.verdict}" if record.settlement else ""
    return f"{record.told.conclusion}{settled}"


def _since(record: Record) -> str:
    began = record.intent.recorded.at if record.intent else None
    ended = record.told.at if record.told else record.withdrawn_at
    return format_instant(began or ended or now())
