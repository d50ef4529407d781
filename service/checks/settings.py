"""Looks at the settings: what each is, who said so, and what is set that is no setting."""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import SecretStr
from yarl import URL

from service.checks import Finding, State
from service.errors import ConfigurationError
from service.settings import PREFIX, Settings, Source
from service.telemetry.traces import switched

if TYPE_CHECKING:
    from pathlib import Path

_HIDDEN = "***"


def look() -> tuple[Settings | None, list[Finding]]:
    """Read the settings; None if they cannot be used, with one finding per mistake."""
    try:
        given = Settings.given()
        settings = Settings.load()
    except ConfigurationError as error:
        return None, [*_mistakes(error), *_unknown(_given(), set())]
    found = [_setting(settings, name, given) for name in Settings.model_fields]
    return settings, [*found, *_unknown(given, _password_names(settings)), _traces()]


def bare(address: str) -> str:
    """Show an address without credentials and options."""
    if address.startswith("sqlite:"):
        return address  # a file's name
    try:
        return str(URL(address.strip()).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return _HIDDEN


def _mistakes(error: ConfigurationError) -> list[Finding]:
    lines = [line.partition(": ") for line in str(error).splitlines()]
    return [Finding("settings", name, State.FAILED, why) for name, _, why in lines]


def _given() -> dict[str, Source]:
    try:
        return Settings.given()
    except ConfigurationError:
        return {}


def _setting(settings: Settings, name: str, given: dict[str, Source]) -> Finding:
    variable = PREFIX + name.upper()
    source = given.get(variable, Source.DEFAULT)
    value: object = getattr(settings, name)
    shown = _shown(value)
    facts = {"value": shown, "source": source.value}
    detail = f"{'not set' if shown is None else shown} ({source})"
    # What is wrong with the inventory is told with the appliances.
    if name.endswith("_file") and name != "appliances_file" and value is not None:
        trouble = _unreadable(getattr(settings, name))
        if trouble:
            why = f"{detail}: cannot be read: {trouble}"
            return Finding("settings", variable, State.FAILED, why, {**facts})
        detail += ", can be read"
    return Finding("settings", variable, State.OK, detail, {**facts})


def _shown(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return ",".join(bare(each) for each in value.get_secret_value().split(","))
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror
    return None


def _password_names(settings: Settings) -> set[str]:
    """List the variables that the inventory reads passwords from: they may have our prefix."""
    try:
        tables = tomllib.loads(settings.appliances_file.read_text("utf-8"))["appliances"].values()
        return {str(table.get("password_env")).upper() for table in tables}
    except (OSError, ValueError, LookupError, AttributeError):
        return set()


def _unknown(given: dict[str, Source], others: set[str]) -> list[Finding]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    found = []
    for name in sorted(set(given) - set(known) - others):
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]}?" if near else ""
        facts = {"source": given[name].value, "nearest": near[0] if near else None}
        why = f"is no setting ({given[name]}){hint}"
        found.append(Finding("settings", name, State.WARNING, why, {**facts}))
    return found


def _traces() -> Finding:
    """Tell what switches traces on or off: by name only, since a value may hold a key."""
    are_on, by = switched(os.environ)
    detail = f"{'on' if are_on else 'off'}{', by ' if by else ''}{' and '.join(by)}"
    return Finding("settings", "traces", State.OK, detail, {"on": are_on, "by": [*by]})
