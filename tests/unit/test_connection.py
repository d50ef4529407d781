"""A connection that is lost is told once, and once when it is back."""

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from service.topology.connection import Watch

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection


class FakeConnection:
    """One that knows whether we closed it ourselves."""

    def __init__(self, *, close_called: bool) -> None:
        self.close_called = close_called


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
