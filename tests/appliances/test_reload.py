"""The inventory is read again: what has not changed is left alone, what went away ends well."""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from service.appliances.ports import DeviceInventory, NotSent, VoiceLicensing
from service.errors import Code, Refused
from tests.appliances.pairs import KINDS, Sms, Voice, inventory_text
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import EventDict

    from service.appliances.inventory import Inventory
    from tests.appliances.pairs import Load, RecordingSimulator

Tables = dict[str, dict[str, Any]]


class Reloaded:
    """An inventory, the file that it is read from, and the appliances in it."""

    def __init__(self, simulator: RecordingSimulator, inventory: Inventory, file: Path) -> None:
        self.simulator = simulator
        self.inventory = inventory
        self.file = file

    @property
    def tables(self) -> Tables:
        """What stands in the file."""
        found: Tables = tomllib.loads(self.file.read_text("utf-8"))["appliances"]
        return found

    def write(self, tables: Tables) -> None:
        """Write the file anew."""
        self.file.write_text(inventory_text(tables), "utf-8")

    def change(self, name: str, keys: dict[str, object]) -> None:
        """Change some keys of a table, and read the file again."""
        self.write(self.tables | {name: self.tables[name] | keys})
        self.inventory.reload()

    def add(self, name: str, like: str) -> None:
        """Add a table for the same appliance by another address, and read the file again."""
        url = self.tables[like]["url"].replace("127.0.0.1", "localhost")
        self.write(self.tables | {name: self.tables[like] | {"url": url}})
        self.inventory.reload()

    def remove(self, name: str) -> None:
        """Take a table away, and read the file again."""
        self.write({key: table for key, table in self.tables.items() if key != name})
        self.inventory.reload()

    def pair(self, kind: str) -> Sms | Voice:
        """The appliance of a kind as the inventory has it now."""
        secret = self.file.parent / f"{KINDS[kind].name}.password"
        return KINDS[kind](self.simulator, self.inventory, secret)

    @property
    def voice(self) -> Sms | Voice:
        """The phone system as the inventory has it now."""
        return self.pair("fortivoice")

    @property
    def goodbyes(self) -> int:
        """How many sessions were logged out of at the phone system."""
        return self.simulator.fortivoice().books.sessions_ended["logout"]


@pytest.fixture
def reloaded(simulator: RecordingSimulator, load: Load, tmp_path: Path) -> Reloaded:
    simulator.fortivoice().logout_path = "/api/v1/VoiceadminLogout"
    return Reloaded(simulator, load(), tmp_path / "appliances.toml")


def told(lines: list[EventDict]) -> list[EventDict]:
    """The lines about reading the file again."""
    return [line for line in lines if line["event"].startswith("inventory-")]


def news(*, added: str = "", changed: str = "", removed: str = "") -> EventDict:
    """The line about a file that was read again."""
    return {
        "event": "inventory-reloaded",
        "log_level": "info",
        "added": added.split(),
        "changed": changed.split(),
        "removed": removed.split(),
    }


async def test_what_has_not_changed_keeps_its_session(
    reloaded: Reloaded, kind: str, lines: list[EventDict]
) -> None:
    """The appliance is not logged into again, whatever happens to the others."""
    pair = reloaded.pair(kind)
    await pair.read()

    reloaded.add("fvc-2", like="fvc-1")
    reloaded.remove("fvc-2")
    reloaded.write(dict(reversed(reloaded.tables.items())))
    reloaded.inventory.reload()

    assert pair.adapter is reloaded.inventory.find(pair.name)
    await pair.read()
    assert 1 == pair.logins(reads=2)
    assert [news(added="fvc-2"), news(removed="fvc-2"), news()] == told(lines)


async def test_what_is_said_in_other_words_has_not_changed(reloaded: Reloaded) -> None:
    """A default that is written out, or a slash at the end of the address, changes nothing."""
    before = reloaded.inventory.find("fvc-1")
    url = reloaded.tables["fvc-1"]["url"]

    reloaded.change("fvc-1", {"url": f"{url}/", "verify_tls": True, "max_concurrency": 4})

    assert before is reloaded.inventory.find("fvc-1")


