"""Mutated messages through the decoder: the quick form of `python -m tests.fuzz --decoder`."""

import json
import random
import re
from pathlib import Path
from typing import Final

import pytest
from aio_pika import DeliveryMode

from service.consumers.intake import takes_any_delivery_mode
from service.errors import Reason, Rejection
from service.messages import commands
from tests.fuzz import decoder
from tests.fuzz.corpus import CONTENT, LICENCE, documents, says_it_himself, tells, told_apart
from tests.fuzz.decoder import Tally, fuzz, judge
from tests.fuzz.mutation import mutated
from tests.fuzz.report import write
from tests.fuzz.trees import text_of
from tests.unit.amqp import properties
from tests.unit.making import body

REPORT: Final = Path(decoder.__file__).parent / "report"
COUNT: Final = 6_000


def test_every_mutated_message_is_a_command_or_a_rejection() -> None:
    """For whatever is done to an example: no other error, no value told, in bounded time."""
    tally = fuzz(1, COUNT)
    assert [] == tally.findings
    assert COUNT == tally.count
    reasons = {reason.value for reason in decoder.REASONS}
    assert {*reasons, *commands.COMMANDS} == set(tally.outcomes)


def test_the_same_seed_makes_the_same_messages() -> None:
    """A finding can be made again from its name."""
    first, again = (mutated(dice("1/7"), documents()) for _ in range(2))
    assert first == again


def dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - dice, no secret


def found(raw: bytes) -> str:
    return " ".join(judge(Tally(), dice("0"), raw))


def raising(error: Exception) -> object:
    def decode(_: bytes, **__: object) -> commands.Command:
        raise error

    return decode


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (KeyError("x"), "KeyError at"),
        (RecursionError(), "RecursionError at"),
        (Rejection(Reason.NOT_JSON, [("", f"near {LICENCE}")]), "shows a canary"),
        (Rejection(Reason.NOT_JSON, [("", f"near {CONTENT}")]), "shows a canary"),
        (Rejection(Reason.NOT_JSON, [(f"/data/{LICENCE}", "x")]), "no field's"),
        (Rejection(Reason.NOT_JSON, [("/data/hunter", "x")]), "no field's"),
        (Rejection(Reason.NOT_JSON), "0 errors"),
        (Rejection(Reason.NOT_JSON, [("", str(n)) for n in range(21)]), "ValidationError"),
        (Rejection(Reason.DELIVERY_LIMIT, [("", "x")]), "the reason is delivery-limit"),
    ],
    ids=str,
)
def test_the_judge_finds_what_must_not_be(
    error: Exception, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown with decoders that make each mistake."""
    assert "" == found(b"{")
    monkeypatch.setattr(decoder, "decode", raising(error))
    assert finding in found(b"{")


def test_the_judge_finds_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is one of computing, not of waiting."""
    monkeypatch.setattr(decoder, "LIMIT", 0.0)
    assert "took" in found(body())


def test_the_judge_finds_a_command_that_its_contract_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Model and contract must agree on what was accepted."""
    wanted = commands.decode(body())
    monkeypatch.setattr(decoder, "decode", lambda *_, **__: wanted)
    monkeypatch.setattr(decoder, "CHECKED", 1)
    assert "the contract refuses" in found(body(data={"dry_run": "yes"}))


def test_canaries_stand_in_the_corpus_and_are_told_apart() -> None:
    """No licence and no file of an example is left, and each message has its own."""
    whole = "".join(text_of(each) for each in documents())
    assert tells(whole)
    assert not re.search("7QXK-|N4VR-", whole)
    one, other = (told_apart(f'{{"a": "{LICENCE}", "b": "{CONTENT}"}}'.encode(), n) for n in (1, 2))
    assert set(json.loads(one).values()).isdisjoint(json.loads(other).values())
    assert tells(json.loads(one)["a"])
    assert tells(json.loads(one)["b"])


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"id": "%s"}' % LICENCE.encode(), True),
        (b'{"data": {"file": {"name": "CNRY"}}}', True),
        (b'{"data": {"license": "%s"}}' % LICENCE.encode(), False),
        (b"{", False),
    ],
)
def test_a_secret_that_is_sent_as_an_id_is_no_leak(raw: bytes, says: bool) -> None:
    """Events repeat the id of a command: such a mutation is left out."""
    assert says == says_it_himself(raw)


@pytest.mark.parametrize("mode", [3, 255])
def test_a_delivery_mode_that_nobody_knows_is_taken(mode: int) -> None:
    """RabbitMQ 4 passes it on; a delivery that raises is never acked, and its place is lost."""
    takes_any_delivery_mode()
    raw = decoder.delivered(properties(delivery_mode=bytes([mode])), b"{}")
    assert DeliveryMode.PERSISTENT == raw.delivery_mode


@pytest.mark.parametrize(("name", "least"), [("decoder", 1_000_000), ("service", 100_000)])
def test_the_long_runs_found_nothing(name: str, least: int, tmp_path: Path) -> None:
    """What was sent and found is reported, and the page is made from the figures."""
    figures = json.loads((REPORT / f"{name}.json").read_text())
    assert least <= figures["messages"]
    assert [] == figures["findings"]
    assert least <= sum(figures["outcomes"].values())
    page = write(name, figures, tmp_path)
    assert page.read_text() == (REPORT / f"{name}.md").read_text()
