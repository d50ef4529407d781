"""Opens the ledger that the settings name: the one place that knows every kind of storage."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import ConfigurationError
from service.ledger.postgres import PostgresLedger
from service.ledger.postgres_care import PostgresCare
from service.ledger.sqlite import SqliteLedger
from service.ledger.sqlite_care import SqliteCare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.ledger import Care, Ledger
    from service.settings import Postgres


async def open_ledger(place: Path | Postgres) -> Ledger:
    """Open the ledger for the service; a new one is made where there is none.

    A database that does not answer is waited for.

    Raises:
        ConfigurationError: it cannot be used as it is named.
    """
    if isinstance(place, Path):
        return await SqliteLedger.open(place)
    return await PostgresLedger.open(place)


@contextmanager
def opened(place: Path | Postgres, *, read_only: bool = True) -> Iterator[Care]:
    """Open it for a person, for a moment, whether the service runs or not.

    Raises:
        ConfigurationError: there is none, it was written by a newer or an older courier, or it
            cannot be used.
    """
    with if_there(place, read_only=read_only) as care:
        if care is None:
            raise ConfigurationError(
                f"COURIER_LEDGER_URL: there is no ledger to be seen at {place}"
            )
        yield care


@contextmanager
def if_there(place: Path | Postgres, *, read_only: bool = True) -> Iterator[Care | None]:
    """Open it as `opened` does; None where there is no ledger yet.

    Raises:
        ConfigurationError: as for `opened`, but for a ledger that is not there.
    """
    if isinstance(place, Path):
        with SqliteCare.if_there(place, read_only=read_only) as in_file:
            yield in_file
    else:
        with PostgresCare.if_there(place, read_only=read_only) as in_database:
            yield in_database
