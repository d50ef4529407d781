"""`courier send`: one command, typed, with the answer if one waits for it; or a file of them."""

from __future__ import annotations

import re
import sys
import uuid
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_type_hints

import typer
from pydantic import TypeAdapter, ValidationError

from service.cli.bulk import Bulk, send_bulk
from service.cli.bulk.rows import described
from service.cli.single import send_one
from service.client import Draft
from service.messages.commands import MAX_FILE_BYTES
from service.messages.wire import Json, UriReference
from service.settings import Settings
from service.telemetry import configure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Describes = Callable[..., dict[str, Json]]

_URI: TypeAdapter[str] = TypeAdapter(UriReference)
_PRINTABLE = re.compile(r"[!-~]{1,128}")

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


@dataclass(frozen=True)
class Options:
    """What every command can be told besides its data; each field is an option."""

    wait: Wait = False
    timeout: Timeout = 60.0
    id: Id = None
    source: Source = "/courier/cli"
    correlation_id: CorrelationId = None
    expires_in: ExpiresIn = None
    bulk: BulkFile = None
    form: Form = None
    results: ResultFile = None
    rate: Rate = 10.0
    in_flight: InFlight = 20
    retry_failed: RetryFailed = False


def _sends(name: str) -> Callable[[_Describes], _Describes]:
    """Make a command of a function that gives the data; it has the options that all have, too."""
    hints = get_type_hints(Options, include_extras=True)
    common = [
        Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=annotation)
        for each, annotation in zip(fields(Options), hints.values(), strict=True)
    ]

    def register(describe: _Describes) -> _Describes:
        @wraps(describe)
        def command(**given: object) -> None:
            options = {each.name: given.pop(each.name) for each in common}
            _send(name, describe(**given), Options(**options))  # type: ignore[arg-type]  # typer's

        own = signature(describe, eval_str=True)
        asked = own.replace(parameters=[*own.parameters.values(), *common], return_annotation=None)
        # Where typer looks.
        command.__signature__ = asked  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in asked.parameters.values()}
        app.command(name)(command)
        return describe

    return register


@_sends("activate-sms-license")
def activate_sms_license(
    *,
    appliance: Appliance = None,
    license: Annotated[  # noqa: A002  the contract's word
        str | None,
        typer.Option(
            help="Five groups of four, such as AAAA-BBBB-CCCC-DDDD-EEEE; - reads standard input."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> dict[str, Json]:
    """Activate a FortiGuard Messaging licence on a FortiAuthenticator."""
    key = (
        sys.stdin.buffer.readline().decode(errors="replace").strip() if license == "-" else license
    )
    return {"appliance": appliance, "license": key, "dry_run": dry_run}


@_sends("query-sms-balance")
def query_sms_balance(*, appliance: Appliance = None) -> dict[str, Json]:
    """Read the SMS balance of a FortiAuthenticator."""
    return {"appliance": appliance}


@_sends("apply-voice-license")
def apply_voice_license(
    *,
    appliance: Appliance = None,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, readable=True, help="The licence file."),
    ] = None,
    dry_run: DryRun = False,
) -> dict[str, Json]:
    """Upload a licence file to a FortiVoice and apply it."""
    if file is not None and file.stat().st_size > MAX_FILE_BYTES:
        raise typer.BadParameter("is larger than 1 MiB", param_hint="--file")
    content = described(file.name, file.read_bytes()) if file else None
    return {"appliance": appliance, "file": content, "dry_run": dry_run}


@_sends("query-devices")
def query_devices(
    *,
    appliance: Appliance = None,
    search: Annotated[str | None, typer.Option(help="Part of a MAC address.")] = None,
    unassigned_only: Annotated[
        bool, typer.Option("--unassigned-only", help="Only phones that no extension has.")
    ] = False,
    start: Annotated[int, typer.Option(min=0, help="Rows to leave out at the beginning.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=5000, help="Rows to read at most; 500, or all of a stream."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Tell all phones, in pages as they arrive.")
    ] = False,
) -> dict[str, Json]:
    """List the phones of a FortiVoice."""
    return {
        "appliance": appliance,
        "unassigned_only": unassigned_only,
        "start": start,
        "limit": limit,
        "search": search,
        "stream": stream,
    }


@_sends("query-appliance-status")
def query_appliance_status(
    *,
    appliance: Appliance = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(help="One of the vendor's names; repeat it for several. All, if none."),
    ] = None,
) -> dict[str, Json]:
    """Pass on what an appliance says about itself, as it says it."""
    return {"appliance": appliance, "resources": [*resource] if resource else None}


_FROM_ROWS = ("license", "file")
"""Fields that no two rows share."""
_OPTIONAL = ("search", "limit", "resources")


def _send(name: str, data: Mapping[str, Json], options: Options) -> None:
    _check(options)
    given = {field: value for field, value in data.items() if value is not None}
    settings = Settings.load()
    configure(log_format="console", level="WARNING", stream=sys.stderr)
    if options.bulk is not None:
        for field in _FROM_ROWS:
            if field in given:
                raise typer.BadParameter("comes from the rows", param_hint=f"--{field}")
        if given.get("stream"):
            raise typer.BadParameter("results in a file have no pages", param_hint="--stream")
        bulk = Bulk(
            file=options.bulk,
            form=options.form,
            results=options.results,
            rate=options.rate,
            in_flight=options.in_flight,
            timeout=options.timeout,
            retry_failed=options.retry_failed,
            source=options.source,
            expires_in=options.expires_in,
        )
        send_bulk(settings, name, given, bulk)
    for field in data:
        if field not in given and field not in _OPTIONAL:
            raise typer.BadParameter("is missing", param_hint=f"--{field}")
    draft = Draft(
        name,
        given,
        id=options.id or str(uuid.uuid4()),
        source=options.source,
        correlation_id=options.correlation_id,
        expires_in=options.expires_in,
    )
    send_one(settings, draft, wait=options.wait, timeout=options.timeout)


def _check(options: Options) -> None:
    for hint, text in (("--id", options.id), ("--correlation-id", options.correlation_id)):
        if text is not None and not _PRINTABLE.fullmatch(text):
            raise typer.BadParameter("must be 1 to 128 printable ASCII characters", param_hint=hint)
        if text is not None and options.bulk is not None:
            raise typer.BadParameter("is each row's own", param_hint=hint)
    try:
        _URI.validate_python(options.source)
    except ValidationError:
        raise typer.BadParameter("must be a URI reference", param_hint="--source") from None
