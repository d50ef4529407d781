from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from service.simulator import FortiAuthenticator, FortiVoice, Hang, Rule
from service.simulator.control import ROUTES

if TYPE_CHECKING:
    import httpx

    from tests.appliances.simulator.driving import Sms, Voice

HANG = {"operation": "login", "action": "hang", "times": 1}


async def test_the_first_page_lists_the_routes(page: httpx.AsyncClient) -> None:
    """A person finds every route at the root."""
    answer = await page.get("/")

    assert answer.headers["Content-Type"].startswith("text/plain")
    for method, path, _, meaning in ROUTES:
        assert re.search(
            f"^{method} +{re.escape(path)} +{re.escape(meaning)}$", answer.text, re.MULTILINE
        )


async def test_it_listens_on_loopback_in_clear(page: httpx.AsyncClient) -> None:
    """The page is plain HTTP that no other machine reaches."""
    assert (page.base_url.scheme, page.base_url.host) == ("http", "127.0.0.1")


async def test_it_tells_the_appliances_without_their_passwords(
    page: httpx.AsyncClient, fac: FortiAuthenticator, fvc: FortiVoice
) -> None:
    """Appliances are shown with what a client needs but the secret."""
    assert (await page.get("/appliances")).json() == {
        "appliances": [
            {
                "name": "fac-1",
                "kind": "fortiauthenticator",
                "url": fac.url,
                "username": "webadmin",
            },
            {"name": "fvc-1", "kind": "fortivoice", "url": fvc.url, "username": "admin"},
        ]
    }


async def test_it_shows_the_books_of_one_and_of_all(
    page: httpx.AsyncClient, sms: Sms, fac: FortiAuthenticator, fvc: FortiVoice
) -> None:
    """The books on the page are the books."""
    await sms.activate()

    assert (await page.get("/books/fac-1")).json() == fac.books.as_dict()
    assert (await page.get("/books")).json() == {
        "fac-1": fac.books.as_dict(),
        "fvc-1": fvc.books.as_dict(),
    }


async def test_faults_are_replaced_added_shown_and_cleared(
    page: httpx.AsyncClient, fvc: FortiVoice
) -> None:
    """The rules can be steered from outside, each answer shows them all."""
    both = {"rules": [HANG, HANG], "fired": [0, 0]}

    replaced = await page.put("/faults/fvc-1", json={"rules": [HANG]})
    added = await page.post("/faults/fvc-1", json=HANG)

    assert (replaced.json()["rules"], added.status_code, added.json()) == ([HANG], 201, both)
    assert (await page.get("/faults/fvc-1")).json() == both
    assert fvc.faults.rules[0] == Rule(operation="login", action=Hang(), times=1)
    assert (await page.delete("/faults/fvc-1")).json() == {"rules": [], "fired": []}


async def test_sessions_are_expired(page: httpx.AsyncClient, voice: Voice) -> None:
    """All sessions of one appliance end, their number is told."""
    await voice.login()

    assert (await page.post("/fvc-1/expire-sessions")).json() == {"expired": 1}
    assert (await voice.devices()).status_code == 403


async def test_a_password_is_rotated(page: httpx.AsyncClient, fvc: FortiVoice) -> None:
    """The password is set, and the journal says that it was, not what it is."""
    answer = await page.put("/fvc-1/password", json={"password": "canary"})

    assert (answer.json(), fvc.password) == ({"appliance": "fvc-1"}, "canary")
    assert fvc.books.journal[-1].outcome == "rotated"
    assert "canary" not in str(fvc.books.as_dict())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "/books/fac-9", None, 404, "name"),
        ("GET", "/nowhere", None, 404, "path"),
        ("PATCH", "/books", None, 405, "method"),
        ("PUT", "/fvc-1/password", "{", 400, "body"),
        ("PUT", "/fvc-1/password", "[]", 400, "body"),
        ("PUT", "/fvc-1/password", '{"password": ""}', 400, "password"),
        ("PUT", "/fvc-1/password", '{"password": "two\\nlines"}', 400, "password"),
        ("PUT", "/faults/fvc-1", "{}", 400, "rules"),
        ("PUT", "/faults/fvc-1", '{"rules": [{"action": "x"}]}', 400, "rules.0.action"),
        ("POST", "/faults/fvc-1", '{"action": "hang", "times": 0}', 400, "times"),
        ("POST", "/faults/fvc-1", '{"action": "hang", "operation": "balance"}', 400, "operation"),
        ("PUT", "/fvc-1/certificate", '{"kind": "old"}', 400, "kind"),
        ("PUT", "/fvc-1/certificate", '{"kind": ["valid"]}', 400, "kind"),
        ("POST", "/fac-1/expire-sessions", None, 400, "path"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_fields_name(
    page: httpx.AsyncClient, method: str, path: str, body: str | None, status: int, field: str
) -> None:
    """What is wrong is said as JSON."""
    answer = await page.request(method, path, content=body)

    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
    assert answer.json()["error"]["message"]
