from __future__ import annotations

import asyncio
import math
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from service.appliances.ports import NotSent, WriteVetoed
from service.appliances.visit import Visit, visit
from service.errors import AnswerLost, Code, Failed
from service.simulator import Answer, Hang, Reset, Truncate
from tests.appliances.cable import Cable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.simulator.actions import Decision
    from tests.appliances.pairs import Make, Pair, Voice


@pytest.fixture
def abroad(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be where the clocks show another time than UTC."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


async def refuses_the_certificate(pair: Pair, reason: str, key: str = "ca_file") -> None:
    """Read in vain: nothing arrives, and the error says what to repair, and where."""
    with pytest.raises(NotSent) as caught:
        await pair.read()

    assert caught.value.code is Code.UNREACHABLE
    assert caught.value.message.startswith(f"{pair.name} cannot be reached: its certificate")
    assert reason in caught.value.message
    assert caught.value.message.endswith(f"; see {key}")
    assert not pair.simulated.books.requests


@pytest.mark.parametrize(
    "action",
    [
        Reset(),
        Reset(clean=True),
        Reset(when="after"),
        Reset(when="after", clean=True),
        Truncate(when="before"),
        Truncate(),
        Hang(when="after"),
        Answer(body="x" * 65_536, repeat=260, when="after"),
    ],
    ids=lambda action: f"{action.name}-{action.when}",
)
async def test_a_write_whose_answer_is_lost_is_not_sent_again(make: Make, action: Decision) -> None:
    """Only reading back can tell what it did: the appliance sees it once."""
    pair = make(read_timeout=0.3) if isinstance(action, Hang) else make()
    write = await pair.ready()
    pair.fault(action, pair.writing)

    with pytest.raises(AnswerLost) as caught:
        await write()

    came = isinstance(action, Answer)
    assert (Code.UNEXPECTED_ANSWER if came else Code.UNREACHABLE) is caught.value.code
    assert pair.requests(pair.writing) == 1
    assert pair.written() == (action.when == "after")


async def test_a_write_to_a_closed_port_was_certainly_not_sent(pair: Pair) -> None:
    """A refused connection is no lost answer: an intent may be withdrawn."""
    write = await pair.ready()
    await pair.simulated.stop()

    with pytest.raises(NotSent, match=f"{pair.name} cannot be reached"):
        await write()

    await pair.simulated.start()
    assert pair.requests(pair.writing) == 0


async def test_a_cold_adapter_at_a_closed_port_has_sent_nothing(pair: Pair) -> None:
    """The login is refused a connection, and so is everyone who waits for it."""
    await pair.simulated.stop()

    told = await pair.stampede(5)

    assert [type(error) for error in told] == [NotSent] * 5


async def test_an_appliance_that_comes_back_is_found_on_new_connections(pair: Pair) -> None:
    """A restart of the appliance's web server costs neither an error nor a login."""
    await pair.read()
    await pair.simulated.stop()
    await pair.simulated.start()

    await pair.read()

    assert pair.logins(reads=2) == 1


@pytest.mark.parametrize("action", [Reset(clean=True), Truncate()])
async def test_a_read_is_repeated_once_when_its_connection_is_closed(
    pair: Pair, action: Decision
) -> None:
    """A kept-alive connection may have gone stale; a second loss is told."""
    await pair.read()
    before = pair.requests(pair.reading)
    pair.fault(action, times=1)
    await pair.read()
    assert pair.requests(pair.reading) == before + 2

    pair.fault(action)
    with pytest.raises(Failed) as caught:
        await pair.read()

    assert caught.value.code is Code.UNREACHABLE
    assert pair.requests(pair.reading) == before + 4


async def test_a_read_that_takes_too_long_is_not_repeated(make: Make) -> None:
    """An appliance that is slow is not asked twice as much."""
    pair = make(read_timeout=0.3)
    await pair.read()
    before = pair.requests(pair.reading)
    pair.fault(Hang())

    with pytest.raises(Failed, match=f"no answer from {pair.name}: timed out"):
        await pair.read()

    assert pair.requests(pair.reading) == before + 1


@pytest.mark.parametrize("step", ["login", "token", "upload"])
async def test_a_step_whose_answer_is_lost_has_failed_and_is_not_repeated(
    voice: Voice, step: str
) -> None:
    """Logins, tokens and uploads change nothing that counts, but a second one is not free."""
    voice.fault(Reset(clean=True), step)

    with pytest.raises(Failed) as caught:
        await voice.write()

    assert (type(caught.value), caught.value.code) == (Failed, Code.UNREACHABLE)
    assert voice.requests(step) == 1


async def test_a_garbled_answer_is_lost(make: Make) -> None:
    """What TLS cannot decipher is no bug of ours, whoever damaged it."""
    async with Cable(make().simulated.url) as cable:
        pair = make(url=cable.url)
        write = await pair.ready()
        cable.garbled = True

        with pytest.raises(AnswerLost):
            await write()
        with pytest.raises(Failed):
            await pair.read()

        assert pair.written() == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, Code.APPLIANCE_ERROR) for status in (408, 429, 500, 503, 599)),
        *((status, Code.UNEXPECTED_ANSWER) for status in (204, 304, 400, 404, 405)),
    ],
)
async def test_a_status_says_whether_the_appliance_is_in_trouble(
    pair: Pair, status: int, code: Code
) -> None:
    """Overload and server errors are the appliance's; the rest is not what the guides allow."""
    await pair.read()
    pair.fault(Answer(status=status, body="" if status in {204, 304} else "<h1>no</h1>"))

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert (code, status) == (caught.value.code, caught.value.status)


