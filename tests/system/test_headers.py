"""Headers of any content, through a real broker: the command ends, once, and without a mistake."""

import pytest
from pamqp.common import FieldValue

from tests.support.rabbit import Rabbit
from tests.support.stand import Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAST = "2020-01-01T00:00:00Z"
LARGE = "h" * (128 * 1024 - 100)
"""It leaves hardly any room in a frame of 128 KiB, into which all properties of a copy must fit."""


@pytest.mark.parametrize(
    ("expected", "attributes", "headers"),
    [
        (
            ("succeeded", None),
            {},
            {"x-death": [{"reason": "delivery_limit", "queue": ["a"]}]},
        ),
        (
            ("failed", "expired"),
            {"expirytime": PAST},
            {"courier-last-error": "permission-denied"},
        ),
    ],
    ids=["a queue's name that is a list", "a refusal's code"],
)
async def test_headers_that_lie_keep_no_command_from_its_end(
    expected: tuple[str, str | None],
    attributes: dict[str, str],
    headers: dict[str, FieldValue],
    service: Service,
    workflow: Workflow,
    shared_stand: Stand,
    broker: Rabbit,
) -> None:
    """One result, nothing parked, nothing redelivered, no internal error."""
    sent = command("query-sms-balance", {"appliance": "fac-1"}, **attributes)
    await workflow.send(sent, headers=headers)
    data = (await workflow.answer(sent["id"])).data
    assert expected == (data["conclusion"], (data["error"] or {}).get("code"))
    assert [] == list(service.events("internal-error"))
    vhost = shared_stand.url.rsplit("/", 1)[1]
    await until(
        lambda: (
            not any(
                q.ready or q.unacked
                for n, q in broker.queues(vhost).items()
                if n.startswith("courier.")
            )
        )
    )
    assert 1 == len(workflow.answers(sent["id"]))


async def test_a_parked_copy_of_a_message_that_fills_its_frame_is_published(
    service: Service, workflow: Workflow
) -> None:
    """It would end the publishing connection again and again: the largest header is left out."""
    sent = command("query-sms-balance", {"appliance": "fac-1", "mistyped": 1})
    await workflow.send(sent, headers={"large": LARGE, "own": 1})
    assert "contract-violation" == (await workflow.answer(sent["id"])).data["reason"]
    parked = await workflow.parked()
    assert parked is not None
    assert 1 == parked.headers["own"]
    assert [] == service.events("broker-connection-lost")
