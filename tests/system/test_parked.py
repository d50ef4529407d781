"""What was parked can be looked at, sent again and thrown away; no tool's death loses any of it."""

import json
import signal
from collections.abc import AsyncIterator
from typing import Any, Final

import aio_pika
import pytest

from tests.support.poison import poison
from tests.support.rabbit import Rabbit
from tests.support.stand import Process, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Json, Workflow, command, gather_answers, licence, working

PARKED: Final = "courier.parked"
SMS: Final = "courier.activate-sms-license"
BALANCE: Final = {"appliance": "fac-1"}
LONG_AGO: Final = "2020-01-01T00:00:00.000Z"


def activation(number: int, **more: bool) -> Json:
    return command(
        "activate-sms-license", {"appliance": "fac-1", "license": licence(number), **more}
    )


class Garage:
    """A stand with a workflow and a service that runs, and what lies in courier.parked there."""

    def __init__(self, stand: Stand, service: Service, workflow: Workflow, broker: Rabbit) -> None:
        self.stand = stand
        self.service = service
        self.workflow = workflow
        self._broker = broker
        self._vhost = stand.url.rsplit("/", 1)[1]

    def lying(self, queue: str = PARKED) -> int:
        return self._broker.queues(self._vhost)[queue].ready

    async def lies(self, number: int) -> None:
        await until(lambda: self.lying() == number)

    async def park(self, *documents: Json, reason: str, at: str = LONG_AGO, **more: Any) -> None:  # noqa: ANN401  what aio-pika takes
        """Put messages where the service puts them, with its headers."""
        told = {"courier-reason": reason, "courier-parked-at": at, "courier-queue": SMS}
        headers = told | more.pop("headers", {})
        for document in documents:
            body = json.dumps(document).encode()
            self.workflow.canaries.add_message(body)
            message = aio_pika.Message(body, delivery_mode=2, headers=headers, **more)
            await self.workflow.channel.default_exchange.publish(message, PARKED)

    async def courier(self, *arguments: str) -> tuple[int, str]:
        return await self.stand.courier("parked", *arguments)

    async def listed(self, *arguments: str) -> list[Json]:
        exit_code, output = await self.courier("list", "--json", *arguments)
        assert 0 == exit_code, output
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
async def garage(stand: Stand, broker: Rabbit) -> AsyncIterator[Garage]:
    await stand.appliances()
    service = await stand.service()
    async with working(stand.url) as workflow:
        yield Garage(stand, service, workflow, broker)


async def test_what_is_parked_is_listed_and_shown_but_not_what_it_asks_for(garage: Garage) -> None:
    """Who, why, since when; the body only when it is asked for, and nothing a terminal obeys."""
    workflow = garage.workflow
    mistyped = activation(1, dryrun=True)
    await workflow.send(mistyped, message_id="m-1", headers={"tenant": "ottawa"})
    await workflow.put(b'{"odd": "body"', f"{SMS}.v1")
    await garage.lies(2)
    assert 0 == await garage.service.end()
    await garage.park({"no": "event"}, reason="\x1b[2Jnone", headers={"\x1b[1m": "\x1b[0m"})

    found = {each["reason"]: each for each in await garage.listed()}
    assert {"contract-violation", "not-json", "\x1b[2Jnone"} == set(found)
    told = found["contract-violation"]
    assert (mistyped["id"], "/workflow", "fac-1", SMS, len(json.dumps(mistyped))) == (
        *(told["id"], told["source"], told["appliance"], told["queue"], told["size"]),
    )
    assert ["not-json"] == [each["reason"] for each in await garage.listed("--reason", "not-json")]
    assert ["\x1b[2Jnone"] == [each["reason"] for each in await garage.listed("--older-than", "2d")]
    assert 1 == len(await garage.listed("--limit", "1"))

    exit_code, shown = await garage.courier("show", mistyped["id"])
    document = json.loads(shown)
    assert (0, "m-1", "ottawa", "/data has an unknown field") == (
        *(exit_code, document["properties"]["message_id"], document["headers"]["tenant"]),
        document["replay"].split("(")[1].split(")")[0],
    )
    digest = found["not-json"]["sha256"][:10]
    _, shown = await garage.courier("show", digest, "--body")
    assert {
        '{"odd": "body"',
        "courier: this is the original body; it may hold a licence",
    } == set(shown.splitlines())
    for arguments in (("list",), ("show", found["\x1b[2Jnone"]["sha256"]), ("list", "--json")):
        assert "\x1b" not in (await garage.courier(*arguments))[1]
    await garage.lies(3)


