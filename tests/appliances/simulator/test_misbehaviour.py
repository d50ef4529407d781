from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from service.simulator import (
    Answer,
    Delay,
    ExpireSession,
    FortiAuthenticator,
    FortiVoice,
    Hang,
    Reset,
    RotateCookie,
    Rule,
    Simulator,
    Truncate,
)
from tests.appliances.simulator.driving import BALANCE, LICENCE, Sms, Voice, patience

if TYPE_CHECKING:
    from service.simulator.actions import Decision

LOST = (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Reset(), httpx.ReadError),
        (Reset(clean=True), httpx.RemoteProtocolError),
        (Truncate(when="before"), httpx.RemoteProtocolError),
        (Hang(), httpx.ReadTimeout),
    ],
)
async def test_an_answer_lost_before_the_effect_leaves_nothing_done(
    sms: Sms, fac: FortiAuthenticator, action: Decision, error: type[Exception]
) -> None:
    """The request arrived, the licence is not spent."""
    fac.faults.add(Rule(operation="activate", action=action, times=1))

    with pytest.raises(error):
        await sms.activate(timeout=patience(0.3))

    assert fac.books.posts == {LICENCE: 1}
    assert fac.books.spent == {}
    assert await sms.total() == 1000


@pytest.mark.parametrize(
    "action",
    [
        Reset(when="after"),
        Reset(when="after", clean=True),
        Truncate(),
        Hang(when="after"),
    ],
)
async def test_an_answer_lost_after_the_effect_leaves_it_done(
    sms: Sms, fac: FortiAuthenticator, action: Decision
) -> None:
    """The licence is spent and the client does not hear so."""
    fac.success_status = 204
    fac.faults.add(Rule(operation="activate", action=action, times=1))

    with pytest.raises(LOST):
        await sms.activate(timeout=patience(0.3))

    assert await sms.total() == 1100
    assert fac.books.journal[0].outcome == f"{action.name} after the effect"
    assert fac.books.journal[0].faults == (action.name,)


