"""What more than one file needs: a ledger, and appliances that remember."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog

from service.appliances.session import Session
from service.ledger.sqlite import SqliteLedger
from service.telemetry import configure
from tests.support.clock import Clock
from tests.unit.device import FakeDevice, FakeSecret, open_to
from tests.unit.fakes import FakeFac, FakeFvc, Open


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that the test can put forward; it is named first in a test (see `Clock`)."""
    return Clock.put_up(monkeypatch)


@pytest.fixture(autouse=True)
def _event_log() -> Iterator[None]:
    """Have the log as the service writes it, all levels: `tests/conftest.py` looks through it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(log_format="json", level="DEBUG")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of `reopen` is, and that of `sqlite`."""
    return tmp_path / "courier.db"


@pytest.fixture
async def reopen(path: Path) -> AsyncIterator[Open]:
    """Open the file, as often as it is wanted; whatever a test leaves open is closed after it."""
    async with AsyncExitStack() as opened:

        async def made() -> SqliteLedger:
            ledger = await SqliteLedger.open(path)
            opened.push_async_callback(ledger.close)
            return ledger

        yield made


@pytest.fixture
async def sqlite(reopen: Open) -> SqliteLedger:
    """A new ledger, in a file as it is in production."""
    return await reopen()


@pytest.fixture
def fac() -> FakeFac:
    return FakeFac()


@pytest.fixture
def fvc() -> FakeFvc:
    return FakeFvc()


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def secret() -> FakeSecret:
    return FakeSecret()


@pytest.fixture
def session(device: FakeDevice, secret: FakeSecret) -> Session[str]:
    return open_to(device, secret)
