"""What an appliance says about itself: read without a login too many, and passed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from service.appliances import fortiauthenticator
from service.appliances.answers import Answer as HttpAnswer
from service.appliances.answers import Operation
from service.appliances.fabric import RESOURCES
from service.appliances.readings import of_answer
from service.errors import Code, Failed, Refused
from service.simulator import Answer, ExpireSession, Reset

CONTRACTS = Path(__file__).parents[2] / "contracts/commands"

if TYPE_CHECKING:
    from service.appliances.ports import Reading
    from tests.appliances.pairs import Sms, Voice

OPERATION = Operation("fabric", "GET", "/api/v1/FabricWidget")
WIDGET, USAGE, SYSINFO = "FabricWidget", "FabricSysStatusUsage", "FabricSysStatusSysinfo"


def codes(readings: list[Reading]) -> list[str | None]:
    return [reading.error[0] if reading.error else None for reading in readings]


def test_the_contract_names_what_there_is() -> None:
    """Seven of a FortiVoice, one of a FortiAuthenticator."""
    schema = json.loads((CONTRACTS / "query-appliance-status/v1.schema.json").read_text("utf-8"))
    named = schema["$defs"]["data"]["properties"]["resources"]["items"]["enum"]
    assert [*RESOURCES, fortiauthenticator.RESOURCE] == named


async def test_all_resources_of_the_guide_are_read_in_one_session(voice: Voice) -> None:
    """Each is one GET at the name's own path."""
    readings = await voice.adapter.readings(RESOURCES)

    assert [(name, 200, None) for name in RESOURCES] == [
        (each.name, each.status, each.error) for each in readings
    ]
    paths = [call.path for name, call in voice.simulated.calls if name == "fabric"]
    assert [f"/api/v1/{name}" for name in RESOURCES] == paths
    assert voice.simulated.books.logins == 1


async def test_a_resource_that_the_firmware_does_not_have_harms_no_other(voice: Voice) -> None:
    """Its 404 is its own."""
    voice.simulated.fabric_missing = [WIDGET]

    readings = await voice.adapter.readings([WIDGET, USAGE])

    assert ["not-available", None] == codes(readings)
    assert [404, 200] == [each.status for each in readings]


@pytest.mark.parametrize("denied", [[WIDGET], [USAGE], [WIDGET, SYSINFO]])
async def test_a_denied_resource_costs_no_login_where_another_is_served(
    voice: Voice, denied: list[str]
) -> None:
    """The session is shown to be alive by what it serves."""
    voice.simulated.fabric_denied = denied

    readings = await voice.adapter.readings([WIDGET, USAGE, SYSINFO])

    expected = ["permission-denied" if n in denied else None for n in (WIDGET, USAGE, SYSINFO)]
    assert expected == codes(readings)
    assert voice.simulated.books.logins == 1


async def test_a_denied_resource_is_remembered_whatever_else_is_served(voice: Voice) -> None:
    """Asking for it alone costs one login, not one each time."""
    voice.simulated.fabric_denied = [WIDGET]

    for _ in range(5):
        with pytest.raises(Refused):
            await voice.adapter.readings([WIDGET])
        assert [None] == codes(await voice.adapter.readings([USAGE]))

    assert voice.simulated.books.logins == 2


@pytest.mark.parametrize("status", [404, 405, 500, 503])
async def test_who_has_not_looked_at_the_session_proves_nothing_of_it(
    voice: Voice, status: int
) -> None:
    """A resource that is not there may be said so to strangers as well."""
    await voice.adapter.readings([WIDGET])
    voice.simulated.expire_sessions()
    voice.fault(Answer(status=status), "fabric", times=1)

    readings = await voice.adapter.readings([WIDGET, USAGE, SYSINFO])

    assert [None, None] == codes(readings)[1:]
    assert voice.simulated.books.logins == 2


async def test_what_was_read_is_not_lost_to_a_second_look(voice: Voice) -> None:
    """The look that shows whether the session lives may go wrong."""
    voice.simulated.fabric_denied = [WIDGET]
    voice.fault(Answer(status=503), "fabric", times=1, after=2)

    readings = await voice.adapter.readings([WIDGET, USAGE])

    assert ["permission-denied", None] == codes(readings)


