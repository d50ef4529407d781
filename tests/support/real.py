"""Tests against a real appliance: which of them fit it, and that it may be reached."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

_FIXTURE_OF = {"fortiauthenticator": "sms", "fortivoice": "voice"}


@dataclass(frozen=True)
class Real:
    """The appliance that the command line names.

    Attributes:
        fixture: what the tests for its kind ask for.
        may_write: whether tests that write are meant as well.
    """

    fixture: str
    may_write: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Self | None:
        """Read the command line."""
        name, inventory = config.getoption("--appliance"), config.getoption("--inventory")
        if name is None and inventory is None:
            return None
        if name is None or inventory is None:
            raise pytest.UsageError("--appliance and --inventory belong together")
        tables = tomllib.loads(Path(inventory).read_text("utf-8"))["appliances"]
        if name not in tables:
            raise pytest.UsageError(f"{inventory} has no appliance {name}")
        return cls(_FIXTURE_OF[tables[name]["kind"]], config.getoption("--write") is not None)

    def fits(self, item: pytest.Item) -> bool:
        """Tell whether a test is for it, and let that one have the network."""
        asked = getattr(item, "fixturenames", ())
        is_for_it = item.path.name == "test_conformance.py" and self.fixture in asked
        item.add_marker(pytest.mark.enable_socket)
        return is_for_it and (self.may_write or item.get_closest_marker("writes") is None)
