"""How a campaign changes an inventory, and where the names led meanwhile."""

from pathlib import Path

from tests.campaign.arena import _with_timeouts
from tests.campaign.inventories import Tables, led_to, read, renamed, swapped, write
from tests.campaign.kinds import READ_TIMEOUTS, alias
from tests.campaign.schedules import Planned

TABLES: Tables = {
    "fac-1": {"url": "https://one", "read_timeout": 1.5, "verify_tls": True},
    "fac-2": {"url": "https://two", "password_file": '/run/"two"'},
}


def planned(kind: str, variant: str) -> Planned:
    return Planned(kind, 0.0, 1.0, variant, 0)


def test_an_inventory_is_written_as_it_is_read(tmp_path: Path) -> None:
    """Strings, numbers and truth values."""
    write(tmp_path / "appliances.toml", TABLES)
    assert TABLES == read(tmp_path / "appliances.toml")
    assert ["appliances.toml"] == [each.name for each in tmp_path.iterdir()]


def test_two_names_change_their_appliances() -> None:
    """Everything that belongs to an appliance goes with it; twice is as before."""
    once = swapped(TABLES, "fac-1", "fac-2")
    assert (TABLES["fac-2"], TABLES["fac-1"]) == (once["fac-1"], once["fac-2"])
    assert TABLES == swapped(once, "fac-1", "fac-2")


def test_a_renamed_appliance_has_its_other_name_only() -> None:
    """The same address: two names for one box, one after the other or at two couriers."""
    assert {alias("fac-1"): TABLES["fac-1"], "fac-2": TABLES["fac-2"]} == renamed(TABLES, "fac-1")


def test_where_a_name_led_follows_from_the_faults() -> None:
    """To both of two that were swapped; by its other name to the same appliance."""
    swap, rename = (
        planned("inventory-swapped", "fac-1 fac-2"),
        planned("inventory-renamed", "fac-1"),
    )
    assert {"fac-1", "fac-2"} == led_to("fac-1", swap) == led_to("fac-2", swap)
    assert {"fac-3"} == led_to("fac-3", swap)
    assert {"fac-1"} == led_to(alias("fac-1"), rename) == led_to("fac-1", rename)
    assert {"fac-1"} == led_to("fac-1", planned("broker-killed", ""))


def test_some_appliances_are_waited_for_longer_than_every_retry_delay() -> None:
    """Of each kind one, in every courier's inventory."""
    given = "".join(
        f'[appliances.{name}]\nurl = "https://{name}"\nread_timeout = 1.5\n\n'
        for name in READ_TIMEOUTS
    )
    changed = _with_timeouts(given)
    assert given.count("[appliances.") == changed.count("[appliances.")
    for name, seconds in READ_TIMEOUTS.items():
        (table,) = [each for each in changed.split("[appliances.") if each.startswith(f"{name}]")]
        assert f"read_timeout = {seconds}\n" in table
    assert {True, False} == {seconds > 2 for seconds in READ_TIMEOUTS.values()}
