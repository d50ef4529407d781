"""Both adapters, made by `Inventory.load` from the simulator's own files, over real TLS sockets."""

from __future__ import annotations

import gc
import tomllib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from service.appliances.inventory import Inventory, Limits
from service.errors import CourierError
from service.simulator import Simulator
from tests.appliances.pairs import (
    CONTENT,
    KINDS,
    LICENSE,
    LIMITS,
    RecordingSimulator,
    Sms,
    Voice,
    inventory_text,
)
from tests.support.canaries import Canaries, Told, keeping, shown_by_errors, shown_by_objects
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
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


ALIVE = pytest.StashKey[list[Told]]()


@pytest.fixture(scope="module", autouse=True)
def _few_objects() -> Iterator[None]:
    """Put aside what there is before the tests: a look at all of it takes 20 ms each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Look at the service's objects when the test is over and its fixtures are not."""
    yield
    item.stash[ALIVE] = shown_by_objects()


@pytest.fixture(autouse=True)
def canaries(request: pytest.FixtureRequest, lines: list[EventDict]) -> Iterator[Canaries]:
    """Hold what was told in every test against the secrets that there were in it.

    Told: each line of the event log before it is redacted, each error of ours that was made, each
    object that was alive at the end (`tests.support.canaries` says what is not seen of them). What
    libraries log is the process's business: `tests/system` looks at that.
    """
    known = Canaries()
    known.add("a licence", LICENSE)
    known.add_file(CONTENT)
    with keeping(CourierError) as made:
        yield known
        simulator = getattr(request.node, "funcargs", {}).get("simulator")
        if isinstance(simulator, Simulator):
            for appliance in simulator.appliances.values():
                for secret in (*appliance.secrets, *appliance.books.posts):
                    known.add(f"a secret of {appliance.name}", secret)
        told = [(f"the line {line.get('event')}", repr(line)) for line in lines]
        told += [*shown_by_errors(made), *request.node.stash.get(ALIVE, [])]
        made.clear()
    known.check(told)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that the test can put forward; it is named first in a test (see `Clock`)."""
    return Clock.put_up(monkeypatch)


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[RecordingSimulator]:  # noqa: ARG001 - loopback
    async with RecordingSimulator() as running:
        yield running


@pytest.fixture
async def load(simulator: RecordingSimulator, tmp_path: Path) -> AsyncIterator[Load]:
    async with AsyncExitStack() as opened:

        def read(limits: Limits = LIMITS, *, only: str = "", **keys: object) -> Inventory:
            path = simulator.write_files(tmp_path)
            if keys:
                tables = tomllib.loads(path.read_text("utf-8"))["appliances"]
                tables[only] |= keys
                path.write_text(inventory_text(tables), "utf-8")
            inventory = Inventory.load(path, limits)
            opened.push_async_callback(inventory.close)
            return inventory

        yield read


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str, simulator: RecordingSimulator, load: Load, tmp_path: Path) -> Make:
    def made(limits: Limits = LIMITS, **keys: object) -> Pair:
        pair = KINDS[kind]
        secret = tmp_path / f"{pair.name}.password"
        return pair(simulator, load(limits, only=pair.name, **keys), secret)

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
