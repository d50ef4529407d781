from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.appliances.phones import _unusual, device_of
from service.errors import Code, Failed
from service.messages.results import Device, DeviceList, Extension
from service.simulator import Answer, phones

if TYPE_CHECKING:
    from service.messages.wire import Json
    from tests.appliances.pairs import Voice

BARE = Device(
    mac="b4:0e:dc:bd:f4:bd",
    phone_type=r"FortiFone-550i\560i",
    name=None,
    description=None,
    assigned=True,
    profile=r"Default-FortiFone-550i\560i",
    extension=None,
    ip=None,
    info=None,
    registered=False,
    last_register=None,
    expiration=None,
)
UNASSIGNED = BARE.model_copy(
    update={"mac": "b4:0e:dc:bd:f4:ff", "description": "FakePhone", "assigned": False}
)
IN_USE = BARE.model_copy(
    update={
        "mac": "70:4c:a5:ce:bb:fc",
        "phone_type": "FortiFone-175",
        "profile": "Default-FortiFone-175",
        "extension": Extension(id="6006", number="6006", display_name="Kanata"),
        "ip": "192.168.2.35",
        "info": "Fortinet FortiFone FON-175 2.4.0.5672 704ca5cebbfc",
        "registered": True,
        "last_register": "2020-06-12 13:54:27",
        "expiration": "2020-06-12 14:54:27",
    }
)
NOT_KNOWN = Device(**dict.fromkeys(Device.model_fields) | {"mac": "aa"})
FIRST_SEVEN = [phones.phone(index)["mkey"] for index in range(7)]


def macs(listed: DeviceList) -> list[str | None]:
    """Return the MAC addresses of a list."""
    return [device.mac for device in listed.devices or ()]


async def one(voice: Voice, **row: object) -> Device:
    """Let the appliance list one phone, and return it as the adapter tells it."""
    listed = {"totalRemoteCount": 1, "collection": [{"mkey": "aa"} | row]}
    voice.fault(Answer(json=listed))
    (device,) = (await voice.read()).devices or ()
    return device


def query_of(voice: Voice) -> list[tuple[str, str]]:
    """Return the last phone query, decoded once."""
    last = [call.query for name, call in voice.simulated.calls if name == "devices"][-1]
    return parse_qsl(last, keep_blank_values=True, strict_parsing=True)


async def test_phones_are_told_as_the_guide_lists_them(voice: Voice) -> None:
    """Every field has its place; "no value" is null, the vendor's 1 and 2 are true and false."""
    listed = await voice.read()

    assert macs(listed) == FIRST_SEVEN
    assert [(listed.devices or ())[place] for place in (0, 3, 4)] == [BARE, UNASSIGNED, IN_USE]
    figures = (listed.total, listed.start, listed.next, listed.complete)
    assert figures == (7, 0, None, True)


async def test_a_lone_backslash_and_a_doubled_one_mean_the_same(voice: Voice) -> None:
    """The guide's full list is invalid JSON, its filtered one is not; the phone is the same."""
    full = await voice.read()
    filtered = await voice.read(search="f4:ff")

    assert filtered.devices == (UNASSIGNED,)
    assert UNASSIGNED in (full.devices or ())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"a\560i", r"a\560i"),
        (r"a\\560i", r"a\560i"),
        (r"\q\"\\\/\n\u00e9", '\\q"\\/\né'),
        (r"\x \u12 \U0041", r"\x \u12 \U0041"),
        (r"\\\q", r"\\q"),
        (r"Grüße\ ", "Grüße\\ "),
    ],
)
async def test_only_what_is_no_escape_is_repaired(voice: Voice, text: str, name: str) -> None:
    """Legal escapes beside a lone backslash keep their meaning."""
    body = '{"totalRemoteCount": 1, "collection": [{"mkey": "aa", "name": "' + text + '"}]}'
    voice.fault(Answer(body=body))

    assert [name] == [device.name for device in (await voice.read()).devices or ()]


async def test_a_row_may_lack_everything_but_its_key(voice: Voice) -> None:
    """Newer firmware drops fields: what is missing is not known."""
    assert await one(voice) == NOT_KNOWN


async def test_empty_and_foreign_values_are_not_known(voice: Voice) -> None:
    """Every field has a value that means something, or null."""
    row = dict.fromkeys(phones.phone(4), "") | {"mkey": "aa", "phone_info": None, "name": ["x"]}

    assert await one(voice, **row, something_new={"deep": 1}) == NOT_KNOWN


@pytest.mark.parametrize(
    ("vendors", "assigned"),
    [(1, True), (2, False), ("1", True), ("2", False)]
    + [(odd, None) for odd in (0, 3, -1, 1.0, 99, "", "yes", None, [1], "9" * 5000)],
    ids=lambda value: str(value)[:10],
)
async def test_assigned_is_the_vendors_enum(
    voice: Voice, vendors: object, assigned: bool | None
) -> None:
    """A number that is not documented is an answer that nobody knows, no failure."""
    assert assigned is (await one(voice, unassigned=vendors)).assigned


@pytest.mark.parametrize(
    ("vendors", "registered"), [(1, True), (0, False), (2, None), ("", None), (None, None)]
)
async def test_registered_is_the_vendors_number(
    voice: Voice, vendors: object, registered: bool | None
) -> None:
    """0 and 1 are what the guide shows."""
    assert registered is (await one(voice, registration_status=vendors)).registered