async def test_a_replay_tells_what_is_known_and_never_writes_twice(garage: Garage) -> None:
    """Applied: the stored result again, to its own reply_to. Too old for the ledger: unknown."""
    workflow = garage.workflow
    done, old, fresh = (activation(number) for number in (1, 2, 3))
    await workflow.send(done)
    first = await workflow.answer(done["id"])
    await garage.park(
        done,
        old,
        reason="delivery-limit",
        correlation_id="c",
        message_id="m",
        reply_to=await workflow.reply_to(),
    )
    await garage.park(fresh, reason="unknown-command", headers={"courier-attempt": 7})

    exit_code, output = await garage.courier("replay", "--all", "--yes")
    assert 0 == exit_code, output
    said = dict(line.split("  ", 1) for line in output.splitlines() if ":" in line and "  " in line)
    assert "already succeeded (added)" in said[done["id"]]
    assert "may have run before: will end unknown" in said[old["id"]]
    assert "never seen it: will be run" in said[fresh["id"]]

    again = await until(lambda: workflow.answers(done["id"])[1:])
    assert (first.event["id"], first.data) == (again[0].event["id"], again[0].data)
    assert "unknown" == (await workflow.answer(old["id"])).data["conclusion"]
    answer = await workflow.answer(fresh["id"])
    assert ("succeeded", 1) == (answer.data["conclusion"], answer.data["attempts"])
    replies = await until(lambda: workflow.replies[1:])
    assert {"c"} == {reply.correlation_id for reply in (workflow.replies[0], *replies)}
    books = await garage.stand.played[0].books("fac-1")
    assert {licence(1): 1, licence(3): 1} == books["posts"]
    await garage.lies(0)


async def test_a_replay_waits_for_a_service_that_does_not_run(garage: Garage) -> None:
    """In its work queue, with the properties it had; what has no place there stays parked."""
    workflow = garage.workflow
    assert 0 == await garage.service.end()
    good = command("query-sms-balance", BALANCE)
    bad = command("query-sms-balance", {**BALANCE, "typo": 1})
    await garage.park(
        good,
        reason="unknown-command",
        app_id="portal",
        headers={"tenant": "ottawa", "half": 0.5, "x-death": [], "CC": ["courier.events"]},
    )
    await garage.park(bad, reason="contract-violation")
    await garage.park({"who": "knows"}, reason="x", headers={"courier-queue": "elsewhere"})

    exit_code, output = await garage.courier("replay", "--all", "--dry-run")
    assert 0 == exit_code, output
    await garage.lies(3)
    assert "still not valid: contract-violation" in output
    exit_code, output = await garage.courier("replay", "--all", "--yes")
    assert (1, "2 of 3 replayed") == (exit_code, output.splitlines()[-1][-15:]), output
    await garage.lies(1)

    waiting = await workflow.channel.get_queue("courier.query-sms-balance", ensure=False)
    async with waiting.iterator(timeout=10) as messages:
        copy = await anext(messages)
    assert {"tenant": "ottawa", "half": 0.5, "courier-reason": "unknown-command"} == {
        name: value
        for name, value in copy.headers.items()
        if name not in {"courier-parked-at", "courier-queue", "x-delivery-count"}
    }
    assert (json.dumps(good).encode(), "portal", 2) == (
        copy.body,
        copy.app_id,
        copy.delivery_mode,
    )
    await copy.nack(requeue=True)
    await garage.stand.service()
    assert "succeeded" == (await workflow.answer(good["id"])).data["conclusion"]
    assert "contract-violation" == (await workflow.answer(bad["id"])).data["reason"]
    await garage.lies(2)
    (again,) = await garage.listed("--id", bad["id"])
    assert LONG_AGO < again["parked_at"]


