from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from service.simulator import FieldError, FortiAuthenticator, FortiVoice
from tests.appliances.simulator.driving import LICENCE, Sms, Voice, macs

if TYPE_CHECKING:
    import httpx

BOTH = {"latency": 0.0, "lockout_after": None, "lockout_seconds": 60.0}


async def test_every_switch_is_shown_with_its_value(page: httpx.AsyncClient) -> None:
    """Each kind has its own switches besides those of both."""
    assert (
        BOTH
        | {
            "total_sms": 1000,
            "used_sms": 40,
            "amount": 100,
            "licenses": {},
            "success_status": 201,
            "success_body": False,
            "numbers_as_strings": False,
        }
        == (await page.get("/switches/fac-1")).json()
    )
    assert (
        BOTH
        | {
            "devices": 7,
            "cookie_name": "APSCookie",
            "cookie_attributes": ";",
            "serial": "FO4000YYZRD00006",
            "fabric_path": "/api/v1/",
            "fabric_missing": [],
            "fabric_denied": [],
            "logout_path": None,
            "session_lifetime": None,
            "session_idle": None,
            "session_limit": None,
        }
        == (await page.get("/switches/fvc-1")).json()
    )


async def test_switches_work_from_the_next_request_on(
    page: httpx.AsyncClient, sms: Sms, voice: Voice
) -> None:
    """What is set over the page is what the appliance does, and what the page answers."""
    for_sms = {"total_sms": 5, "licenses": {LICENCE: 7}, "success_status": 204}
    for_voice = {"devices": 2, "cookie_name": "APSCOOKIE_1f", "logout_path": "/api/v1/Bye"}
    for appliance, values in (("fac-1", for_sms), ("fvc-1", for_voice)):
        before = (await page.get(f"/switches/{appliance}")).json()
        answer = await page.patch(f"/switches/{appliance}", json=values)
        assert before | values == answer.json()
        assert before | values == (await page.get(f"/switches/{appliance}")).json()

    assert 204 == (await sms.activate()).status_code
    assert 12 == await sms.total()
    await voice.login()
    assert voice.cookie.startswith("APSCOOKIE_1f=")
    assert 2 == len(macs(await voice.devices()))
    assert 200 == (await voice.send("POST", "Bye")).status_code


@pytest.mark.parametrize(
    ("appliance", "switch", "value"),
    [
        ("fac-1", "books", {}),
        ("fac-1", "devices", 7),
        ("fvc-1", "amount", 7),
        ("fac-1", "latency", -1),
        ("fac-1", "latency", None),
        ("fac-1", "latency", float("nan")),
        ("fac-1", "lockout_after", 0),
        ("fac-1", "lockout_seconds", "60"),
        ("fac-1", "total_sms", -1),
        ("fac-1", "used_sms", 1.5),
        ("fac-1", "amount", True),
        ("fac-1", "licenses", [LICENCE]),
        ("fac-1", "licenses", {LICENCE: -1}),
        ("fac-1", "licenses", {"1111": 5}),
        ("fac-1", "success_status", 203),
        ("fac-1", "success_status", 200.0),
        ("fac-1", "success_body", 1),
        ("fac-1", "numbers_as_strings", "yes"),
        ("fvc-1", "devices", 2**24 + 1),
        ("fvc-1", "cookie_name", "a=b"),
        ("fvc-1", "cookie_name", ""),
        ("fvc-1", "cookie_attributes", ";\r\nX: y"),
        ("fvc-1", "serial", None),
        ("fvc-1", "logout_path", "Logout"),
        ("fvc-1", "logout_path", "/with?query"),
        ("fvc-1", "session_lifetime", -1),
        ("fvc-1", "session_idle", 86_401),
        ("fvc-1", "session_limit", 0),
    ],
)
async def test_an_unknown_or_wrong_switch_is_refused_by_name_and_nothing_is_set(
    page: httpx.AsyncClient, appliance: str, switch: str, value: object
) -> None:
    """All of a request's switches are set, or none."""
    before = (await page.get(f"/switches/{appliance}")).json()
    body = json.dumps({"lockout_seconds": 5, "latency": 0.01} | {switch: value})

    answer = await page.patch(f"/switches/{appliance}", content=body)

    assert (400, switch) == (answer.status_code, answer.json()["error"]["field"])
    assert answer.json()["error"]["message"]
    assert before == (await page.get(f"/switches/{appliance}")).json()


async def test_an_unknown_switch_names_the_appliance_and_its_kind(page: httpx.AsyncClient) -> None:
    """The message tells whose switch it is not."""
    answer = await page.patch("/switches/fac-1", json={"devices": 5})

    told = {"field": "devices", "message": "is no switch of fac-1, a fortiauthenticator"}
    assert told == answer.json()["error"]


def test_a_switch_that_is_set_in_python_is_checked_as_well() -> None:
    """The check belongs to the switch, and each appliance has its own value."""
    first, second = (FortiAuthenticator(name, "password") for name in ("fac-1", "fac-2"))
    first.amount = 5

    assert (5, 100) == (first.amount, second.amount)
    with pytest.raises(FieldError, match="success_status: must be one of 200, 201, 202, 204"):
        first.success_status = 500
    with pytest.raises(FieldError, match="latency"):
        FortiVoice("fvc-1", "password", latency=-1)
