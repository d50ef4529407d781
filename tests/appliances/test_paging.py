from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from service.errors import Code, Failed
from service.simulator import (
    Answer,
    DuplicateRows,
    EmptyPage,
    Endless,
    ExpireSession,
    PageCap,
    ShrinkPages,
    Total,
    phones,
)
from tests.appliances.pairs import Voice

if TYPE_CHECKING:
    from pathlib import Path

    from service.messages.results import DeviceList
    from service.simulator import Action
    from tests.appliances.pairs import Load, RecordingSimulator

ROWS = [{"mkey": "aa"}, {"mkey": "bb"}, {"mkey": "cc"}]


def macs(listed: DeviceList) -> list[str | None]:
    """Return the MAC addresses of a list."""
    return [device.mac for device in listed.devices or ()]


def expected(count: int, start: int = 0) -> list[object]:
    """Return the MAC addresses that the appliance has, up to a count."""
    return [phones.phone(index)["mkey"] for index in range(start, count)]


def asked(voice: Voice) -> list[tuple[int, int]]:
    """Return offset and size of each page that was asked for."""
    queries = [parse_qs(call.query) for name, call in voice.simulated.calls if name == "devices"]
    return [(int(query["startIndex"][0]), int(query["pageSize"][0])) for query in queries]


@pytest.mark.parametrize(
    ("start", "limit", "end", "following"),
    [
        (0, 500, 7, None),
        (0, 8, 7, None),
        (0, 7, 7, None),
        (0, 6, 6, 6),
        (0, 1, 1, 1),
        (2, 3, 5, 5),
        (5, 2, 7, None),
        (6, 5000, 7, None),
        (7, 500, 7, None),
        (1000, 500, 1000, None),
    ],
)
async def test_start_limit_and_next_count_rows(
    voice: Voice, start: int, limit: int, end: int, following: int | None
) -> None:
    """`next` is where to go on, and null exactly when nothing is left; a limit is no loss."""
    listed = await voice.read(start=start, limit=limit)

    assert expected(end, start) == macs(listed)
    assert (start, following) == (listed.start, listed.next)
    assert (listed.total, listed.complete) == (7, True)


async def test_whoever_follows_next_sees_every_phone_once(voice: Voice) -> None:
    """The pages of several commands make up the list."""
    voice.simulated.devices = 23
    seen: list[str | None] = []
    place: int | None = 0
    while place is not None:
        listed = await voice.read(start=place, limit=5)
        seen += macs(listed)
        place = listed.next

    assert expected(23) == seen


async def test_no_more_is_asked_for_than_is_wanted(voice: Voice) -> None:
    """Pages have 500 rows at most, and the last one what is left of the limit."""
    voice.simulated.devices = 1203

    listed = await voice.read(start=10, limit=700)

    assert expected(710, 10) == macs(listed)
    assert asked(voice) == [(10, 500), (510, 200)]
    assert listed.next == 710


@pytest.mark.parametrize(
    ("action", "offsets"),
    [
        (PageCap(size=5), [0, 5, 10]),
        (PageCap(size=1), list(range(12))),
        (ShrinkPages(size=5), [0, 5, 9]),
        (ShrinkPages(size=6, step=5), [0, 6, 7, 8, 9, 10, 11]),
    ],
    ids=str,
)
async def test_the_appliance_decides_how_many_rows_a_page_has(
    voice: Voice, action: Action, offsets: list[int]
) -> None:
    """The offset advances by the rows that came, whatever was asked for."""
    voice.simulated.devices = 12
    voice.fault(action)

    listed = await voice.read()

    assert expected(12) == macs(listed)
    assert offsets == [offset for offset, _ in asked(voice)]
    assert (listed.total, listed.next, listed.complete) == (12, None, True)


async def test_rows_beyond_the_limit_are_left_for_the_next_command(voice: Voice) -> None:
    """An appliance that ignores the page size does not shift the list."""
    voice.fault(Answer(json={"totalRemoteCount": 3, "collection": ROWS}))

    listed = await voice.read(limit=2)

    assert macs(listed) == ["aa", "bb"]
    assert (listed.next, listed.complete) == (2, True)


