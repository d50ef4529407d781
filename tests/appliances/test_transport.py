"""Foreign exceptions: whatever httpx, or anything below it, raises becomes one of ours."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NoReturn

import anyio
import httpcore
import httpx
import pytest

from service.appliances.answers import Kind, Operation
from service.appliances.ports import NotSent
from service.errors import AnswerLost, Code, CommandError, Failed
from tests.appliances.below import Line, Pipe, Pool, http_over, http_to

if TYPE_CHECKING:
    from types import ModuleType

    from service.appliances.http import Http
    from service.messages.wire import Json

LOST = {Kind.READ: Failed, Kind.STEP: Failed, Kind.WRITE: AnswerLost}
"""What a lost answer is."""


def exceptions(module: ModuleType) -> list[type[Exception]]:
    """Every exception that a module has: one that a newer version adds is tested as well."""
    found = {each for each in vars(module).values() if isinstance(each, type)}
    return sorted((each for each in found if issubclass(each, Exception)), key=str)


NEVER_LEFT = {
    *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"),
    *("UnsupportedProtocol", "LocalProtocolError", "InvalidURL"),
}
"""What httpx's own transport raises only while nothing of the request has been sent."""

SYSTEM = [
    *(each for each in exceptions(ssl) if issubclass(each, OSError)),
    *(OSError, ConnectionResetError, ConnectionAbortedError, ConnectionRefusedError),
    *(BrokenPipeError, TimeoutError, InterruptedError, PermissionError),
    *(socket.gaierror, socket.herror, UnicodeError, UnicodeEncodeError, UnicodeDecodeError),
]
"""What TLS, the operating system and name resolution raise; httpcore translates some of it."""


STREAM = [each for each in exceptions(httpcore) if each is not httpcore.ConnectionNotAvailable]
"""What a connection may raise; that one is between httpcore's pool and its connections."""


def made(kind: type[Exception]) -> Exception:
    """Make an exception, each kind of which wants other arguments."""
    request = httpx.Request("GET", "https://appliance.example")
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("told", request=request, response=httpx.Response(500, request=request))
    if kind in {httpx.StreamConsumed, httpx.StreamClosed}:
        return kind()
    if kind in {httpx.ResponseNotRead, httpx.RequestNotRead}:
        return kind()
    if kind is UnicodeEncodeError:
        return UnicodeEncodeError("ascii", "ü", 0, 1, "told")
    if kind is UnicodeDecodeError:
        return UnicodeDecodeError("ascii", b"\xfc", 0, 1, "told")
    error = kind("told")
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 10, "told"  # as OpenSSL does
    return error


class Raising(dict[str, str]):
    """Headers that end in an exception when httpx reads them: where it can be made to raise any."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.read = 0

    def items(self) -> NoReturn:
        self.read += 1
        raise self.error


async def raised(
    http: Http, kind: Kind, headers: dict[str, str] | None = None, json: Json = None
) -> type[CommandError]:
    """Send something of a kind; return what leaves `Http.send`."""
    operation = Operation("any", "PUT", "/", kind)
    with pytest.raises(CommandError) as caught:
        await http.send(operation, sign=lambda: {} if headers is None else headers, json=json)
    await http.close()
    assert caught.value.code is Code.UNREACHABLE
    assert caught.value.message
    return type(caught.value)


@pytest.mark.parametrize("exception", exceptions(httpx))
@pytest.mark.parametrize("kind", Kind)
async def test_every_exception_of_httpx_becomes_one_of_ours(
    kind: Kind, exception: type[Exception]
) -> None:
    """Nothing of httpx leaves the module, and each says whether the request can have left."""
    headers = Raising(made(exception))

    error = await raised(http_to("https://fac-1.example"), kind, headers)

    assert (NotSent if exception.__name__ in NEVER_LEFT else LOST[kind]) is error
    stale = exception is httpx.RemoteProtocolError and kind is Kind.READ
    assert headers.read == 1 + stale


@pytest.mark.parametrize("exception", exceptions(httpcore))
async def test_every_exception_of_httpcore_becomes_one_of_ours(exception: type[Exception]) -> None:
    """Whatever the transport's pool may let through, whether httpx knows it or not."""
    before = exception.__name__ in NEVER_LEFT or exception is httpcore.ConnectionNotAvailable
    expected = {kind: NotSent if before else LOST[kind] for kind in Kind}

    found = {kind: await raised(http_over(Pool(made(exception))), kind) for kind in Kind}

    assert expected == found


@pytest.mark.parametrize("step", ["connect", "tls"])
@pytest.mark.parametrize("exception", [*STREAM, *SYSTEM])
async def test_what_keeps_a_connection_from_opening_becomes_one_of_ours(
    exception: type[Exception], step: str
) -> None:
    """What says for sure that nothing was sent is told so."""
    before = exception.__name__ in NEVER_LEFT
    expected = {kind: NotSent if before else LOST[kind] for kind in Kind}
    lines = {kind: Line(step, made(exception)) for kind in Kind}

    found = {kind: await raised(http_over(line), kind) for kind, line in lines.items()}

    assert expected == found
    assert [b""] * len(lines) == [line.written for line in lines.values()]


@pytest.mark.parametrize("step", ["write", "read"])
@pytest.mark.parametrize(
    "exception", [each for each in STREAM if each.__name__ not in NEVER_LEFT] + SYSTEM
)
async def test_what_is_raised_when_bytes_may_have_left_never_says_that_none_have(
    exception: type[Exception], step: str
) -> None:
    """A write that the appliance may have heard of is a lost answer."""
    lines = {kind: Line(step, made(exception)) for kind in Kind}

    found = {kind: await raised(http_over(line), kind) for kind, line in lines.items()}

    assert LOST == found


@pytest.mark.parametrize("step", ["write", "read"])
@pytest.mark.parametrize(
    "exception", [anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, *SYSTEM]
)
async def test_what_anyio_raises_on_an_open_connection_becomes_one_of_ours(
    exception: type[Exception], step: str
) -> None:
    """Its streams name these, and TLS comes through them; one task reads at a time."""
    if step == "write" and exception is anyio.EndOfStream:
        exception = anyio.BrokenResourceError  # only who reads meets an end

    found = {kind: await raised(http_over(Pipe(step, made(exception))), kind) for kind in Kind}

    assert LOST == found


@pytest.mark.parametrize("kind", Kind)
async def test_what_h11_finds_wrong_with_a_request_becomes_one_of_ours(kind: Kind) -> None:
    """httpcore lets it through once the headers are out: h11 counts the body against them."""
    http = http_over(Line("never", OSError()))

    error = await raised(http, kind, {"Content-Length": "1"}, {"license": "more than one byte"})

    assert LOST[kind] is error


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", ["line\nfeed", "zero\0", "\x0b", "\u20ac"])
async def test_a_header_that_cannot_be_sent_becomes_one_of_ours(kind: Kind, value: str) -> None:
    """Nothing has left by then."""
    line = Line("never", OSError())

    error = await raised(http_over(line), kind, {"Cookie": value})

    assert error in {NotSent, LOST[kind]}
    assert line.written == b""


@pytest.mark.parametrize("kind", Kind)
async def test_what_is_asked_after_the_end_was_certainly_not_sent(kind: Kind) -> None:
    """A service that ends closes the connections, whoever is still there."""
    http = http_to("https://fac-1.example")
    await http.close()

    assert NotSent is await raised(http, kind)
