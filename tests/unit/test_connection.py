"""A connection that is lost is told once, and once when it is back."""

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from aio_pika.exceptions import AMQPError
from structlog.testing import capture_logs
from yarl import URL

from service.topology.connection import Watch, closed, identity_of, node, shown, underlay
from tests.support.clock import Clock

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection, AbstractRobustConnection


class FakeConnection:
    """One that knows whether we closed it ourselves."""

    def __init__(self, *, close_called: bool) -> None:
        self.close_called = close_called
        self.transport = None
        self.url = URL("amqp://u:canary@host/")


THEIRS = cast("AbstractConnection", FakeConnection(close_called=False))
OURS = cast("AbstractConnection", FakeConnection(close_called=True))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError("reset by peer"), "reset by peer"),
        (asyncio.CancelledError(), "no heartbeat from the broker"),
        (None, "no heartbeat from the broker"),
    ],
)
async def test_a_loss_is_told_once_however_often_it_is_tried_again(
    error: BaseException | None, reason: str
) -> None:
    """Each failed try to reconnect is told to us as another loss."""
    watch = Watch("consuming")
    with capture_logs() as told:
        await watch.lost(THEIRS, error)
        await watch.lost(THEIRS, OSError("refused"))
        await watch.restored(THEIRS)
        await watch.lost(THEIRS, error)
    assert ["lost", "restored", "lost"] == [each["event"].rsplit("-", 1)[1] for each in told]
    assert reason == told[0]["reason"]


async def test_what_we_close_ourselves_is_no_loss() -> None:
    """At the end of the service nothing has gone wrong."""
    up = asyncio.Event()
    up.set()
    with capture_logs() as told:
        await Watch("consuming", up).lost(OURS, asyncio.CancelledError())
    assert [] == told
    assert not up.is_set()


class FakeRobust:
    """An open connection, as far as its broker and virtual host are concerned."""

    def __init__(self, url: str, cluster: str | bytes | None) -> None:
        self.url = URL(url)
        self.server_properties = {"cluster_name": cluster}

    @property
    def transport(self) -> "FakeRobust":
        return self

    @property
    def connection(self) -> "FakeRobust":
        return self


@pytest.mark.parametrize(
    ("url", "cluster", "identity"),
    [
        ("amqp://host/", "rabbit@a", "rabbit@a/"),
        ("amqp://host", "rabbit@a", "rabbit@a/"),
        ("amqp://host/%2F", b"rabbit@a", "rabbit@a/"),
        ("amqp://other:5673/one", "rabbit@a", "rabbit@a/one"),
        ("amqp://host/a%2Fb", None, "unnamed/a/b"),
    ],
)
def test_a_virtual_host_has_one_name_however_it_is_written(
    url: str, cluster: str | bytes | None, identity: str
) -> None:
    """The ledger belongs to the broker and the virtual host, not to an address."""
    fake = cast("AbstractRobustConnection", FakeRobust(url, cluster))
    assert identity == identity_of(fake)


@pytest.mark.parametrize(
    "error", [ConnectionError(), RuntimeError("closed"), asyncio.CancelledError()]
)
async def test_whatever_closing_meets_is_no_error(error: BaseException) -> None:
    """The connection is gone, or goes with the process."""

    async def closing() -> None:
        raise error

    await closed(closing())


async def test_a_broker_that_does_not_answer_is_not_waited_for(clock: Clock) -> None:
    """Closing takes two seconds at most."""
    task = asyncio.create_task(closed(asyncio.Event().wait()))
    await asyncio.sleep(0)
    clock.forward(2.1)
    await task


async def test_who_is_told_to_stop_while_closing_stops() -> None:
    """That cancellation is meant."""
    task = asyncio.create_task(closed(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_connection_that_is_lost_is_an_error_of_the_broker() -> None:
    """Whoever meets it in the middle of a reconnect knows what to do: it is no bug of ours."""
    with pytest.raises(AMQPError, match="is lost"):
        underlay(cast("AbstractRobustConnection", OURS))


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("amqp://u:canary@host/v?password=canary", ("host:5672", "host:5672/v")),
        ("amqps://u:canary@host/", ("host:5671", "host:5671/")),
        ("amqp://host:1/", ("host:1", "host:1/")),
    ],
)
def test_a_node_is_named_by_host_and_port(url: str, names: tuple[str, str]) -> None:
    """Nothing else of its address is told anywhere."""
    assert names == (node(URL(url)), shown(URL(url)))


async def test_each_node_that_does_not_answer_is_told_once() -> None:
    """So that somebody learns of the second dead node before the third one dies."""
    watch = Watch("consuming")
    with capture_logs() as told:
        for host in ("a", "b", "a", "c", "b"):
            away = FakeConnection(close_called=False)
            away.url = URL(f"amqp://u:canary@{host}/")
            await watch.lost(cast("AbstractConnection", away), TimeoutError())
    assert [
        ("broker-connection-lost", "a:5672/", "no answer in time"),
        ("broker-unreachable", "b:5672/", "no answer in time"),
        ("broker-unreachable", "c:5672/", "no answer in time"),
    ] == [(each["event"], each["broker"], each["reason"]) for each in told]
