"""The judge compares every result with the books: false histories are found, true ones are not."""

from typing import Any

import pytest

from tests.campaign.checker import Wish, judge
from tests.campaign.licences import with_totals
from tests.campaign.scenarios import activation, application, balance
from tests.support.workflow import Heard, licence
from tests.unit.test_campaign_checker import books, finished

Json = dict[str, Any]

SMS = activation("sms")
OTHER = activation("other", licence(2))
VOICE = application("voice")
QUERY = balance("query")
SERIALS = {"fvc-1": "FO-1", "fvc-2": "FO-2"}


def total(sms: int) -> Json:
    return {"total_sms": sms, "used_sms": 40, "available_sms": sms - 40}


def added(wish: Wish, before: int, after: int) -> Heard:
    """The result of an activation with its figures."""
    return finished(wish, added_sms=after - before, before=total(before), after=total(after))


def fac(*spent: str, base: int = 1000, amount: int = 100) -> Json:
    """A FortiAuthenticator's book with totals: each licence added so many."""
    found: Json = books(*spent, amount=amount)["fac-1"]
    return with_totals(found, base + amount * len(spent))


def fvc(*names: str) -> dict[str, Json]:
    """Books of two FortiVoices; the named ones have the file."""
    return {
        name: {"posts": {}, "spent": {}, "applied": {VOICE.key: 1} if name in names else {}}
        | {"serial": serial}
        for name, serial in SERIALS.items()
    }


def applied(serial: str) -> Heard:
    return finished(VOICE, device={"model": "FortiVoice", "serial": serial, "version": "6"})


def anywhere(_: str) -> set[str]:
    """A name that led to every appliance in the course of a schedule."""
    return {"fac-1", "fac-2", "fvc-1", "fvc-2"}


def test_totals_are_those_around_each_licence() -> None:
    """In the order in which the appliance accepted them; the last one leads to the total."""
    book = fac(licence(1), licence(2))
    assert {"before": 1000, "after": 1100} == {
        when: book["spent"][licence(1)][when] for when in ("before", "after")
    }
    assert 1200 == book["spent"][licence(2)]["after"]
    assert [1000, 1100, 1200] == book["totals"]


TRUE: dict[str, tuple[list[Wish], list[Heard], dict[str, Json]]] = {
    "two after each other": (
        [SMS, OTHER],
        [added(SMS, 1000, 1100), added(OTHER, 1100, 1200)],
        {"fac-1": fac(licence(1), licence(2))},
    ),
    "a used licence": (
        [SMS],
        [added(SMS, 1000, 1000)],
        {"fac-1": fac(licence(1), amount=0)},
    ),
    "failed, and the figures are those that there were": (
        [SMS],
        [finished(SMS, "failed", added_sms=0, before=total(1000), after=total(1000))],
        {"fac-1": fac()},
    ),
    "refused, and the request is on the books": (
        [SMS],
        [finished(SMS, "refused", added_sms=0)],
        books(posts=[licence(1)]),
    ),
    "a balance from in between": (
        [QUERY, SMS, OTHER],
        [
            finished(QUERY, total_sms=1100),
            added(SMS, 1000, 1100),
            added(OTHER, 1100, 1200),
        ],
        {"fac-1": fac(licence(1), licence(2))},
    ),
    "an apply, and whose serial number it reports": ([VOICE], [applied("FO-1")], fvc("fvc-1")),
}


@pytest.mark.parametrize(("sent", "heard", "found"), TRUE.values(), ids=TRUE)
def test_a_true_history_is_no_contradiction(
    sent: list[Wish], heard: list[Heard], found: dict[str, Json]
) -> None:
    """Each result says what the books say."""
    assert () == judge(sent, heard, found).contradictions


