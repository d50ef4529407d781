"""What the service tells is what the event log's contract says, and the gate over it can fail."""

import ast
import io
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
import structlog
from jsonschema import Draft202012Validator

from service.consumers.settling import Delivery, Settling
from service.errors import Code, Failed, Refused
from service.execution.flight import Flights
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import format_instant, now
from service.telemetry import configure
from tests.conftest import pytest_runtest_makereport
from tests.support import eventlog
from tests.support.eventlog import (
    ABOUT,
    CONTRACT,
    SCHEMA,
    SLUGS,
    defects,
    fail_if_off_contract,
    fields_of,
)
from tests.support.stand import Process
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.making import DATA, body, delivery

if TYPE_CHECKING:
    from aio_pika import IncomingMessage

    from service.topology.publisher import Publisher

SOURCES: Final = Path(__file__).parents[2] / "service"
VALIDATOR: Final = Draft202012Validator(SCHEMA)
UNREACHABLE: Final = Failed(Code.UNREACHABLE, "no answer")
STORY: Final = ("command_id", "command_type", "correlation_id", "appliance")
RECEIVED: Final[dict[str, Any]] = {
    "timestamp": "2026-03-04T09:12:31.482Z",
    "level": "info",
    "event": "command-received",
    **dict.fromkeys(("command_id", "correlation_id"), "c-1"),
    "command_type": "courier.query-devices.v1",
    "appliance": "fvc-1",
    "attempt": 1,
}


class FakePublisher:
    """Confirms everything at once."""

    async def publish_until_confirmed(self, *_: object, exchange: str, routing_key: str) -> None:
        """Take it."""

    async def publish(
        self, *_: object, exchange: str, routing_key: str, mandatory: bool = True
    ) -> None:
        """Take it."""


class Told:
    """A stream that can be read as the event log."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    configure(log_format="json", level="DEBUG", stream=found.stream)
    yield found
    structlog.reset_defaults()


@pytest.fixture
def settling(sqlite: SqliteLedger, fac: FakeFac, fvc: FakeFvc) -> Settling:
    publisher = cast("Publisher", FakePublisher())
    return Settling(Flights(executing(sqlite, fac, fvc)), publisher, source="/courier")


def brought(
    content: bytes, headers: dict[str, Any] | None = None, *, redelivered: bool = False
) -> Delivery:
    """A message with this body, from a work queue."""
    raw: IncomingMessage = delivery(headers, redelivered=redelivered, reply_to="answers")
    raw.body = content
    return Delivery(raw, "courier.query-sms-balance")


@pytest.mark.parametrize(
    ("error", "slugs"),
    [
        (None, ["intent-recorded", "appliance-answered", "command-finished", "result-told"]),
        (UNREACHABLE, ["appliance-answered", "command-delayed"]),
        (
            Refused(Code.PERMISSION_DENIED, "no"),
            ["appliance-answered", "command-finished", "result-told"],
        ),
        (
            ZeroDivisionError(),
            ["internal-error", "appliance-answered", "command-finished", "result-told"],
        ),
    ],
)
async def test_the_event_log_follows_its_contract(
    error: Exception | None, slugs: list[str], told: Told, settling: Settling, fac: FakeFac
) -> None:
    """Every line that a command leaves is valid, in success and in failure."""
    fac.errors = [error]
    await settling.settle(brought(body()))
    assert ["command-received", *slugs] == [line["event"] for line in told()]
    assert [] == [defect for line in told() for defect in defects(line)]


@pytest.mark.parametrize("name", DATA)
async def test_every_line_of_a_story_says_whose_it_is(
    name: str, told: Told, settling: Settling
) -> None:
    """A story can be filtered by the command, its correlation or its appliance."""
    await settling.settle(brought(body(name, correlationid="order-7")))
    expected = ("c-1", f"courier.{name}.v1", "order-7", DATA[name]["appliance"])
    assert {expected} == {tuple(line.get(each) for each in STORY) for line in told()}


@pytest.mark.parametrize("name", DATA)
async def test_an_ordinary_command_leaves_at_most_six_lines(
    name: str, told: Told, settling: Settling
) -> None:
    """With the one about the session, which these appliances do not have."""
    await settling.settle(brought(body(name)))
    assert 5 >= sum(line["level"] != "debug" for line in told())


async def test_a_rejections_lines_say_whose_it_is_as_far_as_that_can_be_read(
    told: Told, settling: Settling
) -> None:
    """What was refused can be found by its id, its type and its correlation, too."""
    await settling.settle(brought(body(data={"license": "x"}, correlationid="order-7")))
    await settling.settle(brought(b"not json"))
    expected = ("c-1", "courier.activate-sms-license.v1", "order-7", None)
    assert [expected] * 2 + [(None,) * 4] * 2 == [
        tuple(line.get(each) for each in STORY) for line in told()
    ]
    assert ["command-rejected", "result-told"] * 2 == [line["event"] for line in told()]
    assert [] == [defect for line in told() for defect in defects(line)]


async def test_the_wait_for_the_first_receipt_is_told(told: Told, settling: Settling) -> None:
    """In milliseconds since the command's `time`; a clock that runs ahead makes it 0."""
    for number, ago in enumerate((2.5, 0, -60)):
        sent_at = format_instant(now() - timedelta(seconds=ago))
        await settling.settle(brought(body("query-sms-balance", id=f"c-{number}", time=sent_at)))
    waits = [line["waited_ms"] for line in told() if line["event"] == "command-received"]
    assert 2500 <= waits[0] < 2500 + 1000
    assert 0 <= waits[1] < 1000
    assert 0 == waits[2]


