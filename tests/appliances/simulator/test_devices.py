from __future__ import annotations

import json

import pytest

from service.simulator import (
    DuplicateRows,
    EmptyPage,
    Endless,
    FortiVoice,
    PageCap,
    Rule,
    ShrinkPages,
    Total,
)
from service.simulator.phones import phone
from tests.appliances.simulator.driving import UNASSIGNED, Voice, macs, rows

SAMPLE_MACS = [
    "b4:0e:dc:bd:f4:bd",
    "00:15:65:83:cb:12",
    "00:1a:7e:a7:e7:9e",
    "b4:0e:dc:bd:f4:ff",
    "70:4c:a5:ce:bb:fc",
    "e8:1c:ba:0f:86:7d",
    "e8:1c:ba:0f:86:7b",
]


@pytest.fixture(autouse=True)
async def session(voice: Voice) -> None:
    await voice.login()


async def test_all_devices_are_the_guides_invalid_json_with_its_spacing(voice: Voice) -> None:
    """The unfiltered list has the lone backslash, which no JSON parser takes."""
    answer = await voice.devices()

    assert answer.text.startswith(
        '{"objectID": "DeviceSip_phoneCollection:{D:system}", "reqAction": 1, "totalRemoteCount": '
        '7,"subCount": 7,"remoteSorting": true,"nextPage": false,"nodePermission": 3,"collection": '
        '[\n{"mkey": "b4:0e:dc:bd:f4:bd","phone_type": "FortiFone-550i\\560i","name": "", '
        '"multicell_device": "", "description": "", "unassigned": 1, "phone_profile": '
        '"Default-FortiFone-550i\\560i", "associated_display_name": "", "associated_number": "", '
        '"associated_id": "", "device_ip": "", "phone_info": "", "associated_role": 0, '
        '"softclient_license": 0, "registration_status": 0, "last_register": "", "expiration": '
        '"", "unregister_cause": 0, "failure_code": 0},\n{"mkey": "00:15:65:83:cb:12",'
    )
    assert answer.text.endswith('"failure_code": 0}\n]\n}')
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert macs(answer) == SAMPLE_MACS


async def test_the_registered_sample_phone_is_the_guides(voice: Voice) -> None:
    """The one phone in use has its number, address and times."""
    row = rows(await voice.devices())[4]

    assert row == {
        "mkey": "70:4c:a5:ce:bb:fc",
        "phone_type": "FortiFone-175",
        "name": "",
        "multicell_device": "",
        "description": "",
        "unassigned": 1,
        "phone_profile": "Default-FortiFone-175",
        "associated_display_name": "Kanata",
        "associated_number": "6006",
        "associated_id": "6006",
        "device_ip": "192.168.2.35",
        "phone_info": "Fortinet FortiFone FON-175 2.4.0.5672 704ca5cebbfc",
        "associated_role": 1,
        "softclient_license": 0,
        "registration_status": 1,
        "last_register": "2020-06-12 13:54:27",
        "expiration": "2020-06-12 14:54:27",
        "unregister_cause": 0,
        "failure_code": 0,
    }


async def test_a_search_is_the_guides_valid_json_laid_out(voice: Voice) -> None:
    """A filtered list doubles the backslash and stands in lines."""
    answer = await voice.devices(extraParam="quickSearch:FF")

    assert answer.text == json.dumps(answer.json(), indent=2)
    assert macs(answer) == ["b4:0e:dc:bd:f4:ff"]
    assert answer.json()["totalRemoteCount"] == 1
    assert answer.json()["collection"][0]["phone_type"] == "FortiFone-550i\\560i"


async def test_the_unassigned_are_those_with_the_code_2(voice: Voice) -> None:
    """The documented search finds the two phones that the guide finds."""
    answer = await voice.devices(jsonPayload=UNASSIGNED)

    assert macs(answer) == ["b4:0e:dc:bd:f4:ff", "e8:1c:ba:0f:86:7b"]
    assert {row["unassigned"] for row in rows(answer)} == {2}


async def test_both_filters_hold_together_and_may_find_nothing(voice: Voice) -> None:
    """A fragment and the search for the unassigned narrow each other."""
    both = await voice.devices(jsonPayload=UNASSIGNED, extraParam="quickSearch:86")
    none = await voice.devices(jsonPayload=UNASSIGNED, extraParam="quickSearch:zz")

    assert macs(both) == ["e8:1c:ba:0f:86:7b"]
    assert (macs(none), none.json()["subCount"]) == ([], 0)


