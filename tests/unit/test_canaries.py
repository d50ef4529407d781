"""The scan for secrets can fail: what is planted is found, wherever and however it is told."""

import base64
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import pytest

from service.errors import Code, CourierError, Failed, Waiting
from service.messages.results import FileInfo
from tests.support.canaries import (
    Canaries,
    fail_if_told,
    keeping,
    shown_by_errors,
    shown_by_objects,
)
from tests.unit.making import body

LICENSE: Final = "AbCd-1234-EfGh-5678-IjKl"
CONTENT: Final = b"the content \x00\xff, of a file"


@pytest.fixture
def canaries() -> Canaries:
    known = Canaries()
    known.add("a licence", LICENSE)
    known.add_file(CONTENT)
    return known


CARELESS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "in capitals": str.upper,
    "in small letters": str.lower,
    "its repr": repr,
    "after a line break, as a repr": lambda text: repr(f"\n{text}"),
    "in a list of bytes": lambda text: repr([f"\x00{text}\xff".encode()]),
    "its JSON": json.dumps,
    "in a query": lambda text: f"?key={quote(text, safe='')}",
    "without its dashes": lambda text: text.replace("-", ""),
    "in hexadecimal": lambda text: text.encode().hex(),
    "cut off": lambda text: text[:20] + "...",
    "without its beginning": lambda text: "..." + text[-20:],
    "its base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in something's base64": lambda text: base64.b64encode(f"u:{text}!".encode()).decode(),
    "further on in it": lambda text: base64.urlsafe_b64encode(f"u: {text}\n".encode()).decode(),
}
"""What somebody makes of a secret who does not think of it."""


@pytest.mark.parametrize("careless", CARELESS.values(), ids=CARELESS)
@pytest.mark.parametrize("secret", ['/a "quoted" pä55-wörd%0A', "q7Jd-Tz0_Kw8Lx1-Nv2B", LICENSE])
def test_a_secret_is_found_however_it_is_spelt(secret: str, careless: Callable[[str], str]) -> None:
    """A line, an event or a page may hold it, its repr, its JSON, its base64 or a part of it."""
    known = Canaries()
    known.add("a password", secret)
    text = f'{{"level": "debug", "reason": "got {careless(secret)}"}}'
    assert any("the line tells a password" in each for each in known.find([("the line", text)]))


@pytest.mark.parametrize("spelt", [repr, str, lambda each: base64.b64encode(each).decode()])
@pytest.mark.parametrize(
    "content", [b"\r\n--not a boundary\r\n\r\n\x00\xff\\\r\n", b"-- A licence file of a test --"]
)
def test_a_files_content_is_found(content: bytes, spelt: Callable[[bytes], str]) -> None:
    """As bytes, as base64, and inside the form with which it is uploaded."""
    known = Canaries()
    file = {"name": "a.lic", "content": _b64(content)}
    known.add_message(body("apply-voice-license", {"file": file}))
    told = [("the body", f"b'--form{spelt(content)}--'")]
    assert ["the body tells a file's content"] == [
        leak.partition(" (")[0] for leak in known.find(told)
    ]


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("0aB1-2222-3333-4444-5555", "x\\n0aB1-2222-3333-4444-5555", "amqp://u:p@host/"),
        *("apscookie_12=Era%3D1", "Set-Cookie: APSCookie=x", "-----BEGIN RSA PRIVATE KEY-----"),
        "got hunter2",
    ],
)
def test_what_is_secret_by_its_form_is_found_whoever_it_belongs_to(text: str) -> None:
    """The scan need not know it."""
    assert [] != Canaries().find([("here", text)])


@pytest.mark.parametrize(
    "text",
    [
        *("****-****-****-****-IjKl", "****-IjKl", "amqp://***@host/", "http://127.0.0.1:80/a@b"),
        *("f3cd522e-1948-43b0-b490-493a9659023b", "2026-11-22T00:05:54.334Z", "APSCookie=***"),
        *("AbCd-1234", "a.lic", "", "canar"),
    ],
)
def test_what_may_be_told_is_no_finding(text: str, canaries: Canaries) -> None:
    """Masked licences, redacted addresses, ids, instants."""
    assert [] == canaries.find([("here", text)])


def test_a_finding_says_what_and_where_but_not_the_secret(canaries: Canaries) -> None:
    """What the run prints of a leak is no leak itself."""
    with pytest.raises(AssertionError) as failed:
        canaries.check([("the event log", "well"), ("/metrics", f'a{{key="{LICENSE}"}} 1')])
    told = str(failed.value)
    assert "/metrics tells a licence (abcd...)" in told
    assert "the event log" not in told
    assert LICENSE[:9].lower() not in told.lower()


PLANTED: Final[dict[str, Callable[[], CourierError]]] = {
    "its message": lambda: Failed(Code.UNREACHABLE, f"refused {LICENSE}"),
    "an argument of another": lambda: _after(OSError(5, "no", LICENSE)),
    "a note": lambda: _with_note(Waiting(Code.BUSY, "busy")),
}


@pytest.mark.parametrize("make", PLANTED.values(), ids=PLANTED)
def test_a_secret_in_an_error_is_found_though_nobody_kept_the_error(
    make: Callable[[], CourierError], canaries: Canaries
) -> None:
    """Message, arguments, notes, causes and contexts; of errors that were caught and dropped."""
    with keeping(CourierError) as made:
        try:
            raise make()
        except CourierError:
            pass
    assert 1 == len(made)
    assert [] != canaries.find(shown_by_errors(made))


def _after(cause: Exception) -> CourierError:
    error = Failed(Code.UNREACHABLE, "no answer")
    error.__context__ = cause
    return error


def _with_note(error: CourierError) -> CourierError:
    error.add_note(f"it was for {LICENSE}")
    return error


def test_a_secret_in_the_repr_of_a_live_object_is_found(canaries: Canaries) -> None:
    """For as long as somebody has the object, among thousands of others."""
    canaries.add("the planted one", "rG5wQm2-planted-Xk9")
    planted = [FileInfo.model_construct(name="rG5wQm2-planted-Xk9", size=1, sha256="")]
    leak = "the repr of a FileInfo tells the planted one (rg5w...)"
    assert leak in canaries.find(shown_by_objects())
    planted.clear()
    assert leak not in canaries.find(shown_by_objects())


@pytest.mark.parametrize(("title", "fails"), [("stdout", True), ("stderr", True), ("log", False)])
def test_a_test_that_writes_a_secret_fails(title: str, fails: bool) -> None:
    """Every test of the run, by what it left in its output; `logging` by itself is not ours."""
    report = pytest.TestReport(
        "a", ("a", 1, "a"), {}, "passed", None, "teardown", [(f"Captured {title} call", LICENSE)]
    )
    fail_if_told(report)
    assert fails == report.failed
    assert LICENSE not in str(report.longrepr)
