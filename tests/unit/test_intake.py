"""How the intake ends when the broker does not play along."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from aio_pika.exceptions import AMQPConnectionError
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from service.consumers.intake import _cancel


def consumed(error: BaseException) -> RabbitSubscriber:
    """A subscriber whose consumer is not to be cancelled any more."""

    async def cancel(_: str) -> None:
        raise error

    queue = SimpleNamespace(cancel=cancel)
    return cast("RabbitSubscriber", SimpleNamespace(_queue_obj=queue, _consumer_tag="tag"))


@pytest.mark.parametrize(
    "error",
    [Exception(), AMQPConnectionError(), OSError(), RuntimeError(), asyncio.CancelledError()],
    ids=repr,
)
async def test_a_consumer_that_is_gone_already_ends_no_stop(error: BaseException) -> None:
    """aiormq says so with a bare `Exception`, and by cancelling a task that nobody cancelled."""
    subscriber = consumed(error)
    await _cancel(subscriber)
    assert subscriber._consumer_tag is None  # noqa: SLF001  # which is all that we have


async def test_a_stop_that_is_itself_cancelled_ends() -> None:
    """Somebody does not want to wait any longer."""

    async def cancel(_: str) -> None:
        await asyncio.sleep(9)

    queue = SimpleNamespace(cancel=cancel)
    subscriber = cast("RabbitSubscriber", SimpleNamespace(_queue_obj=queue, _consumer_tag="tag"))
    stopping = asyncio.create_task(_cancel(subscriber))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
