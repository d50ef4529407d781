"""`courier ledger`: what licence commands left behind, and what a person says of an `unknown`."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from datetime import timedelta
from typing import Annotated, NoReturn

import typer
from aio_pika.exceptions import AMQPError
from pydantic import TypeAdapter, ValidationError

from service.checks.broker import PATIENCE as BROKER_PATIENCE
from service.cli.durations import duration
from service.cli.records import document, print_table, prospect, story
from service.consumers.telling import event_message
from service.errors import ConfigurationError, PublishFailed
from service.ledger import Record, Settlement, Wanted
from service.ledger.opening import opened
from service.messages.commands import explain
from service.messages.encode import SETTLED, Event, settled_event, settled_type
from service.messages.events import CommandRef
from service.messages.results import Conclusion
from service.messages.settled import Note, Person, Verdict
from service.messages.wire import format_instant, now
from service.settings import Settings
from service.telemetry import configure, redact
from service.topology import EVENTS_EXCHANGE
from service.topology.nodes import connect
from service.topology.publisher import Publisher

app = typer.Typer(
    help="Licence commands as the ledger knows them: list, show, and resolve what ended unknown."
    " The service may run or not.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Id = Annotated[str, typer.Argument(metavar="ID", help="The command's id.")]
Source = Annotated[
    str | None, typer.Option(help="The command's source, where several used the same id.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_NOTE: TypeAdapter[str] = TypeAdapter(Note)
_PERSON: TypeAdapter[str] = TypeAdapter(Person)


@app.command("list")
def list_entries(
    everything: Annotated[
        bool, typer.Option("--all", help="Those, too, that are finished or settled.")
    ] = False,
    appliance: Annotated[str | None, typer.Option("--appliance", "-a")] = None,
    conclusion: Annotated[
        Conclusion | None, typer.Option(help="Those that ended so, settled or not.")
    ] = None,
    older_than: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="AGE", help="Begun earlier, such as 3h or 2d."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="No more than these.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what is not finished: open intents, and unknowns that nobody has settled.

    Oldest first; after them, with --all or --conclusion, the others, newest first.
    """
    wanted = Wanted(
        finished=everything or conclusion is not None,
        appliance=appliance,
        conclusion=conclusion.value if conclusion else None,
        older_than=None if older_than is None else now() - older_than,
        limit=limit,
    )
    with opened(Settings.load().ledger_place()) as care:
        records = care.entries(wanted)
    if as_json:
        sys.stdout.write(json.dumps([document(record) for record in records]) + "\n")
        return
    if not records:
        sys.stderr.write("courier: there is no such entry\n")
        return
    print_table(records)
    if len(records) == limit:
        sys.stderr.write(f"courier: there may be more than these {limit}; see --limit\n")


@app.command()
def show(command_id: Id, source: Source = None, as_json: AsJson = False) -> None:
    """Tell a command's story: announced, heard, ended, settled. Exit code 1 if nobody knows it."""
    settings = Settings.load()
    with opened(settings.ledger_place()) as care:
        records = care.of_id(command_id, source)
    if not records:
        _fail(_nobody_knows(command_id, source))
    if as_json:
        sys.stdout.write(json.dumps([document(record) for record in records]) + "\n")
        return
    sys.stdout.write("\n".join(line for each in records for line in story(each, settings)) + "\n")


