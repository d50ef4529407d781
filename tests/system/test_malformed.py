"""Whatever is not a valid command is answered with the reason, and the original is kept."""

import hashlib
import json

import pytest

from tests.support.stand import Service
from tests.support.wait import until
from tests.support.workflow import Heard, Workflow, command, licence, schema_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)}, id="good")
KEY = "courier.activate-sms-license.v1"


def changed(**attributes: object) -> bytes:
    return json.dumps({**GOOD, **attributes}).encode()


def data(**fields: object) -> bytes:
    return changed(data={**GOOD["data"], **fields})


MALFORMED: dict[str, tuple[bytes, str, str | None]] = {
    # what is sent: the body, the reason, a path that is named
    "nothing": (b"", "not-json", ""),
    "no JSON": (b"{", "not-json", ""),
    "bad UTF-8": (b'{"id": "\xff"}', "not-json", ""),
    "a depth that no parser survives": (b"[" * 100_000, "not-json", ""),
    "a number that no computer adds": (b"1" * 100_000, "not-json", ""),
    "NaN": (b'{"data": NaN}', "not-json", ""),
    "a second dry_run": (
        b'{"dry_run": true, ' + json.dumps(GOOD)[1:-2].encode() + b', "dry_run": 1, "dry_run": 2}}',
        "not-json",
        "",
    ),
    "more than 2 MiB": (b" " * (2 * 1024 * 1024) + json.dumps(GOOD).encode(), "too-large", ""),
    "a list": (b"[]", "not-a-cloudevent", ""),
    "no id": (changed(id=None), "not-a-cloudevent", "/id"),
    "another version of CloudEvents": (changed(specversion="0.3"), "not-a-cloudevent", None),
    "data in base64": (changed(data_base64="e30="), "not-a-cloudevent", "/data_base64"),
    "data that is text": (changed(data="{}"), "not-a-cloudevent", "/data"),
    "a command that nobody knows": (
        changed(type="courier.reboot.v1"),
        "unknown-command",
        "/type",
    ),
    "a major that nobody knows": (
        changed(type="courier.activate-sms-license.v2"),
        "unknown-command",
        "/type",
    ),
    "a mistyped dry_run": (data(dryrun=True), "contract-violation", "/data"),
    "yes for a boolean": (data(dry_run="yes"), "contract-violation", "/data/dry_run"),
    "a short licence": (data(license="AB12-CD34"), "contract-violation", "/data/license"),
    "an address": (data(appliance="10.0.0.1"), "contract-violation", "/data/appliance"),
}


def rejections(workflow: Workflow, digest: str) -> list[Heard]:
    """What was told about a body."""
    return [each for each in workflow.heard if each.data.get("body_sha256") == digest]


@pytest.mark.parametrize(("body", "reason", "path"), list(MALFORMED.values()), ids=list(MALFORMED))
async def test_a_malformed_message_is_answered_and_kept(
    workflow: Workflow, service: Service, body: bytes, reason: str, path: str | None
) -> None:
    """The right reason, the original unchanged in courier.parked, the service unharmed."""
    await workflow.put(
        body, KEY, message_id="broken", correlation_id="c", headers={"tenant": "ottawa"}
    )
    digest = hashlib.sha256(body).hexdigest()
    heard = (await until(lambda: rejections(workflow, digest)))[0]
    schema_of(heard.event["type"]).validate(heard.event)
    assert f"courier.command.rejected.v1.rejected.{reason}" == heard.routing_key
    assert reason == heard.data["reason"]
    assert path is None or path in [error["path"] for error in heard.data["errors"]]
    assert licence(1) not in json.dumps(heard.event)

    parked = await workflow.parked()
    assert parked is not None
    assert (body, "broken", "c", "ottawa", reason, "courier.activate-sms-license") == (
        parked.body,
        parked.message_id,
        parked.correlation_id,
        parked.headers["tenant"],
        parked.headers["courier-reason"],
        parked.headers["courier-queue"],
    )
    assert str(parked.headers["courier-parked-at"]).endswith("Z")

    after = command("query-sms-balance", {"appliance": "fac-1"})
    await workflow.send(after)
    assert "succeeded" == (await workflow.answer(after["id"])).data["conclusion"]
    assert [] == service.events("internal-error")


async def test_a_packed_message_is_not_unpacked(workflow: Workflow) -> None:
    """A content encoding is refused, whatever the body is."""
    packed = json.dumps({**GOOD, "id": "packed"}).encode()
    await workflow.put(packed, KEY, content_encoding="gzip")
    assert "not-json" == (await workflow.answer("packed")).data["reason"]


async def test_a_message_that_no_queue_is_bound_for_is_answered(workflow: Workflow) -> None:
    """By courier.unrouted: an unknown type is rejected, a known one is run all the same."""
    await workflow.put(changed(type="courier.reboot.v1", id="reboot"), "courier.reboot.v1")
    assert "unknown-command" == (await workflow.answer("reboot")).data["reason"]
    balance = command("query-sms-balance", {"appliance": "fac-1"}, id="odd")
    await workflow.put(json.dumps(balance).encode(), "odd.key")
    assert "succeeded" == (await workflow.answer("odd")).data["conclusion"]


async def test_the_type_decides_and_not_the_queue(workflow: Workflow) -> None:
    """A query that came by the activations' queue is a query."""
    balance = command("query-sms-balance", {"appliance": "fac-1"}, id="astray")
    await workflow.put(json.dumps(balance).encode(), KEY)
    assert "succeeded" == (await workflow.answer("astray")).data["conclusion"]
