"""What messages look like is told over HTTP to everybody."""

from pathlib import Path
from typing import Final

import httpx
import pytest

from service.journal import Journal
from service.ledger.survey import Survey
from service.web import Web
from service.web.looks import Page
from service.web.standing import Standing

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
TYPES: Final = {
    "/docs": "text/html; charset=utf-8",
    "/docs/style.css": "text/css; charset=utf-8",
    "/docs/asyncapi.yaml": "application/yaml",
}


def page() -> Page:
    standing = Standing(list, [], dict, Survey(Path("nowhere")))
    return Page(Journal(), standing, names=frozenset({"localhost"}))


async def answer(path: str, shown: Page | None) -> httpx.Response:
    web = Web("::1", 0, not_ready=list, metrics=bytes, page=shown)
    transport = httpx.ASGITransport(app=web.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://courier.example") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", TYPES)
@pytest.mark.parametrize("shown", [None, page()], ids=["no page", "a page for this machine"])
async def test_they_are_there_with_the_page_or_without_under_any_name(
    path: str, shown: Page | None
) -> None:
    """Nothing of them is secret; the page itself is not answered under a foreign name."""
    told = await answer(path, shown)
    assert (200, TYPES[path]) == (told.status_code, told.headers["content-type"])
    assert (await answer("/", shown)).status_code in {404, 421}


async def test_the_document_is_the_contracts_file() -> None:
    """What a team fetches from the service is what it finds in the repository."""
    told = await answer("/docs/asyncapi.yaml", None)
    assert (CONTRACTS / "asyncapi.yaml").read_bytes() == told.content
