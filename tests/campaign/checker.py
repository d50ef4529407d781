"""The judge: compares the published events and what is left with the appliances' own books.

Pure functions over what was sent, the events that were heard, the books and the queues. Nothing
here knows the courier, nor reads its ledger.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from tests.campaign.history import (
    UNEXPLAINED,
    Ends,
    Undecidable,
    Verdict,
    Wish,
    decidable,
    voice_applies,
)
from tests.campaign.licences import Boxes, its_own, judge_figures, judge_licences, was_written
from tests.support.workflow import Heard

__all__ = [
    "UNEXPLAINED",
    "Undecidable",
    "Verdict",
    "Wish",
    "decidable",
    "judge",
    "judge_queues",
    "voice_applies",
]

Json = dict[str, Any]

_REJECTED: Final = "courier.command.rejected.v1"


def judge(
    sent: Iterable[Wish],
    heard: Iterable[Heard],
    books: Mapping[str, Json],
    *,
    undecidable: Undecidable = decidable,
    poison: Collection[str] = (),
    boxes: Boxes = its_own,
    ledger_lost: bool = False,
) -> Verdict:
    """Compare what was published with what was done.

    Args:
        sent: everything that was sent, repeats included.
        heard: every event from the exchange.
        books: the appliances', by name.
        undecidable: which outcomes what went wrong makes undecidable.
        poison: ids of commands that may end rejected as `delivery-limit`.
        boxes: the appliances to which a name of the inventory led meanwhile.
        ledger_lost: a ledger was lost, so that no `unknown` is needless.
    """
    wishes, heard = {wish.digest: wish for wish in sent}, list(heard)
    told, verdict = _sorted(wishes, heard)
    verdict += _paged_well(heard)
    ids = Counter(wish.id for wish in wishes.values())
    for wish in wishes.values():
        verdict += _ended_once(wish, told[wish.digest])
        if told[wish.digest].rejected:
            verdict += _rejected_well(
                wish, told[wish.digest], poison=wish.id in poison, conflict=ids[wish.id] > 1
            )
        elif told[wish.digest].finished:
            found = _finished_well(wish, told[wish.digest], undecidable)
            if not ledger_lost and not was_written(wish, books):
                found += Verdict(needless=found.unknown)
            verdict += found + judge_figures(wish, told[wish.digest], books, boxes)
    pairs = [(wish, told[wish.digest]) for wish in wishes.values() if wish.key is not None]
    verdict += judge_licences(books, pairs, boxes)
    return verdict


def _sorted(wishes: Mapping[str, Wish], heard: Iterable[Heard]) -> tuple[dict[str, Ends], Verdict]:
    """Sort events by what they are about: rejections by the body, others by the command's id."""
    told = {digest: Ends() for digest in wishes}
    finished, strange = [], []
    for each in heard:
        if each.event["type"] == _REJECTED:
            digest = str(each.data["body_sha256"])
            told.setdefault(digest, Ends()).rejected.append(each)
        elif ".finished." in each.event["type"]:
            finished.append(each)
    strange += [
        f"a message that nobody sent ({each[:8]}): rejected" for each in {*told} - {*wishes}
    ]
    for each in finished:
        about = [wish for wish in wishes.values() if wish.id == each.event.get("causationid")]
        # Of two contents under one id the first is run, the other one is rejected.
        about.sort(key=lambda wish: bool(told[wish.digest].rejected))
        if about:
            told[about[0].digest].finished.append(each)
        else:
            strange.append(f"{each.event.get('causationid')}: finished, and nobody sent it")
    return told, Verdict(false=tuple(strange))


def _paged_well(heard: Sequence[Heard]) -> Verdict:
    """Look whether a streamed list was told as its end says: each page once, and before it."""
    verdict = Verdict()
    pages: dict[str, dict[tuple[int, int], list[Json]]] = defaultdict(dict)
    for each in heard:
        about = str(each.event.get("causationid"))
        if ".page." in each.event["type"]:
            number = each.data["attempt"], each.data["sequence"]
            if pages[about].setdefault(number, each.data["devices"]) != each.data["devices"]:
                verdict += Verdict(doubled=(f"{about}: page {number} was told in two ways",))
        elif stream := each.event["data"].get("stream"):
            counting = {
                n: found for (at, n), found in pages[about].items() if at == stream["attempt"]
            }
            found = sum(map(len, counting.values()))
            if ({*range(1, stream["pages"] + 1)}, stream["devices"]) != ({*counting}, found):
                verdict += Verdict(lost=(f"{about}: its pages are not those that its end names",))
    return verdict


def _ended_once(wish: Wish, told: Ends) -> Verdict:
    if not told.ends:
        return Verdict(lost=(f"{wish.id}: no end was told",))
    ids = {each.event["id"] for each in told.ends}
    if len(ids) > 1:
        ways = sorted({str(each.event["type"]) for each in told.ends})
        return Verdict(doubled=(f"{wish.id}: ended in {len(ids)} ways: {', '.join(ways)}",))
    if wish.key is not None and len({each.message.body for each in told.finished}) > 1:
        return Verdict(false=(f"{wish.id}: one event id, and two bodies",))
    return Verdict()


def _rejected_well(wish: Wish, told: Ends, *, poison: bool, conflict: bool) -> Verdict:
    """Look whether it may be rejected for the reason that was told."""
    allowed = {wish.malformed or "well-formed"}
    allowed |= {"delivery-limit"} if poison else set()
    allowed |= {"id-conflict"} if conflict else set()
    reason = str(told.rejected[0].data["reason"])
    if reason in allowed:
        return Verdict()
    return Verdict(false=(f"{wish.id}: rejected as {reason}, and it is {', '.join(allowed)}",))


def _finished_well(wish: Wish, told: Ends, undecidable: Undecidable) -> Verdict:
    """Look whether it may end as it did, whatever the books say."""
    if wish.malformed:
        return Verdict(false=(f"{wish.id}: {told.conclusion}, and it is {wish.malformed}",))
    if told.conclusion == "unknown":
        why = (undecidable(wish) if wish.writes else None) or UNEXPLAINED
        return Verdict(unknown=(f"{wish.id}: {why}",))
    return Verdict()


def judge_queues(
    sent: Iterable[Wish],
    heard: Iterable[Heard],
    waiting: Mapping[str, int],
    parked: Iterable[bytes],
    *,
    also_parked: Collection[bytes] = (),
) -> Verdict:
    """Look at what is left: nothing on its way, and parked what was rejected, at least once each.

    Args:
        sent: everything that was sent.
        heard: every event from the exchange.
        waiting: messages by queue, of those that must be empty.
        parked: the bodies in the parked queue.
        also_parked: bodies that are parked without a rejection: those that nobody can read, and
            poison whose intent was open.
    """
    left = [f"{count} messages in {name}" for name, count in sorted(waiting.items()) if count]
    names = {wish.digest: wish.id for wish in sent}
    expected = {str(each.data["body_sha256"]) for each in heard if each.event["type"] == _REJECTED}
    expected |= {hashlib.sha256(body).hexdigest() for body in also_parked}
    found = {hashlib.sha256(body).hexdigest() for body in parked}
    left += [f"{names.get(each, each)}: not parked" for each in sorted(expected - found)]
    left += [f"{names.get(each, each)}: parked for no reason" for each in sorted(found - expected)]
    return Verdict(left=tuple(left))
