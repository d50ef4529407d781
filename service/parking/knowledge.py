"""What the ledger knows of one command, read while the service runs or does not."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.ledger import Told
from service.ledger.schema import connect, explained, version_of
from service.messages.wire import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_FIND = """
SELECT digest, concluded_at, conclusion, data FROM commands WHERE source = ? AND id = ?
"""


@dataclass(frozen=True)
class Remembered:
    """A command in the ledger.

    Attributes:
        digest: of its type and data.
        told: its end; None while its write is announced and not settled.
    """

    digest: str
    told: Told | None


class Knowledge:
    """A ledger that is only read.

    Attributes:
        created_at: since when it is kept; None when there is none.
    """

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        """Use `opened`."""
        self._connection = connection
        self.created_at: datetime | None = None
        if connection is not None:
            (created_at,) = connection.execute("SELECT created_at FROM about").fetchone()
            self.created_at = parse_instant(created_at)

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Knowledge]:
        """Open the file for a moment; where there is none, nothing is known.

        Raises:
            ConfigurationError: it was written by a newer courier, or cannot be read.
        """
        if not path.exists():
            yield cls(None)
            return
        try:
            with closing(connect(path, read_only=True)) as connection:
                # What the service has made but not filled yet knows nothing either.
                yield cls(connection if version_of(connection, path) else None)
        except sqlite3.Error as error:
            raise explained(path, error) from None

    def find(self, key: tuple[str, str]) -> Remembered | None:
        """Look a command up by source and id."""
        if self._connection is None:
            return None
        row = self._connection.execute(_FIND, key).fetchone()
        if row is None:
            return None
        digest, concluded_at, conclusion, data = row
        told = Told(conclusion, data, parse_instant(concluded_at)) if concluded_at else None
        return Remembered(digest, told)
