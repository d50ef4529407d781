"""The judge of the campaigns finds every kind of contradiction, and nothing where there is none."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.campaign.checker import Verdict, Wish, judge, judge_queues, voice_applies
from tests.campaign.scenarios import activation, application, balance, malformed, stream
from tests.support.workflow import Heard, licence

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

Json = dict[str, Any]

SMS = activation("sms")
DRY = activation("dry", dry_run=True)
VOICE = application("voice")
QUERY = balance("query")
BROKEN = malformed("broken")


@dataclass
class Message:
    """What the judge looks at of a delivered message."""

    body: bytes


def heard(event: Json) -> Heard:
    message = cast("AbstractIncomingMessage", Message(json.dumps(event).encode()))
    return Heard("key", event, message)


def finished(wish: Wish, conclusion: str = "succeeded", *, at: int = 1, **data: object) -> Heard:
    """The event that ends a command; `at` another time it is another body."""
    return heard(
        {
            "id": f"{wish.id}-finished",
            "type": wish.type.replace(".v1", ".finished.v1"),
            "causationid": wish.id,
            "time": at,
            "data": {"conclusion": conclusion, **data},
        }
    )


def rejected(wish: Wish, reason: str = "contract-violation") -> Heard:
    data = {"reason": reason, "body_sha256": wish.digest}
    event = {"id": f"{wish.id}-rejected", "type": "courier.command.rejected.v1", "data": data}
    return heard(event)


def books(*spent: str, posts: Iterable[str] = (), amount: int = 100) -> dict[str, Json]:
    """A FortiAuthenticator that was sent some licences, and took them unless it is said."""
    posts = [*posts] or spent
    fac = {
        "posts": {key: posts.count(key) for key in posts},
        "spent": {key: {"amount": amount, "times": spent.count(key)} for key in spent},
        "applied": {},
    }
    return {"fac-1": fac}


def voice_books(times: int) -> dict[str, Json]:
    applied = {VOICE.key: times} if times else {}
    return {"fvc-1": {"posts": {}, "spent": {}, "applied": applied}}


ADDED = finished(SMS, added_sms=100)
WELL: dict[str, tuple[list[Wish], list[Heard], dict[str, Json]]] = {
    "done and told": ([SMS], [ADDED], books(licence(1))),
    "told again with the same words": ([SMS], [ADDED, ADDED], books(licence(1))),
    "sent twice, done once": ([SMS, SMS], [ADDED, ADDED], books(licence(1))),
    "a used licence": ([SMS], [finished(SMS, added_sms=0)], books(licence(1), amount=0)),
    "a used licence whose answer was lost": (
        [SMS],
        [finished(SMS, "failed", added_sms=0)],
        books(licence(1), amount=0),
    ),
    "refused": ([SMS], [finished(SMS, "refused")], books(posts=[licence(1)])),
    "not sent at all": ([SMS], [finished(SMS, "failed")], books()),
    "a dry run": ([DRY], [finished(DRY)], books()),
    "a file": ([VOICE], [finished(VOICE)], voice_books(1)),
    "a query told twice, differently": ([QUERY], [finished(QUERY), finished(QUERY, at=2)], books()),
    "rejected": ([BROKEN], [rejected(BROKEN)], books()),
    "one licence, two commands": (
        [SMS, activation("other")],
        [ADDED, finished(activation("other"), added_sms=0)],
        books(licence(1), licence(1)),
    ),
    "two contents under one id": (
        [SMS, activation("sms", licence(2))],
        [ADDED, rejected(activation("sms", licence(2)), "id-conflict")],
        books(licence(1)),
    ),
}


@pytest.mark.parametrize(("sent", "told", "found"), WELL.values(), ids=WELL)
def test_what_fits_is_no_contradiction(
    sent: list[Wish], told: list[Heard], found: dict[str, Json]
) -> None:
    """Whatever may happen to a command that ends once and as it is told."""
    assert () == judge(sent, told, found).contradictions


BADLY: dict[str, tuple[str, list[Wish], list[Heard], dict[str, Json]]] = {
    "no end": ("lost", [QUERY], [], books()),
    "no end, though it was done": ("lost", [SMS], [], books(licence(1))),
    "no end of what is malformed": ("lost", [BROKEN], [], books()),
    "finished and rejected": ("doubled", [SMS], [ADDED, rejected(SMS)], books(licence(1))),
    "told differently": ("false", [SMS], [ADDED, finished(SMS, added_sms=100, at=2)], books()),
    "spent twice": ("doubled", [SMS], [ADDED], books(licence(1), licence(1))),
    "sent twice": ("doubled", [SMS], [ADDED], books(licence(1), posts=[licence(1)] * 2)),
    "applied twice": ("doubled", [VOICE], [finished(VOICE)], voice_books(2)),
    "succeeded and not done": ("false", [SMS], [ADDED], books()),
    "failed and done": ("false", [SMS], [finished(SMS, "failed")], books(licence(1))),
    "refused and taken": ("false", [SMS], [finished(SMS, "refused")], books(licence(1), amount=0)),
    "refused and done": ("false", [VOICE], [finished(VOICE, "refused")], voice_books(1)),
    "another figure": ("false", [SMS], [finished(SMS, added_sms=50)], books(licence(1))),
    "a dry run that wrote": ("false", [DRY], [finished(DRY)], books(posts=[licence(1)])),
    "malformed, and it was done": ("false", [BROKEN], [rejected(BROKEN)], books(licence(1))),
    "malformed, and it was run": ("false", [BROKEN], [finished(BROKEN, "failed")], books()),
    "rejected for another reason": ("false", [BROKEN], [rejected(BROKEN, "not-json")], books()),
    "well-formed, and it was rejected": ("false", [QUERY], [rejected(QUERY)], books()),
    "given up without a reason": ("false", [QUERY], [rejected(QUERY, "delivery-limit")], books()),
    "nobody sent it": ("false", [], [finished(QUERY)], books()),
    "nobody sent the licence": ("false", [], [], books(licence(1))),
    "rejected, and nobody sent it": ("false", [], [rejected(BROKEN)], books()),
    "unknown without a reason": ("unknown", [SMS], [finished(SMS, "unknown")], books(licence(1))),
}


@pytest.mark.parametrize(("kind", "sent", "told", "found"), BADLY.values(), ids=BADLY)
def test_every_contradiction_is_found(
    kind: str, sent: list[Wish], told: list[Heard], found: dict[str, Json]
) -> None:
    """It is named by its kind, and the verdict is not well."""
    verdict = judge(sent, told, found)
    assert getattr(verdict, kind)
    assert not verdict.ok


@pytest.mark.parametrize("times", [0, 1])
def test_unknown_is_fine_where_the_fault_hides_the_outcome(times: int) -> None:
    """Whether it was done or not; the verdict keeps the reason. Twice is too often all the same."""
    hidden = voice_applies("the answer was lost")
    told = [finished(VOICE, "unknown")]
    verdict = judge([VOICE], told, voice_books(times), undecidable=hidden)
    assert ("voice: the answer was lost",) == verdict.unknown
    assert verdict.ok
    assert judge([VOICE], told, voice_books(2), undecidable=hidden).doubled


def test_a_dry_run_is_never_unknown() -> None:
    """It wrote nothing whose outcome could be hidden; neither did a query."""
    for wish in (application("dry", dry_run=True), QUERY):
        told = [finished(wish, "unknown")]
        assert judge([wish], told, {}, undecidable=lambda _: "whatever").unexplained


def test_poison_may_be_given_up() -> None:
    """Only what is named as poison, and only with `delivery-limit`."""
    told = [rejected(QUERY, "delivery-limit")]
    assert judge([QUERY], told, {}, poison={"query"}).ok
    assert not judge([QUERY], [rejected(QUERY, "not-json")], {}, poison={"query"}).ok


def test_the_queues_must_be_empty_and_what_was_rejected_parked() -> None:
    """At least once each; nothing else is parked but what is said to be."""
    told, empty = [rejected(BROKEN)], {"courier.quarantine": 0}
    assert judge_queues([BROKEN], told, empty, [BROKEN.body] * 2).ok
    assert judge_queues([SMS], [], empty, [SMS.body], also_parked=[SMS.body]).ok
    for waiting, parked, left in (
        ({"courier.retry.1s": 1}, [BROKEN.body], "1 messages in courier.retry.1s"),
        (empty, [], "broken: not parked"),
        (empty, [BROKEN.body, SMS.body], "sms: parked for no reason"),
    ):
        assert (left,) == judge_queues([BROKEN, SMS], told, waiting, parked).left


def test_verdicts_add_up() -> None:
    """What several judges found is one verdict."""
    both = Verdict(lost=("a",), left=("b",)) + Verdict(lost=("c",), unknown=("d: unexplained",))
    assert ("a", "c", "d: unexplained", "b") == both.contradictions
    assert not both.ok


def test_no_licence_is_repeated_in_a_sentence() -> None:
    """Verdicts are printed and kept."""
    strange = judge([], [], books(licence(1)))
    assert strange.contradictions
    assert licence(1) not in " ".join(strange.contradictions)


# Streams.

STREAM = stream("stream")


def page(sequence: int, *macs: str, attempt: int = 1) -> Heard:
    data = {"attempt": attempt, "sequence": sequence, "devices": [{"mac": mac} for mac in macs]}
    event_type = STREAM.type.replace(".v1", ".page.v1")
    return heard({"id": "page", "type": event_type, "causationid": STREAM.id, "data": data})


def ended(pages: int, devices: int, attempt: int = 1) -> Heard:
    counts = {"attempt": attempt, "pages": pages, "devices": devices, "rows": devices}
    return finished(STREAM, stream=counts)


@pytest.mark.parametrize(
    "told",
    [
        [page(1, "a", "b"), page(2, "c"), ended(2, 3)],
        [page(1, "a", "b"), page(1, "a", attempt=2), ended(1, 1, attempt=2)],
        [page(1, "a"), page(1, "a"), page(2, "b"), ended(2, 2)],
        [ended(0, 0)],
    ],
)
def test_a_stream_whose_pages_are_all_there_is_no_contradiction(told: list[Heard]) -> None:
    """Those of other attempts, and a page that comes twice, do not count."""
    assert judge([STREAM], told, {}).ok


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([page(1, "a"), ended(2, 2)], "lost"),
        ([page(2, "a"), ended(1, 1)], "lost"),
        ([page(1, "a"), ended(1, 2)], "lost"),
        ([page(1, "a", attempt=2), ended(1, 1)], "lost"),
        ([ended(1, 1), page(1, "a")], "lost"),
        ([page(1, "a"), page(1, "b"), ended(1, 1)], "doubled"),
    ],
)
def test_a_stream_whose_pages_are_not_those_of_its_end_is_found(
    told: list[Heard], found: str
) -> None:
    """One is missing, too late, of another attempt, or was told in two ways."""
    verdict = judge([STREAM], told, {})
    assert getattr(verdict, found)
