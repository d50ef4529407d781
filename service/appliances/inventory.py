"""The appliances by name, ready to be asked; read from `appliances.toml`, and read again.

An appliance whose table has not changed keeps its session and its connections. One that changed or
went away serves the commands that have it already, and is closed when they are done.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from service.appliances.credentials import Rules
from service.appliances.entries import Known, read_inventory
from service.appliances.fortiauthenticator import FortiAuthenticator
from service.appliances.fortivoice import FortiVoice
from service.appliances.http import Http
from service.appliances.places import Places
from service.errors import Code, ConfigurationError, Refused
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

    from service.appliances.ports import Appliance
    from service.settings import Settings

WATCH_INTERVAL = 2.0
"""Seconds between two looks at the inventory file."""
DOUBT = 3.0
"""Seconds before new sessions that are refused at once mean that a permission is missing."""
_LONG = 2
"""Commands that may be at an appliance at once which stay for long."""
_KINDS: dict[str, type[FortiAuthenticator | FortiVoice]] = {
    "fortiauthenticator": FortiAuthenticator,
    "fortivoice": FortiVoice,
}


@dataclass(frozen=True)
class Limits:
    """What the courier allows itself at each appliance.

    Attributes:
        rules: how gently sessions are handled.
        breaker_failures: requests in a row without an answer before the breaker opens.
        share: commands that may be at one appliance at a time, at most: a quarter of the window.
    """

    rules: Rules
    breaker_failures: int
    share: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from the settings."""
        return cls(
            rules=Rules(
                cooldown=settings.credentials_cooldown,
                idle=settings.session_idle,
                logins=settings.login_budget,
                doubt=DOUBT,
            ),
            breaker_failures=settings.breaker_failures,
            share=max(1, settings.prefetch // 4),
        )


@dataclass(frozen=True, eq=False)
class _Station:
    """An appliance, those who are at it, and the table that describes it."""

    appliance: Appliance
    places: Places
    long: Places
    known: Known | None = None


class Inventory:
    """The appliances by name.

    Args:
        appliances: those that there are from the start.
        limits: what the courier allows itself at each.
        path: where the others stand; `load` reads them.
        http: how they are reached.
    """

    def __init__(
        self,
        appliances: Iterable[Appliance],
        limits: Limits,
        *,
        path: Path | None = None,
        http: type[Http] = Http,
    ) -> None:
        """Keep the parts; nothing is read yet."""
        self._stations = {each.name: _station(each, limits.share) for each in appliances}
        self._limits = limits
        self._path = path
        self._http = http
        # By address, whatever becomes of the tables: who writes in the old way and who comes later
        # take turns.
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._abilities: dict[tuple[type, type], bool] = {}
        self._loaded: bytes | None = None
        self._refusal = ""
        self._retiring: dict[_Station, asyncio.Task[None]] = {}

    @classmethod
    def load(cls, path: Path, limits: Limits, *, http: type[Http] = Http) -> Self:
        """Read the inventory.

        Raises:
            ConfigurationError: one line per mistake, with table and key.
        """
        inventory = cls([], limits, path=path, http=http)
        inventory._loaded = inventory._content()
        for name, known in read_inventory(path).items():
            inventory._stations[name] = inventory._built(name, known)
        return inventory

    def find(self, name: str) -> Appliance:
        """Give an appliance.

        Raises:
            Refused: `unknown-appliance`.
        """
        return self._station(name).appliance

    @asynccontextmanager
    async def visiting(
        self, name: str, port: type, *, long: bool = False
    ) -> AsyncIterator[Appliance]:
        """Be at an appliance that can do something; it stays open for as long.

        Args:
            name: of the appliance.
            port: what it must be able to do.
            long: for minutes, perhaps; only few may be there at once for as long as that.

        Raises:
            Refused: `unknown-appliance`, or `wrong-appliance-kind`: it cannot do that.
            Waiting: `busy`; it has its share of commands already.
        """
        station = self._station(name)
        if not self._can(station.appliance, port):
            raise Refused(
                Code.WRONG_APPLIANCE_KIND, f"{name} is of a kind that cannot run this command"
            )
        async with station.long.taken() if long else nullcontext(), station.places.taken():
            yield station.appliance

    def reload(self) -> None:
        """Read the file again; what has not changed there is left alone.

        A file that cannot be used is told in the event log, once, and changes nothing.
        """
        if self._path is None:
            return
        self._loaded = self._content()
        try:
            known = read_inventory(self._path)
        except ConfigurationError as error:
            if str(error) != self._refusal:
                log.error("inventory-refused", reason=str(error))
            self._refusal = str(error)
            return
        except Exception:  # noqa: BLE001  a bug here must not end the watch over the file
            log.exception("internal-error")
            return
        self._refusal = ""
        before, stations = self._stations, {}
        for name, table in known.items():
            station = before.get(name)
            if station is None or station.known != table:
                station = self._built(name, table)
            stations[name] = station
        self._stations = stations
        gone = [name for name, each in before.items() if self._stations.get(name) is not each]
        new = [name for name, each in self._stations.items() if before.get(name) is not each]
        for name in gone:
            self._retiring[before[name]] = asyncio.create_task(self._retire(before[name]))
        log.info(
            "inventory-reloaded",
            added=sorted(set(new) - set(gone)),
            changed=sorted(set(new) & set(gone)),
            removed=sorted(set(gone) - set(new)),
        )

    async def watch(self) -> None:
        """Read the file again whenever it has changed and lies still. Never returns."""
        seen = self._content()
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            before, seen = seen, self._content()
            # Whoever is still writing it is not interrupted by us.
            lies_still = seen is not None and seen == before
            # What was refused may be mended by a file that the inventory names.
            if lies_still and (seen != self._loaded or self._refusal):
                self.reload()

    def __iter__(self) -> Iterator[Appliance]:
        return iter([station.appliance for station in self._stations.values()])

    async def close(self) -> None:
        """Close every session."""
        for task in self._retiring.values():
            task.cancel()
        stations = [*self._stations.values(), *self._retiring]
        await asyncio.gather(*(each.appliance.close("stopping") for each in stations))

    async def _retire(self, station: _Station) -> None:
        """Close an appliance when no command uses it or waits for a permit, streams included."""
        await station.long.empty()
        await station.places.empty()
        await station.appliance.close("removed")
        del self._retiring[station]

    def _station(self, name: str) -> _Station:
        try:
            return self._stations[name]
        except KeyError:
            raise Refused(
                Code.UNKNOWN_APPLIANCE, f"the inventory has no appliance {name}"
            ) from None

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes() if self._path else None
        except OSError:
            return None

    def _can(self, appliance: Appliance, port: type) -> bool:
        """Tell what an appliance can do; a kind is looked through once, since that takes long."""
        ability = (type(appliance), port)
        if ability not in self._abilities:
            self._abilities[ability] = isinstance(appliance, port)
        return self._abilities[ability]

    def _built(self, name: str, known: Known) -> _Station:
        entry = known.entry
        if entry.url.startswith("http:"):
            log.warning("appliance-insecure", appliance=name, reason="url is http")
        elif not entry.verify_tls:
            log.warning("appliance-insecure", appliance=name, reason="verify_tls is false")
        http = self._http(
            name,
            entry.url,
            tls=known.tls,
            concurrency=entry.max_concurrency,
            connect_timeout=entry.connect_timeout,
            read_timeout=entry.read_timeout,
            breaker_failures=self._limits.breaker_failures,
            writing=self._writing[entry.url],
        )
        appliance = _KINDS[entry.kind](
            http, username=entry.username, secret=known.secret, rules=self._limits.rules
        )
        # One that hangs takes a tenth of the window from the others, unless it can use more.
        most = self._limits.share
        share = min(most, max(entry.max_concurrency + 1, most * 2 // 5))
        return _station(appliance, share, known)


def _station(appliance: Appliance, share: int, known: Known | None = None) -> _Station:
    name = appliance.name
    return _Station(appliance, Places(name, share), Places(name, _LONG), known)
