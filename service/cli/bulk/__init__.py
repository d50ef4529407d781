"""`courier send COMMAND --bulk FILE`: one command per row, resumable, nothing done twice.

- `rows`: the file becomes rows, all of them valid, each with an id derived from what it says.
- `results`: the file beside it, one line per answer; what is in it is not sent again.
- `sending`: publishes at a pace, hears the answers.
- `summary`: what came of it, and what to do about it.

Whoever dies in the middle loses nothing: what was sent and not written down has the same id in the
next run, so the service tells the stored result again.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from service.cli.bulk.results import Results
from service.cli.bulk.rows import BadRows, read
from service.cli.bulk.sending import send_all
from service.cli.bulk.summary import Progress, conclude

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from service.cli.bulk.rows import Row
    from service.messages.wire import Json
    from service.settings import Settings

USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True)
class Bulk:
    """How a file is sent.

    Attributes:
        file: where the rows stand; `-` is standard input.
        form: csv or jsonl; None goes by the file's name.
        results: where answers are written; None is beside the file.
        rate: commands per second, at most.
        in_flight: commands that are not answered yet, at most.
        timeout: seconds that an answer is waited for.
        retry_failed: send what failed again, under new ids.
        source: who asks, part of the idempotency key.
        expires_in: seconds after which a command shall not be begun any more.
    """

    file: Path
    form: str | None
    results: Path | None
    rate: float
    in_flight: int
    timeout: float
    retry_failed: bool
    source: str
    expires_in: float | None


def send_bulk(settings: Settings, name: str, defaults: Mapping[str, Json], bulk: Bulk) -> NoReturn:
    """Send every row that has no end yet; print a summary, and end with its exit code.

    Args:
        settings: say where the broker is.
        name: the command, such as `activate-sms-license`.
        defaults: what the command line says for every row that does not say it.
        bulk: how.
    """
    with _bad_rows_are_usage():
        rows = read(bulk.file, bulk.form, name, defaults, bulk.source)
        where = _beside(bulk, dry_run=defaults.get("dry_run") is True)
        with Results.opened(where, rows) as results:
            pending = results.pending(retry_failed=bulk.retry_failed)
            code = _run(settings, pending, results, bulk)
    raise typer.Exit(code)


def _run(settings: Settings, pending: list[tuple[Row, int]], results: Results, bulk: Bulk) -> int:
    skipped = len(results.rows) - len(pending)
    _say(f"{len(results.rows)} rows, {skipped} have their end already; results in {results.path}")
    try:
        with Progress(len(pending)) as progress:
            asyncio.run(send_all(settings, pending, results, bulk, progress.show))
    except KeyboardInterrupt:
        _say(
            "interrupted; nothing more is sent. What was sent may be carried out all the same. Run"
            " the same command again: it goes on where this one stopped, and doubles nothing"
        )
        return INTERRUPTED
    return conclude(results, bulk.source)


def _beside(bulk: Bulk, *, dry_run: bool) -> Path:
    """Name the result file; a dry run has one of its own, since its commands are others."""
    if bulk.results is not None:
        return bulk.results
    if str(bulk.file) == "-":
        raise typer.BadParameter("standard input has no place beside it", param_hint="--results")
    return bulk.file.with_name(f"{bulk.file.name}{'.dry-run' if dry_run else ''}.results.jsonl")


@contextmanager
def _bad_rows_are_usage() -> Iterator[None]:
    try:
        yield
    except BadRows as error:
        for line in error.lines:
            _say(line)
        _say("nothing was sent")
        raise typer.Exit(USAGE) from None


def _say(text: str) -> None:
    sys.stderr.write(f"courier: {text}\n")
    sys.stderr.flush()
