"""`courier parked`: look at what lies in courier.parked, send it again, throw it away."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli.durations import duration
from service.errors import ConfigurationError, PublishFailed
from service.ledger.opening import if_there
from service.messages.wire import now
from service.parking import moving
from service.parking.forecast import forecast
from service.parking.message import Selection, marked, selected
from service.parking.parked import opened
from service.parking.words import age, clean, everything, printable, summary
from service.settings import Settings
from service.topology import PARKED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from service.parking.message import Held, Message

_WIDE = 200

app = typer.Typer(
    help="Messages that the service could not accept: list, show, replay, discard. They stay in"
    f" {PARKED} until somebody settles them here; data of commands is never shown unasked. Works"
    " whether the service runs or not.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


Id = Annotated[
    str | None,
    typer.Option(
        help="The command's id, or the beginning (8 digits or more) of the body's SHA-256."
    ),
]
Reason = Annotated[
    str | None, typer.Option(help="Such as contract-violation; unreadable-properties.")
]
OlderThan = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="AGE", help="Parked for longer, such as 3h or 2d."),
]
All = Annotated[bool, typer.Option("--all", help="All that nothing else excludes.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]


@app.command("list")
def list_parked(
    id: Id = None,  # noqa: A002  the contract's word
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Look no further when there are as many.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per message.")] = False,
) -> None:
    """List what lies there, what was parked first at the top.

    The first column names a message: the command's id, or the beginning of the body's SHA-256.
    Exit code 0 also when there is nothing.
    """
    selection = Selection(id, reason, older_than)
    # Read to the end before anything is printed: a pager would keep the broker waiting.
    with opened(Settings.load()) as queue:
        found = [held.message for held in islice(selected(queue, selection), limit)]
    at = now()
    # The broker gives back what was looked at in an order of its own.
    found.sort(key=lambda message: message.parked_at or at)
    if as_json:
        for message in found:
            _print_json(clean(summary(message)))
        return
    if not found:
        sys.stderr.write("courier: no such message is parked\n")
        return
    table = Table(box=None)
    table.add_column("id", overflow="fold")
    for name in ("reason", "parked", "came by", "type", "appliance"):
        table.add_column(name)
    table.add_column("bytes", justify="right")
    for message in found:
        since = age(message.parked_at, at)
        texts = (message.reason, since, message.queue, message.identity.type, message.appliance)
        cells = (message.short_id, *texts, str(message.size))
        table.add_row(*(escape(printable(cell)) for cell in cells))
    # Cells are not cut for a file or a pipe.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


@app.command()
def show(
    id: Annotated[  # noqa: A002
        str, typer.Argument(help="The command's id, or the beginning of the body's SHA-256.")
    ],
    body: Annotated[
        bool,
        typer.Option("--body", help="Print the original body instead; it may hold a licence."),
    ] = False,
) -> None:
    """Print all that may be told of a message, as JSON: one object for each that fits."""
    settings = Settings.load()
    bodies: dict[str, bytes] = {}
    documents = []
    with if_there(settings.ledger_place()) as care, opened(settings) as queue:
        for held in selected(queue, Selection(id)):
            if body:
                bodies[held.message.sha256] = held.taken.body
            else:
                text = forecast(held, care).text
                documents.append(clean({**everything(held), "replay": text}))
    _found(documents or bodies)
    if len(bodies) > 1:
        digests = ", ".join(digest[:12] for digest in bodies)
        _complain(f"several bodies fit; name one by its SHA-256: {digests}")
        raise typer.Exit(1)
    for document in documents:
        _print_json(document, indent=2)
    for original in bodies.values():
        _complain("this is the original body; it may hold a licence")
        sys.stdout.flush()
        sys.stdout.buffer.write(original)
        sys.stdout.buffer.flush()


@app.command()
def replay(
    id: Id = None,  # noqa: A002
    reason: Reason = None,
    older_than: OlderThan = None,
    everything: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Send messages again, after saying what will come of each.

    A message keeps its identity: the same id tells the stored result again instead of writing
    twice. Its time and attempts begin anew. It leaves the parked queue when the broker has
    confirmed the copy. Exit code 1 when nothing fits, or some could not be replayed.
    """
    selection = _chosen(Selection(id, reason, older_than, everything))
    settings = Settings.load()
    with if_there(settings.ledger_place()) as care, opened(settings) as queue:
        plans = [(held.message, forecast(held, care)) for held in selected(queue, selection)]
    _found(plans)
    for message, plan in plans:
        _say(message, plan.text)
    routes = {message.mark: plan.route for message, plan in plans if plan.route}
    meant = Counter(message.mark for message, plan in plans if plan.route)
    if dry_run:
        return
    if not routes:
        raise typer.Exit(1)
    _agree(f"Replay {meant.total()} of {len(plans)}?", yes=yes)
    done = 0
    with opened(settings) as queue:
        for held in marked(queue, meant):
            try:
                moving.replay(queue, held, routes[held.message.mark])
            except PublishFailed as error:
                _say(held.message, f"stays parked: {error}")
            else:
                _say(held.message, "replayed")
                done += 1
    _end(done, len(plans), "replayed")


@app.command()
def discard(
    id: Id = None,  # noqa: A002
    reason: Reason = None,
    older_than: OlderThan = None,
    everything: All = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            file_okay=False,
            help="Write each to two files there before, properties and body; it may hold licences.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Throw messages away, after saying which. Nobody is told: their commands end here.

    Exit code 1 when nothing fits, or some could not be discarded.
    """
    selection = _chosen(Selection(id, reason, older_than, everything))
    settings = Settings.load()
    with opened(settings) as queue:
        found = [held.message for held in selected(queue, selection)]
    _found(found)
    at = now()
    for message in found:
        reason_and_age = f"{printable(message.reason)}, parked {age(message.parked_at, at)} ago"
        _say(message, f"{reason_and_age}, {printable(message.identity.type)}: will be discarded")
    if dry_run:
        return
    _agree(f"Discard {len(found)}?", yes=yes)
    done = 0
    with opened(settings) as queue:
        for held in marked(queue, Counter(message.mark for message in found)):
            if save is not None:
                _save(held, save)
            queue.settle(held.taken)
            _say(held.message, "discarded")
            done += 1
    _end(done, len(found), "discarded")


def _chosen(selection: Selection) -> Selection:
    if selection.says_nothing:
        raise typer.BadParameter("say which: --id, --reason, --older-than or --all")
    return selection


def _found(found: Collection[object]) -> None:
    if not found:
        _complain(f"nothing in {PARKED} fits")
        raise typer.Exit(1)


def _agree(question: str, *, yes: bool) -> None:
    """Ask, where somebody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes")
    typer.confirm(question, abort=True)


def _save(held: Held, directory: Path) -> None:
    try:
        moving.save(held, directory)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be saved in {directory}: {error.strerror}; what was not discarded stays parked"
        ) from None


def _end(done: int, wanted: int, word: str) -> None:
    _complain(f"{done} of {wanted} {word}")
    raise typer.Exit(0 if done == wanted else 1)


def _say(message: Message, text: str) -> None:
    sys.stdout.write(f"{printable(message.short_id)}  {text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"courier: {text}\n")


def _print_json(document: Mapping[str, object], indent: int | None = None) -> None:
    # All that is not printable ASCII is escaped: no terminal obeys it.
    text = json.dumps(document, indent=indent).replace("\x7f", "\\u007f")
    sys.stdout.write(f"{text}\n")
