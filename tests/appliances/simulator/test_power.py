from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from service.simulator import Simulator
from service.simulator.certificates import CERTIFICATES

if TYPE_CHECKING:
    from service.simulator import FortiAuthenticator
    from tests.appliances.simulator.driving import Sms, Voice

REFUSED = {
    "self-signed": "unable to get local issuer",
    "expired": "certificate has expired",
    "wrong-name": "certificate is not valid for",
}


async def test_an_appliance_is_switched_off_and_on(page: httpx.AsyncClient, voice: Voice) -> None:
    """Off, connections are refused; on again, its port and its sessions are the same."""
    await voice.login()

    for _ in range(2):  # off is off
        assert {"on": False} == (await page.post("/fvc-1/stop")).json()
    with pytest.raises(httpx.TransportError):
        await voice.devices()
    with pytest.raises(httpx.ConnectError):
        await voice.devices()
    for _ in range(2):
        assert {"on": True} == (await page.post("/fvc-1/start")).json()
    assert 200 == (await voice.devices()).status_code


async def test_a_start_whose_port_is_taken_is_told(
    page: httpx.AsyncClient, fac: FortiAuthenticator
) -> None:
    """Somebody else may listen there meanwhile; a later start works."""
    await page.post("/fac-1/stop")
    port = httpx.URL(fac.url).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        answer = await page.post("/fac-1/start")

    assert (409, "port") == (answer.status_code, answer.json()["error"]["field"])
    assert 200 == (await page.post("/fac-1/start")).status_code


def test_every_bad_certificate_is_looked_at() -> None:
    """Only the valid one is not refused."""
    assert {"valid", *REFUSED} == set(CERTIFICATES)


@pytest.mark.parametrize("kind", REFUSED)
async def test_an_appliance_is_served_with_a_bad_certificate_and_with_a_good_one_again(
    page: httpx.AsyncClient, sms: Sms, kind: str
) -> None:
    """Connections end with the change, so that every client sees the new certificate."""
    url = sms.appliance.url
    assert 1000 == await sms.total()

    assert {"certificate": kind} == (
        await page.put("/fac-1/certificate", json={"kind": kind})
    ).json()
    with pytest.raises(httpx.ConnectError, match=REFUSED[kind]):
        await sms.total()
    with pytest.raises(httpx.ConnectError, match=REFUSED[kind]):
        await sms.total()

    await page.put("/fac-1/certificate", json={"kind": "valid"})
    assert 1000 == await sms.total()
    assert url == sms.appliance.url


async def test_an_appliance_that_is_off_stays_off_with_another_certificate(
    fac: FortiAuthenticator, sms: Sms
) -> None:
    """The certificate is the one that it is started with."""
    await fac.stop()
    await fac.certify("expired")
    with pytest.raises(httpx.ConnectError, match="All connection attempts failed"):
        await sms.total()

    await fac.start()
    with pytest.raises(httpx.ConnectError, match=REFUSED["expired"]):
        await sms.total()


async def test_without_tls_there_is_no_certificate(socket_enabled: None) -> None:  # noqa: ARG001  # loopback
    """Plain HTTP stays plain, and the page says why."""
    async with Simulator(tls=False, control_port=0) as simulator:
        assert simulator.control_url is not None
        async with httpx.AsyncClient(base_url=simulator.control_url, trust_env=False) as page:
            answer = await page.put("/fvc-1/certificate", json={"kind": "expired"})

    told = {"field": "kind", "message": "cannot be changed: it speaks plain HTTP"}
    assert (400, told) == (answer.status_code, answer.json()["error"])
