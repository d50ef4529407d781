"""What `courier ledger` says of an intent that was withdrawn: it is not open, and nothing ended."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import program
from service.ledger import Record
from service.ledger.opening import opened
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import format_instant
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, told

RESOLVE = ("resolve", "c-1", "--applied", "--note", "It is there.")


@pytest.fixture
async def withdrawn(sqlite: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A command whose write was withdrawn."""
    monkeypatch.setenv("COURIER_LEDGER_URL", f"sqlite:///{path}")
    await sqlite.withdraw(FIRST, await sqlite.intend(FIRST, BEFORE, ORIGIN))
    with opened(path) as care:
        record = care.find(FIRST.key)
    assert record is not None
    return record


def asked(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(program(), ["ledger", *words])
    return result.exit_code, result.output


def test_a_withdrawn_write_is_shown_as_withdrawn(withdrawn: Record) -> None:
    """With when it was; it is not said to be read back."""
    assert withdrawn.withdrawn_at is not None
    at = format_instant(withdrawn.withdrawn_at)
    exit_code, output = asked("show", "c-1")
    assert (0, True, False) == (
        exit_code,
        f"{at}  write withdrawn before it was sent" in output,
        "read back" in output,
    )
    exit_code, output = asked("show", "c-1", "--json")
    (shown,) = json.loads(output)
    assert ("withdrawn", None, None) == (shown["state"], shown["intent"], shown["finished"])


@pytest.mark.usefixtures("withdrawn")
def test_a_withdrawn_write_waits_for_nobody() -> None:
    """It is not listed, and there is nothing to resolve."""
    assert (0, "[]\n") == asked("list", "--all", "--json")
    exit_code, output = asked(*RESOLVE)
    assert (1, True) == (exit_code, "was withdrawn before it was sent" in output), output


async def test_what_ended_after_a_withdrawal_is_shown_as_it_ended(
    withdrawn: Record, sqlite: SqliteLedger
) -> None:
    """The result is the last word."""
    assert withdrawn.told is None
    await sqlite.conclude(FIRST, told("failed"), None)
    exit_code, output = asked("list", "--all", "--json")
    assert (0, ["failed"]) == (exit_code, [each["state"] for each in json.loads(output)])
