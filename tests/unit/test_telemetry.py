"""The event log: one JSON object per line, and nothing secret in it."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service.consumers.telling import parked_copy
from service.telemetry import about, configure, heard_by, log, redact, redaction
from tests.unit.making import LICENSE, delivery

Lines: TypeAlias = Callable[[], list[dict[str, Any]]]
CANARY: Final = "canary"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's own; the next test finds it as it was."""
    root = logging.getLogger()
    names = ("aio_pika", "aiormq", "httpx", "httpcore")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
    structlog.reset_defaults()


@pytest.fixture
def lines() -> Lines:
    stream = io.StringIO()
    configure(log_format="json", level="INFO", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(lines: Lines) -> None:
    """Timestamp, level and slug come first; then the fields of the line."""
    log.warning("reply-ignored", reason="a\nb", attempt=2)
    (line,) = lines()
    assert ["timestamp", "level", "event"] == list(line)[:3]
    assert {"level": "warning", "event": "reply-ignored", "reason": "a\nb", "attempt": 2} == {
        key: value for key, value in line.items() if key != "timestamp"
    }
    assert "2026-03-04T09:12:31.123Z".translate(DIGITS) == line["timestamp"].translate(DIGITS)


DIGITS: Final = str.maketrans("123456789", "000000000")


def test_what_happens_around_a_command_says_which(lines: Lines) -> None:
    """The fields of `about` stand on every line inside, of libraries too, and on none after."""
    with about(command_id="c-1"):
        log.info("inside")
        logging.getLogger("library").warning("inside")
    log.info("after")
    assert ["c-1", "c-1", None] == [line.get("command_id") for line in lines()]


def test_the_level_is_the_lowest_that_is_told(lines: Lines) -> None:
    """What is below the configured level is not told."""
    log.debug("not-told")
    log.info("told")
    assert ["told"] == [line["event"] for line in lines()]


def test_a_librarys_message_has_a_slug_of_its_own(lines: Lines) -> None:
    """Libraries are told by one slug, with their text beside it, from WARNING on."""
    logging.getLogger("some.library").info("not told")
    logging.getLogger("some.library").warning("a %s", "text")
    (line,) = lines()
    expected = {"event": "library-message", "logger": "some.library", "level": "warning"}
    assert expected | {"message": "a text"} == {key: line[key] for key in [*expected, "message"]}


@pytest.mark.parametrize("library", ["aio_pika.connection", "aiormq.connection"])
def test_a_lost_connection_is_not_told_by_the_library(library: str, lines: Lines) -> None:
    """A traceback per delivery helps nobody; we tell the loss once."""
    logging.getLogger(library).error("lost")
    assert [] == lines()


def test_a_strangers_header_is_not_told_by_the_library(lines: Lines) -> None:
    """A name that is longer than AMQP allows is cut by the library, which would repeat it."""
    parked_copy(delivery({"n" * 200: 1}), "not-json", "courier.query-devices").properties.marshal()
    assert [] == lines()


def test_an_exception_is_a_field(lines: Lines) -> None:
    """A traceback is text in the line that it belongs to, never lines between lines."""
    try:
        int(LICENSE)
    except ValueError:
        log.exception("internal-error")
        logging.getLogger("library").exception("failed")
    for line in lines():
        assert (
            "ValueError: invalid literal for int() with base 10: '****-IJ90'" in line["exception"]
        )
        assert "Traceback" in line["exception"]


SECRETS: Final = [
    *(LICENSE, f"licence {LICENSE}, and", f"({LICENSE})", LICENSE.lower()),
    *("amqp://user:canary@host/", "amqps://canary@host", "https://u:canary@10.0.0.1:443/x y"),
    *("Cookie: APSCookie_12=canary; path=/", "APSCOOKIE=canary", "authorization: Basic canary=="),
    *("Bearer canary", "got 'bearer canary'"),
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_not_told(text: str, lines: Lines) -> None:
    """Licences, URL credentials, cookies and authorisations are taken out of any text."""
    log.info("told", reason=text)
    log.info(text)
    logging.getLogger("library").warning("%s", text)
    logging.getLogger("library").warning(text)
    told = json.dumps(lines()).lower()
    assert 4 == len(lines())
    assert CANARY not in told
    assert LICENSE[:-4].lower() not in told


@pytest.mark.parametrize("key", ["password", "Password", "client_secret", "upload_token", "cookie"])
def test_what_is_called_a_secret_is_not_told(key: str, lines: Lines) -> None:
    """A field that is named for a secret is never told."""
    log.info("told", **{key: CANARY})
    assert ["***"] == [line[key] for line in lines()]


@pytest.mark.parametrize(
    "fields",
    [
        {"paths": [f"/{LICENSE}"]},
        {"headers": {"reason": (LICENSE,)}},
        {"headers": {"Cookie": CANARY}},
        {"password": [CANARY]},
        {"password": CANARY.encode()},
        {"body": LICENSE.encode()},
        {"told": ValueError(LICENSE)},
    ],
    ids=str,
)
def test_no_secret_is_told_by_a_nested_value(fields: dict[str, object], lines: Lines) -> None:
    """A secret stays secret inside a list, a mapping, bytes or an object."""
    log.info("told", **fields)
    told = json.dumps(lines())
    assert CANARY not in told
    assert LICENSE not in told


@pytest.mark.parametrize(
    "text",
    ["https://host/a@b", "2026-03-04T09:12:31Z", "f3cd522e-1948-43b0-b490-493a9659023b", "/data"],
)
def test_what_is_no_secret_is_told(text: str) -> None:
    """Redaction leaves alone what people need: addresses, times, event ids."""
    assert text == redact(text)


def test_a_licence_keeps_its_last_four_characters() -> None:
    """What is told of a licence is what events tell of it."""
    assert "****-IJ90" == redact(LICENSE)
    assert "amqp://***@host/" == redact("amqp://u:p@host/")


@pytest.mark.parametrize(
    ("log_format", "stream", "readable"),
    [
        ("console", io.StringIO, True),
        ("json", Terminal, False),
        (None, Terminal, True),
        (None, io.StringIO, False),
    ],
)
def test_people_get_another_format_than_machines(
    log_format: Literal["json", "console"] | None, stream: type[io.StringIO], readable: bool
) -> None:
    """Left open, the format is console on a terminal and JSON elsewhere; redacted in both."""
    output = stream()
    configure(log_format=log_format, level="INFO", stream=output)
    log.info("told", reason=f"see {LICENSE}")
    logging.getLogger("library").warning("text")
    shown = output.getvalue()
    assert readable != shown.startswith("{")
    assert 2 == len(shown.splitlines())
    assert "****-IJ90" in shown
    assert LICENSE not in shown
    assert "library-message" in shown


def test_listeners_hear_what_is_not_told(lines: Lines) -> None:
    """The metrics are the same however little the log says; secrets are out before they hear."""
    heard: list[dict[str, Any]] = []
    configure(log_format="json", level="ERROR", stream=io.StringIO())
    with heard_by(lambda fields: heard.append(dict(fields))):
        log.info("command-received", reason=f"for {LICENSE}")
        log.debug("appliance-request")
    log.info("command-received")
    assert [("command-received", f"for ****-{LICENSE[-4:]}")] == [
        (each["event"], each["reason"]) for each in heard
    ]
    assert [] == lines()


def test_a_listener_that_fails_stops_nobody(lines: Lines) -> None:
    """The line is told all the same, the failure once, and everybody goes on hearing."""
    heard: list[object] = []
    with heard_by(lambda _: heard.append(1 / 0), lambda fields: heard.append(fields["event"])):
        log.info("service-stopping")
        log.info("service-stopped")
    assert ["internal-error", "service-stopping", "service-stopped"] == [
        line["event"] for line in lines()
    ]
    assert ["internal-error", "service-stopping", "service-stopped"] == heard


PIECES: Final = (
    "-",
    "AB12",
    "://",
    "u:p@",
    "=",
    " ",
    "APSCookie_1",
    "aPScookie",
    "Basic",
    "bearer",
    "x;",
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join))
def test_a_quick_look_overlooks_nothing(text: str) -> None:
    """What must stand in a secret is looked for first; the result is that of the whole search."""
    searched = redaction._LICENCE.sub(r"****-\1", text)  # noqa: SLF001
    searched = redaction._CREDENTIALS.sub("***@", searched)  # noqa: SLF001
    searched = redaction._PROOF.sub(r"\1***", searched)  # noqa: SLF001
    assert searched == redact(text)
