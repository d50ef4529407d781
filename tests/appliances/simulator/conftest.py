from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from service.simulator import FortiAuthenticator, FortiVoice, Simulator
from tests.appliances.simulator.driving import Sms, Voice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[Simulator]:  # noqa: ARG001  # loopback
    async with Simulator(control_port=0) as running:
        yield running


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    verify = ssl.create_default_context(cadata=simulator.ca_pem.decode())
    async with httpx.AsyncClient(verify=verify, trust_env=False) as client:
        yield client


@pytest.fixture
def page(simulator: Simulator, http: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of the control page."""
    assert simulator.control_url is not None
    http.base_url = httpx.URL(simulator.control_url)
    return http


@pytest.fixture
def fac(simulator: Simulator) -> FortiAuthenticator:
    return simulator.fortiauthenticator()


@pytest.fixture
def fvc(simulator: Simulator) -> FortiVoice:
    return simulator.fortivoice()


@pytest.fixture
def sms(http: httpx.AsyncClient, fac: FortiAuthenticator) -> Sms:
    return Sms(http, fac)


@pytest.fixture
def voice(http: httpx.AsyncClient, fvc: FortiVoice) -> Voice:
    return Voice(http, fvc)
