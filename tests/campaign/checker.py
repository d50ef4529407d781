"""The judge: holds what was told and what is left against the appliances' own books.

Pure functions over what was sent, the events that were heard, the books and the queues. Nothing
here knows the courier, nor reads its ledger.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final

from tests.support.workflow import Heard

Json = dict[str, Any]

UNEXPLAINED: Final = "unexplained"
_REJECTED: Final = "courier.command.rejected.v1"


@dataclass(frozen=True)
class Wish:
    """A message that was sent as a command.

    Attributes:
        document: the command; for a malformed one what the judge is to know of it.
        key: what the books know its licence by, the licence itself or the file's SHA-256; None
            for a query.
        raw: the bytes that were sent, where that is not the document as it is.
        malformed: the reason for which it is no valid command, if it is none.
    """

    document: Json
    key: str | None = None
    raw: bytes | None = None
    malformed: str | None = None

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def type(self) -> str:
        return str(self.document["type"])

    @property
    def appliance(self) -> str:
        return str(self.document["data"]["appliance"])

    @property
    def writes(self) -> bool:
        """Whether it would spend a licence."""
        dry = self.document["data"].get("dry_run", False)
        return self.key is not None and not dry and not self.malformed

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode() if self.raw is None else self.raw

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


Undecidable = Callable[[Wish], str | None]
"""Says why nobody can know what became of a licence command; None when it can be known."""


def decidable(_wish: Wish) -> None:
    """Nothing that went wrong hides an outcome."""


def voice_applies(why: str) -> Undecidable:
    """What is lost between the courier and a FortiVoice cannot be read back there.

    Args:
        why: the fault that loses it.
    """
    return lambda wish: why if wish.type.startswith("courier.apply-voice-license.") else None


@dataclass(frozen=True)
class Verdict:
    """What does not fit, a sentence each.

    Attributes:
        lost: commands without an end.
        doubled: ended in more than one way, or a licence written more than once.
        false: told otherwise than done.
        unknown: ended `unknown`, with the reason, which is no fault if there is one.
        left: what the queues hold and should not, or should and do not.
    """

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def unexplained(self) -> tuple[str, ...]:
        return tuple(each for each in self.unknown if each.endswith(UNEXPLAINED))

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Everything that must not be."""
        return self.lost + self.doubled + self.false + self.unexplained + self.left

    @property
    def ok(self) -> bool:
        return not self.contradictions

    def __add__(self, other: "Verdict") -> "Verdict":
        names = [each.name for each in fields(self)]
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass
class _Told:
    """What was told about one message: its ends, in order."""

    finished: list[Heard] = field(default_factory=list)
    rejected: list[Heard] = field(default_factory=list)

    @property
    def ends(self) -> list[Heard]:
        return [*self.finished, *self.rejected]

    @property
    def conclusion(self) -> str:
        """How it ended; `rejected` for what was no command."""
        return str(self.finished[0].data["conclusion"]) if self.finished else "rejected"


def judge(
    sent: Iterable[Wish],
    heard: Iterable[Heard],
    books: Mapping[str, Json],
    *,
    undecidable: Undecidable = decidable,
    poison: Collection[str] = (),
) -> Verdict:
    """Compare what was told with what was done.

    Args:
        sent: everything that was sent, repeats included.
        heard: every event from the exchange.
        books: the appliances', by name.
        undecidable: which outcomes what went wrong makes undecidable.
        poison: ids of commands that may end rejected as `delivery-limit`.
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
            verdict += _finished_well(wish, told[wish.digest], undecidable)
    for name, book in books.items():
        here = [wish for wish in wishes.values() if wish.key is not None and wish.appliance == name]
        verdict += _about_book(name, book, [(wish, told[wish.digest]) for wish in here])
    return verdict


def _sorted(wishes: Mapping[str, Wish], heard: Iterable[Heard]) -> tuple[dict[str, _Told], Verdict]:
    """Sort events by what they are about: rejections by the body, others by the command's id."""
    told = {digest: _Told() for digest in wishes}
    finished, strange = [], []
    for each in heard:
        if each.event["type"] == _REJECTED:
            digest = str(each.data["body_sha256"])
            told.setdefault(digest, _Told()).rejected.append(each)
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


