from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import httpx
import pytest
import trustme

from service.appliances.answers import Kind, Operation
from service.appliances.http import Http
from service.appliances.ports import NotSent
from service.appliances.visit import Visit, visit
from service.errors import AnswerLost, Code, CommandError, Failed
from service.simulator import Answer, Hang, Reset, Truncate
from tests.appliances.cable import Cable

if TYPE_CHECKING:
    from pathlib import Path

    from service.simulator.actions import Decision
    from tests.appliances.pairs import Make, Pair, Voice

EXCEPTIONS = [
    each
    for _, each in sorted(vars(httpx).items())
    if isinstance(each, type) and issubclass(each, Exception)
]
"""Every exception that this httpx has: one that a newer version adds is tested as well."""

NEVER_LEFT = {
    *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"),
    *("UnsupportedProtocol", "LocalProtocolError", "InvalidURL"),
}
"""What httpx's own transport raises only while nothing of the request has been sent."""


class Raising(dict[str, str]):
    """Headers that end in an exception when httpx reads them: where it can be made to raise any."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.read = 0

    def items(self) -> NoReturn:
        self.read += 1
        raise self.error


def made(kind: type[Exception]) -> Exception:
    """Make an exception of httpx, each of which wants other arguments."""
    request = httpx.Request("GET", "https://appliance.example")
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("told", request=request, response=httpx.Response(500, request=request))
    if kind in {httpx.StreamConsumed, httpx.StreamClosed}:
        return kind()
    if kind in {httpx.ResponseNotRead, httpx.RequestNotRead}:
        return kind()
    return kind("told")


@pytest.mark.parametrize("exception", EXCEPTIONS)
@pytest.mark.parametrize("kind", Kind)
async def test_every_exception_of_httpx_becomes_one_of_ours(
    kind: Kind, exception: type[Exception]
) -> None:
    """Nothing of httpx leaves the module, and each says whether the request can have left."""
    http = Http(
        "fac-1",
        "https://127.0.0.1:9",
        tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        concurrency=1,
        connect_timeout=1,
        read_timeout=1,
    )
    if exception.__name__ in NEVER_LEFT:
        expected: type[CommandError] = NotSent
    else:
        expected = AnswerLost if kind is Kind.WRITE else Failed
    raising = Raising(made(exception))

    with pytest.raises(CommandError) as caught:
        await http.send(Operation("any", "PUT", "/", kind), sign=lambda: raising)
    await http.close()

    assert (expected, Code.UNREACHABLE) == (type(caught.value), caught.value.code)
    stale = exception is httpx.RemoteProtocolError and kind is Kind.READ
    assert raising.read == 1 + stale


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

    assert caught.value.code is Code.UNREACHABLE
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


async def test_retry_after_may_be_a_date(pair: Pair) -> None:
    """RFC 9110, 10.2.3: the instant's distance counts."""
    await pair.read()
    instant = datetime.now(UTC) + timedelta(seconds=90)
    header = instant.strftime("%a, %d %b %Y %H:%M:%S GMT")
    pair.fault(Answer(status=503, headers={"Retry-After": header}))

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert 80 < (caught.value.retry_after or 0) <= 90


@pytest.mark.parametrize(
    ("name", "known", "hours"),
    [("127.0.0.1", False, 1), ("elsewhere.example", True, 1), ("127.0.0.1", True, -1)],
    ids=["unknown authority", "other name", "expired"],
)
async def test_a_certificate_that_is_not_trusted_is_unreachable(
    make: Make, tmp_path: Path, name: str, *, known: bool, hours: int
) -> None:
    """Nothing is sent to a stranger, and the error says which appliance and which key."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = datetime.now(UTC) + timedelta(hours=hours)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    await make().serve_with(context)
    pair = make(ca_file=str(tmp_path / "other.pem")) if known else make()

    with pytest.raises(NotSent, match=rf"{pair.name} .*certificate.*ca_file") as caught:
        await pair.read()

    assert caught.value.code is Code.UNREACHABLE
    assert not pair.simulated.books.requests


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
