"""The judge's rules about licences: every result is compared with the appliances' books.

A name of the inventory may lead to several appliances in the course of a schedule; a write counts
wherever it stands. The figures of a result are compared with the totals that the appliance had
before and after that very licence.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.campaign.history import Ends, Verdict, Wish

Json = dict[str, Any]
Pair = tuple[Wish, Ends]

Boxes = Callable[[str], Collection[str]]
"""Gives the appliances, by their names in the books, to which a name of the inventory led."""
_PAGES: Final = ("posts", "spent", "applied")
_BALANCE: Final = "courier.query-sms-balance."


def its_own(name: str) -> Collection[str]:
    """The name of an inventory that was not changed."""
    return {name}


def with_totals(book: Json, total_sms: int) -> Json:
    """Add to a FortiAuthenticator's book the totals before and after each licence.

    Args:
        book: as the appliance has it; `spent` is in the order in which licences were accepted.
        total_sms: the total at the end.
    """
    total = total_sms - sum(int(each["amount"]) for each in book["spent"].values())
    spent, totals = {}, [total]
    for key, each in book["spent"].items():
        after = total + int(each["amount"])
        spent[key] = each | {"before": total, "after": after}
        totals.append(total := after)
    return book | {"spent": spent, "totals": totals}


@dataclass
class _Written:
    """What all books together have about one licence."""

    posts: int = 0
    times: int = 0
    amount: int = 0
    accepted: dict[str, Json] = field(default_factory=dict)
    applied: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, key: str | None, books: Mapping[str, Json]) -> "_Written":
        found = cls()
        for name, book in books.items():
            found.posts += int(book["posts"].get(key, 0))
            if spent := book["spent"].get(key):
                found.times += int(spent["times"])
                found.amount += int(spent["amount"])
                found.accepted[name] = spent
            if applied := int(book["applied"].get(key, 0)):
                found.times += applied
                found.applied.add(name)
        return found

    @property
    def changed(self) -> bool:
        """Whether an appliance is another one than before; a used SMS licence changes nothing."""
        return self.amount > 0 or bool(self.applied)


def was_written(wish: Wish, books: Mapping[str, Json]) -> bool:
    """Whether a write of this licence reached an appliance, as far as the books say."""
    found = _Written.of(wish.key, books)
    return bool(found.posts or found.times)


def judge_licences(books: Mapping[str, Json], pairs: Iterable[Pair], boxes: Boxes) -> Verdict:
    """Compare each licence in the books, and each that was sent, with the results.

    Args:
        books: by appliance.
        pairs: licence commands with their terminal events.
        boxes: see `Boxes`.
    """
    verdict = Verdict()
    sent: dict[str, list[Pair]] = {}
    for wish, ends in pairs:
        sent.setdefault(str(wish.key), []).append((wish, ends))
    for name, book in books.items():
        for key in sorted({key for page in _PAGES for key in book[page]}):
            if not any(name in boxes(wish.appliance) for wish, _ in sent.get(key, ())):
                verdict += Verdict(false=(f"{name}: has ...{key[-4:]}, which nobody sent there",))
    for key, here in sent.items():
        verdict += _judge_licence(here, _Written.of(key, books))
    return verdict


def _judge_licence(pairs: list[Pair], written: _Written) -> Verdict:
    """Compare one licence; as a rule one command brings it."""
    writers = [(wish, ends) for wish, ends in pairs if wish.writes]
    results = Counter(ends.conclusion for _, ends in writers if ends.ends)
    where = ", ".join(sorted({wish.appliance for wish, _ in pairs}))
    who = f"{where}, {', '.join(sorted({wish.id for wish, _ in pairs}))}"
    if (often := max(written.times, written.posts)) > len(writers):
        if writers:
            return Verdict(doubled=(f"{who}: written {often} times",))
        return Verdict(false=(f"{who}: written, and was not to be",))
    # A write without a result may have been done or not; the missing result is reported elsewhere.
    open_ = results["unknown"] + len([None for _, ends in writers if not ends.ends])
    # A used licence is accepted and changes nothing; if that answer is lost, `failed` is right.
    idle = 0 if written.changed else results["failed"] * bool(written.accepted)
    if not results["succeeded"] <= written.times <= results["succeeded"] + open_ + idle:
        how = ", ".join(sorted(results)) or "not reported"
        return Verdict(false=(f"{who}: {how}, and the books have it {written.times} times",))
    return Verdict(false=_about_amount(who, written, writers, exact=not open_))


def _about_amount(
    who: str, written: _Written, writers: list[Pair], *, exact: bool
) -> tuple[str, ...]:
    """Compare the SMS that a licence added with those that the results report."""
    added = sum(ends.finished[0].data.get("added_sms") or 0 for _, ends in writers if ends.finished)
    if not written.accepted and not added:
        return ()
    fits = added == written.amount if exact else added <= written.amount
    return () if fits else (f"{who}: {added} SMS reported, and the books have {written.amount}",)


def judge_figures(wish: Wish, ends: Ends, books: Mapping[str, Json], boxes: Boxes) -> Verdict:
    """Compare the figures of a result with the books, where those have the totals.

    Args:
        wish: the command.
        ends: its terminal events; all of a licence command's are the same.
        books: by appliance; see `with_totals`. A FortiVoice's may have its `serial`.
        boxes: see `Boxes`.
    """
    data = ends.finished[0].data
    here = {name: books[name] for name in boxes(wish.appliance) if name in books}
    false = _about_totals(wish, data, here)
    if wish.writes and data["conclusion"] == "succeeded":
        false += _about_write(data, _Written.of(wish.key, books), books)
    return Verdict(false=tuple(f"{wish.id}: {each}" for each in false))


def _about_totals(wish: Wish, data: Json, here: Mapping[str, Json]) -> list[str]:
    """Find figures that no appliance of that name ever had."""
    if not here or not all("totals" in book for book in here.values()):
        return []
    totals = {total for book in here.values() for total in book["totals"]}
    figures = {when: (data.get(when) or {}).get("total_sms") for when in ("before", "after")}
    if wish.type.startswith(_BALANCE) and data["conclusion"] == "succeeded":
        figures["balance"] = data.get("total_sms", "none")
    return [
        f"a total of {total} ({when}), which the appliance never had"
        for when, total in figures.items()
        if total is not None and total not in totals
    ]


def _about_write(data: Json, written: _Written, books: Mapping[str, Json]) -> list[str]:
    """Compare a write that succeeded with the one place where the books have it."""
    found = []
    if len(written.accepted) == 1 and written.times == 1:
        (spent,) = written.accepted.values()
        for when in ("before", "after"):
            total = (data.get(when) or {}).get("total_sms")
            if when in spent and total != spent[when]:
                found.append(f"a total of {total} {when} the write, and the books: {spent[when]}")
    for name in written.applied:
        serial = (data.get("device") or {}).get("serial")
        if "serial" in books[name] and serial != books[name]["serial"]:
            found.append(f"applied on {serial}, and {name} has the file")
    return found