async def test_an_empty_fragment_finds_every_phone(voice: Voice) -> None:
    """A quick search for nothing is the full list."""
    assert macs(await voice.devices(extraParam="quickSearch:")) == SAMPLE_MACS


async def test_pages_are_cut_by_row_offset(voice: Voice, fvc: FortiVoice) -> None:
    """Pages follow one another without a gap, the last one says so."""
    fvc.devices = 25
    pages = [await voice.devices(startIndex=start, pageSize=10) for start in (0, 10, 20, 30)]

    found = [mac for page in pages for mac in macs(page)]
    assert [len(macs(page)) for page in pages] == [10, 10, 5, 0]
    assert found[:7] == SAMPLE_MACS
    assert len(set(found)) == 25
    assert ['"nextPage": true' in page.text for page in pages] == [True, True, False, False]
    assert all('"totalRemoteCount": 25,' in page.text for page in pages)


def test_generated_phones_are_the_same_in_every_run() -> None:
    """Rows depend on their index alone."""
    assert phone(7)["mkey"] == "70:4c:a5:00:00:07"
    assert (phone(8)["unassigned"], phone(9)["unassigned"]) == (2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reqAction": "3"},
        {"mdomain": "other"},
        {"startIndex": "-1"},
        {"startIndex": "²"},
        {"pageSize": "0"},
        {"pageSize": ["1", "2"]},
        {"extraParam": "ff"},
        {"jsonPayload": "{"},
        {"jsonPayload": UNASSIGNED.replace("false", "true")},
        {"more": "x"},
    ],
)
async def test_a_query_has_the_documented_parameters_and_values(
    voice: Voice, wrong: dict[str, object]
) -> None:
    """What differs from the guide's examples is 400."""
    assert (await voice.devices(**wrong)).status_code == 400


async def test_a_query_must_be_there(voice: Voice) -> None:
    """A list without its parameters is 400."""
    assert (await voice.send("GET", "DeviceSip_phone")).status_code == 400
    assert (await voice.send("GET", "DeviceSip_phone?reqAction")).status_code == 400


async def test_a_page_can_be_capped(voice: Voice, fvc: FortiVoice) -> None:
    """The appliance may give fewer rows than were asked for."""
    fvc.faults.add(Rule(action=PageCap(size=3)))

    page = await voice.devices()

    assert len(macs(page)) == 3
    assert '"nextPage": true' in page.text


async def test_pages_can_shrink_down_to_one_row(voice: Voice, fvc: FortiVoice) -> None:
    """Each page may be smaller than the one before."""
    fvc.faults.add(Rule(action=ShrinkPages(size=3, step=2)))

    assert [len(macs(await voice.devices())) for _ in range(3)] == [3, 1, 1]


async def test_pages_can_repeat_rows(voice: Voice, fvc: FortiVoice) -> None:
    """A page may begin with rows of the one before."""
    fvc.faults.add(Rule(action=DuplicateRows(count=1)))

    first, second = [macs(await voice.devices(startIndex=at, pageSize=3)) for at in (0, 3)]

    assert second == [first[2], *SAMPLE_MACS[3:5]]


@pytest.mark.parametrize(
    ("lie", "told"), [(Total(value=3), 3), (Total(add=2), 9), (Total(add=-9), 0)]
)
async def test_the_total_can_be_a_lie(voice: Voice, fvc: FortiVoice, lie: Total, told: int) -> None:
    """The count may disagree with the rows."""
    fvc.faults.add(Rule(action=lie))

    page = await voice.devices()

    assert f'"totalRemoteCount": {told},' in page.text
    assert len(macs(page)) == 7


async def test_an_empty_page_can_promise_more(voice: Voice, fvc: FortiVoice) -> None:
    """A page without rows may say that another follows."""
    fvc.faults.add(Rule(action=EmptyPage()))

    page = await voice.devices()

    assert macs(page) == []
    assert '"totalRemoteCount": 7,' in page.text
    assert '"nextPage": true' in page.text


async def test_a_list_can_be_endless(voice: Voice, fvc: FortiVoice) -> None:
    """There may be another full page of new rows, always."""
    fvc.faults.add(Rule(action=Endless()))

    page = await voice.devices(startIndex=5000, pageSize=2)

    assert len(macs(page)) == 2
    assert '"totalRemoteCount": 5004,' in page.text
    assert '"nextPage": true' in page.text
