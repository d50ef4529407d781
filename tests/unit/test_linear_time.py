"""Foreign text takes a time that grows with its length and no faster, whatever it is made of."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

import pytest
from multidict import CIMultiDict

from service.appliances.answers import Answer, Operation, http_date
from service.appliances.cookie import session_cookie
from service.appliances.phones import parse_lenient
from service.errors import Failed, Rejection
from service.eventlog.reading import harmless
from service.messages import passthrough
from service.messages.commands import decode, identify
from service.messages.passthrough import MAX_BYTES, passed_on
from service.messages.wire import parse_instant
from service.telemetry import redact, redaction

Read: TypeAlias = Callable[[str], object]
PIECES: Final = (
    *(
        "a",
        "-",
        "a-",
        " ",
        "\t",
        "word ",
        "x=1;",
        "1",
        "AAAA-",
        "0123",
        "{",
        "[",
        "\\",
        "\\q",
        "\\u",
    ),
    *("token", "token ", "token=", "pass", "pwd", "a-pwd ", "pin:", "api_key", "set ", "set pass "),
    *("sip:", "sip:a:", "sips:a:b", "ENC ", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----"),
    *("PRIVATE KEY-----", "Bearer ", "Basic ", "://", "http://a:", "@", "APSCookie", "apscookie="),
    *("expir", "count", "session", '"', "é", "\x1b[", "\n", ";expires=", "=", "Mon, "),
)
STARTS: Final = ("", "sip:a:", "-----BEGIN PRIVATE KEY-----")
SHORT: Final = 4 * 1024
FACTOR: Final = 8
"""A linear reader takes eight times as long for eight times the text, a quadratic one 64 times."""
BOUND: Final = 28
NOTHING: Final = 0.004
"""Seconds of CPU below which a figure says nothing."""


def answer(text: str, *headers: tuple[str, str]) -> Answer:
    return Answer(Operation("any", "GET", "/"), 200, CIMultiDict(headers), text.encode())


def in_json(text: str) -> str:
    return '{"a": "' + text.replace('"', "") + '"}'


READERS: Final[dict[str, Read]] = {
    "a resource": lambda text: passed_on({"note": text}),
    "a resource's field": lambda text: passed_on({text: 1}),
    "a name and its value": lambda text: passed_on({"name": text, "value": 1}),
    "a log line": redact,
    "a log line's field": lambda text: redaction.redacted(text, 1),
    "an answer": lambda text: parse_lenient(answer(in_json(text))),
    "a date": http_date,
    "a cookie": lambda text: session_cookie(answer("", ("Set-Cookie", f"APSCookie={text}"))),
    "a pause": lambda text: answer("", ("Retry-After", text)).retry_after,
    "an instant": parse_instant,
    "a command": lambda text: decode(in_json(text).encode()),
    "a command's sender": lambda text: identify(in_json(text).encode()),
    "a line on a terminal": harmless,
}


def once(read: Read, text: str) -> float:
    """CPU seconds that it takes, refused or not."""
    began = time.process_time()
    with suppress(ValueError, Failed, Rejection):
        read(text)
    return time.process_time() - began


def seconds(read: Read, text: str) -> float:
    """The least of three."""
    return min(once(read, text) for _ in range(3))


@pytest.mark.parametrize("name", READERS)
def test_the_time_grows_with_the_length(name: str) -> None:
    """For each piece of text that a pattern begins with, over and over again."""
    read, slow = READERS[name], []
    for start in STARTS:
        for piece in PIECES:
            short = start + piece * (SHORT // len(piece))
            long = start + piece * (FACTOR * SHORT // len(piece))
            if once(read, long) < NOTHING:
                continue
            if seconds(read, long) > max(NOTHING, BOUND * seconds(read, short)):
                slow.append((start, piece))
    assert [] == slow


def test_what_is_too_large_is_not_looked_through() -> None:
    """Its refusal takes a small part of the time that looking through it would."""
    fitting = passthrough_text(MAX_BYTES // 2)
    large = passthrough_text(4 * MAX_BYTES)
    assert 4 * seconds(passed_on, large) < seconds(passed_on, fitting)
    assert 4 * seconds(lambda _: passed_on([large] * 100), "") < seconds(passed_on, fitting)


def passthrough_text(size: int) -> str:
    return "sip:a:" * (size // 6)


def test_json_within_json_is_looked_through_a_few_times_only() -> None:
    """What is packed deeper is masked as a whole: each layer costs its whole length again."""
    text, times = passthrough_text(MAX_BYTES // 4), 0
    packed = text
    while len(packed) < MAX_BYTES // 2:
        packed, times = '{"a": ' + encoded(packed) + "}", times + 1
    assert times > 8
    assert "***" in str(passed_on(packed))
    assert seconds(passed_on, packed) < 10 * seconds(passed_on, text)


def encoded(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_names_of_any_length_are_not_remembered() -> None:
    """A thousand of them may be as large as a thousand answers."""
    before = passthrough._remembered.cache_info().currsize  # noqa: SLF001  no public word for it
    known = redaction._remembered.cache_info().currsize  # noqa: SLF001  the same
    passed_on({"n" * 65 + str(number): 1 for number in range(100)})
    redaction.redacted("k" * 1000, "x")
    assert before == passthrough._remembered.cache_info().currsize  # noqa: SLF001  the same
    assert known == redaction._remembered.cache_info().currsize  # noqa: SLF001  the same