@app.command()
def resolve(
    command_id: Id,
    note: Annotated[
        str, typer.Option(help="What you saw: one line, told to everybody, without the licence.")
    ],
    applied: Annotated[bool, typer.Option("--applied", help="The licence is on it.")] = False,
    not_applied: Annotated[bool, typer.Option("--not-applied", help="The licence is not.")] = False,
    source: Source = None,
    by: Annotated[str | None, typer.Option(help="Who says so; default: the login name.")] = None,
) -> None:
    """Say what an unknown write did, after a look at the appliance. It is told as an event.

    The first verdict stays. The same one again tells the event again, with the same id.
    """
    if applied == not_applied:
        raise typer.BadParameter("say one of the two", param_hint="--applied / --not-applied")
    settlement = Settlement(
        verdict=(Verdict.APPLIED if applied else Verdict.NOT_APPLIED).value,
        note=_checked(_NOTE, note.strip(), "--note"),
        settled_by=_checked(_PERSON, (_login_name() if by is None else by).strip(), "--by"),
        at=now(),
    )
    settings = Settings.load()
    configure(log_format="console", level="ERROR", stream=sys.stderr)
    with opened(settings.ledger_place(), read_only=False) as care:
        record = _unknown_one(care.of_id(command_id, source), command_id, source, settings)
        stored = care.settle(record.key, settlement)
        broker = care.broker
    if stored is None:
        _fail(_nobody_knows(command_id, source))
    said = f"{stored.verdict} by {stored.settled_by} at {format_instant(stored.at)}: {stored.note}"
    if stored.verdict != settlement.verdict:
        _fail(f"{command_id} was settled before, and that stands: {said}")
    event = _event(record, stored, settings.source)
    try:
        asyncio.run(_tell(settings, event, broker))
    except (ConfigurationError, PublishFailed, AMQPError, OSError) as error:
        why = str(error) or f"the broker does not answer within {BROKER_PATIENCE:g} s"
        _fail(
            f"what you found is stored, but it was not told: {redact(why)}\n"
            "courier: repeat the command, and it is told"
        )
    again = "" if stored == settlement else " was settled before; told again:"
    sys.stdout.write(f"{command_id}{again} {said}\nevent {event.id} ({event.routing_key})\n")


def _unknown_one(
    records: list[Record], command_id: str, source: str | None, settings: Settings
) -> Record:
    """Find the one command that can be settled, or say why there is none."""
    if not records:
        _fail(_nobody_knows(command_id, source))
    if len(records) > 1:
        sources = ", ".join(record.source for record in records)
        raise typer.BadParameter(f"several used this id: {sources}", param_hint="--source")
    (record,) = records
    if record.told is None and record.withdrawn_at:
        _fail(f"{command_id} was withdrawn before it was sent; nothing to resolve")
    if record.told is None:
        _fail(f"{command_id} is still being read back; {prospect(record, settings)}")
    if record.told.conclusion != Conclusion.UNKNOWN:
        _fail(f"{command_id} ended {record.told.conclusion}; nothing to settle")
    return record


def _event(record: Record, stored: Settlement, source: str) -> Event:
    told = SETTLED[settled_type(record.type)](
        command=CommandRef(id=record.id, source=record.source, type=record.type),
        appliance=record.appliance,
        verdict=stored.verdict,
        note=stored.note,
        settled_by=stored.settled_by,
    )
    return settled_event(
        record.key,
        told,
        source=source,
        time=stored.at,
        correlation_id=record.correlation_id or record.id,
        traceparent=record.traceparent,
    )


async def _tell(settings: Settings, event: Event, broker: str | None) -> None:
    """Publish on the broker that the ledger belongs to, and wait for the confirm."""
    async with asyncio.timeout(BROKER_PATIENCE):
        connection = await connect(
            settings.broker_addresses("courier ledger"), settings.broker_tls()
        )
    async with connection:
        found = connection.identity
        if broker not in {None, found}:
            raise ConfigurationError(
                f"COURIER_BROKER_URL: the ledger belongs to {broker}, not to {found}"
            )
        publisher = await Publisher.open(connection)
        await publisher.publish(
            event_message(event), exchange=EVENTS_EXCHANGE, routing_key=event.routing_key
        )


def _checked(kind: TypeAdapter[str], text: str, option: str) -> str:
    """Hold what a person wrote against the contract, before anything is stored."""
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(explain(error)[0][1], param_hint=option) from None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise typer.BadParameter("this user has no name", param_hint="--by") from None


def _nobody_knows(command_id: str, source: str | None) -> str:
    of = f" of {source}" if source else ""
    return f"the ledger knows no licence command {redact(command_id)}{redact(of)}"


def _fail(text: str) -> NoReturn:
    sys.stderr.write(f"courier: {text}\n")
    raise typer.Exit(1)
