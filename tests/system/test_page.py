"""The page in a real browser: live, by keyboard, in the dark, on a phone, over a restart."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import AsyncIterator
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.support import http
from tests.support.browser import Looked, browsing, looking
from tests.support.canaries import Canaries
from tests.support.stand import Appliances, Service, Stand
from tests.support.workflow import Workflow, command, licence

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKUP: Final = "<img/src=x/onerror=document.title='broken'>"
FILE: Final = {"name": "a.lic", "content": "YWJjZA=="}
DENIED: Final = "Failed to load resource: the server responded with a status of 421"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def looked(browser: Browser, service: Service) -> AsyncIterator[Looked]:
    """The page; it never complains, and never asks anybody else."""
    async with looking(browser, service.http) as opened:
        await expect(opened.page.locator("#state")).to_have_text("ready")
        yield opened
        assert [] == opened.complaints
        assert {urlsplit(service.http).netloc} == opened.asked


async def query(workflow: Workflow, appliance: str = "fvc-1", name: str | None = None) -> str:
    sent = command("query-devices", {"appliance": appliance}, id=name or str(uuid4()))
    await workflow.send(sent)
    return str(sent["id"])


def row(page: Page, name: str, table: str = "ended") -> Locator:
    return page.locator(f'#{table} tr.row:has(td.id[title="{name}"])')


async def test_a_command_arrives_by_itself(looked: Looked, workflow: Workflow) -> None:
    """Nobody reloads; what somebody took for an id is text, whatever it looks like."""
    page = looked.page
    await page.evaluate("window.isStillTheSame = true")
    await query(workflow, name=MARKUP)
    await expect(row(page, MARKUP)).to_contain_text("succeeded")
    await expect(row(page, MARKUP)).to_contain_text(MARKUP)
    assert await page.evaluate("window.isStillTheSame && document.images.length === 0")
    await expect(page.locator("#throughput-text")).to_contain_text("succeeded")
    await expect(page.locator("#latency svg[aria-label*='Half within']")).to_be_visible()


async def test_a_timeline_opens_and_closes_by_keyboard(looked: Looked, workflow: Workflow) -> None:
    """Tab leads to the command, Enter and Space open it, Escape closes it, arrows go on."""
    page = looked.page
    other, name = await query(workflow, "nowhere"), await query(workflow)
    opener = row(page, name).locator("button")
    await expect(opener).to_have_count(1)
    await expect(row(page, other)).to_have_count(1)
    await page.locator("#hold").focus()
    await page.keyboard.press("Tab")  # the table, which may have to be scrolled
    await page.keyboard.press("Tab")
    await expect(page.locator("#ended button").first).to_be_focused()
    await opener.focus()
    for key in ("Enter", "Space"):
        await page.keyboard.press(key)
        story = page.locator(".story li")
        await expect(story.first).to_contain_text(re.compile(r"\+0 ms\s*command-received"))
        await expect(story.filter(has_text="appliance-answered")).to_contain_text("status 200")
        await expect(opener).to_have_attribute("aria-expanded", "true")
        await page.keyboard.press("Escape")
        await expect(page.locator(".story")).to_have_count(0)
        await expect(opener).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(opener).not_to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(opener).to_be_focused()


async def test_a_list_that_is_read_stands_still(looked: Looked, workflow: Workflow) -> None:
    """While a timeline is open nothing moves; then the list catches up."""
    page = looked.page
    first = await query(workflow)
    await row(page, first).click()
    await expect(page.locator(".story ol")).to_be_visible()
    second = await query(workflow)
    await expect(page.locator("#held")).to_have_text("held; 1 newer")
    await expect(row(page, second)).to_have_count(0)
    await page.keyboard.press("Escape")
    await row(page, first).click()
    await expect(row(page, second)).to_have_count(1)


async def test_the_list_is_filtered(looked: Looked, workflow: Workflow) -> None:
    """By any words of a row, all of which must fit."""
    page = looked.page
    name, _ = await query(workflow, "nowhere"), await query(workflow)
    await expect(row(page, name)).to_have_count(1)
    await page.get_by_label("Filter").fill(f"{name[:13]} unknown-appliance")
    await expect(page.locator("#ended tr")).to_have_count(1)
    await expect(page.locator("#ended-count")).to_have_text(re.compile(r"^1 of \d+$"))
    await page.get_by_label("Filter").fill(f"{name} succeeded")
    await expect(page.locator("#ended-none")).to_have_text("None of them fits the filter.")


async def test_what_runs_and_what_waits_is_seen(
    looked: Looked, workflow: Workflow, appliances: Appliances
) -> None:
    """With its age, until it has ended; one that waits says until when, and why."""
    page = looked.page
    await appliances.fault("fvc-1", operation="devices", action="hang", times=1)
    name = await query(workflow)
    under_way = row(page, name, "running")
    await expect(under_way).to_contain_text("running")
    await expect(under_way).to_contain_text(
        re.compile(r"(waits 1 s more|queue): unreachable\s*[1-9] s")
    )
    await expect(row(page, name)).to_contain_text("succeeded")
    await expect(under_way).to_have_count(0)


async def test_what_needs_a_person_says_what_to_do(
    looked: Looked, workflow: Workflow, appliances: Appliances, shared_stand: Stand
) -> None:
    """The command that stands on the page settles an unknown, and it leaves the page."""
    page = looked.page
    await expect(page.locator("#attention")).to_be_hidden()
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    data = {"appliance": "fvc-1", "file": FILE}
    await workflow.send(command("apply-voice-license", data, id="-it's $(me)".replace(" ", "")))
    item = page.locator("#attention li", has_text="outcome unknown")
    await expect(item).to_contain_text("apply-voice-license on fvc-1")
    shown = [await item.locator("code", has_text=verb).inner_text() for verb in ("show", "--not-")]
    done = await asyncio.gather(*(shared_stand.courier(*shlex.split(line)[1:]) for line in shown))
    assert [0, 0] == [exit_code for exit_code, _ in done], done
    await expect(page.locator("#attention")).to_be_hidden()


@pytest.mark.parametrize(("scheme", "darkness"), [("light", "f3f5f7"), ("dark", "12171d")])
async def test_it_is_light_or_dark_and_fits_a_phone(
    scheme: Literal["light", "dark"], darkness: str, browser: Browser, service: Service
) -> None:
    """As the person prefers it; at 360 pixels only tables scroll sideways."""
    async with looking(browser, service.http, scheme=scheme, width=360) as looked:
        page = looked.page
        await expect(page.locator("#ended tr.row").first).to_be_visible()
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert darkness == bytes(int(part) for part in re.findall(r"\d+", ground)).hex()
        assert 360 == await page.evaluate("document.documentElement.scrollWidth")
        assert [] == looked.complaints


async def test_times_are_the_browsers_and_utc_when_pointed_at(looked: Looked) -> None:
    """The one whom it wakes reads their own clock, and compares with the log's."""
    time_of = looked.page.locator("#ended time").first
    instant = await time_of.get_attribute("datetime") or ""
    expected = f"{instant[:10]} {instant[11:23]} UTC"
    assert expected == await time_of.get_attribute("title")
    hour = (int(instant[11:13]) - int((await time_of.inner_text())[:2])) % 24
    assert hour in {4, 5}  # Toronto's


