"""Both adapters, made by `Inventory.load` from the simulator's own files, over real TLS sockets."""

from __future__ import annotations

import tomllib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from service.appliances.inventory import Inventory
from tests.appliances.pairs import KINDS, RecordingSimulator, Sms, Voice, inventory_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from structlog.typing import EventDict

    from tests.appliances.pairs import Load, Make, Pair


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[EventDict]]:
    """The event log, every level of it, whatever a test before this one configured."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured
    structlog.configure(**configured)


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[RecordingSimulator]:  # noqa: ARG001 - loopback
    async with RecordingSimulator() as running:
        yield running


@pytest.fixture
async def load(simulator: RecordingSimulator, tmp_path: Path) -> AsyncIterator[Load]:
    async with AsyncExitStack() as opened:

        def read(*, cooldown: float = 300.0, **keys: object) -> Inventory:
            path = simulator.write_files(tmp_path)
            if keys:
                tables = tomllib.loads(path.read_text("utf-8"))["appliances"]
                path.write_text(
                    inventory_text({name: tables[name] | keys for name in tables}), "utf-8"
                )
            inventory = Inventory.load(path, cooldown=cooldown)
            opened.push_async_callback(inventory.close)
            return inventory

        yield read


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str, simulator: RecordingSimulator, load: Load, tmp_path: Path) -> Make:
    def made(*, cooldown: float = 300.0, **keys: object) -> Pair:
        pair = KINDS[kind]
        secret = tmp_path / f"{pair.name}.password"
        return pair(simulator, load(cooldown=cooldown, **keys), secret)

    return made


@pytest.fixture
def pair(make: Make) -> Pair:
    return make()


@pytest.fixture
def sms(simulator: RecordingSimulator, load: Load, tmp_path: Path) -> Sms:
    return Sms(simulator, load(), tmp_path / "fac-1.password")


@pytest.fixture
def voice(simulator: RecordingSimulator, load: Load, tmp_path: Path) -> Voice:
    return Voice(simulator, load(), tmp_path / "fvc-1.password")
