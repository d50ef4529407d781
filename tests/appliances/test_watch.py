"""The inventory's file is looked at now and then: who changes it need not send a signal."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import PosixPath
from typing import TYPE_CHECKING

import pytest

from service.appliances import inventory as module
from service.appliances.inventory import Inventory
from tests.appliances.pairs import LIMITS, inventory_text
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from structlog.typing import EventDict


class File(PosixPath):
    """The file. It counts the looks at it, and as long as it is told to, it changes with each."""

    looks = 0
    still_writing = False

    def read_bytes(self) -> bytes:
        self.looks += 1
        if self.still_writing:
            self.write_text(self.read_text("utf-8") + "# more to come\n", "utf-8")
        return super().read_bytes()

    async def seen(self) -> None:
        """Wait until it was looked at often enough for anything to be noticed."""
        looks = self.looks
        await until(lambda: self.looks >= looks + 5)

    def describe(self, *names: str) -> None:
        """Write tables of these names."""
        table = {
            "kind": "fortivoice",
            "username": "admin",
            "password_file": str(self.parent / "password"),
        }
        tables = {name: table | {"url": f"https://{name[-1]}.example.net"} for name in names}
        self.write_text(inventory_text(tables), "utf-8")


@pytest.fixture
def file(tmp_path: Path) -> File:
    (tmp_path / "password").write_text("x", "utf-8")
    file = File(tmp_path / "appliances.toml")
    file.describe("fvc-1")
    return file


@asynccontextmanager
async def watching(inventory: Inventory) -> AsyncIterator[None]:
    task = asyncio.create_task(inventory.watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await inventory.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_INTERVAL", 0.005)


@pytest.fixture
async def inventory(file: File) -> AsyncIterator[Inventory]:
    """What was read from the file, which is watched."""
    inventory = Inventory.load(file, LIMITS)
    async with watching(inventory):
        await file.seen()
        yield inventory


def told(lines: list[EventDict]) -> list[tuple[str, object]]:
    """What was told of reading the file again: the slug, and what was added."""
    found = [line for line in lines if line["event"].startswith("inventory-")]
    return [(line["event"], line.get("added")) for line in found]


ADDED = ("inventory-reloaded", ["fvc-2"])
REFUSED = ("inventory-refused", None)


@pytest.mark.usefixtures("inventory")
async def test_a_file_that_says_the_same_is_not_read_again(
    file: File, lines: list[EventDict]
) -> None:
    """Whether somebody has touched it or written it anew."""
    file.describe("fvc-1")
    await file.seen()

    assert [] == told(lines)


async def test_a_file_that_has_changed_is_read_again_once(
    inventory: Inventory, file: File, lines: list[EventDict]
) -> None:
    """Nobody need send a signal."""
    file.describe("fvc-1", "fvc-2")
    await until(lambda: told(lines))
    await file.seen()

    assert [ADDED] == told(lines)
    assert ["fvc-1", "fvc-2"] == [each.name for each in inventory]


@pytest.mark.usefixtures("inventory")
async def test_a_mistake_is_told_once(file: File, lines: list[EventDict]) -> None:
    """Until somebody corrects it; then the file is read again."""
    file.describe("fvc 1")
    await until(lambda: told(lines))
    await file.seen()
    assert [REFUSED] == told(lines)

    file.describe("fvc-1", "fvc-2")
    await until(lambda: told(lines)[1:])
    assert [REFUSED, ADDED] == told(lines)


@pytest.mark.usefixtures("inventory")
async def test_a_file_that_is_being_written_is_left_alone(
    file: File, lines: list[EventDict]
) -> None:
    """It is read when two looks in a row have found it the same."""
    file.still_writing = True
    file.describe("fvc-1", "fvc-2")
    await file.seen()
    assert [] == told(lines)

    file.still_writing = False
    await until(lambda: told(lines))
    assert [ADDED] == told(lines)


async def test_a_file_that_is_missing_for_a_while_changes_nothing(
    inventory: Inventory, file: File, lines: list[EventDict]
) -> None:
    """Some programs delete a file before they write it anew."""
    file.unlink()
    await file.seen()
    file.describe("fvc-1")
    await file.seen()

    assert [] == told(lines)
    assert ["fvc-1"] == [each.name for each in inventory]


async def test_a_change_before_it_was_watched_is_noticed(
    file: File, lines: list[EventDict]
) -> None:
    """Between reading it and watching it the service may have waited long for its broker."""
    inventory = Inventory.load(file, LIMITS)
    file.describe("fvc-1", "fvc-2")
    async with watching(inventory):
        await file.seen()

    assert [ADDED] == told(lines)


async def test_what_was_read_again_by_a_signal_is_not_read_once_more(
    inventory: Inventory, file: File, lines: list[EventDict]
) -> None:
    """Who changes the file and sends the signal as well is told once, also of a mistake."""
    file.describe("fvc-1", "fvc-2")
    inventory.reload()
    await file.seen()
    file.describe("fvc 1")
    inventory.reload()
    await file.seen()

    assert [ADDED, REFUSED] == told(lines)