def test_a_number_that_is_no_status_is_none() -> None:
    """Appliances have been seen to answer with some."""
    answer: CIMultiDict[str] = CIMultiDict()
    strange = of_answer(WIDGET, HttpAnswer(OPERATION, 999, answer, b"{}"))

    assert (None, "unexpected-answer") == (strange.status, (strange.error or ("",))[0])


async def test_what_is_missing_does_not_stand_for_what_is_served(voice: Voice) -> None:
    """The one that shows that the session lives is one that was served."""
    voice.simulated.fabric_denied = [WIDGET]
    voice.simulated.fabric_missing = [SYSINFO]

    readings = await voice.adapter.readings([WIDGET, USAGE, SYSINFO])

    assert ["permission-denied", None, "not-available"] == codes(readings)
    assert voice.simulated.books.logins == 1


async def test_a_large_body_is_not_even_looked_into(voice: Voice) -> None:
    """However little it says."""
    voice.fault(Answer(status=200, body=" " * 2**19 + "{}"), "fabric")

    assert ["unexpected-answer"] == codes(await voice.adapter.readings([WIDGET]))


async def test_who_may_read_none_of_them_is_told_so_after_one_more_login(voice: Voice) -> None:
    """No answer says whether a session is over, so a login finds out; only the first time."""
    voice.simulated.fabric_denied = list(RESOURCES)

    for _ in range(3):
        with pytest.raises(Refused) as caught:
            await voice.adapter.readings(RESOURCES)
        assert caught.value.code == Code.PERMISSION_DENIED

    assert voice.simulated.books.logins == 2


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_session_that_ends_on_the_way_is_renewed_once(voice: Voice, after: int) -> None:
    """What was read stays read, and the others are asked for in the new session."""
    voice.fault(ExpireSession(), "fabric", times=1, after=after)

    readings = await voice.adapter.readings([WIDGET, USAGE, SYSINFO])

    assert [None] * 3 == codes(readings)
    assert voice.simulated.books.logins == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=500), "appliance-error"),
        (Answer(status=429), "appliance-error"),
        (Answer(status=405), "not-available"),
        (Answer(status=302), "unexpected-answer"),
        (Answer(status=200, body="<h1>Hello</h1>"), "unexpected-answer"),
        (Answer(status=200, body=""), "unexpected-answer"),
        (Answer(status=200, body="x" * 1024, repeat=17 * 1024), "unexpected-answer"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_passed_on_is_said_of_that_resource(
    voice: Voice, answer: Answer, code: str
) -> None:
    """The others are there all the same."""
    voice.fault(answer, "fabric", times=1)

    readings = await voice.adapter.readings([WIDGET, USAGE])

    assert [code, None] == codes(readings)
    assert readings[0].raw is None


async def test_json_with_the_vendors_lone_backslash_is_read(voice: Voice) -> None:
    r"""As in the list of phones: `550i\560i`."""
    voice.fault(Answer(status=200, body=r'{"type": "550i\560i"}'), "fabric")

    (reading,) = await voice.adapter.readings([WIDGET])

    assert {"type": r"550i\560i"} == reading.raw


async def test_an_appliance_that_does_not_answer_is_tried_again_later(voice: Voice) -> None:
    """Nothing is told of the others."""
    voice.fault(Reset(), "fabric", after=1)

    with pytest.raises(Failed) as caught:
        await voice.adapter.readings([WIDGET, USAGE])
    assert caught.value.code == Code.UNREACHABLE


async def test_a_fortiauthenticator_passes_on_its_balance(sms: Sms) -> None:
    """The answer as it is, numbers as strings included."""
    sms.simulated.numbers_as_strings = True

    (reading,) = await sms.adapter.readings(["fortiguardmessages"])

    figures = {"available_sms": "960", "total_sms": "1000", "used_sms": "40"}
    assert (200, figures) == (reading.status, reading.raw)


async def test_a_fortiauthenticator_that_denies_it_says_so(sms: Sms) -> None:
    """It has one resource only: there is nothing else to tell."""
    sms.fault(Answer(status=403))

    with pytest.raises(Refused) as caught:
        await sms.adapter.readings(["fortiguardmessages"])
    assert caught.value.code == Code.PERMISSION_DENIED
