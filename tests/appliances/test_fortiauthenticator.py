from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from service.errors import AnswerLost, Code, Failed, Refused
from service.messages.results import SmsBalance
from service.simulator import Answer
from tests.appliances.pairs import LICENSE

if TYPE_CHECKING:
    from tests.appliances.pairs import Sms

PATH = "/api/v1/fortiguardmessages/"
FIGURES = {"total_sms": 1000, "used_sms": 40, "available_sms": 960}


async def test_the_balance_is_read_as_the_guide_shows_it(sms: Sms) -> None:
    """Total, used and available SMS are told as the appliance says them."""
    assert SmsBalance(total_sms=1000, used_sms=40, available_sms=960) == await sms.read()


async def test_figures_may_come_as_strings(sms: Sms) -> None:
    """Sibling resources write their numbers so."""
    sms.simulated.numbers_as_strings = True

    assert SmsBalance(total_sms=1000, used_sms=40, available_sms=960) == await sms.read()


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        *(("total_sms", whole) for whole in (-1, 2**53, True)),
        *(("total_sms", text) for text in ("-1", "12.0", "many", "")),
        ("total_sms", 1.5),
        ("total_sms", None),
        ("total_sms", [1]),
        ("used_sms", -1),
        ("available_sms", "9" * 5000),
    ],
)
async def test_a_figure_that_cannot_be_is_unexpected(sms: Sms, name: str, figure: object) -> None:
    """Integers are whole, from 0 to below 2**53, and nothing is guessed."""
    await sms.read()
    sms.fault(Answer(json=FIGURES | {name: figure}))

    with pytest.raises(Failed, match=name) as caught:
        await sms.read()

    assert caught.value.code is Code.UNEXPECTED_ANSWER


async def test_a_figure_that_is_missing_is_unexpected(sms: Sms) -> None:
    """A balance with a hole proves nothing."""
    await sms.read()
    sms.fault(Answer(json={"total_sms": 1, "used_sms": 1}))

    with pytest.raises(Failed, match="available_sms"):
        await sms.read()


async def test_what_a_newer_firmware_adds_is_left_aside(sms: Sms) -> None:
    """Fields that nobody asked for do no harm."""
    sms.fault(Answer(json=FIGURES | {"expires": "2030-01-01", "total": 7}))

    assert (await sms.read()).total_sms == 1000


async def test_requests_are_as_the_guide_has_them(sms: Sms) -> None:
    """One path with its trailing slash, HTTP Basic, and a JSON body with the licence alone."""
    await sms.write()

    credentials = f"{sms.simulated.username}:{sms.simulated.password}".encode()
    basic = "Basic " + base64.b64encode(credentials).decode()
    calls = [call for _, call in sms.simulated.calls]
    assert {(PATH, "", basic)} == {
        (call.path, call.query, call.headers["Authorization"]) for call in calls
    }
    assert [call.method for call in calls] == ["GET", "GET", "POST"]
    assert json.loads(calls[-1].body) == {"license": LICENSE}
    assert calls[-1].headers["Content-Type"] == "application/json"


async def test_a_password_may_hold_any_character(sms: Sms) -> None:
    """Colons, spaces and letters outside ASCII reach the appliance as they are."""
    sms.simulated.password = "a:b c€\\"
    sms.set_secret(sms.simulated.password + "\r\n")

    await sms.read()


@pytest.mark.parametrize(
    ("status", "with_body"),
    [(200, True), (200, False), (201, True), (201, False), (202, True), (204, False)],
)
async def test_an_activation_succeeds_with_and_without_a_body(
    sms: Sms, status: int, *, with_body: bool
) -> None:
    """The guide documents neither status nor body of the answer."""
    sms.simulated.success_status = status
    sms.simulated.success_body = with_body

    await sms.write()

    assert sms.simulated.books.posts == {LICENSE: 1}
    assert (await sms.read()).total_sms == 1100


@pytest.mark.parametrize("body", ["", "<h1>Created</h1>", "[]", '{"license": "'])
async def test_what_stands_in_a_successful_answer_does_not_matter(sms: Sms, body: str) -> None:
    """The balance decides, so a body that nobody can read loses nothing."""
    sms.fault(Answer(body=body, when="after"), "activate")

    await sms.write()

    assert sms.written() == 1


