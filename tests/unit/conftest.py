"""What more than one file needs: a ledger, and appliances that remember."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.ledger.sqlite import SqliteLedger
from tests.unit.fakes import FakeFac, FakeFvc


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    """A new ledger, in a file as it is in production."""
    ledger = await SqliteLedger.open(tmp_path / "courier.db")
    yield ledger
    await ledger.close()


@pytest.fixture
def fac() -> FakeFac:
    return FakeFac()


@pytest.fixture
def fvc() -> FakeFvc:
    return FakeFvc()