@pytest.mark.parametrize(("scheme", "darkness"), [("light", "ffffff"), ("dark", "14181d")])
async def test_the_messages_are_described_without_a_network(
    scheme: Literal["light", "dark"], darkness: str, browser: Browser, service: Service
) -> None:
    """A reader finds a command, its fields, an example and what answers it; a phone is enough."""
    async with looking(browser, f"{service.http}/docs", scheme=scheme, width=360) as looked:
        page = looked.page
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert darkness == bytes(int(part) for part in re.findall(r"\d+", ground)).hex()
        assert 360 == await page.evaluate("document.documentElement.scrollWidth")
        await page.get_by_role("link", name="activate-sms-license", exact=True).click()
        section = page.locator("section:target")
        await expect(section.get_by_role("heading")).to_contain_text("activate an SMS licence")
        await expect(section.locator("tr", has_text="data.license")).to_contain_text("pattern")
        await expect(section.locator("tr", has_text="data.dry_run")).to_contain_text("optional")
        await expect(section.locator("pre").first).to_be_hidden()
        await section.locator("summary").first.click()
        shown = json.loads(await section.locator("pre").first.inner_text())
        assert "courier.activate-sms-license.v1" == shown["type"]
        await section.get_by_role("link", name="courier.activate-sms-license.finished.v1").click()
        await expect(page.locator("section:target")).to_contain_text("data.conclusion")
        assert [] == looked.complaints
        assert {urlsplit(service.http).netloc} == looked.asked


async def test_no_website_gets_at_the_page(browser: Browser, service: Service) -> None:
    """One whose name has this machine's address now is answered with a sentence, and no data."""
    port = urlsplit(service.http).port
    async with looking(browser, f"http://evil.example:{port}/") as looked:
        await expect(looked.page.locator("body")).to_contain_text("this machine only")
        assert DENIED in looked.complaints[0]
    async with http.visit(service.http, headers={"host": "evil.example"}) as client:
        assert [421] * 2 == [
            (await client.get(path)).status_code for path in ("/page/state", "/page/stream")
        ]


async def test_no_secret_is_on_the_page(looked: Looked, workflow: Workflow) -> None:
    """Neither in what is seen, with every timeline open, nor in what is told by the service."""
    page = looked.page
    sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(7)})
    wrong = command("activate-sms-license", {"appliance": "fac-1", licence(8): licence(8)})
    await workflow.send(sent, wrong)
    for each in (sent, wrong):
        await row(page, each["id"]).click()
    await expect(page.locator(".story ol")).to_have_count(2)
    canaries = Canaries()
    canaries.join(workflow.canaries)
    seen = await page.locator("body").inner_text()
    assert "****-" not in seen  # there is no need for any of it
    canaries.check([("the page", seen), ("its markup", await page.content())])


async def test_the_page_outlives_the_service(
    browser: Browser, service: Service, shared_stand: Stand, workflow: Workflow
) -> None:
    """A stop waits for no browser; the page says that it is alone, and goes on after the start."""
    async with looking(browser, service.http) as looked:
        page = looked.page
        await expect(page.locator("#ended tr.row").first).to_be_visible()
        await page.evaluate("window.isStillTheSame = true")
        stuck = await asyncio.open_connection("127.0.0.1", urlsplit(service.http).port)
        stuck[1].write(b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        began = time.monotonic()
        assert 0 == await service.end()
        assert time.monotonic() - began < 15
        stuck[1].close()
        port = str(urlsplit(service.http).port)
        off = await shared_stand.service(HTTP_PORT=port, PAGE="false")
        async with http.visit(off.http) as client:
            assert "COURIER_PAGE=true" in (await client.get("/")).text
        assert 0 == await off.end()
        await expect(page.locator("#state")).to_have_text("no answer")
        await expect(page.locator("#link")).to_contain_text("trying again")
        again = await shared_stand.service(HTTP_PORT=port)
        await expect(page.locator("#state")).to_have_text("ready")
        name = await query(workflow)
        await expect(row(page, name)).to_contain_text("succeeded")
        await expect(page.locator("#ended tr.row")).to_have_count(1)
        assert await page.evaluate("window.isStillTheSame")
        assert again.http == service.http
