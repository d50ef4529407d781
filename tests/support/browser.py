"""A real browser, and what it noticed while it looked at a page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.support.packages import brought

_QUIET = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    # Letters that look the same everywhere: pictures are smaller.
    *("--disable-lcd-text", "--disable-font-subpixel-positioning"),
    # A website's name that has this machine's address: DNS rebinding, without the DNS. Nothing else
    # is to be had: what a page needs comes from where the page comes from.
    "--host-resolver-rules=MAP evil.example 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND",
)


@dataclass
class Looked:
    """A page that is open, and what must not happen on it.

    Attributes:
        complaints: what stands in the console as a warning or an error, and what was thrown.
        asked: the host and port of everything that was requested.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"warning", "error"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.complaints.append(f"thrown: {error}")

    def _on_request(self, request: Request) -> None:
        self.asked.add(urlsplit(request.url).netloc)


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Start Debian's Chromium, without a window."""
    expect.set_options(timeout=15_000)  # milliseconds; it does not wait longer than it must
    chromium = await asyncio.to_thread(brought, "chromium", "chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=[*_QUIET], handle_sigint=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(
    browser: Browser,
    url: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    height: int = 900,
) -> AsyncIterator[Looked]:
    """Open a page in a fresh profile.

    Args:
        scheme: what the person prefers.
        width, height: of the window, in CSS pixels.
    """
    context = await browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        timezone_id="America/Toronto",
        locale="en-CA",
    )
    try:
        looked = Looked(await context.new_page())
        await looked.page.goto(url)
        yield looked
    finally:
        await context.close()