def _ended_once(wish: Wish, told: _Told) -> Verdict:
    if not told.ends:
        return Verdict(lost=(f"{wish.id}: no end was told",))
    ids = {each.event["id"] for each in told.ends}
    if len(ids) > 1:
        ways = sorted({str(each.event["type"]) for each in told.ends})
        return Verdict(doubled=(f"{wish.id}: ended in {len(ids)} ways: {', '.join(ways)}",))
    if wish.key is not None and len({each.message.body for each in told.finished}) > 1:
        return Verdict(doubled=(f"{wish.id}: told again, and differently",))
    return Verdict()


def _rejected_well(wish: Wish, told: _Told, *, poison: bool, conflict: bool) -> Verdict:
    """Look whether it may be rejected for the reason that was told."""
    allowed = {wish.malformed or "well-formed"}
    allowed |= {"delivery-limit"} if poison else set()
    allowed |= {"id-conflict"} if conflict else set()
    reason = str(told.rejected[0].data["reason"])
    if reason in allowed:
        return Verdict()
    return Verdict(false=(f"{wish.id}: rejected as {reason}, and it is {', '.join(allowed)}",))


def _finished_well(wish: Wish, told: _Told, undecidable: Undecidable) -> Verdict:
    """Look whether it may end as it did, whatever the books say."""
    if wish.malformed:
        return Verdict(false=(f"{wish.id}: {told.conclusion}, and it is {wish.malformed}",))
    if told.conclusion == "unknown":
        why = (undecidable(wish) if wish.writes else None) or UNEXPLAINED
        return Verdict(unknown=(f"{wish.id}: {why}",))
    return Verdict()


def _about_book(name: str, book: Json, here: list[tuple[Wish, _Told]]) -> Verdict:
    """Compare an appliance's licences with what was told about them."""
    verdict = Verdict()
    sent_for: dict[str, list[tuple[Wish, _Told]]] = {}
    for wish, told in here:
        sent_for.setdefault(str(wish.key), []).append((wish, told))
    for key in {*book["posts"], *book["spent"], *book["applied"]} - {*sent_for}:
        verdict += Verdict(false=(f"{name}: has ...{key[-4:]}, which nobody sent",))
    for key, pairs in sent_for.items():
        verdict += _about_licence(name, book, key, pairs)
    return verdict


def _about_licence(name: str, book: Json, key: str, pairs: list[tuple[Wish, _Told]]) -> Verdict:
    """Compare one licence; as a rule one command brings it."""
    writers = [(wish, told) for wish, told in pairs if wish.writes]
    ends = Counter(told.conclusion for _, told in writers if told.ends)
    done = _times(book, key)
    who = f"{name}, {', '.join(sorted({wish.id for wish, _ in pairs}))}"
    if (often := max(done, int(book["posts"].get(key, 0)))) > len(writers):
        if writers:
            return Verdict(doubled=(f"{who}: written {often} times",))
        return Verdict(false=(f"{who}: written, and was not to be",))
    # What was not told may have been done or not; that it was not told is said elsewhere.
    open_ = ends["unknown"] + len([None for _, told in writers if not told.ends])
    # A used licence is accepted and changes nothing; who lost that answer may say `failed`.
    idle = ends["failed"] if key in book["spent"] else 0
    if not ends["succeeded"] <= done <= ends["succeeded"] + open_ + idle:
        how = ", ".join(sorted(ends)) or "not told"
        return Verdict(false=(f"{who}: {how}, and the books have it {done} times",))
    return Verdict(false=_about_amount(who, book, key, writers, exact=not open_))


def _about_amount(
    who: str, book: Json, key: str, writers: list[tuple[Wish, _Told]], *, exact: bool
) -> tuple[str, ...]:
    """Compare the SMS that a licence added with those that were told."""
    if key not in book["spent"]:
        return ()
    ends = [told.finished[0].data for _, told in writers if told.finished]
    added = sum(end.get("added_sms") or 0 for end in ends)
    amount = int(book["spent"][key]["amount"])
    fits = added == amount if exact else added <= amount
    return () if fits else (f"{who}: {added} SMS told as added, and the books have {amount}",)


def _times(book: Json, key: str) -> int:
    """How often a licence was accepted, or a file applied."""
    spent = book["spent"].get(key)
    return int(spent["times"]) if spent else int(book["applied"].get(key, 0))


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
