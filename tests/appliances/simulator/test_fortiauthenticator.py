from __future__ import annotations

import httpx
import pytest

from service.simulator import FortiAuthenticator, Spent
from tests.appliances.simulator.driving import LICENCE, Sms


async def test_the_balance_has_the_guides_three_numbers_in_its_order(sms: Sms) -> None:
    """The balance is written as the guide writes it."""
    answer = await sms.send("GET")

    assert answer.text == '{"available_sms": 960, "total_sms": 1000, "used_sms": 40}'
    assert answer.headers["Content-Type"] == "application/json"


async def test_numbers_can_be_strings(sms: Sms, fac: FortiAuthenticator) -> None:
    """A switch makes the balance say its numbers as strings."""
    fac.numbers_as_strings = True

    answer = await sms.send("GET")

    assert answer.json() == {"available_sms": "960", "total_sms": "1000", "used_sms": "40"}


async def test_an_unused_licence_adds_sms_and_is_answered_201_without_a_body(sms: Sms) -> None:
    """An activation shows in the total and in nothing else."""
    answer = await sms.activate()

    assert (answer.status_code, answer.content) == (201, b"")
    assert await sms.total() == 1100


async def test_a_used_licence_is_answered_the_same_and_adds_nothing(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """The guide's note: used valid licences succeed without adding SMS."""
    first = await sms.activate()
    second = await sms.activate()

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert await sms.total() == 1100
    assert fac.books.spent == {LICENCE: Spent(amount=100, times=2)}
    assert fac.books.posts == {LICENCE: 2}


async def test_licences_that_differ_in_case_are_two(sms: Sms) -> None:
    """A licence's case is part of it."""
    await sms.activate(LICENCE)
    await sms.activate(LICENCE.lower())

    assert await sms.total() == 1200


async def test_a_licence_adds_what_the_mapping_says(sms: Sms, fac: FortiAuthenticator) -> None:
    """Amounts can be set by licence; others add the usual amount."""
    fac.licenses = {LICENCE: 7}

    await sms.activate(LICENCE)
    await sms.activate(LICENCE.lower())

    assert await sms.total() == 1107


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_success_can_have_other_statuses(
    sms: Sms, fac: FortiAuthenticator, status: int
) -> None:
    """The undocumented status of a success can be switched."""
    fac.success_status = status

    answer = await sms.activate()

    assert (answer.status_code, answer.content) == (status, b"")


async def test_success_can_have_the_sibling_resources_body(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """The undocumented body of a success can be switched on."""
    fac.success_body = True

    answer = await sms.activate()

    message = {"success": "Successfully imported 100 SMS messages"}
    assert answer.json() == {"license": LICENCE, "messages": message}


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("0000-1111-2222-3333-4444", "Invalid license."),
        ("1111-2222-3333-4444", "Enter a valid license number."),
        (LICENCE + "\n", "Enter a valid license number."),
        (5, "This field is required."),
    ],
)
async def test_a_licence_that_is_refused_adds_nothing_and_is_400(
    sms: Sms, fac: FortiAuthenticator, licence: object, reason: str
) -> None:
    """Invalid, malformed and missing licences are refused with the field's name."""
    answer = await sms.activate(licence)

    assert (answer.status_code, answer.json()) == (400, {"license": [reason]})
    assert fac.books.spent == {}


async def test_content_that_is_not_announced_as_json_is_415(sms: Sms) -> None:
    """The activation takes JSON only."""
    answer = await sms.send("POST", data={"license": LICENCE})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "auth", [None, httpx.BasicAuth("webadmin", "wrong"), httpx.BasicAuth("admin", "wrong")]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_every_request_needs_the_right_credentials(
    sms: Sms, fac: FortiAuthenticator, method: str, auth: httpx.Auth | None
) -> None:
    """Without user and access key everything is 401, and counted."""
    answer = await sms.send(method, auth=auth)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert fac.books.refused_logins == 1


async def test_a_rotated_key_replaces_the_old_one(sms: Sms, fac: FortiAuthenticator) -> None:
    """Only the newest access key is right."""
    old = httpx.BasicAuth(fac.username, fac.password)
    fac.password = "another key: é"

    assert (await sms.send("GET", auth=old)).status_code == 401
    assert (await sms.send("GET")).status_code == 200


async def test_without_its_slash_the_path_redirects_as_django_does(sms: Sms) -> None:
    """A forgotten slash loses the POST's body in a redirect."""
    answer = await sms.send("POST", "/api/v1/fortiguardmessages?a=b", json={"license": LICENCE})

    assert answer.status_code == 301
    assert answer.headers["Location"] == "/api/v1/fortiguardmessages/?a=b"
    assert await sms.total() == 1000


async def test_other_paths_are_404_and_other_methods_405(sms: Sms, fac: FortiAuthenticator) -> None:
    """There is one resource with two methods."""
    unknown = await sms.send("GET", "/api/v1/FortiGuardMessages/")
    put = await sms.send("PUT", json={"license": LICENCE})

    assert (unknown.status_code, unknown.headers["Content-Type"]) == (
        404,
        "text/html; charset=utf-8",
    )
    assert (put.status_code, put.headers["Allow"]) == (405, "GET,POST")
    assert fac.books.requests == {"other": 2}


async def test_it_has_no_sessions(fac: FortiAuthenticator) -> None:
    """There is nothing to expire where every request carries the credentials."""
    assert fac.expire_sessions() == 0