@pytest.mark.parametrize(
    ("headers", "redelivered"),
    [
        ({}, True),
        ({"x-delivery-count": 1}, False),
        ({"courier-received-at": "2026-03-04T09:12:31.482Z"}, False),
        ({"courier-reason": "contract-violation"}, False),
    ],
    ids=["redelivered", "counted", "copy", "replay"],
)
async def test_only_the_first_receipt_tells_a_wait(
    headers: dict[str, Any], redelivered: bool, told: Told, settling: Settling
) -> None:
    """What comes again has waited for other reasons than too few couriers."""
    sent_at = format_instant(now() - timedelta(seconds=1))
    again = brought(body("query-sms-balance", time=sent_at), headers, redelivered=redelivered)
    await settling.settle(again)
    await settling.settle(brought(body("query-sms-balance", id="c-2")))  # it tells no time
    lines = [line for line in told() if line["event"] == "command-received"]
    assert [False, False] == ["waited_ms" in line for line in lines]


async def test_how_long_the_confirm_took_is_told(told: Told, settling: Settling) -> None:
    """In milliseconds, from the first publishing on."""
    await settling.settle(brought(body("query-sms-balance")))
    (line,) = [line for line in told() if line["event"] == "result-told"]
    assert 0 <= line["duration_ms"] < 1000


class Logged:
    """One `log.info("slug", field=...)` in the code."""

    def __init__(self, call: ast.Call, method: str, place: str) -> None:
        first = call.args[1 if method == "log" else 0]
        assert isinstance(first, ast.Constant), f"{place}: the slug is no literal"
        self.slug = str(first.value)
        self.place = f"{place}, {self.slug}"
        self.fields = {str(each.arg) for each in call.keywords}
        if method == "exception" or "exc_info" in self.fields:
            self.fields = self.fields - {"exc_info"} | {"exception"}
        self.level = None if method == "log" else method.replace("exception", "error")

    def defects(self) -> Iterator[str]:
        """What its contract does not allow."""
        if self.slug not in SLUGS:
            yield f"{self.place}: no documented slug"
            return
        own, required = SLUGS[self.slug]["properties"], set(SLUGS[self.slug]["required"])
        levels = own["level"].get("enum", [own["level"].get("const")])
        if self.level not in {*levels, None}:
            yield f"{self.place}: at {self.level}, not at {levels}"
        yield from (f"{self.place}: lacks {each}" for each in required - self.fields - ABOUT)
        yield from (f"{self.place}: has {each}" for each in self.fields - fields_of(self.slug))


METHODS: Final = {"debug", "info", "warning", "error", "critical", "exception", "log"}


@cache
def logged() -> list[Logged]:
    """Everything that the code can log."""
    return [
        Logged(node, node.func.attr, f"{path.name}:{node.lineno}")
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in METHODS
        and ast.unparse(node.func.value) in {"log", "telemetry.log"}
    ]


def test_everything_that_the_code_can_log_is_in_the_contract() -> None:
    """Slug, level and fields, of those lines as well that no test makes it write."""
    assert [] == [defect for each in logged() for defect in each.defects()]


def test_the_contract_has_no_slug_that_nobody_logs() -> None:
    """What libraries say has its slug put on in `telemetry`."""
    assert set(SLUGS) == {each.slug for each in logged()} | {"library-message"}


def test_every_slug_has_its_rule_and_an_example() -> None:
    """A rule is what makes a validator look at the slug's own words."""
    rules = {
        rule["if"]["properties"]["event"]["const"]: rule["then"]["$ref"] for rule in SCHEMA["allOf"]
    }
    assert {slug: f"#/$defs/{slug}" for slug in SLUGS} == rules
    shown = {json.loads(path.read_text("utf-8"))["event"] for path in examples("examples")}
    assert set() == set(SLUGS) - shown


def examples(kind: str) -> list[Path]:
    return sorted((CONTRACT.parent / f"v1.{kind}").glob("*.json"))


INVENTED: Final = {"unknown-slug", "fullest"}
"""Examples with a slug, or a field, that a reader has to bear."""


