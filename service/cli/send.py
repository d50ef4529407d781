"""`courier send`: one command, typed, with the answer if one waits for it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.client import Client, Draft
from service.messages.commands import MAX_FILE_BYTES
from service.messages.encode import read_finished
from service.messages.events import Finished
from service.messages.results import Conclusion
from service.settings import Settings
from service.telemetry import configure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.messages.wire import Json

NO_ANSWER = 3
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
    " unknown or no answer in time (do not simply repeat).",
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


Appliance = Annotated[
    str, typer.Option("--appliance", "-a", help="A name from the service's inventory.")
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
_SOURCE = "/courier/cli"


@app.command("activate-sms-license")
def activate_sms_license(
    appliance: Appliance,
    license: Annotated[  # noqa: A002  the contract's word
        str,
        typer.Option(
            help="Five groups of four, such as AAAA-BBBB-CCCC-DDDD-EEEE; - reads standard input."
        ),
    ],
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
) -> None:
    """Activate a FortiGuard Messaging licence on a FortiAuthenticator."""
    key = (
        sys.stdin.buffer.readline().decode(errors="replace").strip() if license == "-" else license
    )
    data = {"appliance": appliance, "license": key, "dry_run": dry_run}
    options = _Options(wait, timeout, id, source, correlation_id, expires_in)
    _send("activate-sms-license", data, options)


@app.command("query-sms-balance")
def query_sms_balance(
    appliance: Appliance,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
) -> None:
    """Read the SMS balance of a FortiAuthenticator."""
    options = _Options(wait, timeout, id, source, correlation_id, expires_in)
    _send("query-sms-balance", {"appliance": appliance}, options)


@app.command("apply-voice-license")
def apply_voice_license(
    appliance: Appliance,
    file: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, readable=True, help="The licence file.")
    ],
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    id: Id = None,  # noqa: A002
    source: Source = _SOURCE,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
) -> None:
    """Upload a licence file to a FortiVoice and apply it."""
    if file.stat().st_size > MAX_FILE_BYTES:
        raise typer.BadParameter("is larger than 1 MiB", param_hint="--file")
    content = file.read_bytes()
    described: dict[str, Json] = {
        "name": file.name,
        "content": base64.b64encode(content).decode("ascii"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    data: dict[str, Json] = {"appliance": appliance, "file": described, "dry_run": dry_run}
    options = _Options(wait, timeout, id, source, correlation_id, expires_in)
    _send("apply-voice-license", data, options)


@app.command("query-devices")
def query_devices(
    appliance: Appliance,
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
) -> None:
    """List the phones of a FortiVoice."""
    data: dict[str, Json] = {
        "appliance": appliance,
        "unassigned_only": unassigned_only,
        "start": start,
        "limit": limit,
    }
    if search is not None:
        data["search"] = search
    options = _Options(wait, timeout, id, source, correlation_id, expires_in)
    _send("query-devices", data, options)


def _send(name: str, data: Mapping[str, Json], options: _Options) -> None:
    for hint, text in (("--id", options.id), ("--correlation-id", options.correlation_id)):
        if text is not None and not _PRINTABLE.fullmatch(text):
            raise typer.BadParameter("must be 1 to 128 printable ASCII characters", param_hint=hint)
    draft = Draft(
        name,
        data,
        id=options.id or str(uuid.uuid4()),
        source=options.source,
        correlation_id=options.correlation_id,
        expires_in=options.expires_in,
    )
    settings = Settings.load()
    configure(log_format="console", level="WARNING", stream=sys.stderr)
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
