"""Bytes that are no answer, or hardly one: nothing that an appliance says breaks the client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from service.appliances.answers import Kind, Meaning, Operation
from service.errors import AnswerLost, Code, CommandError, Failed
from tests.appliances.below import http_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from service.appliances.http import Http

OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE = {
    "nothing": b"",
    "no HTTP": b"garbage\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two digits": b"HTTP/1.1 99 Odd\r\n\r\n",
    "status 0": b"HTTP/1.1 000 Odd\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Now\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "only continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "a zero in a header": OK + b"X: \0\r\n\r\n",
    "an endless header": OK + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length of letters": OK + b"Content-Length: many\r\n\r\n",
    "a length without end": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "chunks of letters": OK + b"Transfer-Encoding: chunked\r\n\r\nmany\r\n",
    "a chunk without end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 30 + b"\r\nabc",
    "packed": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "too short": OK + b"Content-Length: 9\r\n\r\n{",
}
ODD = {
    "no length": (200, OK + b"\r\n{}"),
    "HTTP/1.0": (200, b"HTTP/1.0 200 OK\r\n\r\n{}"),
    "status 999": (999, b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}"),
    "no reason": (404, b"HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\n{}"),
    "bytes of no text": (
        503,
        b"HTTP/1.1 503 \xff\r\nRetry-After: \xfc\r\nContent-Length: 2\r\n\r\n{}",
    ),
}


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Http]:
    """Reach an appliance that says the same to everybody, and hangs up."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    http = http_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    yield http
    await http.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", GARBAGE)
async def test_bytes_that_are_no_answer_are_a_lost_one(kind: Kind, name: str) -> None:
    """Whatever sits there, or in between: it may have carried out the request."""
    async with answering(GARBAGE[name]) as http:
        with pytest.raises(CommandError) as caught:
            await http.send(Operation("any", "PUT", "/", kind))

    assert (AnswerLost if kind is Kind.WRITE else Failed) is type(caught.value)
    assert caught.value.code is Code.UNREACHABLE
    assert caught.value.message.startswith("no answer from fac-1: ")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", ODD)
async def test_an_answer_in_bad_style_is_one(kind: Kind, name: str) -> None:
    """Its status has a meaning, and its body is what came."""
    status, answer = ODD[name]
    async with answering(answer) as http:
        heard = await http.send(Operation("any", "PUT", "/", kind))

    assert (status, b"{}", None) == (heard.status, heard.body, heard.retry_after)
    assert heard.meaning in Meaning
