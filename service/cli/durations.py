"""How a duration is written on the command line: 3h, 2d."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str) -> timedelta:
    """Read a duration.

    Raises:
        typer.BadParameter: it is none, or longer than anybody keeps anything.
    """
    found = re.fullmatch(r"([0-9]{1,5})([smhdw])", text)
    if found is None:
        raise typer.BadParameter("must be a number with s, m, h, d or w, such as 3h or 2d")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