async def test_a_rotated_password_is_no_change(reloaded: Reloaded, kind: str) -> None:
    """It is read at every login, and the session that there is outlives it."""
    pair = reloaded.pair(kind)
    pair.set_secret("another")

    reloaded.inventory.reload()

    assert pair.adapter is reloaded.inventory.find(pair.name)


async def test_an_added_appliance_can_be_used_at_once(reloaded: Reloaded) -> None:
    """Without a restart, and in a session of its own."""
    await reloaded.voice.read()

    reloaded.add("fvc-2", like="fvc-1")
    async with reloaded.inventory.visiting("fvc-2", VoiceLicensing) as added:
        await added.check()

    assert 2 == reloaded.simulator.fortivoice().books.logins
    assert ["fac-1", "fvc-1", "fvc-2"] == [each.name for each in reloaded.inventory]


async def test_a_removed_appliance_is_unknown(reloaded: Reloaded) -> None:
    """Commands for it are refused, and its session is closed."""
    await reloaded.voice.read()

    reloaded.remove("fvc-1")

    with pytest.raises(Refused) as caught:
        async with reloaded.inventory.visiting("fvc-1", VoiceLicensing):
            pass
    assert Code.UNKNOWN_APPLIANCE is caught.value.code
    assert ["fac-1"] == [each.name for each in reloaded.inventory]
    await until(lambda: reloaded.goodbyes == 1)


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "https://127.0.0.1:9"},
        {"username": "other"},
        {"password_file": None, "password_env": "FVC_PASSWORD"},
        {"ca_file": None},
        {"ca_file": None, "verify_tls": False},
        {"max_concurrency": 3},
        {"connect_timeout": 1.0},
        {"read_timeout": 1.0},
        {"kind": "fortiauthenticator"},
    ],
    ids=lambda keys: next(reversed(keys)),
)
async def test_every_key_that_changes_makes_a_new_appliance(
    reloaded: Reloaded,
    keys: dict[str, object],
    lines: list[EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old one logs out; the other appliances are left alone."""
    monkeypatch.setenv("FVC_PASSWORD", "x")
    before, untouched = reloaded.inventory.find("fvc-1"), reloaded.inventory.find("fac-1")
    await reloaded.voice.read()

    reloaded.change("fvc-1", keys)

    assert before is not reloaded.inventory.find("fvc-1")
    assert untouched is reloaded.inventory.find("fac-1")
    await until(lambda: reloaded.goodbyes == 1)
    assert [news(changed="fvc-1")] == told(lines)
    closed = [line for line in lines if line["event"] == "session-closed"]
    assert [("fvc-1", "removed")] == [(line["appliance"], line["reason"]) for line in closed]


async def test_another_certificate_in_the_same_ca_file_is_a_change(reloaded: Reloaded) -> None:
    """It is read when the appliance is made; a renewed authority needs no restart."""
    ca_file = reloaded.file.parent / "ca.pem"
    right = ca_file.read_bytes()
    await reloaded.voice.read()

    trustme.CA().cert_pem.write_to_path(ca_file)
    reloaded.inventory.reload()
    with pytest.raises(NotSent, match=r"fvc-1 .*certificate"):
        await reloaded.voice.read()

    ca_file.write_bytes(right)
    reloaded.inventory.reload()
    await reloaded.voice.read()


@pytest.mark.parametrize("end", ["change", "remove"])
async def test_who_is_at_an_appliance_may_finish(reloaded: Reloaded, end: str) -> None:
    """It is logged out of when the last command has left it, and not before."""
    before = reloaded.voice
    async with AsyncExitStack() as last:
        await last.enter_async_context(reloaded.inventory.visiting("fvc-1", VoiceLicensing))
        async with reloaded.inventory.visiting("fvc-1", VoiceLicensing):
            await before.read()
            reloaded.remove("fvc-1") if end == "remove" else reloaded.change(
                "fvc-1", {"read_timeout": 7}
            )
            await before.write()
        for _ in range(3):
            await before.read()
        assert 0 == reloaded.goodbyes
    await until(lambda: reloaded.goodbyes == 1)
    assert (1, 1) == (before.written(), before.simulated.books.logins)


async def test_who_waits_to_stay_for_long_may_finish(reloaded: Reloaded) -> None:
    """A stream that waits for others, on the appliance as it was, still finds it open."""
    before, found = reloaded.voice, asyncio.Event()

    async def stream() -> None:
        async with reloaded.inventory.visiting("fvc-1", DeviceInventory, long=True):
            found.set()
            await asyncio.sleep(0)
            assert 0 == reloaded.goodbyes
            await before.read()

    async with AsyncExitStack() as others:
        for _ in range(2):
            await others.enter_async_context(
                reloaded.inventory.visiting("fvc-1", DeviceInventory, long=True)
            )
        await before.read()
        third = asyncio.create_task(stream())
        await asyncio.sleep(0)
        reloaded.change("fvc-1", {"read_timeout": 7})
        assert not found.is_set()
    await third
    await until(lambda: reloaded.goodbyes == 1)


async def test_writers_take_turns_across_a_change(reloaded: Reloaded, kind: str) -> None:
    """Who writes on the appliance as it was keeps those out who find it as it is."""
    before = reloaded.pair(kind)
    turns = []

    async def write() -> None:
        async with reloaded.inventory.visiting(before.name, object) as after, after.writing():
            turns.append("the next one")

    async with reloaded.inventory.visiting(before.name, object), before.adapter.writing():
        reloaded.change(before.name, {"read_timeout": 7})
        writing = asyncio.create_task(write())
        await before.write()
        turns.append("the first one")
    await writing

    assert ["the first one", "the next one"] == turns


MISTAKES: list[tuple[str, Callable[[Reloaded], object]]] = [
    ("is not TOML", lambda it: it.file.write_text("[appliances")),
    ("cannot be read", lambda it: it.file.unlink()),
    ("[appliances.fvc-1] usernam", lambda it: it.write(_with(it, {"usernam": "x"}))),
    ("[appliances.fvc-1] password_file", lambda it: it.write(_with(it, {"password_file": "/no"}))),
    ("[appliances.fvc-1] ca_file", lambda it: (it.file.parent / "ca.pem").write_text("none")),
    ("[appliances]", lambda it: it.file.write_text("")),
]


def _with(it: Reloaded, keys: dict[str, object]) -> Tables:
    return it.tables | {"fvc-1": it.tables["fvc-1"] | keys, "fvc-2": it.tables["fvc-1"]}


@pytest.mark.parametrize(("said", "spoil"), MISTAKES, ids=[said for said, _ in MISTAKES])
async def test_a_mistake_changes_nothing(
    reloaded: Reloaded, said: str, spoil: Callable[[Reloaded], object], lines: list[EventDict]
) -> None:
    """Not even for the tables without one; it is told once, and what was in force stays so."""
    await reloaded.voice.read()
    before = list(reloaded.inventory)

    spoil(reloaded)
    reloaded.inventory.reload()

    assert before == list(reloaded.inventory)
    await reloaded.voice.read()
    assert (1, 0) == (reloaded.voice.simulated.books.logins, reloaded.goodbyes)
    (line,) = told(lines)
    assert ("inventory-refused", "error") == (line["event"], line["log_level"])
    assert said in line["reason"]


async def test_closing_closes_those_that_are_leaving_too(
    reloaded: Reloaded, lines: list[EventDict]
) -> None:
    """At the end nobody is waited for any more: both sessions are logged out of."""
    async with reloaded.inventory.visiting("fvc-1", VoiceLicensing):
        await reloaded.voice.read()
        reloaded.change("fvc-1", {"read_timeout": 7})
        await reloaded.voice.read()

        await reloaded.inventory.close()

        assert 2 == reloaded.goodbyes
    closed = [line["reason"] for line in lines if line["event"] == "session-closed"]
    assert ["stopping", "stopping"] == closed
