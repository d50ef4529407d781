"""Where everything of a demonstration is, for people to look at and for programs to source."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.table import Table
from yarl import URL

from service.demo.probe import shown
from service.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from service.demo.broker import Broker
    from service.demo.running import RunningService
    from service.simulator import Simulator

API = "RABBITMQ_API"
"""The management API's variable; not a setting of the courier's, which needs no such thing."""


def show_places(
    console: Console,
    broker: Broker,
    service: RunningService,
    simulator: Simulator,
    file: Path,
) -> None:
    """Tell people where everything is, without the password: that stands in the file."""
    places = {
        "broker": shown(broker.url),
        "management API": shown(broker.api) if broker.api else "not known: a given broker",
        "the courier's page": f"{service.http}/",
        "appliances' control page": str(simulator.control_url),
    }
    places |= {name: each.kind for name, each in simulator.appliances.items()}
    table = Table(box=None, show_header=False)
    for what, where in places.items():
        table.add_row(what, where)
    console.print("\nEverything stays as it is until Ctrl-C or SIGTERM")
    console.print(table)
    # In one line, however narrow the terminal is: it is there to be copied.
    console.print(f"To use it, password included:  . {shlex.quote(str(file))}", soft_wrap=True)


def variables(settings: Mapping[str, str], broker: Broker, http: str) -> dict[str, str]:
    """Give what a program must know, by the names of its environment.

    Args:
        settings: what the service was started with.
        broker: where it was started on.
        http: where it answers, on the port that it has chosen.
    """
    found = {name: text for name, text in settings.items() if name != f"{PREFIX}LOG_FORMAT"}
    found[f"{PREFIX}HTTP_PORT"] = str(URL(http).port)
    return found | ({API: broker.api} if broker.api else {})


@contextmanager
def environment_file(path: Path, exported: Mapping[str, str]) -> Iterator[None]:
    """Have a file that a shell can source for as long as the context lasts.

    It holds a password: only its owner can read it, and it takes no other file's place.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.writelines(
                f"export {name}={shlex.quote(text)}\n" for name, text in exported.items()
            )
        yield
    finally:
        path.unlink(missing_ok=True)
