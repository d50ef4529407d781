from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from service.simulator import FortiAuthenticator, FortiVoice, RotateCookie, Rule

if TYPE_CHECKING:
    import httpx

    from tests.appliances.simulator.driving import Voice


async def test_every_key_and_its_basic_value_is_told(
    page: httpx.AsyncClient, fac: FortiAuthenticator
) -> None:
    """A key that was replaced is a secret all the same."""
    keys = [fac.password, "another key: é"]
    fac.password = keys[1]

    basic = [base64.b64encode(f"webadmin:{key}".encode()).decode() for key in keys]
    assert {"secrets": keys + basic} == (await page.get("/secrets/fac-1")).json()


async def test_everything_that_a_phone_system_gave_out_is_told(
    page: httpx.AsyncClient, voice: Voice, fvc: FortiVoice
) -> None:
    """Passwords, cookies of logins and rotations, tokens and file ids, in order."""
    fvc.faults.add(Rule(operation="token", action=RotateCookie()))
    await voice.login()
    first = voice.cookie
    token = (await voice.token()).json()["token"]
    second = voice.cookie
    file_id = (await voice.upload(token)).json()["id"]
    cookies = [cookie.partition("=")[2] for cookie in (first, second)]

    assert {"secrets": [fvc.password, cookies[0], token, cookies[1], file_id]} == (
        await page.get("/secrets/fvc-1")
    ).json()