@pytest.mark.parametrize("limit", [500, 6])
async def test_no_phone_is_listed_twice_and_a_shifted_list_is_not_complete(
    voice: Voice, limit: int
) -> None:
    """Where rows come again, others may have been missed."""
    voice.fault(PageCap(size=3))
    voice.fault(DuplicateRows(count=1))

    listed = await voice.read(limit=limit)

    assert len(set(macs(listed))) == len(macs(listed))
    assert listed.complete is False


async def test_rows_without_a_key_are_not_taken_for_one_another(voice: Voice) -> None:
    """A firmware that drops even the MAC address still has that many phones."""
    rows = [{"name": "a"}, {"name": "b"}, {"mkey": "", "name": "c"}]
    voice.fault(Answer(json={"totalRemoteCount": 3, "collection": rows}))

    listed = await voice.read()

    assert [device.name for device in listed.devices or ()] == ["a", "b", "c"]
    assert listed.complete is True


@pytest.mark.parametrize(
    ("lie", "size"),
    [
        (Total(add=1), 500),
        (Total(add=3), 3),
        (Total(add=-1), 500),
        (Total(add=-2), 3),
        (Total(value=0), 3),
    ],
    ids=str,
)
async def test_a_count_that_disagrees_with_the_rows_is_told(
    voice: Voice, lie: Total, size: int
) -> None:
    """What was read is told all the same, as not complete."""
    voice.fault(PageCap(size=size))
    voice.fault(lie)

    listed = await voice.read()

    assert (listed.next, listed.complete) == (None, False)
    assert macs(listed) == expected(len(macs(listed)))
    assert len(macs(listed)) >= 3


@pytest.mark.parametrize(
    ("counts", "found", "total", "complete"),
    [
        ([7, 9], 7, 9, False),
        ([9, 7], 7, 7, True),
        ([7, None], 7, 7, True),
        ([None, 7], 7, 7, True),
        ([2, 7], 7, 7, True),
        ([7, 2], 7, 2, False),
    ],
)
async def test_a_count_that_changes_on_the_way_is_believed_as_it_was_said_last(
    voice: Voice, counts: list[object], found: int, total: int, *, complete: bool
) -> None:
    """Phones come and go while a list is read; what was read is compared with the last count."""
    pages = [{"collection": [phones.phone(at) for at in range(3)]}]
    pages += [{"collection": [phones.phone(at) for at in range(3, 6)]}]
    pages += [{"collection": [phones.phone(6)]}, {"collection": []}]
    for place, page in enumerate(pages):
        count = counts[0] if place == 0 else counts[1]
        more = place < len(pages) - 2
        listed = page | {"totalRemoteCount": count, "nextPage": more}
        voice.fault(Answer(json=listed), times=1)

    told = await voice.read()

    assert expected(found) == macs(told)
    assert (total, None, complete) == (told.total, told.next, told.complete)


@pytest.mark.parametrize("total", [None, -1, "many", 1.5, True, 2**53, "9" * 5000, [3]])
async def test_a_count_that_cannot_be_is_not_known(voice: Voice, total: object) -> None:
    """Integers are whole, from 0 to below 2**53; the rows are worth something without them."""
    voice.fault(Answer(json={"totalRemoteCount": total, "collection": ROWS}), times=1)
    voice.fault(Answer(json={"totalRemoteCount": total, "collection": []}))

    listed = await voice.read()

    assert macs(listed) == ["aa", "bb", "cc"]
    assert (listed.total, listed.next) == (None, None)


async def test_a_count_may_come_as_a_string(voice: Voice) -> None:
    """It counts all the same."""
    voice.fault(Answer(json={"totalRemoteCount": "3", "collection": ROWS}))

    listed = await voice.read()

    assert (listed.total, listed.complete) == (3, True)
    assert voice.requests("devices") == 1


