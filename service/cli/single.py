"""One command on its way out, and what came back: printed as JSON, judged by an exit code."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from service.client import Client
from service.messages.encode import read_finished
from service.messages.events import Finished
from service.messages.results import Conclusion

if TYPE_CHECKING:
    from service.client import Draft
    from service.settings import Settings

NO_ANSWER = 3
_EXIT_CODES = {
    Conclusion.SUCCEEDED: 0,
    Conclusion.REFUSED: 1,
    Conclusion.FAILED: 1,
    Conclusion.UNKNOWN: NO_ANSWER,
}


def send_one(settings: Settings, draft: Draft, *, wait: bool, timeout: float) -> None:
    """Send a command, and print what is told of it if one waits, so long for each event.

    The event that ends it is printed for people; where pages come before it, each event is a line.

    Raises:
        typer.Exit: with the code that says how it ended.
    """
    sys.stderr.write(f"courier: sending {draft.name} with --id {draft.id}\n")
    try:
        answer = asyncio.run(_exchange(settings, draft, wait=wait, seconds=timeout))
    except TimeoutError:
        # Under the same id the pages of two readings would have the same names.
        again = "without --id" if draft.streams else f"with --id {draft.id}"
        sys.stderr.write(
            f"courier: no answer within {timeout:g} s; the command may be carried out all the same."
            f" Send it again {again} to hear of it.\n"
        )
        raise typer.Exit(NO_ANSWER) from None
    if answer is not None:
        if draft.streams:
            _print_line(answer)
        else:
            Console().print_json(answer.decode())
        raise typer.Exit(exit_code(answer))


async def _exchange(
    settings: Settings, draft: Draft, *, wait: bool, seconds: float
) -> bytes | None:
    async with asyncio.timeout(seconds) as patience, Client.opened(settings) as client:

        def hear(page: bytes) -> None:
            patience.reschedule(asyncio.get_running_loop().time() + seconds)
            _print_line(page)

        if wait and draft.streams:
            await client.hear_pages(draft, hear)
        return await client.send(draft, wait=wait)


def _print_line(event: bytes) -> None:
    sys.stdout.write(event.decode() + "\n")
    sys.stdout.flush()


def exit_code(answer: bytes) -> int:
    """Say by exit code how a command ended."""
    result = read_finished(answer)
    return _EXIT_CODES[Conclusion(result.conclusion)] if isinstance(result, Finished) else 1
