from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from service.simulator import FortiAuthenticator, FortiVoice
    from tests.appliances.simulator.driving import Sms, Voice


class Doors:
    """Both kinds, asked to let someone in."""

    def __init__(self, kind: str, sms: Sms, voice: Voice) -> None:
        self.sms, self.voice = sms, voice
        self.appliance: FortiAuthenticator | FortiVoice = (
            sms.appliance if kind == "fortiauthenticator" else voice.appliance
        )

    async def admit(self, password: str) -> bool:
        if self.appliance is self.voice.appliance:
            return (await self.voice.login(password=password)).status_code == 200
        auth = httpx.BasicAuth(self.appliance.username, password)
        return (await self.sms.send("GET", auth=auth)).status_code == 200

    async def tried(self, *right: bool) -> list[bool]:
        """Try right and wrong passwords; tell which were let in."""
        return [await self.admit(self.appliance.password if each else "wrong") for each in right]


@pytest.fixture(params=["fortiauthenticator", "fortivoice"])
def doors(request: pytest.FixtureRequest, sms: Sms, voice: Voice) -> Doors:
    return Doors(str(request.param), sms, voice)


async def test_wrong_credentials_lock_nobody_out_by_default(doors: Doors) -> None:
    """The guides know no lock-out."""
    assert [False] * 20 + [True] == await doors.tried(*[False] * 20, True)
    assert 0 == doors.appliance.books.lockouts


async def test_too_many_refusals_in_a_row_lock_out_right_credentials_too(doors: Doors) -> None:
    """Only a row of them counts; after the lock-out's time it begins anew."""
    doors.appliance.lockout_after = 2
    assert [False, True] == await doors.tried(False, True)
    assert [False, False, False, False] == await doors.tried(False, False, True, True)
    assert (1, 5) == (doors.appliance.books.lockouts, doors.appliance.books.refused_logins)
    assert ["began"] == [
        entry.outcome for entry in doors.appliance.books.journal if entry.operation == "lockout"
    ]

    doors.appliance.lockout_seconds = 0
    assert [False, True] == await doors.tried(False, True)
    assert 1 == doors.appliance.books.lockouts


async def test_a_lockout_can_be_taken_back(doors: Doors) -> None:
    """Without the switch there is no lock-out, whatever was before."""
    doors.appliance.lockout_after = 1
    assert [False, False] == await doors.tried(False, True)

    doors.appliance.lockout_after = None
    assert [True] == await doors.tried(True)
