from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from service.appliances.credentials import CredentialsRefused
from service.errors import Code, CommandError, Refused, Waiting
from service.messages.results import DeviceIdentity
from service.simulator import Answer, Delay, ExpireSession, RotateCookie
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.appliances.pairs import Voice


def sent_cookies(voice: Voice, operation: str = "devices") -> list[str]:
    """Return the `Cookie` headers of an operation's requests, in order."""
    calls = voice.simulated.calls
    return [call.headers.get("Cookie", "") for name, call in calls if name == operation]


async def test_the_cookie_goes_back_byte_for_byte(voice: Voice) -> None:
    """What is percent-encoded stays so: a decoded `%0A` would make an illegal header."""
    await voice.read()

    (given,) = voice.simulated.cookies
    assert given.count("%0A") == 4
    assert [given.rstrip(";")] == sent_cookies(voice)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("APSCOOKIE", ""),
        ("APSCookie", ";"),
        ("apscookie", "; Path=/; Secure; HttpOnly"),
        ("APSCOOKIE_1f_RESTFUL", "; Max-Age=3600; SameSite=Strict"),
        ("APSCOOKIE", "; expires=Fri, 31 Dec 2100 23:59:59 GMT"),
        ("APSCOOKIE", "; domain=elsewhere.example"),
    ],
)
async def test_the_session_cookie_is_known_by_how_its_name_begins(
    voice: Voice, name: str, attributes: str
) -> None:
    """Firmwares differ in the rest of the name, in its case and in the attributes."""
    voice.simulated.cookie_name = name
    voice.simulated.cookie_attributes = attributes

    await voice.read()
    await voice.read()

    assert voice.logins(reads=2) == 1
    assert [cookie.partition("=")[0] for cookie in sent_cookies(voice)] == [name, name]


@pytest.mark.parametrize(
    "header",
    [
        {"Set-Cookie": "APSCOOKIE=0&0; path=/"},
        {"Set-Cookie": "APSCOOKIE=0%260"},
        {"Set-Cookie": "APSCOOKIE="},
        {"Set-Cookie": "APSCOOKIE"},
        {"Set-Cookie": "APSCOOKIE=abc; Max-Age=0"},
        {"Set-Cookie": "APSCOOKIE=abc; max-age=-1"},
        {"Set-Cookie": "APSCOOKIE=abc; Expires=Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Set-Cookie": "APSCOOKIE=abc; expires=Wed, 01 Jan 2020 00:00:00 GMT"},
        {"Set-Cookie": "lang=en"},
        {},
    ],
    ids=lambda header: str(header.get("Set-Cookie", "none")),
)
async def test_a_login_without_a_good_session_cookie_does_not_count(
    voice: Voice, header: dict[str, str]
) -> None:
    """200 and the echoed password prove nothing; no session is opened."""
    voice.fault(Answer(status=200, headers=header, json={"model": "FO4000"}), "login")

    with pytest.raises(CredentialsRefused) as caught:
        await voice.adapter.identity()

    assert (caught.value.code, caught.value.status) == (Code.CREDENTIALS_REFUSED, 200)


async def test_a_login_that_reports_an_error_under_200_does_not_count(voice: Voice) -> None:
    """The envelope's `errorType` outweighs the status and the cookie."""
    voice.fault(Answer(json={"errorType": 7, "errorMsg": "Failed"}, when="after"), "login")

    with pytest.raises(CommandError):
        await voice.read()

    assert voice.requests("devices") == 0


@pytest.mark.parametrize("status", [401, 403])
async def test_a_login_that_is_denied_is_refused_credentials(voice: Voice, status: int) -> None:
    """Whatever the error body says: nobody tries these again."""
    voice.fault(Answer(status=status, body="<h1>no</h1>"), "login")

    for _ in range(2):
        with pytest.raises(Waiting) as caught:
            await voice.read()
        assert caught.value.code is Code.CREDENTIALS_REFUSED

    assert voice.requests("login") == 1


async def test_the_login_tells_which_device_this_is(voice: Voice) -> None:
    """Model, serial number and version are the login answer's; one login is enough."""
    identity = DeviceIdentity(model="FO4000", serial="FO4000YYZRD00006", version="6.4.306")

    assert identity == await voice.adapter.identity()
    assert identity == await voice.adapter.identity()
    assert voice.logins(reads=0) == 1


