"""Mutated messages through the service: the quick form of `python -m tests.fuzz --service`."""

import pytest

from tests.fuzz.through import Heard, Sent, orders, storm
from tests.support.rabbit import Rabbit
from tests.support.stand import Stand

COUNT = 1_000


async def test_every_mutated_message_is_answered(stand: Stand, broker: Rabbit) -> None:
    """By its own end, once parked where it is rejected; nothing leaks, nothing is written twice."""
    figures = await storm(stand, broker, COUNT, seed=7)
    assert [] == figures["findings"]
    assert COUNT == figures["answered"]
    assert {"finished", "rejected"} == {each.split(":")[0] for each in figures["outcomes"]}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"source": "/a", "id": "1"}', ("/a", "1")),
        (b'{"source": "/a"}', None),
        (b"[1]", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_message_is_answered_by_its_id_or_by_its_digest(
    body: bytes, key: tuple[str, str] | None
) -> None:
    """And by nothing else: one that nobody answered is found."""
    sent, heard = Sent.of(body), Heard()
    assert key == sent.key
    assert not sent.is_answered(heard)
    heard.finished["/a", "2"] = "succeeded"
    heard.rejected["0" * 64] += 1
    assert not sent.is_answered(heard)
    heard.rejected[sent.digest] += 1
    assert sent.is_answered(heard)


def test_an_order_is_a_key_with_its_content() -> None:
    """Told again it is the same one; under another id, or for another licence, it is another."""
    said = [("1", "A"), ("1", "A"), ("2", "A"), ("1", "B")]
    sent = [
        Sent.of(
            b'{"source": "/a", "id": "%s", "data": {"license": "%s"}}' % (i.encode(), w.encode())
        )
        for i, w in said
    ]
    assert {"A": 2, "B": 1} == dict(orders(sent))