@pytest.mark.parametrize("path", examples("examples"), ids=lambda path: path.stem)
def test_the_gate_lets_an_example_pass(path: Path) -> None:
    """Unless it shows what only a later version tells."""
    assert (path.stem in INVENTED) == bool(defects(json.loads(path.read_text("utf-8"))))


@pytest.mark.parametrize("path", examples("counterexamples"), ids=lambda path: path.stem)
def test_the_gate_holds_a_counterexample(path: Path) -> None:
    """Whatever the schema refuses, the gate refuses."""
    line = json.loads(path.read_text("utf-8"))
    assert not VALIDATOR.is_valid(line)
    assert [] != defects(line)


Change = Callable[[dict[str, Any]], dict[str, Any]]
BAD: Final[dict[str, tuple[Change, str]]] = {
    "an undocumented slug": (lambda line: line | {"event": "command-lost"}, "no documented slug"),
    "a wrong level": (lambda line: line | {"level": "warning"}, "told as warning"),
    "a missing field": (lambda line: {k: line[k] for k in line if k != "attempt"}, "lacks attempt"),
    "an unknown field": (lambda line: line | {"conclusion": "failed"}, "has conclusion"),
    "no number": (lambda line: line | {"attempt": "1"}, "attempt is '1'"),
    "true for 1": (lambda line: line | {"attempt": True}, "attempt is True"),
    "no text": (lambda line: line | {"command_id": 7}, "command_id is 7"),
    "local time": (lambda line: line | {"timestamp": "2026-03-04T09:12:31"}, "timestamp is"),
}


def report(text: str, when: str = "teardown") -> pytest.TestReport:
    """What pytest tells of a test that passed and wrote this."""
    sections = [("Captured stdout call", text)]
    return pytest.TestReport("a", ("a", 1, "a"), {}, "passed", None, when, sections)  # type: ignore[arg-type]  # a name of three


@pytest.mark.parametrize(("change", "named"), BAD.values(), ids=BAD)
def test_a_test_that_writes_what_the_contract_does_not_know_fails(
    change: Change, named: str
) -> None:
    """By what it left in its own output, among other lines."""
    good, bad = json.dumps(RECEIVED), json.dumps(change(RECEIVED))
    for text, fails in (("words\n" + good, False), (f"{good}\n{bad}\n", True)):
        looked_at = report(text)
        fail_if_off_contract(looked_at)
        assert fails == looked_at.failed
        assert fails == (named in str(looked_at.longrepr))


@pytest.mark.parametrize(("change", "named"), BAD.values(), ids=BAD)
def test_a_test_whose_process_writes_it_fails(change: Change, named: str) -> None:
    """At once, whichever part of the test is over then; and no test after it."""
    eventlog.notice(json.dumps(RECEIVED), "courier serve")
    eventlog.notice(json.dumps(RECEIVED | {"attempt": 2})[:-9], "killed while it wrote")
    eventlog.notice(json.dumps(change(RECEIVED)), "courier serve")
    first, second = report("", "call"), report("", "call")
    fail_if_off_contract(first)
    fail_if_off_contract(second)
    assert [True, False] == [first.failed, second.failed]
    assert f"courier serve: {change(RECEIVED)['event']}: " in str(first.longrepr)
    assert named in str(first.longrepr)


async def test_every_line_of_every_process_is_looked_at() -> None:
    """As it comes, whoever started the process."""
    bad = json.dumps(RECEIVED | {"event": "command-lost"})
    process = await Process.start("x", env={}, program=(sys.executable, "-c", f"print({bad!r})"))
    Process.strays.remove(process)
    assert 0 == await process.ended()
    noticed, eventlog.noticed[:] = eventlog.noticed[:], []
    assert ["courier x: command-lost: is no documented slug"] == noticed


def test_every_report_of_the_run_is_looked_at() -> None:
    """The gate stands in the way of each test's result."""
    making = pytest_runtest_makereport()
    next(making)
    with pytest.raises(StopIteration) as stopped:
        making.send(report(json.dumps(RECEIVED | {"event": "command-lost"})))
    assert "failed" == stopped.value.value.outcome


def test_only_what_knows_a_command_around_it_has_to_name_it() -> None:
    """A part that a test calls on its own does not; in a process every story says whose it is."""
    bare = {name: value for name, value in RECEIVED.items() if name not in STORY}
    assert [] == defects(bare, below=True)
    assert 4 == len(defects(bare))


def test_a_failure_that_was_there_before_is_kept() -> None:
    """What went wrong first is what the run tells."""
    failed = report(json.dumps(RECEIVED | {"event": "command-lost"}))
    failed.outcome, failed.longrepr = "failed", "what went wrong first"
    fail_if_off_contract(failed)
    assert "what went wrong first" == failed.longrepr