async def test_properties_that_nobody_can_read_hurt_nobody_else(garage: Garage) -> None:
    """The broker parks the message; it is listed, shown, not replayed, saved and discarded."""
    workflow = garage.workflow
    bad = activation(9)
    body = json.dumps(bad).encode()
    workflow.canaries.add_message(body)
    others = [activation(number) for number in range(8)]
    await workflow.send(*others[:4])
    await poison(garage.stand.url, body, exchange="courier.commands", routing_key=f"{SMS}.v1")
    await workflow.send(*others[4:])
    answers = await gather_answers(workflow, [each["id"] for each in others])
    assert {"succeeded"} == {answer.data["conclusion"] for answer in answers}
    await until(lambda: garage.lying() == 1)
    assert garage.service.process.returncode is None

    (found,) = await garage.listed("--reason", "unreadable-properties")
    assert (bad["id"], SMS) == (found["id"], found["queue"])
    shown = json.loads((await garage.courier("show", bad["id"]))[1])
    assert ("\\xff\\xfe", False) == (
        shown["properties"]["correlation_id"],
        shown["readable_properties"],
    )
    queues = {death["queue"] for death in shown["deaths"]}
    assert {SMS, "courier.quarantine"} == queues
    exit_code, output = await garage.courier("replay", "--all", "--yes")
    assert (1, True) == (exit_code, "cannot be replayed (unreadable-properties)" in output)
    await garage.lies(1)

    saved = garage.stand.directory / "saved"
    exit_code, output = await garage.courier("discard", "--all", "--yes", "--save", str(saved))
    assert 0 == exit_code, output
    await garage.lies(0)
    (kept,) = saved.glob("*.body")
    assert (body, 0o600) == (kept.read_bytes(), kept.stat().st_mode & 0o777)
    assert [] == workflow.answers(bad["id"])


async def test_nothing_is_lost_when_the_tool_is_killed(garage: Garage) -> None:
    """What was not sent is still parked; what was sent and not acked is told again, not written."""
    stand, workflow = garage.stand, garage.workflow
    assert 0 == await garage.service.end()
    sent = [activation(number) for number in range(200)]
    await garage.park(*sent, reason="unknown-command")
    await garage.lies(200)
    for word in ("replayed", "will be run"):
        tool = await Process.start("parked", "replay", "--all", "--yes", env=stand.environment())
        stand.processes.append(tool)
        Process.strays.remove(tool)
        await until(lambda: sum(line.endswith(word) for line in tool.lines) > 20)  # noqa: B023  asked here
        await tool.end(signal.SIGKILL)
    # One message at most is in both queues for each death.
    await until(lambda: 200 <= garage.lying() + garage.lying(SMS) <= 202)
    assert 0 < garage.lying(SMS) < 200

    await stand.service()
    assert 0 == (await garage.courier("replay", "--all", "--yes"))[0]
    answers = await gather_answers(workflow, [each["id"] for each in sent])
    assert {("succeeded", None)} == {
        (answer.data["conclusion"], answer.data["error"]) for answer in answers
    }
    books = await stand.played[0].books("fac-1")
    assert {licence(number): 1 for number in range(200)} == books["posts"]


async def test_what_is_meant_must_be_said(garage: Garage) -> None:
    """Exit code 2 without a selection or somebody to ask, 1 when nothing fits; nothing is done."""
    await garage.park(command("query-sms-balance", BALANCE), reason="unknown-command")
    for arguments, expected, named in (
        (("replay",), 2, "--older-than"),
        (("discard", "--yes"), 2, "--older-than"),
        (("replay", "--all"), 2, "--yes"),
        (("discard", "--all"), 2, "--yes"),
        (("replay", "--older-than", "soon"), 2, "--older-than"),
        (("replay", "--all", "--id", "nobody", "--yes"), 1, "nothing"),
        (("discard", "--reason", "not-json", "--yes"), 1, "nothing"),
        (("show", "nobody"), 1, "nothing"),
        (("discard", "--all", "--dry-run"), 0, "will be discarded"),
        (("discard", "--all", "--yes", "--save", "/dev/null/x"), 1, "stays parked"),
    ):
        exit_code, output = await garage.courier(*arguments)
        assert (expected, True) == (exit_code, named in output), (arguments, output)
    await garage.lies(1)


async def test_what_cannot_be_sent_or_told_apart_stays_where_it_is(garage: Garage) -> None:
    """No queue takes the copy: exit code 1. Two bodies fit an id: their digests are named."""
    workflow = garage.workflow
    assert 0 == await garage.service.end()
    unknown = "courier.unknown-command"
    await workflow.channel.queue_delete(unknown)
    for number in (1, 2):
        odd = command("reboot", {"number": number}, id="odd")
        await garage.park(odd, reason="unknown-command", headers={"courier-queue": unknown})
    exit_code, output = await garage.courier("replay", "--all", "--yes")
    said = output.count(f"stays parked: no queue takes it ({unknown})")
    assert (1, 2) == (exit_code, said), output
    exit_code, output = await garage.courier("show", "odd", "--body")
    assert (1, True) == (exit_code, "several bodies fit" in output), output
    await garage.lies(2)
