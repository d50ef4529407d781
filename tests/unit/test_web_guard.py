"""Over HTTP one can look and nothing else, and every answer keeps the browser in bounds."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest

from service.web import Web
from tests.unit.test_web import Courier

METHODS: Final = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X"]
NOWHERE: Final = [
    *("/docs/", "/page", "/page/", "/metrics/", "/health", "/health/", "/page/nothing"),
    *("/docs/index.html", "/page/../__init__.py", "/page/%2e%2e/guard.py"),
    *(
        "/docs/%2e%2e/documents.py",
        "/docs/..%2fdocuments.py",
        "/.env",
        "/courier.db",
        "/openapi.json",
    ),
    *("/page/%2fetc%2fpasswd", "/debug", "/page/page.js/", "/page/commands/%00"),
]
"""Paths that lead nowhere: folders, ways out of them, files that are not meant."""
FOREIGN: Final = "evil.example"


def asking(web: Web, host: str = "localhost") -> httpx.AsyncClient:
    """A browser, which gets to see an error as it would be answered."""
    transport = httpx.ASGITransport(app=web.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://x", headers={"host": host})


@pytest.fixture
def courier() -> Courier:
    return Courier()


@pytest.fixture
async def client(courier: Courier) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(courier.web) as made:
        yield made


def paths(courier: Courier) -> list[str]:
    """Every path that there is."""
    return [each.path.replace("{number}", "1") for each in courier.web.routes]


async def test_nothing_but_reading_is_answered(courier: Courier, client: httpx.AsyncClient) -> None:
    """Any other method is 405 on every path, also on those that there are not."""
    for path in [*paths(courier), *NOWHERE]:
        for method in METHODS:
            answer = await client.request(method, path)
            assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"]), path
            bounded(answer)


async def test_every_path_and_every_error_has_the_headers(
    courier: Courier, client: httpx.AsyncClient
) -> None:
    """The pages, the documents, the probes, what is not found, and what is not for this name."""
    assert {"/", "/docs", "/metrics", "/page/state"} < set(paths(courier))
    for path in [*paths(courier), *NOWHERE]:
        bounded(await client.head(path))
    async with asking(courier.web, FOREIGN) as foreign:
        answer = await foreign.get("/")
    assert 421 == answer.status_code
    bounded(answer)


@pytest.mark.parametrize("path", NOWHERE)
async def test_no_folder_is_listed_and_no_other_file_is_read(
    path: str, client: httpx.AsyncClient
) -> None:
    """Nor is a browser sent anywhere: what does not exist is not found."""
    answer = await client.get(path)
    assert (404, False) == (answer.status_code, "location" in answer.headers)
    assert len(answer.content) < 100


async def test_an_error_of_ours_tells_nothing(courier: Courier) -> None:
    """No traceback, and the headers all the same."""

    def broken() -> bytes:
        raise RuntimeError("canary")

    web = Web("::1", 0, not_ready=list, metrics=broken, page=courier.page)
    async with asking(web) as client:
        answer = await client.get("/metrics")
    assert (500, "Internal Server Error") == (answer.status_code, answer.text)
    bounded(answer)


def bounded(answer: httpx.Response) -> None:
    """Hold an answer against what every answer must say."""
    wanted = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
    assert wanted == {name: answer.headers.get(name) for name in wanted}
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & {*answer.headers}
