"""What is answered over HTTP: to probes, to browsers, and to those who should not ask."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from service.appliances.ports import Status
from service.journal import Journal
from service.ledger import Intent, Record, Told
from service.ledger.moment import Moment
from service.messages.wire import format_instant, now
from service.topology import Count
from service.web import Web
from service.web.looks import Page
from service.web.standing import REASONS, Standing
from tests.unit.fakes import FakeFac, FakeFvc

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ROOT / "service" / "web" / "page"
SLUG: Final = re.compile(r"[a-z]+(?:-[a-z]+)+")
OWN: Final = frozenset({"localhost", "127.0.0.1", "::1", "courier.local"})
PATHS: Final = ["/", "/page/state", "/page/page.js", "/page/commands/1", "/page/nothing"]
Json = dict[str, Any]


class FakeSurvey:
    """A ledger that was looked at."""

    def __init__(self) -> None:
        self.open_intents = 0
        self.unresolved = 0
        self.unsettled: list[Record] = []
        self.surveyed_at = now()


class Courier:
    """What the page asks, and the page.

    Attributes:
        reasons: why it is not ready.
        counts: how full the queues are.
    """

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.fac, self.fvc = FakeFac(), FakeFvc()
        self.counts = {"courier.parked": Count(0, 0), "courier.retry.5s": Count(3, 0)}
        self.survey = FakeSurvey()
        self.journal = Journal()
        standing = Standing(
            lambda: self.reasons, [self.fac, self.fvc], lambda: self.counts, self.survey
        )
        self.page = Page(self.journal, standing, names=OWN)
        self.web = self.served(self.page)

    def served(self, page: Page | None) -> Web:
        return Web("::1", 0, not_ready=lambda: self.reasons, metrics=lambda: b"", page=page)

    def tell(self, event: str, command: str = "c-1", **fields: object) -> None:
        told = {"timestamp": format_instant(now()), "level": "info", "event": event}
        self.journal.hear({**told, "command_id": command, "command_type": "courier.x.v1", **fields})


def asking(web: Web, host: str = "localhost") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=web.app)
    return httpx.AsyncClient(transport=transport, base_url="http://x", headers={"host": host})


@pytest.fixture
def courier() -> Courier:
    return Courier()


@pytest.fixture
async def client(courier: Courier) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(courier.web) as made:
        yield made


async def state(client: httpx.AsyncClient) -> Json:
    return dict((await client.get("/page/state")).raise_for_status().json())


async def attention(client: httpx.AsyncClient) -> list[Json]:
    return list((await state(client))["standing"]["attention"])


# ---- what every answer says, and who is answered


@pytest.mark.parametrize("path", [*PATHS, "/health/live", "/health/ready", "/metrics", "/other"])
async def test_every_answer_keeps_the_browser_in_bounds(
    path: str, client: httpx.AsyncClient
) -> None:
    """Whatever is answered: nothing inline or foreign runs, nobody frames it, nothing is stored."""
    answer = await client.get(path)
    rules = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";")
    )
    none = ["default-src", "base-uri", "form-action", "frame-ancestors"]
    assert dict.fromkeys(none, "'none'") == {name: rules[name] for name in none}
    assert ["'self'"] * 3 == [rules[f"{kind}-src"] for kind in ("script", "style", "connect")]
    assert ("nosniff", "no-referrer", "no-store") == (
        answer.headers["x-content-type-options"],
        answer.headers["referrer-policy"],
        answer.headers["cache-control"],
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", ""]
)
async def test_a_foreign_name_does_not_get_the_page(path: str, host: str, courier: Courier) -> None:
    """A website cannot read it by giving its own name the address 127.0.0.1; it says what to do."""
    async with asking(courier.web, host) as client:
        answer = await client.get(path)
        assert 421 == answer.status_code
        assert "COURIER_PAGE=true" in answer.text
        assert 200 == (await client.get("/health/live")).status_code


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1", "[::1]:80", "[::1]", "Courier.Local"]
)
async def test_this_machines_names_get_the_page(host: str, courier: Courier) -> None:
    """With any port, since a tunnel may have another one."""
    async with asking(courier.web, host) as client:
        assert 200 == (await client.get("/")).status_code


async def test_any_name_gets_a_page_that_was_asked_for(courier: Courier) -> None:
    """Beyond this machine nobody knows its names here."""
    standing = Standing(list, [], dict, courier.survey)
    async with asking(courier.served(Page(courier.journal, standing)), "courier.example") as client:
        assert 200 == (await client.get("/")).status_code


@pytest.mark.parametrize("path", ["/", "/page/state", "/page/stream", "/page/page.js"])
async def test_a_page_that_is_off_says_how_to_have_it(path: str, courier: Courier) -> None:
    """And nothing else."""
    async with asking(courier.served(None)) as client:
        answer = await client.get(path)
        assert 404 == answer.status_code
        assert "COURIER_PAGE" in answer.text


@pytest.mark.parametrize("path", ["/", "/page/state", "/page/stream", "/page/commands/1"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_page_is_read_only(path: str, method: str, client: httpx.AsyncClient) -> None:
    """Nothing can be done by it."""
    assert 405 == (await client.request(method, path)).status_code


@pytest.mark.parametrize("path", ["/", "/page/state", "/page/stream"])
async def test_head_is_answered_at_once(path: str, client: httpx.AsyncClient) -> None:
    """A stream as well."""
    answer = await client.head(path)
    assert (200, b"") == (answer.status_code, answer.content)


# ---- what the browser gets


async def test_the_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """Everything that it names is answered here, and nothing stands inline."""
    page = (await client.get("/")).text
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {"/page/page.js", "/page/style.css", "/page/icon.svg"} == set(named)
    script = (await client.get("/page/page.js")).text
    named += [f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', script)]
    assert [200] * 4 == [(await client.get(path)).status_code for path in named]
    assert [] == re.findall(r"<style|<script>| style=| on[a-z]+=", page)


def test_nothing_from_outside_becomes_markup() -> None:
    """Ids and names are put on the page as text; nothing in its scripts could do otherwise."""
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
    found = [
        (path.name, word)
        for path in FILES.glob("*.js")
        for word in re.findall(markup, path.read_text())
    ]
    assert [] == found


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read(scheme: int) -> None:
    """Contrast of at least 4.5 to 1 on every ground it stands on (WCAG 2.2, 1.4.3)."""
    blocks = re.findall(r":root \{(.*?)\}", (FILES / "style.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", blocks[scheme]))
    poor = {
        (text, ground)
        for text in ("text", "quiet", "accent", "good", "warn", "bad", "unsure")
        for ground in ("ground", "card", "hover")
        if contrast(colours[text], colours[ground]) < 4.5
    }
    assert set() == poor


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# ---- what is told


async def test_the_state_tells_everything(courier: Courier, client: httpx.AsyncClient) -> None:
    """Commands, figures and how things stand, in one answer for the first paint."""
    courier.tell("command-received", "<img src=x onerror=alert(1)>", appliance="fac-1", attempt=1)
    courier.tell("command-finished", "c-2", conclusion="succeeded", duration_ms=40, attempt=1)
    courier.fac.standing = Status("open", "closed", 2, 3, 1)
    told = await state(client)
    assert ["c-2", "<img src=x onerror=alert(1)>"] == [each["id"] for each in told["commands"]]
    assert [{"succeeded": 1}] == [minute["ends"] for minute in told["minutes"]]
    assert (True, {"p50", "p95"}) == (told["whole"], set(told["hour"]))
    assert {
        "name": "fac-1",
        "kind": "FortiAuthenticator",
        "session": "open",
        "breaker": "closed",
        "in_flight": 2,
        "logins": 3,
        "refused_logins": 1,
    } == told["standing"]["appliances"][0]
    waiting = {each["name"]: each["messages"] for each in told["standing"]["queues"]}
    assert {"courier.parked": 0, "courier.retry.5s": 3} == waiting


async def test_a_timeline_is_found_by_the_journals_number(
    courier: Courier, client: httpx.AsyncClient
) -> None:
    """Line by line, with instants; what is not kept, or no number, is not found."""
    courier.tell("command-received", attempt=1)
    courier.tell("appliance-answered", status=200)
    (row,) = (await state(client))["commands"]
    told = (await client.get(f"/page/commands/{row['number']}")).json()
    expected = [("command-received", {"attempt": 1}), ("appliance-answered", {"status": 200})]
    assert expected == [(line["event"], line["fields"]) for line in told["lines"]]
    for number in ("2", "0", "x", "9" * 5000, "-1", "%D9%A3"):
        assert 404 == (await client.get(f"/page/commands/{number}")).status_code


def reasons_in_code() -> set[str]:
    """What any `idle_reason` of the service may return."""
    found = set()
    for path in (ROOT / "service").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.FunctionDef) and part.name == "idle_reason":
                module = importlib.import_module(name.removesuffix(".__init__"))
                for each in ast.walk(part):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        found.add(each.value)
                    elif isinstance(each, ast.Name) and each.id.isupper():
                        found.add(getattr(module, each.id))
    return {each for each in found if SLUG.fullmatch(each)}


def test_every_reason_for_not_being_ready_is_explained() -> None:
    """In words, with what to do; and no reason that nobody gives."""
    assert reasons_in_code() == set(REASONS)


async def test_a_service_that_is_not_ready_says_what_to_do(
    courier: Courier, client: httpx.AsyncClient
) -> None:
    """One entry per reason, and one for a reason that nobody has explained yet."""
    assert [] == await attention(client)
    courier.reasons = ["ledger-unavailable", "something-new"]
    found = await attention(client)
    assert courier.reasons == [each["what"] for each in found]
    assert [] == [each for each in found if not (each["means"] and each["todo"])]
    assert not (await state(client))["standing"]["ready"]


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (Status("refused", "closed", 0, 0, 1), "error"),
        (Status("closed", "open", 0, 0, 0), "warning"),
        (Status("closed", "probing", 0, 0, 0), "warning"),
    ],
)
async def test_an_appliance_in_trouble_needs_a_person(
    status: Status, level: str, courier: Courier, client: httpx.AsyncClient
) -> None:
    """A refused password, and one that is left alone because it failed."""
    courier.fvc.standing = status
    (found,) = await attention(client)
    assert ("fvc-1", level, ["courier check"]) == (found["what"], found["level"], found["commands"])


async def test_parked_messages_need_a_person(courier: Courier, client: httpx.AsyncClient) -> None:
    """With how many there are, and the command that shows them."""
    courier.counts["courier.parked"] = Count(3, 0)
    (found,) = await attention(client)
    assert ("3 in courier.parked", ["courier parked list"]) == (found["what"], found["commands"])


def record(command_id: str, *, unknown: bool, age: timedelta = timedelta(hours=2)) -> Record:
    at = now() - age
    return Record(
        source="/workflow",
        id=command_id,
        type="courier.activate-sms-license.v1",
        digest="",
        appliance="fac-1",
        correlation_id=None,
        traceparent=None,
        intent=Intent(b"{}", Moment(at)),
        told=Told("unknown", b"{}", at) if unknown else None,
        settlement=None,
    )


@pytest.mark.parametrize("command_id", ["c-1", "a;rm$(x)`y`'\"&|<>*~#", "--applied", "-x"])
async def test_what_is_unresolved_says_exactly_what_to_do(
    command_id: str, courier: Courier, client: httpx.AsyncClient
) -> None:
    """In commands that can be copied into a shell, whatever somebody took for an id."""
    courier.survey.unsettled = [
        record(command_id, unknown=True),
        record(command_id, unknown=False),
    ]
    courier.survey.unresolved = courier.survey.open_intents = 1
    ledger = (await state(client))["standing"]["ledger"]
    unknown, still_open = ledger["entries"]
    assert (1, 1, "unknown", "open") == (
        ledger["open"],
        ledger["unknown"],
        unknown["is"],
        still_open["is"],
    )
    last = ["--", command_id] if command_id.startswith("-") else [command_id]
    resolve = ["courier", "ledger", "resolve", "--note", "WHAT YOU SAW"]
    show = ["courier", "ledger", "show", *last]
    verdicts = [[*resolve, verdict, *last] for verdict in ("--applied", "--not-applied")]
    assert [show, *verdicts] == [shlex.split(each) for each in unknown["commands"]]
    assert [show] == [shlex.split(each) for each in still_open["commands"]]
    assert unknown["since"] == pytest.approx((now().timestamp() - 7200) * 1000, abs=60_000)


@pytest.mark.parametrize(("unknown", "age", "told"), [(False, 5, 0), (False, 61, 1), (True, 5, 1)])
async def test_a_write_at_work_needs_nobody(
    unknown: bool, age: int, told: int, courier: Courier, client: httpx.AsyncClient
) -> None:
    """Each begins with an intent; it is told if it stays for a minute, and an unknown at once."""
    courier.survey.unsettled = [record("c-1", unknown=unknown, age=timedelta(seconds=age))]
    courier.survey.open_intents = 3
    ledger = (await state(client))["standing"]["ledger"]
    assert (told, 2) == (len(ledger["entries"]), ledger["more"])


@pytest.mark.parametrize(("age", "stale"), [(5, False), (31, True)])
async def test_old_figures_of_the_ledger_are_called_old(
    age: int, stale: bool, courier: Courier, client: httpx.AsyncClient
) -> None:
    """When it cannot be read, the page goes on showing the last ones."""
    courier.survey.surveyed_at = now() - timedelta(seconds=age)
    assert stale is (await state(client))["standing"]["ledger"]["stale"]


async def test_what_is_told_is_small(courier: Courier, client: httpx.AsyncClient) -> None:
    """Two hundred commands with long ids, and no story: those are asked for one by one."""
    for number in range(1000):
        courier.tell("command-received", f"{number}-{'x' * 120}", attempt=1)
        courier.tell("command-finished", f"{number}-{'x' * 120}", conclusion="succeeded")
    told = await state(client)
    assert 200 == len(told["commands"])
    assert len(json.dumps(told)) < 150_000
    assert [] == [each for each in told["commands"] if "lines" in each]
    assert [] == [a for a, b in pairwise(told["commands"]) if a["changed"] <= b["changed"]]