@pytest.mark.parametrize("status", [301, 303, 308])
async def test_a_redirect_is_a_mistake_in_the_inventory(pair: Pair, status: int) -> None:
    """It is not followed, and whoever reads the error knows where to look."""
    await pair.read()
    before = pair.requests(pair.reading)
    pair.fault(Answer(status=status, headers={"Location": "/elsewhere"}))

    with pytest.raises(Failed, match="check the url in the inventory") as caught:
        await pair.read()

    assert (caught.value.code, caught.value.status) == (Code.UNEXPECTED_ANSWER, status)
    assert (pair.requests(pair.reading), pair.requests("other")) == (before + 1, 0)


@pytest.mark.parametrize(
    "body",
    ["", "<!doctype html><h1>Login</h1>", "[]", "null", "{", "[" * 100_000],
    ids=lambda body: body[:10],
)
async def test_a_body_that_is_no_json_object_is_unexpected(pair: Pair, body: str) -> None:
    """200 alone is no answer: pages for people and empty bodies come with it as well."""
    await pair.read()
    pair.fault(Answer(status=200, body=body))

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert (caught.value.code, caught.value.status) == (Code.UNEXPECTED_ANSWER, 200)


async def test_an_answer_that_never_ends_is_not_read_to_its_end(pair: Pair) -> None:
    """Memory is finite: past 16 MiB the answer is given up."""
    await pair.read()
    pair.fault(Answer(body="x" * 65_536, repeat=2000))

    with pytest.raises(Failed, match="larger than 16777216 bytes"):
        await pair.read()