@pytest.mark.parametrize(
    "empty",
    [{"collection": None}, {"collection": ""}, {"collection": "[]"}, {"collection": []}, {}],
    ids=str,
)
@pytest.mark.parametrize("total", [0, 7])
async def test_an_empty_collection_has_many_spellings(
    voice: Voice, empty: dict[str, object], total: int
) -> None:
    """Missing, null and the string "[]" mean no rows; the count says whether that can be true."""
    voice.fault(Answer(json={"totalRemoteCount": total, "nextPage": False} | empty))

    listed = await voice.read()

    assert (listed.devices, listed.total) == ((), total)
    assert (listed.next, listed.complete) == (None, total == 0)


@pytest.mark.parametrize("pages", [0, 1, 2])
async def test_an_empty_page_ends_the_list_whatever_it_promises(voice: Voice, pages: int) -> None:
    """An appliance that promises more and gives nothing is not asked for ever."""
    voice.fault(PageCap(size=2))
    voice.fault(EmptyPage(), after=pages)

    listed = await voice.read()

    assert expected(2 * pages) == macs(listed)
    assert (listed.total, listed.complete) == (7, False)
    assert pages + 1 == voice.requests("devices")


async def test_a_list_without_an_end_is_bounded_by_the_limit(voice: Voice) -> None:
    """A limit alone does not make a list incomplete."""
    voice.fault(Endless())

    listed = await voice.read(limit=1200)

    assert len(macs(listed)) == 1200
    assert (listed.next, listed.complete) == (1200, True)
    assert voice.requests("devices") == 3


async def test_a_list_without_an_end_in_tiny_pages_is_bounded_by_their_number(
    voice: Voice,
) -> None:
    """It is cut after 500 pages, told as incomplete, and can be gone on with."""
    voice.fault(Endless())
    voice.fault(PageCap(size=1))

    listed = await voice.read(limit=5000)

    assert voice.requests("devices") == 500
    assert (len(macs(listed)), listed.next, listed.complete) == (500, 500, False)


async def test_a_list_that_goes_in_circles_is_not_complete(voice: Voice) -> None:
    """An appliance that always gives its first page has shown no more than that."""
    voice.fault(Answer(json={"totalRemoteCount": 9, "collection": ROWS}))

    listed = await voice.read()

    assert macs(listed) == ["aa", "bb", "cc"]
    assert (listed.total, listed.complete) == (9, False)
    assert voice.requests("devices") <= 3


async def test_a_session_that_ends_between_two_pages_does_not_disturb_the_list(
    voice: Voice,
) -> None:
    """The page is asked for again in the new session."""
    voice.fault(PageCap(size=3))
    voice.fault(ExpireSession(), times=1, after=1)

    listed = await voice.read()

    assert expected(7) == macs(listed)
    assert listed.complete is True
    assert voice.logins(reads=1) == 2


async def test_a_page_that_fails_fails_the_list(voice: Voice) -> None:
    """Half a list is never told as a result."""
    voice.fault(PageCap(size=3))
    voice.fault(Answer(status=500), after=1)

    with pytest.raises(Failed) as caught:
        await voice.read()

    assert (caught.value.code, caught.value.status) == (Code.APPLIANCE_ERROR, 500)


async def test_one_place_is_left_to_those_who_come_meanwhile(
    simulator: RecordingSimulator, load: Load, tmp_path: Path
) -> None:
    """Where only one request may be under way, no page is asked for ahead."""
    inventory = load(only="fvc-1", max_concurrency=1)
    voice = Voice(simulator, inventory, tmp_path / "fvc-1.password")
    voice.simulated.devices = 3000
    everything = voice.adapter.devices(search=None, unassigned_only=False, start=0, limit=None)
    async with aclosing(everything):
        for _ in range(2):
            await anext(everything)
        await voice.read(limit=1)

    assert [(0, 500), (500, 500), (0, 1)] == asked(voice)
