"""No time-out is shorter than what it guards."""

import asyncio
import itertools
import ssl
from collections.abc import Callable
from typing import Final

import pytest

from service.appliances import permissions, places, ports
from service.appliances.fortiauthenticator import FortiAuthenticator
from service.appliances.fortivoice import FortiVoice
from service.appliances.http import Http
from service.appliances.inventory import DOUBT
from service.appliances.permissions import Permissions
from service.execution.flight import OVERDUE
from service.ledger import database, locks, sqlite_batches, sqlite_schema
from service.settings import HEARTBEAT, Settings
from service.topology import connection, nodes, publisher, upkeep
from service.watchdog import STUCK_AFTER
from tests.support.clock import Clock
from tests.unit.device import FakeSecret
from tests.unit.fakes import RULES

STATEMENT: Final = database.CONNECT_TIMEOUT + database.STATEMENT_TIMEOUT
RESTORED: Final = (
    3 * HEARTBEAT
    + nodes.LONGEST_PAUSE
    + connection.CONNECT_TIMEOUT
    + connection.Roaming.restore_timeout
)
"""Seconds until a connection that was lost without a word is noticed, made and restored."""
BETWEEN_REQUESTS: Final = (
    2 * places._SOON  # noqa: SLF001  of a bulkhead permit, and of one for long commands
    + 4 * ports.MAX_WAIT  # a write ticket, the write lock, another's login, an HTTP slot
    + locks.MAX_WAIT
    + DOUBT
    + 5 * STATEMENT  # found, open intents, intent, answer, result
)
"""Seconds that a command may wait without a request while nothing is out of order."""
FIXED: Final = {
    "a hung command": (OVERDUE, BETWEEN_REQUESTS),
    "a hung SQLite": (sqlite_batches.HANGS, sqlite_schema.BUSY),
    "blocked publishing": (30.0, publisher.CONFIRM_TIMEOUT),
    "a stuck connection": (STUCK_AFTER, RESTORED),
    "consumers that come back": (
        Settings.model_fields["watchdog_timeout"].default,
        RESTORED + connection.Channel.recovery_timeout + upkeep.INTERVAL,
    ),
}
SECONDS: Final = (0.1, 5.0, 30.0, 301.0, 3600.0)
"""What an inventory may have as a time-out, its bounds included."""


@pytest.mark.parametrize("name", FIXED)
def test_a_constant_is_not_shorter_than_what_it_guards(name: str) -> None:
    """Where neither is a choice of the inventory's."""
    guard, guarded = FIXED[name]
    assert guard >= guarded


def reached(connect: float, read: float) -> Http:
    return Http(
        "any",
        "http://any.example.net",
        tls=ssl.create_default_context(),
        concurrency=4,
        connect_timeout=connect,
        read_timeout=read,
        breaker_failures=5,
        writing=asyncio.Lock(),
    )


FOLLOWING: Final[dict[str, Callable[[Http, float, float], tuple[float, float]]]] = {
    "an exchange is given up after its connection and its answer": (
        lambda http, connect, read: (http.patience, connect + read)
    ),
    "a request is sent twice at most, each in its turn": (
        lambda http, _connect, _read: (http.slowest, ports.MAX_WAIT + 2 * http.patience)
    ),
    "a write is settled when its answer would have come, however late it left": (
        lambda http, _connect, read: (
            FortiAuthenticator(http, username="u", secret=FakeSecret(), rules=RULES).settle_time,
            http.read_timeout + read,
        )
    ),
}
"""(guard, guarded), in seconds."""


@pytest.mark.parametrize(("connect", "read"), list(itertools.product(SECONDS, SECONDS)))
@pytest.mark.parametrize("rule", FOLLOWING)
async def test_a_guard_follows_the_time_outs_of_the_inventory(
    rule: str, connect: float, read: float
) -> None:
    """Whatever they are, and for each table anew: a reload builds a new connection."""
    guard, guarded = FOLLOWING[rule](reached(connect, read), connect, read)
    assert guard >= guarded


@pytest.mark.parametrize("kind", [FortiAuthenticator, FortiVoice])
@pytest.mark.parametrize("read", SECONDS)
async def test_refusals_of_a_slow_appliance_are_consecutive_as_well(
    clock: Clock, kind: type[FortiAuthenticator | FortiVoice], read: float
) -> None:
    """A refusal, a login and the same refusal: otherwise a missing permission is a login loop."""
    http = reached(5, read)
    adapter = kind(http, username="u", secret=FakeSecret(), rules=RULES)
    found: Permissions = adapter.session._permissions  # noqa: SLF001  it has no public word
    assert not found.count_refusal("read", set())
    clock.forward(1.9 * http.slowest)
    assert found.count_refusal("read", set())


async def test_refusals_that_lie_far_apart_are_not_consecutive(clock: Clock) -> None:
    """A session may end twice a day."""
    found = Permissions("any", 300, 0, slowest=1)
    assert not found.count_refusal("read", set())
    clock.forward(permissions.CONSECUTIVE + 1)
    assert not found.count_refusal("read", set())