@pytest.mark.parametrize("body", [{}, {"model": "", "serial": None, "product_version": 6}])
async def test_what_the_login_does_not_tell_is_not_known(
    voice: Voice, body: dict[str, object]
) -> None:
    """A firmware that leaves a field out, or empty, is no reason to fail."""
    voice.fault(Answer(json=body, when="after"), "login")

    assert DeviceIdentity(model=None, serial=None, version=None) == await voice.adapter.identity()


async def test_a_rotated_cookie_is_taken(voice: Voice) -> None:
    """Each request brings the cookie that the answer before it gave."""
    voice.fault(RotateCookie())

    for _ in range(4):
        await voice.read()

    assert voice.logins(reads=4) == 1
    assert [cookie.rstrip(";") for cookie in voice.simulated.cookies[:4]] == sent_cookies(voice)


async def test_a_cookie_that_rotates_during_an_upload_is_taken_at_the_next_step(
    voice: Voice,
) -> None:
    """Token, upload and apply are one session, whatever its cookie is called by then."""
    voice.fault(RotateCookie(), "token", "upload")

    await voice.write()

    assert voice.logins(reads=0) == 1
    assert voice.written() == 1


async def test_a_rotation_while_others_are_in_flight_costs_no_login(voice: Voice) -> None:
    """What left with the cookie from before the rotation is sent again with the new one.

    The session is not over: another login would leave it open at the appliance, where the number
    of sessions is limited.
    """
    await voice.read()
    voice.fault(RotateCookie(), times=1)

    told = await voice.stampede(4)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert voice.simulated.books.sessions_peak == 1


@pytest.mark.parametrize("header", [{}, {"Set-Cookie": "lang=en; Path=/"}])
async def test_an_answer_without_the_session_cookie_drops_nothing(
    voice: Voice, header: dict[str, str]
) -> None:
    """The session lives on when an answer says nothing about it."""
    voice.fault(Answer(headers=header, when="after"))

    for _ in range(3):
        await voice.read()

    assert voice.logins(reads=3) == 1
    assert len(set(sent_cookies(voice))) == 1


async def test_a_login_brings_no_cookie_of_an_older_session(voice: Voice) -> None:
    """Cookies are kept with their session, not in a jar that outlives it."""
    await voice.read()
    voice.end_session()
    await voice.read()

    assert sent_cookies(voice, "login") == ["", ""]


async def test_a_refusal_that_brings_a_cookie_has_not_rotated_the_session(voice: Voice) -> None:
    """A server may give every stranger a cookie with its 403: nobody asks with it, or for ever."""
    await voice.read()
    voice.fault(Answer(status=403, headers={"Set-Cookie": "APSCOOKIE=stranger"}))

    with pytest.raises(Refused) as caught:
        async with asyncio.timeout(1):
            await voice.read()

    assert caught.value.code is Code.PERMISSION_DENIED
    assert voice.logins(reads=1) <= 3
    assert "APSCOOKIE=stranger" not in sent_cookies(voice)


async def test_an_answer_that_ends_the_cookie_ends_the_session(voice: Voice) -> None:
    """The appliance said that the session is over: the next call logs in before it asks."""
    voice.fault(Answer(headers={"Set-Cookie": "APSCOOKIE=0&0"}, when="after"), times=1)

    await voice.read()
    await voice.read()

    assert voice.logins(reads=2) == 2
    assert voice.strays() == 0


async def test_a_late_403_of_an_older_session_ends_no_newer_one(voice: Voice) -> None:
    """Who learns late that a session is over takes the one that others opened meanwhile."""
    await voice.read()
    voice.fault(ExpireSession(), times=1)
    voice.fault(Delay(seconds=0.2, when="after"), times=1)
    late = asyncio.create_task(voice.read())
    await until(lambda: not voice.simulated.books.sessions_open)

    await voice.read()
    assert not late.done()
    await late
    await voice.read()

    assert voice.logins(reads=4) == 2


async def test_a_late_cookie_of_an_older_session_replaces_no_newer_one(voice: Voice) -> None:
    """A rotation that is overtaken by the session's end is worth nothing."""
    await voice.read()
    voice.fault(RotateCookie(), times=1)
    voice.fault(ExpireSession(when="after"), times=1)
    voice.fault(Delay(seconds=0.2, when="after"), times=1)
    late = asyncio.create_task(voice.read())
    await until(lambda: not voice.simulated.books.sessions_open)

    await voice.read()
    assert not late.done()
    await late
    await voice.read()

    assert voice.logins(reads=4) == 2
    assert voice.strays() == 1
