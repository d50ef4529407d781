"""What must hold against a real appliance as well: nothing here knows the simulator.

    pytest tests/appliances --appliance NAME --inventory appliances.toml

runs these tests alone, on that appliance, and only reads. `--write FILE` also writes what stands
in the file: a licence on a FortiAuthenticator, a licence file on a FortiVoice; the write then is
real. Without options they run on both simulated appliances, writes included.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from service.appliances.fortiauthenticator import FortiAuthenticator
from service.appliances.fortivoice import FortiVoice
from service.appliances.inventory import Inventory
from service.messages.commands import LicenseFile
from tests.appliances.pairs import LICENSE, LIMITS, listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from structlog.typing import EventDict

    from service.appliances.ports import Appliance
    from service.messages.results import Device, DeviceList, SmsBalance
    from tests.appliances.pairs import RecordingSimulator

SAMPLE = 20
"""Phones that are looked at: a real inventory may have thousands."""


@pytest.fixture
async def inventory(
    request: pytest.FixtureRequest, simulator: RecordingSimulator, tmp_path: Path
) -> AsyncIterator[Inventory]:
    given = request.config.getoption("--inventory")
    path = Path(given) if given else simulator.write_files(tmp_path)
    async with AsyncExitStack() as stack:
        loaded = Inventory.load(path, LIMITS)
        stack.push_async_callback(loaded.close)
        yield loaded


@pytest.fixture
def sms(request: pytest.FixtureRequest, inventory: Inventory) -> FortiAuthenticator:
    found = inventory.find(request.config.getoption("--appliance") or "fac-1")
    assert isinstance(found, FortiAuthenticator)
    return found


@pytest.fixture
def voice(request: pytest.FixtureRequest, inventory: Inventory) -> FortiVoice:
    found = inventory.find(request.config.getoption("--appliance") or "fvc-1")
    assert isinstance(found, FortiVoice)
    return found


@pytest.fixture
def written(request: pytest.FixtureRequest) -> bytes:
    """What may be written: the file that was named, or something invented."""
    named = request.config.getoption("--write")
    return Path(named).read_bytes() if named else LICENSE.encode()


def logins(lines: list[EventDict], appliance: Appliance) -> int:
    """Count the logins that the event log tells of."""
    told = [(line["event"], line.get("appliance")) for line in lines]
    return told.count(("session-opened", appliance.name))


async def found(
    voice: FortiVoice,
    limit: int = SAMPLE,
    start: int = 0,
    *,
    search: str | None = None,
    unassigned_only: bool = False,
) -> DeviceList:
    return await listed(
        voice.devices(search=search, unassigned_only=unassigned_only, start=start, limit=limit)
    )


async def test_balances_that_are_read_at_once_share_one_login(
    sms: FortiAuthenticator, lines: list[EventDict]
) -> None:
    """A cold adapter proves its key once, however many ask."""
    read: list[SmsBalance] = await asyncio.gather(*(sms.balance() for _ in range(20)))

    assert len({balance.total_sms for balance in read}) == 1
    assert logins(lines, sms) == 1


async def test_lists_that_are_read_at_once_share_one_login(
    voice: FortiVoice, lines: list[EventDict]
) -> None:
    """A cold adapter logs in once, and the session serves all."""
    await asyncio.gather(*(found(voice, 1) for _ in range(20)))

    assert logins(lines, voice) == 1


async def test_a_session_that_the_appliance_does_not_know_is_renewed(
    voice: FortiVoice, lines: list[EventDict]
) -> None:
    """Its 403 costs one new login, and nobody is told."""
    session = await voice.session.opened()
    name, _, _ = session.token.cookie.partition("=")
    voice.session.replace(session, replace(session.token, cookie=f"{name}=nobody-knows-this"))

    await found(voice, 1)

    assert logins(lines, voice) == 2


async def test_the_login_tells_which_device_it_is(voice: FortiVoice) -> None:
    """The licence's result names it."""
    identity = await voice.identity()

    assert None not in {identity.model, identity.serial, identity.version}


async def test_pages_make_up_the_list(voice: FortiVoice) -> None:
    """Whoever reads in small steps sees the same phones, in order, none twice."""
    whole = await found(voice)
    steps: list[Device] = []
    start = 0
    while len(steps) < len(whole.devices or ()):
        step = await found(voice, 3, start)
        steps += step.devices or ()
        start += 3

    assert whole.devices == tuple(steps[:SAMPLE])
    assert len(steps) == len({device.mac for device in steps})


async def test_a_fragment_finds_the_phones_that_have_it(voice: FortiVoice) -> None:
    """The search is by a part of the MAC address."""
    everyone = (await found(voice)).devices or ()
    fragment = str(everyone[0].mac)[-5:]

    some = await found(voice, search=fragment)

    macs = [str(device.mac) for device in some.devices or ()]
    assert everyone[0].mac in macs
    assert [mac for mac in macs if fragment not in mac] == []


async def test_unassigned_phones_are_found(voice: FortiVoice) -> None:
    """None of them has an extension."""
    some = await found(voice, unassigned_only=True)

    assert {device.assigned for device in some.devices or ()} <= {False, None}


async def test_the_account_may_upload(voice: FortiVoice) -> None:
    """A token is given, and left unused."""
    await voice.authorise()


@pytest.mark.writes
async def test_a_licence_counts_once(sms: FortiAuthenticator, written: bytes) -> None:
    """The first activation may add SMS, the same one again adds none."""
    license_key = SecretStr(written.decode().strip())
    totals = [(await sms.balance()).total_sms]
    for _ in range(2):
        await sms.activate(license_key)
        totals.append((await sms.balance()).total_sms)

    before, first, second = totals
    assert before <= first == second


@pytest.mark.writes
async def test_a_licence_file_is_applied(voice: FortiVoice, written: bytes) -> None:
    """Token, upload and apply in one session."""
    content = base64.b64encode(written).decode()
    file = LicenseFile(name="licence.lic", content=content)  # type: ignore[arg-type]  # as it travels

    await voice.apply(await voice.upload(file))
