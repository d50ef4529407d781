"""`courier send`: one command, typed, with the answer if one waits for it; or a file of them."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from service.cli.bulk import Bulk, send_bulk
from service.cli.bulk.rows import described
from service.client import Client, Draft
from service.messages.commands import MAX_FILE_BYTES
from service.messages.encode import read_finished
from service.messages.events import Finished
from service.messages.results import Conclusion
from service.messages.wire import UriReference
from service.settings import Settings
from service.telemetry import configure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.messages.wire import Json

NO_ANSWER = 3
_URI: TypeAdapter[str] = TypeAdapter(UriReference)
_PRINTABLE = re.compile(r"[!-~]{1,128}")
_EXIT_CODES = {
    Conclusion.SUCCEEDED: 0,
    Conclusion.REFUSED: 1,
    Conclusion.FAILED: 1,
    Conclusion.UNKNOWN: NO_ANSWER,
}

app = typer.Typer(
    help="Send one command. With [bold]--wait[/bold] the event that ends it is printed as JSON,"
    " and the exit code says how it ended: 0 succeeded; 1 failed, refused or rejected; 3 outcome"
    " unknown or no answer in time (do not simply repeat)."
    " [bold]--bulk FILE[/bold] sends one for each row of a CSV file with a header row, or of JSON"
    " lines; other options then hold for every row that does not say otherwise. What came of each"
    " is written to FILE.results.jsonl; a second run goes on there and doubles nothing.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@dataclass(frozen=True)
class _Options:
    wait: bool
    timeout: float
    id: str | None
    source: str
    correlation_id: str | None
    expires_in: float | None
    bulk: Path | None
    form: str | None
    results: Path | None
    rate: float
    in_flight: int
    retry_failed: bool


Appliance = Annotated[
    str | None, typer.Option("--appliance", "-a", help="A name from the service's inventory.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Do everything but the write, and say what would happen.")
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the event that ends it.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")]
Id = Annotated[
    str | None,
    typer.Option(help="The idempotency key. The same id again tells the stored result again."),
]
Source = Annotated[str, typer.Option(help="Who asks; part of the idempotency key.")]
CorrelationId = Annotated[str | None, typer.Option(help="Comes back on the result.")]
ExpiresIn = Annotated[
    float | None,
    typer.Option(
        min=0, max=366 * 86400, help="Seconds after which it shall not be begun any more."
    ),
]
BulkFile = Annotated[
    Path | None,
    typer.Option("--bulk", metavar="FILE", help="Send one for each row; - is standard input."),
]
Form = Annotated[
    Literal["csv", "jsonl"] | None, typer.Option("--format", help="Of a bulk file, if not by name.")
]
ResultFile = Annotated[
    Path | None, typer.Option("--results", metavar="FILE", help="If not beside the bulk file.")
]
Rate = Annotated[float, typer.Option(min=0.01, max=1000, help="Rows per second, at most.")]
InFlight = Annotated[int, typer.Option(min=1, max=1000, help="Rows without an answer, at most.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Send rows that failed again, under new ids.")
]
_SOURCE = "/courier/cli"


@app.command("activate-sms-license")
def activate_sms_license(
    appliance: Appliance = None,
    license: Annotated[  # noqa: A002  the contract's word
        str | None,
        typer.Option(
            help="Five groups of four, such as AAAA-BBBB-CCCC-DDDD-EEEE; - reads standard input."
        ),
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    bulk: BulkFile = None,
    form: Form = None,
    results: ResultFile = None,
    rate: Rate = 10.0,
    in_flight: InFlight = 20,
    retry_failed: RetryFailed = False,
) -> None:
    """Activate a FortiGuard Messaging licence on a FortiAuthenticator."""
    key = (
        sys.stdin.buffer.readline().decode(errors="replace").strip() if license == "-" else license
    )
    data: dict[str, Json] = {"appliance": appliance, "license": key, "dry_run": dry_run}
    how = (bulk, form, results, rate, in_flight, retry_failed)
    options = _Options(wait, timeout, id, source, correlation_id, expires_in, *how)
    _send("activate-sms-license", data, options)


@app.command("query-sms-balance")
def query_sms_balance(
    appliance: Appliance = None,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    bulk: BulkFile = None,
    form: Form = None,
    results: ResultFile = None,
    rate: Rate = 10.0,
    in_flight: InFlight = 20,
    retry_failed: RetryFailed = False,
) -> None:
    """Read the SMS balance of a FortiAuthenticator."""
    how = (bulk, form, results, rate, in_flight, retry_failed)
    options = _Options(wait, timeout, id, source, correlation_id, expires_in, *how)
    _send("query-sms-balance", {"appliance": appliance}, options)


@app.command("apply-voice-license")
def apply_voice_license(
    appliance: Appliance = None,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, readable=True, help="The licence file."),
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    bulk: BulkFile = None,
    form: Form = None,
    results: ResultFile = None,
    rate: Rate = 10.0,
    in_flight: InFlight = 20,
    retry_failed: RetryFailed = False,
) -> None:
    """Upload a licence file to a FortiVoice and apply it."""
    if file is not None and file.stat().st_size > MAX_FILE_BYTES:
        raise typer.BadParameter("is larger than 1 MiB", param_hint="--file")
    content = described(file.name, file.read_bytes()) if file else None
    data: dict[str, Json] = {"appliance": appliance, "file": content, "dry_run": dry_run}
    how = (bulk, form, results, rate, in_flight, retry_failed)
    options = _Options(wait, timeout, id, source, correlation_id, expires_in, *how)
    _send("apply-voice-license", data, options)


@app.command("query-devices")
def query_devices(
    appliance: Appliance = None,
    search: Annotated[str | None, typer.Option(help="Part of a MAC address.")] = None,
    unassigned_only: Annotated[
        bool, typer.Option("--unassigned-only", help="Only phones that no extension has.")
    ] = False,
    start: Annotated[int, typer.Option(min=0, help="Rows to leave out at the beginning.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="Rows to read at most.")] = 500,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    bulk: BulkFile = None,
    form: Form = None,
    results: ResultFile = None,
    rate: Rate = 10.0,
    in_flight: InFlight = 20,
    retry_failed: RetryFailed = False,
) -> None:
    """List the phones of a FortiVoice."""
    data: dict[str, Json] = {
        "appliance": appliance,
        "unassigned_only": unassigned_only,
        "start": start,
        "limit": limit,
        "search": search,
    }
    how = (bulk, form, results, rate, in_flight, retry_failed)
    options = _Options(wait, timeout, id, source, correlation_id, expires_in, *how)
    _send("query-devices", data, options)


_FROM_ROWS = ("license", "file")
"""Fields that no two rows share."""
_OPTIONAL = "search"


def _send(name: str, data: Mapping[str, Json], options: _Options) -> None:
    _check(options)
    given = {field: value for field, value in data.items() if value is not None}
    settings = Settings.load()
    configure(log_format="console", level="WARNING", stream=sys.stderr)
    if options.bulk is not None:
        for field in _FROM_ROWS:
            if field in given:
                raise typer.BadParameter("comes from the rows", param_hint=f"--{field}")
        where = (options.bulk, options.form, options.results)
        pace = (options.rate, options.in_flight, options.timeout)
        who = (options.retry_failed, options.source, options.expires_in)
        send_bulk(settings, name, given, Bulk(*where, *pace, *who))
    for field in data:
        if field not in given and field != _OPTIONAL:
            raise typer.BadParameter("is missing", param_hint=f"--{field}")
    _send_one(settings, name, given, options)


def _check(options: _Options) -> None:
    for hint, text in (("--id", options.id), ("--correlation-id", options.correlation_id)):
        if text is not None and not _PRINTABLE.fullmatch(text):
            raise typer.BadParameter("must be 1 to 128 printable ASCII characters", param_hint=hint)
        if text is not None and options.bulk is not None:
            raise typer.BadParameter("is each row's own", param_hint=hint)
    try:
        _URI.validate_python(options.source)
    except ValidationError:
        raise typer.BadParameter("must be a URI reference", param_hint="--source") from None


def _send_one(settings: Settings, name: str, data: Mapping[str, Json], options: _Options) -> None:
    draft = Draft(
        name,
        data,
        id=options.id or str(uuid.uuid4()),
        source=options.source,
        correlation_id=options.correlation_id,
        expires_in=options.expires_in,
    )
    sys.stderr.write(f"courier: sending {name} with --id {draft.id}\n")
    try:
        answer = asyncio.run(_exchange(settings, draft, options))
    except TimeoutError:
        sys.stderr.write(
            f"courier: no answer within {options.timeout:g} s; the command may be carried out all"
            f" the same. Send it again with --id {draft.id} to hear of it.\n"
        )
        raise typer.Exit(NO_ANSWER) from None
    if answer is not None:
        Console().print_json(answer.decode())
        raise typer.Exit(exit_code(answer))


async def _exchange(settings: Settings, draft: Draft, options: _Options) -> bytes | None:
    async with asyncio.timeout(options.timeout), Client.opened(settings) as client:
        return await client.send(draft, wait=options.wait)


def exit_code(answer: bytes) -> int:
    """Say by exit code how a command ended."""
    result = read_finished(answer)
    return _EXIT_CODES[Conclusion(result.conclusion)] if isinstance(result, Finished) else 1