FALSE: dict[str, tuple[list[Wish], list[Heard], dict[str, Json]]] = {
    "failed, and the write is on the books": (
        [SMS],
        [finished(SMS, "failed", added_sms=0)],
        {"fac-1": fac(licence(1))},
    ),
    "refused, and the write is on the books": (
        [SMS],
        [finished(SMS, "refused", added_sms=0)],
        {"fac-1": fac(licence(1))},
    ),
    "failed, and it reports what was added": (
        [SMS],
        [finished(SMS, "failed", added_sms=100)],
        {"fac-1": fac(licence(1))},
    ),
    "failed, and the file was applied": ([VOICE], [finished(VOICE, "failed")], fvc("fvc-1")),
    "refused, and the file was applied": ([VOICE], [finished(VOICE, "refused")], fvc("fvc-1")),
    "succeeded, and the books know nothing": (
        [SMS],
        [added(SMS, 1000, 1100)],
        {"fac-1": fac()},
    ),
    "succeeded, and only a request is on the books": (
        [SMS],
        [finished(SMS, added_sms=0)],
        books(posts=[licence(1)]),
    ),
    "applied, and the books know nothing": ([VOICE], [applied("FO-1")], fvc()),
    "another licence's write counted as well": (
        [SMS, OTHER],
        [added(SMS, 1000, 1200), added(OTHER, 1100, 1200)],
        {"fac-1": fac(licence(1), licence(2))},
    ),
    "the difference is right, the figures are another appliance's": (
        [SMS],
        [added(SMS, 5900, 6000)],
        {"fac-1": fac(licence(1))},
    ),
    "the difference is right, the figures are another write's": (
        [SMS, OTHER],
        [added(SMS, 1100, 1200), added(OTHER, 1000, 1100)],
        {"fac-1": fac(licence(1), licence(2))},
    ),
    "succeeded without its figures": (
        [SMS],
        [finished(SMS, added_sms=100)],
        {"fac-1": fac(licence(1))},
    ),
    "failed with a total that there never was": (
        [SMS],
        [finished(SMS, "failed", added_sms=0, before=total(1000), after=total(1050))],
        {"fac-1": fac()},
    ),
    "a balance that there never was": (
        [QUERY],
        [finished(QUERY, total_sms=1050)],
        {"fac-1": fac()},
    ),
    "a balance without a figure": ([QUERY], [finished(QUERY)], {"fac-1": fac()}),
    "applied on another device than it reports": ([VOICE], [applied("FO-2")], fvc("fvc-1")),
    "applied on no device": ([VOICE], [finished(VOICE)], fvc("fvc-1")),
    "two bodies under one id": (
        [SMS],
        [added(SMS, 1000, 1100), finished(SMS, "failed", added_sms=0)],
        {"fac-1": fac(licence(1))},
    ),
    "two bodies that differ in an instant": (
        [SMS],
        [finished(SMS, "failed", added_sms=0), finished(SMS, "failed", added_sms=0, at=2)],
        {"fac-1": fac()},
    ),
    "written where its name never led": (
        [SMS],
        [added(SMS, 1000, 1100)],
        {"fac-1": fac(), "fac-2": fac(licence(1))},
    ),
}


@pytest.mark.parametrize(("sent", "heard", "found"), FALSE.values(), ids=FALSE)
def test_a_false_history_is_found(
    sent: list[Wish], heard: list[Heard], found: dict[str, Json]
) -> None:
    """It is `false`, and the verdict is not well."""
    verdict = judge(sent, heard, found)
    assert verdict.false
    assert not verdict.ok


def test_a_write_counts_on_every_appliance_to_which_its_name_led() -> None:
    """Once in all: on two of them it is doubled, as it is twice on one."""
    one, both = {"fac-1": fac(), "fac-2": fac(licence(1))}, dict.fromkeys(["fac-1", "fac-2"])
    assert judge([SMS], [added(SMS, 1000, 1100)], one, boxes=anywhere).ok
    twice = {name: fac(licence(1)) for name in both}
    assert judge([SMS], [added(SMS, 1000, 1100)], twice, boxes=anywhere).doubled
    assert judge([VOICE], [applied("FO-1")], fvc("fvc-1", "fvc-2"), boxes=anywhere).doubled


def test_figures_of_two_appliances_are_found() -> None:
    """A baseline of one and a total of another: no write explains that difference."""
    found = {"fac-1": fac(licence(1)), "fac-2": fac(base=6000)}
    verdict = judge([SMS], [added(SMS, 1000, 6000)], found, boxes=anywhere)
    assert verdict.false
    assert judge([SMS], [added(SMS, 1000, 1100)], found, boxes=anywhere).ok


def test_an_apply_that_reports_the_other_device_is_found() -> None:
    """Though the name led to both of them."""
    assert judge([VOICE], [applied("FO-1")], fvc("fvc-2"), boxes=anywhere).false
    assert judge([VOICE], [applied("FO-2")], fvc("fvc-2"), boxes=anywhere).ok


def test_an_unknown_is_needless_where_no_write_came() -> None:
    """And no ledger was lost; what was sent, or done, may have to be looked at by a person."""

    def needless(found: dict[str, Json], *, lost: bool = False) -> tuple[str, ...]:
        told = [finished(SMS, "unknown", added_sms=None)]
        verdict = judge([SMS], told, found, undecidable=lambda _: "why", ledger_lost=lost)
        assert ("sms: why",) == verdict.unknown
        return verdict.needless

    assert ("sms: why",) == needless({"fac-1": fac()})
    assert () == needless({"fac-1": fac()}, lost=True)
    assert () == needless(books(posts=[licence(1)]))
    assert () == needless({"fac-1": fac(licence(1))})


def test_a_needless_unknown_of_an_apply_is_found() -> None:
    """The books name a file when it was applied."""
    told = [finished(VOICE, "unknown")]
    assert judge([VOICE], told, fvc(), undecidable=lambda _: "why").needless
    assert not judge([VOICE], told, fvc("fvc-1"), undecidable=lambda _: "why").needless


def test_an_unknown_does_not_hide_a_figure_that_there_never_was() -> None:
    """What a person looks at must be true."""
    told = [finished(SMS, "unknown", added_sms=None, before=total(900))]
    verdict = judge([SMS], told, {"fac-1": fac()}, undecidable=lambda _: "why")
    assert verdict.false
