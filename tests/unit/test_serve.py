"""The service's start, up to where it needs a broker."""

import errno
import os
from pathlib import Path

import pytest

from service.app import Parts, serve
from service.errors import ConfigurationError
from service.ledger import Ledger
from service.settings import Postgres, Settings


async def unwritable(place: Path | Postgres) -> Ledger:
    """Open a ledger in a place where nothing can be written."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


async def test_a_file_that_is_not_as_it_must_be_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and not waited for as a broker is that may come back."""
    inventory = tmp_path / "appliances.toml"
    inventory.write_text("[appliances]\n", "utf-8")
    monkeypatch.setenv("COURIER_BROKER_URL", "amqp://127.0.0.1")
    monkeypatch.setenv("COURIER_APPLIANCES_FILE", str(inventory))
    monkeypatch.setenv("COURIER_LEDGER_URL", f"sqlite:///{tmp_path}/courier.db")
    with pytest.raises(ConfigurationError) as caught:
        await serve(Settings.load(), Parts(ledger=unwritable))
    assert f"{tmp_path}/courier.db: Permission denied" == str(caught.value)