async def test_an_answer_is_asked_for_uncompressed(pair: Pair) -> None:
    """What is counted is what arrives: nothing is unpacked."""
    await pair.read()

    encodings = {call.headers["Accept-Encoding"] for _, call in pair.simulated.calls}
    assert encodings == {"identity"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
async def test_retry_after_is_kept_where_it_can_be_read(
    pair: Pair, header: str, seconds: float | None
) -> None:
    """The appliance is left alone for as long as it asks."""
    await pair.read()
    pair.fault(Answer(status=429, headers={"Retry-After": header}))

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert seconds == caught.value.retry_after


@pytest.mark.parametrize(
    "form",
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
@pytest.mark.usefixtures("abroad")
async def test_retry_after_may_be_a_date(pair: Pair, form: str) -> None:
    """RFC 9110, 10.2.3 and 5.6.7: in three forms, all of them UTC."""
    await pair.read()
    instant = datetime.now(UTC) + timedelta(seconds=90)
    pair.fault(Answer(status=503, headers={"Retry-After": instant.strftime(form)}))

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert 80 < (caught.value.retry_after or 0) <= 90


@pytest.mark.parametrize(
    ("name", "known", "hours", "reason", "key"),
    [
        ("127.0.0.1", False, 1, "unable to get local issuer certificate", "ca_file"),
        ("elsewhere.example", True, 1, "IP address mismatch", "url"),
        ("127.0.0.1", True, -1, "certificate has expired", "ca_file"),
    ],
    ids=["unknown authority", "other name", "expired"],
)
async def test_a_certificate_that_is_not_trusted_is_unreachable(
    make: Make, tmp_path: Path, name: str, reason: str, key: str, *, known: bool, hours: int
) -> None:
    """Nothing is sent to a stranger; the error names the appliance, the reason and the key."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = datetime.now(UTC) + timedelta(hours=hours)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    await make().serve_with(context)
    pair = make(ca_file=str(tmp_path / "other.pem")) if known else make()

    await refuses_the_certificate(pair, reason, key)


async def test_a_certificate_that_signed_itself_is_unreachable(make: Make, tmp_path: Path) -> None:
    """Appliances come with one; nobody trusts it unasked."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = tmp_path / "own.pem"
    own.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    context.load_cert_chain(own)
    await make().serve_with(context)

    await refuses_the_certificate(make(), "self-signed certificate")


async def test_without_a_ca_file_the_systems_authorities_count(make: Make) -> None:
    """Verification is on unless somebody wrote otherwise."""
    await refuses_the_certificate(make(ca_file=None), "unable to get local issuer certificate")


async def test_an_appliance_without_tls_behind_https_is_unreachable(make: Make) -> None:
    """The password never goes out in clear."""
    before = make()
    await before.serve_with(None)
    pair = make(url=before.simulated.url.replace("http:", "https:"))

    with pytest.raises(NotSent):
        await pair.read()

    assert not pair.simulated.books.requests


async def test_an_appliance_that_accepts_and_says_nothing_is_not_reached(make: Make) -> None:
    """`connect_timeout` covers the TLS handshake; until then nothing was sent."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        pair = make(url=f"https://127.0.0.1:{port}", connect_timeout=0.2)

        with pytest.raises(NotSent, match=f"{pair.name} cannot be reached: timed out"):
            await pair.read()


async def test_a_visit_counts_the_requests_that_were_made_for_a_command(pair: Pair) -> None:
    """Logins and repetitions are part of it, and the last status is kept."""
    current = Visit()
    token = visit.set(current)
    await pair.read()
    pair.fault(Reset(clean=True), times=1)
    pair.fault(Answer(status=404))
    with pytest.raises(Failed):
        await pair.read()
    visit.reset(token)

    assert (current.requests, current.status) == (4, 404)


@pytest.mark.parametrize("age", [math.inf, 10.1])
async def test_a_write_that_was_announced_long_ago_does_not_leave(make: Make, age: float) -> None:
    """Whoever read back meanwhile counts on that; the appliance has not seen a byte of it."""
    pair = make(read_timeout=10)
    write = await pair.ready()
    token = visit.set(Visit(write_age=lambda: age))
    for _ in range(9):
        with pytest.raises(WriteVetoed, match="came too late and was not sent"):
            await write()
    visit.reset(token)
    assert "closed" == pair.adapter.status().breaker  # it says nothing about the appliance
    assert (0, False) == (pair.requests(pair.writing), pair.written())
    token = visit.set(Visit(write_age=lambda: 9.9))
    await write()
    visit.reset(token)
    assert (1, True) == (pair.requests(pair.writing), pair.written())
