"""Two ledgers and one virtual host: whatever is started when, a licence is written once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.support import http
from tests.support.postgres import Server, asked
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

if TYPE_CHECKING:
    from pamqp.common import FieldTable

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
Json = dict[str, Any]

SAME: Final = 4
"""How often one command is sent."""
EXPIRES: Final = {"expires": 4000}


@pytest.fixture
def ledgers(stand: Stand, postgres: Server) -> Callable[[str], str]:
    """The URL of a ledger of its own, by its kind; the default is what nobody sets."""
    numbers: Iterator[int] = iter(range(100))

    def url(kind: str) -> str:
        if kind == "postgres":
            name = asked(postgres.database(), "SELECT current_database()")
            return postgres.url(name)
        return f"sqlite:///{stand.directory}/{kind}-{next(numbers)}.db"

    return url


def activation(name: str, number: int = 1) -> Json:
    data = {"appliance": "fac-1", "license": licence(number)}
    return command("activate-sms-license", data, id=name, time=datetime.now(UTC).isoformat())


async def posts(appliances: Appliances) -> dict[str, int]:
    return dict((await appliances.books("fac-1"))["posts"])


async def send_repeatedly(workflow: Workflow, document: Json) -> None:
    name = str(document["id"])
    for number in range(1, SAME + 1):
        await workflow.send(document)
        await until(partial(_is_answered, workflow, name, number))


def _is_answered(workflow: Workflow, name: str, times: int) -> bool:
    return len(workflow.answers(name)) >= times


async def _discard(_: AbstractIncomingMessage) -> None:
    """Consume."""


def refusals(service: Service) -> str:
    return "\n".join(str(line["reason"]) for line in service.events("start-refused"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("postgres", "sqlite"),
        ("sqlite", "postgres"),
        ("postgres", "postgres"),
        ("sqlite", "sqlite"),
    ],
)
async def test_a_courier_with_a_second_ledger_does_not_start(
    stand: Stand,
    workflow_of: WorkflowOf,
    ledgers: Callable[[str], str],
    first: str,
    second: str,
) -> None:
    """It says what to do and is never ready; the first one answers everything with one write."""
    appliances = await stand.appliances("--latency", "0.05")
    one = await stand.service(LEDGER_URL=ledgers(first))
    two = await stand.service(ready=False, LEDGER_URL=ledgers(second))
    async with workflow_of() as workflow:
        await send_repeatedly(workflow, activation("c-1"))
        assert 1 == await two.ended()
        ends = {(a.event["id"], a.message.body) for a in workflow.answers("c-1")}
    assert 1 == len({event_id for event_id, _ in ends})
    assert {licence(1): 1} == await posts(appliances)
    assert "COURIER_LEDGER_URL" in refusals(two)
    assert "PostgreSQL" in refusals(two)
    assert [] == two.events("service-ready")
    assert [] == one.events("service-not-ready")


async def test_a_policy_that_lets_queues_expire_does_not_let_a_second_ledger_in(
    stand: Stand, broker: Rabbit, workflow_of: WorkflowOf, ledgers: Callable[[str], str]
) -> None:
    """The courier's own queues do not expire while it is there."""
    policy = {"name": "all", "pattern": ".*", "apply-to": "queues", "definition": EXPIRES}
    broker.load({"policies": [{"vhost": urlsplit(stand.url).path[1:], **policy}]})
    appliances = await stand.appliances("--latency", "0.05")
    await stand.service(LEDGER_URL=ledgers("sqlite"))
    async with workflow_of() as workflow:
        await send_repeatedly(workflow, activation("c-1"))
        # Twice as long as the owner queue once lasted: it is refused at the end of that, too.
        for _ in range(2):
            two = await stand.service(ready=False, LEDGER_URL=ledgers("postgres"))
            assert 1 == await two.ended()
        await send_repeatedly(workflow, activation("c-2", 2))
    assert {licence(1): 1, licence(2): 1} == await posts(appliances)


async def test_a_lost_ledger_is_replaced_without_an_operator(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """The file is gone: the next start waits until the old hold has lapsed, and works."""
    appliances = await stand.appliances()
    lost = await stand.service()
    await lost.end()
    for path in stand.directory.glob("courier.db*"):
        path.unlink()
    service = await stand.service()
    assert 1 == len(service.events("ledger-conflict"))
    async with workflow_of() as workflow:
        await workflow.send(activation("c-1"))
        assert "succeeded" == (await workflow.answer("c-1")).data["conclusion"]
    assert {licence(1): 1} == await posts(appliances)


async def test_a_courier_that_lost_the_virtual_host_writes_nothing_until_it_has_it_again(
    stand: Stand, broker: Rabbit, workflow_of: WorkflowOf, ledgers: Callable[[str], str]
) -> None:
    """Another ledger took it while the queue was gone: not ready, and nothing is run."""
    appliances = await stand.appliances()
    first = await stand.service(LEDGER_URL=ledgers("sqlite"))
    vhost = urlsplit(stand.url).path[1:]
    async with await aio_pika.connect(stand.url) as other, workflow_of() as workflow:
        channel = await other.channel()
        arguments: FieldTable = {"x-queue-type": "quorum", "x-max-length": 1, "x-expires": 6000}
        await channel.queue_delete("courier.ledger")
        queue = await channel.declare_queue("courier.ledger", durable=True, arguments=arguments)
        await queue.consume(_discard, no_ack=True)
        await until(lambda: first.events("ledger-conflict"))
        await workflow.send(activation("c-1"))
        async with http.visit(first.http) as client:
            answer = await client.get("/health/ready")
            assert (503, ["ledger-conflict"]) == (answer.status_code, answer.json()["reasons"])
        await until(lambda: broker.queues(vhost)["courier.activate-sms-license"].unacked == 1)
        assert {} == await posts(appliances)
        await other.close()
        assert "succeeded" == (await workflow.answer("c-1")).data["conclusion"]
    assert {licence(1): 1} == await posts(appliances)
    await until(lambda: first.events("service-ready-again"))
