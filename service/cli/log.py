"""`courier log`: the event log as a person reads it, filtered, followed, or told by command."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from service.cli.durations import duration
from service.eventlog.reading import Line, harmless, harmless_foreign, harmless_json, read
from service.eventlog.showing import LEVELS, Paint, line_spans, story_spans
from service.eventlog.stories import Stories
from service.eventlog.tail import NotText, batches
from service.messages.wire import now, parse_instant

_RANKS = {level: rank for rank, level in enumerate(LEVELS)}
_UNKNOWN_RANK = _RANKS["info"]
USAGE = 2


class Level(StrEnum):
    """How much a line matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def moment(text: str) -> datetime:
    """Read a point in time: an RFC 3339 instant, or how long ago.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        return now() - duration(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            "must be an instant such as 2026-03-04T09:12:31Z, or how long ago, such as 3h or 2d"
        ) from None


@dataclass(frozen=True)
class _Wanted:
    """Which lines are wanted; an empty list wants all of them."""

    about: Mapping[str, list[str]]
    events: list[str]
    level: Level | None
    since: datetime | None
    until: datetime | None

    @property
    def everything(self) -> bool:
        """Whether no line is left out."""
        said = (*self.about.values(), self.events, self.level, self.since, self.until)
        return not any(said)

    def concerns(self, line: Line) -> bool:
        """Tell a line of the commands, correlations, appliances and times that are wanted."""
        for name, wanted in self.about.items():
            if wanted and line.fields.get(name) not in wanted:
                return False
        if self.since is None and self.until is None:
            return True
        at = line.time
        if at is None:
            return False
        return (self.since is None or at >= self.since) and (self.until is None or at <= self.until)

    def picks(self, line: Line) -> bool:
        """Tell a line of the slugs and levels that are wanted."""
        if self.events and line.fields.get("event") not in self.events:
            return False
        rank = _RANKS.get(str(line.fields.get("level")), _UNKNOWN_RANK)
        return self.level is None or rank >= _RANKS[self.level]


class _Plain:
    """Shows line by line; the day stands above the first line of it."""

    def __init__(self, wanted: _Wanted, paint: Paint) -> None:
        self._wanted = wanted
        self._paint = paint
        self._day = ""

    def take(self, line: Line) -> Iterator[str]:
        """Show a line, if it is wanted."""
        if not line.json:
            if self._wanted.everything:
                yield harmless_foreign(line.text)
            return
        if not (self._wanted.concerns(line) and self._wanted.picks(line)):
            return
        day = harmless(str(line.fields.get("timestamp"))[:10])
        if day != self._day:
            self._day = day
            yield self._paint([(f"-- {day} --", "dim")])
        yield from map(self._paint, line_spans(line.fields))

    def idle(self) -> Iterator[str]:
        """Nothing is kept back."""
        return iter(())

    end = idle


class _Json(_Plain):
    """Passes the lines themselves, for another program."""

    def take(self, line: Line) -> Iterator[str]:
        """Pass a line, if it is wanted and one of the event log."""
        if line.json and self._wanted.concerns(line) and self._wanted.picks(line):
            yield harmless_json(line.json)


class _Timeline(_Plain):
    """Shows command by command."""

    def __init__(self, wanted: _Wanted, paint: Paint) -> None:
        super().__init__(wanted, paint)
        self._stories = Stories(wanted.picks)

    def take(self, line: Line) -> Iterator[str]:
        """Keep a line; show the stories that end."""
        if line.json and self._wanted.concerns(line):
            yield from self._shown(self._stories.add(line))

    def idle(self) -> Iterator[str]:
        """Show the stories that have ended."""
        return self._shown(self._stories.ended())

    def end(self) -> Iterator[str]:
        """Show the others as far as they are known."""
        return self._shown(self._stories.rest())

    def _shown(self, stories: Iterator[list[Mapping[str, object]]]) -> Iterator[str]:
        for steps in stories:
            yield from map(self._paint, story_spans(steps))


def log(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The log; - reads standard input.")
    ] = "-",
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on at the end of FILE, also after its rotation."),
    ] = False,
    command: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Lines about this command.")
    ] = None,
    correlation: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Lines with this correlation id.")
    ] = None,
    appliance: Annotated[
        list[str] | None,
        typer.Option("--appliance", "-a", metavar="NAME", help="Lines about this appliance."),
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(metavar="SLUG", help="Lines with this slug.")
    ] = None,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Lines from this level on.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="WHEN", help="Not before: 2026-03-04T09:12:31Z, or 3h ago: 3h."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="WHEN", help="Not after.")
    ] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="One block per command, when it has ended.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The lines themselves, for jq.")] = False,
) -> None:
    """Show the event log: of a file, of a pipe, or of a service that is running.

    --command, --correlation, --appliance and --event may be repeated, and a line must fit all that
    is given. In a timeline, --event and --level choose commands: those that have such a line.
    What is no line of the event log is shown as it is, unless something is filtered. Exit code 2
    when FILE cannot be read.
    """
    if timeline and as_json:
        raise typer.BadParameter("--timeline and --json exclude each other")
    if file == "-" and sys.stdin.isatty():
        _fail("name a FILE, or pipe a log in")
    about = {
        "command_id": command or [],
        "correlation_id": correlation or [],
        "appliance": appliance or [],
    }
    wanted = _Wanted(about, event or [], level, since, until)
    kind = _Timeline if timeline else _Json if as_json else _Plain
    _run(file, kind(wanted, Paint(Console())), follow=follow)


def _run(file: str, view: _Plain, *, follow: bool) -> None:
    """Show it; end quietly when nobody looks any more."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _show(file, view, follow=follow)
    except NotText:
        _fail(f"{file}: is no text")
    except BrokenPipeError:
        # Or Python would complain when it closes the output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _show(file: str, view: _Plain, *, follow: bool) -> None:
    for batch in batches(file, follow=follow):
        for text in batch:
            _write(view.take(read(text)))
        if not batch:
            _write(view.idle())
        sys.stdout.flush()
    _write(view.end())
    sys.stdout.flush()


def _write(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


def _fail(why: str) -> NoReturn:
    sys.stderr.write(f"courier: {harmless(why)}\n")
    raise typer.Exit(USAGE)
