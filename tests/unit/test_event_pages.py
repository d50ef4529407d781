"""Pages on their way out: one at a time, in order, and all of them before the end is told."""

import asyncio
import json

from service.execution.pages import EventPages
from service.messages.encode import Event
from tests.support.wait import until
from tests.unit.fakes import part
from tests.unit.making import command


class Broker:
    """Confirms when it is told to."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.confirms = asyncio.Semaphore(0)

    async def take(self, event: Event) -> None:
        self.told.append(json.loads(event.data)["sequence"])
        await self.confirms.acquire()


async def test_a_page_may_be_read_while_the_one_before_is_confirmed() -> None:
    """But no more than one is on its way, so that they arrive in order; the end waits for all."""
    broker = Broker()
    pages = EventPages(command("query-devices"), "/courier", broker.take)
    await pages.tell(part("00:00:00:00:00:01", total=2))
    await until(lambda: broker.told == [1])
    second = asyncio.create_task(pages.tell(part("00:00:00:00:00:01", total=2)))
    await asyncio.sleep(0)
    assert ([1], False) == (broker.told, second.done())
    broker.confirms.release()
    await second
    last = asyncio.create_task(pages.all_told())
    await until(lambda: broker.told == [1, 2])
    assert not last.done()
    broker.confirms.release()
    await last
    assert pages.streamed is not None
    assert (2, 2) == (pages.streamed.pages, pages.streamed.devices)


async def test_every_reading_has_a_label_that_the_contract_allows() -> None:
    """`attempt` is an integer that every JSON reader keeps; no two readings have the same."""
    labels = set()
    for _ in range(1000):
        pages = EventPages(command("query-devices"), "/courier", Broker().take)
        await pages.tell(part(total=0))
        assert pages.streamed is not None
        labels.add(pages.streamed.attempt)
    assert 1000 == len(labels)
    assert all(1 <= label < 2**53 for label in labels)
