"""Looks at the ledger without writing to it, whether the service runs or not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from service.checks import Finding, State
from service.errors import ConfigurationError
from service.ledger.opening import if_there, opened
from service.ledger.postgres_schema import LedgerOutdated
from service.ledger.sqlite_schema import SCHEMA_VERSION, connect, explained, version_of

if TYPE_CHECKING:
    from service.ledger import Care
    from service.messages.wire import Json
    from service.settings import Postgres, Settings

LITTLE = 500_000_000
"""Bytes of free space below which somebody had better look."""


def look(settings: Settings, broker: str | None) -> list[Finding]:
    """Look at the file, or into the database.

    Args:
        settings: name it.
        broker: the identity of the broker that answered, if one did.
    """
    place = settings.ledger_place()
    if not isinstance(place, Path):
        return _in_database(place, broker)
    found = [_file(place), _space(place)]
    if not os.path.exists(place):  # noqa: PTH110  a folder that may not be entered is no error
        return found
    try:
        return [*found, *_content(place, broker)]
    except ConfigurationError as error:
        return [*found, _finding("content", State.FAILED, str(error))]


def _in_database(place: Postgres, broker: str | None) -> list[Finding]:
    try:
        with if_there(place) as care:
            if care is None:
                detail = f"{place} answers; the tables will be made at the first start"
                return [_finding("database", State.OK, detail, database=str(place))]
            answers = _finding("database", State.OK, f"{place} answers", database=str(place))
            return [answers, *_what_it_holds(care, broker)]
    except LedgerOutdated as error:
        return [_finding("database", State.WARNING, str(error), database=str(place))]
    except ConfigurationError as error:
        return [_finding("database", State.FAILED, str(error), database=str(place))]


def _finding(what: str, state: State, detail: str, **facts: Json) -> Finding:
    return Finding("ledger", what, state, detail, facts)


def _file(path: Path) -> Finding:
    """Tell whether the file is there, and whether whoever asks may write to it."""
    exists = os.path.exists(path)  # noqa: PTH110  see above
    places = [path.absolute().parent, *([path] if exists else [])]
    locked = [str(place) for place in places if not os.access(place, os.R_OK | os.W_OK)]
    facts: dict[str, Json] = {"path": str(path), "exists": exists, "writable": not locked}
    if locked:
        why = f"COURIER_LEDGER_URL: this user cannot write to {', '.join(locked)}"
        return _finding("file", State.FAILED, why, **facts)
    detail = f"{path} can be written" if exists else f"{path} will be made at the first start"
    return _finding("file", State.OK, detail, **facts)


def _space(path: Path) -> Finding:
    try:
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError as error:
        return _finding("space", State.FAILED, str(error.strerror), free_bytes=None)
    state = State.WARNING if free < LITTLE else State.OK
    return _finding("space", state, f"{free / 1e9:.1f} GB free", free_bytes=free)


def _content(path: Path, broker: str | None) -> list[Finding]:
    version = _version(path)
    facts: dict[str, Json] = {"version": version, "current": SCHEMA_VERSION}
    if version < SCHEMA_VERSION:
        what = f"version {version}; will be upgraded to {SCHEMA_VERSION} at the next start"
        state = State.WARNING if version else State.OK
        detail = what if version else "empty; its tables will be made at the next start"
        return [_finding("schema", state, detail, **facts)]
    with opened(path) as care:
        held = _what_it_holds(care, broker)
    return [_finding("schema", State.OK, f"version {version}", **facts), *held]


def _what_it_holds(care: Care, broker: str | None) -> list[Finding]:
    open_intents, unsettled, _ = care.open_figures()
    return [_owner(care.broker, broker), _entries(open_intents, unsettled)]


def _version(path: Path) -> int:
    try:
        with closing(connect(path, read_only=True)) as connection:
            return version_of(connection, path)
    except sqlite3.Error as error:
        raise explained(path, error) from None


def _owner(owner: str | None, broker: str | None) -> Finding:
    facts: dict[str, Json] = {"broker": owner}
    if owner is None:
        return _finding("owner", State.OK, "belongs to no broker yet", **facts)
    if broker is None:
        detail = f"belongs to {owner}; no broker answers, so nobody can say whether it is this one"
        return _finding("owner", State.WARNING, detail, **facts)
    if owner != broker:
        why = f"COURIER_LEDGER_URL: this ledger belongs to {owner}, not to {broker}"
        return _finding("owner", State.FAILED, why, **facts)
    return _finding("owner", State.OK, f"belongs to {owner}, which is this broker", **facts)


def _entries(open_intents: int, unsettled: int) -> Finding:
    """Tell what waits for its end, and what for a person."""
    facts: dict[str, Json] = {"open_intents": open_intents, "unsettled": unsettled}
    detail = f"open intents: {open_intents}; unknowns that nobody has settled: {unsettled}"
    if unsettled:
        detail += "; see `courier ledger list`"
    return _finding("entries", State.WARNING if unsettled else State.OK, detail, **facts)