async def test_a_used_licence_succeeds_and_adds_nothing(sms: Sms) -> None:
    """The guide's note: success proves nothing."""
    await sms.activate()
    await sms.activate()

    assert sms.written() == 2
    assert (await sms.read()).total_sms == 1100


async def test_the_case_of_a_licence_is_kept(sms: Sms) -> None:
    """Two licences that differ in case are two."""
    for license_key in (LICENSE, LICENSE.upper(), LICENSE.lower()):
        await sms.activate(license_key)

    assert dict.fromkeys((LICENSE, LICENSE.upper(), LICENSE.lower()), 1) == dict(
        sms.simulated.books.posts
    )
    assert (await sms.read()).total_sms == 1300


async def test_an_invalid_licence_is_refused(sms: Sms) -> None:
    """400 ends the command, and the error does not tell the licence."""
    with pytest.raises(Refused) as caught:
        await sms.activate("0000-1111-2222-3333-4444")

    assert (caught.value.code, caught.value.status) == (Code.LICENSE_REFUSED, 400)
    assert "0000" not in caught.value.message
    assert (await sms.read()).total_sms == 1000


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((400, body) for body in ('{"license": ["no"]}', '{"error": "no"}', "no", "", "[]")),
        *((status, "<h1>no</h1>") for status in (404, 405, 409, 415, 422)),
    ],
)
async def test_a_licence_is_refused_whatever_the_error_looks_like(
    sms: Sms, status: int, body: str
) -> None:
    """The bodies of errors are not documented: the status decides."""
    sms.fault(Answer(status=status, body=body), "activate")

    with pytest.raises(Refused) as caught:
        await sms.activate()

    assert (Code.LICENSE_REFUSED, status) == (caught.value.code, caught.value.status)


@pytest.mark.parametrize("status", [401, 403])
async def test_an_activation_that_is_denied_is_no_refused_licence(sms: Sms, status: int) -> None:
    """The account or its profile is what a person must look at."""
    sms.fault(Answer(status=status), "activate")

    with pytest.raises(Refused) as caught:
        await sms.activate()

    assert (Code.PERMISSION_DENIED, status) == (caught.value.code, caught.value.status)
    assert sms.simulated.books.posts == {LICENSE: 1}


@pytest.mark.parametrize("status", [408, 429, 500, 501, 503])
async def test_an_activation_that_the_appliance_could_not_serve_has_failed(
    sms: Sms, status: int
) -> None:
    """It is not sent again by itself, and `Retry-After` is kept."""
    sms.fault(Answer(status=status, headers={"Retry-After": "9"}), "activate")

    with pytest.raises(Failed) as caught:
        await sms.activate()

    told = (caught.value.code, caught.value.status, caught.value.retry_after)
    assert (Code.APPLIANCE_ERROR, status, 9.0) == told
    assert sms.simulated.books.posts == {LICENSE: 1}


@pytest.mark.parametrize("status", [301, 302, 307, 308, 502, 504])
async def test_an_activation_that_somebody_else_answered_is_a_lost_answer(
    sms: Sms, status: int
) -> None:
    """A gateway or a redirect does not know what became of it; nothing is followed or repeated."""
    sms.fault(Answer(status=status, headers={"Location": PATH}, when="after"), "activate")

    with pytest.raises(AnswerLost) as caught:
        await sms.activate()

    assert status == caught.value.status
    assert (sms.written(), sms.requests("activate")) == (1, 1)


async def test_a_key_that_is_refused_at_the_activation_is_not_kept(sms: Sms) -> None:
    """The next call logs in anew, with the secret of now."""
    await sms.read()
    sms.end_session()
    with pytest.raises(Refused):
        await sms.activate()

    await sms.activate()

    assert sms.written() == 1


async def test_the_settle_time_is_twice_the_time_for_which_an_answer_is_awaited(sms: Sms) -> None:
    """Whoever reads back knows how long the appliance may still be at work."""
    assert sms.adapter.settle_time == 60.0


async def test_a_check_reads_the_balance(sms: Sms) -> None:
    """`courier check` proves the credentials and changes nothing."""
    await sms.adapter.check()

    assert sms.simulated.books.requests.keys() == {"balance"}
