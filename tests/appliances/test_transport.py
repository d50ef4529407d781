"""Foreign exceptions: whatever aiohttp, or anything below it, raises becomes one of ours."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from aiohttp import http as aiohttp_http

from service.appliances.answers import Kind, Operation
from service.appliances.ports import NotSent, WriteVetoed
from service.appliances.visit import Visit, visit
from service.errors import AnswerLost, Code, CommandError, Failed
from tests.appliances.below import Line, http_over, http_to

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import ModuleType

    from service.appliances.http import Http
    from service.messages.wire import Json

LOST = {Kind.READ: Failed, Kind.STEP: Failed, Kind.WRITE: AnswerLost}
"""What a lost answer is."""
BODY: Final[Json] = {"license": "more than one byte"}


def exceptions(module: ModuleType) -> list[type[Exception]]:
    """Every exception that a module has: one that a newer version adds is tested as well."""
    found = {each for each in vars(module).values() if isinstance(each, type)}
    return sorted((each for each in found if issubclass(each, Exception)), key=str)


SYSTEM = [
    *(each for each in exceptions(ssl) if issubclass(each, OSError)),
    *(OSError, ConnectionResetError, ConnectionAbortedError, ConnectionRefusedError),
    *(BrokenPipeError, TimeoutError, InterruptedError, PermissionError),
    *(socket.gaierror, socket.herror, UnicodeError, UnicodeEncodeError, UnicodeDecodeError),
]
"""What TLS, the operating system and name resolution raise; aiohttp translates some of it."""

_KEY: Final = aiohttp.client_reqrep.ConnectionKey("fac-1", 443, True, True, None, None, None)
_ASKED: Final = aiohttp.RequestInfo("https://fac-1", "GET", {}, "https://fac-1")  # type: ignore[arg-type]  # nobody reads it
_MAKING: Final[dict[type[Exception], Callable[[type[Exception]], Exception]]] = {
    aiohttp.ClientConnectorCertificateError: lambda kind: kind(_KEY, ssl.SSLError("told")),
    aiohttp.ClientConnectorError: lambda kind: kind(_KEY, OSError(1, "told")),
    aiohttp.ClientResponseError: lambda kind: kind(_ASKED, ()),
    aiohttp.ServerFingerprintMismatch: lambda kind: kind(b"a", b"b", "fac-1", 443),
    aiohttp.WSMessageTypeError: lambda kind: kind("told"),
    aiohttp_http.HttpProcessingError: lambda _: aiohttp_http.HttpProcessingError(message="told"),
    UnicodeEncodeError: lambda _: UnicodeEncodeError("ascii", "\u00fc", 0, 1, "told"),
    UnicodeDecodeError: lambda _: UnicodeDecodeError("ascii", b"\xfc", 0, 1, "told"),
}
"""How exceptions are made that want other arguments than a text, those below them included."""
CLIENT = [
    each
    for each in {*exceptions(aiohttp), *exceptions(aiohttp_http)}
    if issubclass(each, aiohttp.ClientError | aiohttp_http.HttpProcessingError)
]
"""What the client half of aiohttp raises."""


def made(kind: type[Exception]) -> Exception:
    """Make an exception, each kind of which wants other arguments."""
    for above, make in _MAKING.items():
        if issubclass(kind, above):
            return make(kind)
    error = kind("told")
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 10, "told"  # as OpenSSL does
    return error


async def raised(
    http: Http, kind: Kind, headers: dict[str, str] | None = None, json: Json = None
) -> type[CommandError]:
    """Send something of a kind; return what leaves `Http.send`."""
    operation = Operation("any", "PUT", "/", kind)
    with pytest.raises(CommandError) as caught:
        await http.send(operation, sign=lambda: headers or {}, json=json)
    await http.close()
    assert caught.value.code is Code.UNREACHABLE
    assert caught.value.message
    return type(caught.value)


@pytest.mark.parametrize("body", [None, BODY], ids=["no body", "body"])
@pytest.mark.parametrize("exception", sorted(CLIENT, key=str) + SYSTEM)
async def test_what_keeps_a_connection_from_opening_becomes_one_of_ours(
    exception: type[Exception], body: Json
) -> None:
    """Nothing has left by then, whatever it is called: a write may be taken back."""
    lines = {kind: Line("connect", made(exception)) for kind in Kind}

    found = {kind: await raised(http_over(line), kind, json=body) for kind, line in lines.items()}

    assert dict.fromkeys(Kind, NotSent) == found
    assert [b""] * len(lines) == [line.written for line in lines.values()]


@pytest.mark.parametrize("body", [None, BODY], ids=["no body", "body"])
@pytest.mark.parametrize("step", ["write", "read"])
@pytest.mark.parametrize("exception", sorted(CLIENT, key=str) + SYSTEM)
async def test_what_is_raised_when_bytes_may_have_left_never_says_that_none_have(
    exception: type[Exception], step: str, body: Json
) -> None:
    """A write that the appliance may have heard of is a lost answer."""
    lines = {kind: Line(step, made(exception)) for kind in Kind}

    found = {kind: await raised(http_over(line), kind, json=body) for kind, line in lines.items()}

    assert LOST == found


@pytest.mark.parametrize("kind", [Kind.STEP, Kind.WRITE])
@pytest.mark.parametrize(
    "exception", [aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError]
)
@pytest.mark.parametrize("body", [None, BODY], ids=["no body", "body"])
async def test_nothing_but_a_read_is_sent_twice(
    exception: type[Exception], kind: Kind, body: Json
) -> None:
    """aiohttp by itself sends a PUT again when it believes that its connection was stale."""
    line = Line("read", made(exception))

    await raised(http_over(line), kind, json=body)

    assert 1 == line.written.count(b"PUT /")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", ["line\nfeed", "carriage\rreturn", "zero\0", "\u20ac"])
async def test_a_header_that_cannot_be_sent_becomes_one_of_ours(kind: Kind, value: str) -> None:
    """Nothing has left by then."""
    line = Line("never", OSError())

    error = await raised(http_over(line), kind, {"Cookie": value}, BODY)

    assert WriteVetoed is error
    assert line.written == b""


def run_at_once(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **_: object,
) -> asyncio.Future[Any]:
    """Run a task that waits for nothing to its end when it is made, as an eager one is."""
    done: asyncio.Future[Any] = loop.create_future()
    with suppress(StopIteration):
        work.send(None)
    done.set_result(None)
    return done


@pytest.mark.parametrize("tasks", [None, run_at_once], ids=["tasks later", "tasks at once"])
async def test_a_write_whose_intent_is_too_old_was_certainly_not_sent(
    tasks: Callable[..., asyncio.Future[Any]] | None,
) -> None:
    """Python 3.11 writes a body after aiohttp waits for the answer, newer ones before it does."""
    line, loop = Line("never", OSError()), asyncio.get_running_loop()
    token = visit.set(Visit(write_age=lambda: math.inf))
    loop.set_task_factory(tasks)

    error = await raised(http_over(line), Kind.WRITE, json=BODY)

    loop.set_task_factory(None)
    visit.reset(token)
    assert WriteVetoed is error
    assert line.written == b""


@pytest.mark.parametrize("kind", Kind)
async def test_what_is_asked_after_the_end_was_certainly_not_sent(kind: Kind) -> None:
    """A service that ends closes the connections, whoever is still there."""
    http = http_to("https://fac-1.example")
    await http.close()

    assert NotSent is await raised(http, kind)