@pytest.mark.parametrize("given", ["associated_id", "associated_number", "associated_display_name"])
async def test_an_extension_is_told_when_any_of_it_is_known(voice: Voice, given: str) -> None:
    """Its other parts are null then."""
    parts = dict.fromkeys(("id", "number", "display_name")) | {given[len("associated_") :]: "6006"}

    assert Extension(**parts) == (await one(voice, **{given: "6006"})).extension


async def test_whatever_a_phone_is_called_can_be_told(voice: Voice) -> None:
    """A name that was cut inside a character must not keep its list from being published."""
    device = await one(voice, name="Foyer \ud83d")

    assert "Foyer" in device.model_dump_json()


async def test_the_query_is_the_guides_example(voice: Voice) -> None:
    """Its parameters come in the guide's order and nothing stands beside them."""
    await voice.read(start=3, limit=2)

    assert query_of(voice) == [
        ("reqAction", "1"),
        ("mdomain", "system"),
        ("startIndex", "3"),
        ("pageSize", "2"),
        ("extraParam", ""),
    ]


async def test_search_and_filter_are_encoded_once(voice: Voice) -> None:
    """What is decoded once is what the guide shows, and no percent sign is left over."""
    listed = await voice.read(search="f4:fF", unassigned_only=True)

    asked = dict(query_of(voice))
    assert asked["extraParam"] == "quickSearch:f4:fF"
    assert json.loads(asked["jsonPayload"]) == {
        "compoundSearch": [
            {"searchValues": [{"filter_content": 1}], "filter_type": 1, "is_negated": False}
        ]
    }
    assert all(value == unquote_plus(value) for value in asked.values())
    assert listed.devices == (UNASSIGNED,)


@pytest.mark.parametrize(
    "search",
    [
        "f4:&reqAction=3",
        "f4:#",
        "f4:%26reqAction=3",
        "f4:+ff",
        'f4:"}',
        "f4:;ff",
        "f4:\r\nX: 1",
        "ü:",
    ],
)
async def test_a_fragment_is_a_value_and_never_a_part_of_the_query(
    voice: Voice, search: str
) -> None:
    """Contracts keep such fragments out; if one came in, it would be looked for, and no more."""
    await voice.read(search=search, unassigned_only=True)

    assert [name for name, _ in query_of(voice)] == [
        *("reqAction", "mdomain", "startIndex", "pageSize", "extraParam", "jsonPayload")
    ]
    asked = dict(query_of(voice))
    assert (asked["reqAction"], asked["extraParam"]) == ("1", f"quickSearch:{search}")


@pytest.mark.parametrize(
    ("search", "unassigned_only", "places"),
    [
        (None, True, [3, 6]),
        ("ff", False, [3]),
        ("FF", False, [3]),
        ("b4:0e", False, [0, 3]),
        ("b4:0e", True, [3]),
        ("00:1", False, [1, 2]),
        ("00:1", True, []),
        ("70:4c:a5:ce:bb:fc", False, [4]),
        ("B40EDC", False, [0, 3]),
        ("704ca5cebbfc", False, [4]),
    ],
)
async def test_search_and_unassigned_only_hold_together(
    voice: Voice, search: str | None, unassigned_only: bool, places: list[int]
) -> None:
    """A part of a MAC address, with or without colons and in any case; both hold when given."""
    listed = await voice.read(search=search, unassigned_only=unassigned_only)

    assert [FIRST_SEVEN[place] for place in places] == macs(listed)
    assert (listed.next, listed.complete) == (None, True)


async def test_a_filter_that_the_firmware_ignores_holds_all_the_same(voice: Voice) -> None:
    """What was not asked for is not told, and what may have been asked for is."""
    rows = [
        {"mkey": "aa:ff", "unassigned": 1},
        {"mkey": "bb:ff", "unassigned": 2},
        {"mkey": "cc:ff", "unassigned": 3},
        {"mkey": "dd:00", "unassigned": 2},
    ]
    voice.fault(Answer(json={"totalRemoteCount": 4, "collection": rows}))

    assert macs(await voice.read(search="ff", unassigned_only=True)) == ["bb:ff", "cc:ff"]


@pytest.mark.parametrize("error_type", [3, 7, "7", -1, [7], {"code": 7}, "no"])
async def test_an_error_type_is_a_failure_even_under_200(voice: Voice, error_type: object) -> None:
    """The status says only that there was an answer."""
    listed = {"errorType": error_type, "totalRemoteCount": 0, "collection": "[]"}
    voice.fault(Answer(json=listed))

    with pytest.raises(Failed) as caught:
        await voice.read()

    assert (caught.value.code, caught.value.status) == (Code.UNEXPECTED_ANSWER, 200)


@pytest.mark.parametrize("collection", [7, "rows", {}, [7], [["aa"]], [{"mkey": "aa"}, None]])
async def test_a_collection_that_is_no_list_of_rows_is_unexpected(
    voice: Voice, collection: object
) -> None:
    """Zero phones are never told by mistake."""
    voice.fault(Answer(json={"totalRemoteCount": 1, "collection": collection}))

    with pytest.raises(Failed) as caught:
        await voice.read()

    assert caught.value.code is Code.UNEXPECTED_ANSWER


ROWS: st.SearchStrategy[dict[str, Json]] = st.dictionaries(
    st.sampled_from(sorted(phones.phone(4))),
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.just([]),
)


@given(ROWS)
def test_the_fast_way_to_read_a_row_reads_what_the_other_one_does(odd: dict[str, Json]) -> None:
    """Whatever stands in its fields, or does not stand there."""
    for row in (odd, {**phones.phone(4), **odd}):
        assert _unusual(row) == device_of(row)
