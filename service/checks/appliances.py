"""Looks at the appliances: one login at each, its certificate, its clock, what it says it is."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from yarl import URL

from service.appliances.entries import read_inventory
from service.appliances.inventory import Inventory, Limits
from service.appliances.ports import VoiceLicensing
from service.checks import Finding, State
from service.errors import CommandError, ConfigurationError

if TYPE_CHECKING:
    from service.appliances.entries import Entry
    from service.appliances.http import Http
    from service.appliances.ports import Appliance
    from service.messages.wire import Json
    from service.settings import Settings

AT_ONCE = 4
"""Appliances that are looked at at a time."""
TOLERANCE = 5.0
"""Seconds between two clocks from which on somebody is misled by times and logs."""
SOON = 30
"""Days before a certificate's end from which on it is told."""
_DAY = 86400.0


@runtime_checkable
class _Reached(Protocol):
    """An appliance that is reached over HTTP, as both kinds are."""

    http: Http


async def look(settings: Settings) -> list[Finding]:
    """Log into every appliance once; those that refuse it are not asked twice either."""
    try:
        entries = read_inventory(settings.appliances_file)
        inventory = Inventory.load(settings.appliances_file, Limits.of(settings))
    except ConfigurationError as error:
        return [Finding("appliances", "inventory", State.FAILED, str(error))]
    if not entries:
        why = f"{settings.appliances_file} names no appliance"
        return [Finding("appliances", "inventory", State.WARNING, why)]
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(appliance: Appliance) -> Finding:
        async with turns:
            return await _appliance(appliance, entries[appliance.name].entry)

    try:
        return list(await asyncio.gather(*(one(each) for each in inventory)))
    finally:
        await inventory.close()


async def _appliance(appliance: Appliance, entry: Entry) -> Finding:
    facts: dict[str, Json] = {"kind": entry.kind, "login": "failed"}
    warnings = _insecure(entry)
    try:
        await appliance.check()
        if isinstance(appliance, VoiceLicensing):
            facts |= (await appliance.identity()).model_dump()
    except CommandError as error:
        detail = "; ".join([error.message, *warnings])
        return Finding("appliances", appliance.name, State.FAILED, detail, facts)
    facts["login"] = "works"
    told = ["login works", *_named(facts)]
    if entry.url.startswith("https:"):
        days = await _certificate(entry, facts)
        if days is not None and days < SOON:
            warnings.append(f"its certificate ends in {days} days")
        told += [str(facts["tls"])] if facts["tls"] else []
        told += [f"certificate good for {days} days"] if days is not None else []
    skew = appliance.http.clock_skew if isinstance(appliance, _Reached) else None
    facts["clock_skew_seconds"] = None if skew is None else round(skew, 1)
    if skew is None:
        told.append("clock not told")
    elif abs(skew) >= TOLERANCE:
        warnings.append(f"its clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}")
    else:
        told.append("clock right")
    state = State.WARNING if warnings else State.OK
    return Finding("appliances", appliance.name, state, "; ".join([*warnings, *told]), facts)


def _insecure(entry: Entry) -> list[str]:
    if entry.url.startswith("http:"):
        return ["url is http: whoever listens can read its password"]
    return [] if entry.verify_tls else ["verify_tls is false: anybody can pretend to be it"]


def _named(facts: dict[str, Json]) -> list[str]:
    words = [str(facts[name]) for name in ("model", "serial", "version") if facts.get(name)]
    return [" ".join(words)] if words else []


async def _certificate(entry: Entry, facts: dict[str, Json]) -> int | None:
    """Shake hands once more, without a request; give the days that the certificate has left.

    None where it is not verified: Python then tells nothing of it.
    """
    facts |= {"tls": None, "certificate_days": None}
    url = URL(entry.url)
    try:
        async with asyncio.timeout(entry.connect_timeout):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=entry.tls())
    except (OSError, TimeoutError):
        return None  # the login just worked; nobody minds
    told = writer.get_extra_info("ssl_object")
    writer.close()
    facts["tls"] = told.version()
    end = (told.getpeercert() or {}).get("notAfter")
    if end is None:
        return None
    days = int((ssl.cert_time_to_seconds(end) - time.time()) // _DAY)
    facts["certificate_days"] = days
    return days