async def test_a_truncated_answer_sends_as_much_as_it_was_told(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """``keep`` bytes of the normal answer arrive, more are announced."""
    fac.faults.add(Rule(action=Truncate(keep=12)))

    with pytest.raises(httpx.RemoteProtocolError, match="received 12 bytes, expected 57"):
        await sms.send("GET")


async def test_an_answer_can_be_another_one(sms: Sms, fac: FortiAuthenticator) -> None:
    """Status, headers and body are as told and nothing is done."""
    headers = {"Retry-After": "7", "Content-Type": "text/html"}
    fac.faults.add(Rule(action=Answer(status=503, headers=headers, body="<h1>busy</h1>")))

    answer = await sms.activate()

    assert (answer.status_code, answer.text) == (503, "<h1>busy</h1>")
    assert (answer.headers["Retry-After"], answer.headers["Content-Type"]) == ("7", "text/html")
    assert fac.books.spent == {}


async def test_an_altered_answer_keeps_what_is_not_told(sms: Sms, fac: FortiAuthenticator) -> None:
    """After the effect only what is named differs from the normal answer."""
    fac.faults.add(Rule(action=Answer(headers={"content-TYPE": "text/plain"}, when="after")))
    balance = await sms.send("GET")
    fac.faults.replace([Rule(action=Answer(status=500, json={"error": "late"}, when="after"))])
    activation = await sms.activate()

    assert (balance.status_code, balance.json()["total_sms"]) == (200, 1000)
    assert balance.headers.get_list("Content-Type") == ["text/plain"]
    assert (activation.status_code, activation.json()) == (500, {"error": "late"})
    assert list(fac.books.spent) == [LICENCE]


async def test_a_header_can_be_replaced(voice: Voice, fvc: FortiVoice) -> None:
    """A login may answer with a cookie that means that nobody is logged in."""
    header = {"Set-Cookie": "APSCOOKIE=0&0; path=/"}
    fvc.faults.add(Rule(operation="login", action=Answer(headers=header, when="after")))

    answer = await voice.login()

    assert answer.headers.get_list("Set-Cookie") == ["APSCOOKIE=0&0; path=/"]


async def test_an_answer_can_be_as_long_as_wanted(sms: Sms, fac: FortiAuthenticator) -> None:
    """A repeated body arrives in full and does not announce its length."""
    fac.faults.add(Rule(action=Answer(body="0123456789", repeat=100_001)))

    answer = await sms.send("GET")

    assert len(answer.content) == 1_000_010
    assert "Content-Length" not in answer.headers


async def test_a_client_may_leave_a_long_answer(sms: Sms, fac: FortiAuthenticator) -> None:
    """An endless answer ends when nobody reads it."""
    fac.faults.add(Rule(action=Answer(body="x" * 1000, repeat=10_000_000), times=1))
    request = sms.http.stream("GET", fac.url + BALANCE)
    async with request as answer:
        await anext(answer.aiter_raw())
        assert fac.books.in_flight == 1

    await fac.idle()
    assert (await sms.send("GET")).status_code == 200


async def test_delays_add_to_the_latency_on_their_side_of_the_effect(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """A client that gave up before a delayed effect finds it done later."""
    fac.latency = 0.2
    fac.faults.add(Rule(operation="activate", action=Delay(seconds=0.2), times=1))

    with pytest.raises(httpx.ReadTimeout):
        await sms.activate(timeout=patience(0.1))
    assert fac.books.spent == {}

    await fac.idle()
    assert list(fac.books.spent) == [LICENCE]


async def test_a_delay_after_the_effect_keeps_only_the_answer_back(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """A client that gives up on a late answer finds the effect there already."""
    fac.faults.add(Rule(operation="activate", action=Delay(seconds=30, when="after")))

    with pytest.raises(httpx.ReadTimeout):
        await sms.activate(timeout=patience(0.3))

    assert list(fac.books.spent) == [LICENCE]
    assert fac.books.in_flight == 1


async def test_requests_and_writes_that_overlap_are_counted(
    sms: Sms, fac: FortiAuthenticator
) -> None:
    """The books tell the most requests and the most writes that were under way at once."""
    fac.latency = 0.3

    await asyncio.gather(*(sms.send("GET") for _ in range(3)), *(sms.activate() for _ in range(2)))

    assert (fac.books.in_flight_peak, fac.books.writes_peak) == (5, 2)
    assert (fac.books.in_flight, fac.books.writes) == (0, 0)


async def test_a_session_can_end_before_a_request_or_after_it(
    voice: Voice, fvc: FortiVoice
) -> None:
    """Before, the request itself is 403; after, the next one."""
    await voice.login()
    fvc.faults.add(Rule(operation="devices", action=ExpireSession(), times=1))
    assert (await voice.devices()).status_code == 403

    await voice.login()
    fvc.faults.replace([Rule(operation="token", action=ExpireSession(when="after"), times=1)])
    token = (await voice.token()).json()["token"]
    assert (await voice.upload(token)).status_code == 403


async def test_a_rotated_cookie_replaces_the_old_one(voice: Voice, fvc: FortiVoice) -> None:
    """The session goes on under the new cookie only."""
    await voice.login()
    old = voice.cookie
    fvc.faults.add(Rule(operation="token", action=RotateCookie(), times=1))
    token = (await voice.token()).json()["token"]

    assert voice.cookie != old
    assert (await voice.upload(token)).status_code == 200
    voice.cookie = old
    assert (await voice.devices()).status_code == 403
    assert fvc.books.logins == 1


async def test_a_cookie_that_arrives_after_its_session_ended_is_worth_nothing(
    voice: Voice, fvc: FortiVoice
) -> None:
    """A late answer may bring a cookie of a session that is over."""
    await voice.login()
    fvc.faults.add(Rule(operation="devices", action=RotateCookie(), times=1))
    fvc.faults.add(Rule(operation="devices", action=ExpireSession(when="after"), times=1))

    assert (await voice.devices()).status_code == 200
    assert (await voice.devices()).status_code == 403


async def test_a_cookie_rotated_at_logout_is_worth_nothing(voice: Voice, fvc: FortiVoice) -> None:
    """A session that ended in the same answer is not brought back."""
    fvc.logout_path = "/api/v1/VoiceadminLogout"
    fvc.faults.add(Rule(operation="logout", action=RotateCookie()))
    await voice.login()

    await voice.send("POST", "VoiceadminLogout")

    assert (await voice.devices()).status_code == 403


async def test_what_is_not_documented_can_be_scripted(voice: Voice, fvc: FortiVoice) -> None:
    """Reading the licence information back is answered as a rule says."""
    fvc.faults.add(Rule(operation="licinfo", action=Answer(json={"vm_lic_file": ""})))
    await voice.login()

    assert (await voice.send("GET", "SysStatusLicinfo")).json() == {"vm_lic_file": ""}


async def test_a_client_that_leaves_before_its_body_is_sent_asks_for_nothing(
    simulator: Simulator, fac: FortiAuthenticator
) -> None:
    """Half a request is no request."""
    verify = ssl.create_default_context(cadata=simulator.ca_pem.decode())
    host, port = httpx.URL(fac.url).host, httpx.URL(fac.url).port
    _, writer = await asyncio.open_connection(host, port, ssl=verify)
    writer.write(f"POST {BALANCE} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
    await writer.drain()
    writer.transport.abort()
    async with httpx.AsyncClient(verify=verify, trust_env=False) as http:
        await Sms(http, fac).send("GET")

    assert fac.books.requests == {"balance": 1}
