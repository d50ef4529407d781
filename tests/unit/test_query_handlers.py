"""What each query asks of its appliance, and what is told of the answers."""

import pytest

from service.appliances.ports import Reading
from service.errors import Code, Failed
from service.handlers.devices import query_devices
from service.handlers.sms import query_sms_balance
from service.handlers.status import query_appliance_status
from service.messages.commands import QueryApplianceStatus, QueryDevices, QuerySmsBalance
from service.messages.results import Conclusion
from tests.unit.fakes import FakeFac, FakeFvc, FakePages, part
from tests.unit.making import DATA


def status(resources: list[str] | None) -> QueryApplianceStatus:
    named = {"resources": resources} if resources else {}
    return QueryApplianceStatus.model_validate({"appliance": "fvc-1", **named})


async def test_a_balance_is_told_as_it_is_read() -> None:
    """Three figures."""
    asked = QuerySmsBalance(appliance="fac-1")
    outcome = await query_sms_balance(asked, FakeFac(), FakePages())
    told = outcome.body
    assert (100, 10, 90) == (told.total_sms, told.used_sms, told.available_sms)
    assert Conclusion.SUCCEEDED == outcome.conclusion


async def test_phones_are_listed_as_they_were_asked_for() -> None:
    """Every wish reaches the appliance."""
    fvc = FakeFvc()
    asked = QueryDevices.model_validate(
        DATA["query-devices"] | {"search": "aa:", "unassigned_only": True, "start": 7, "limit": 9}
    )
    outcome = await query_devices(asked, fvc, FakePages())
    assert ["devices aa: True 7 9"] == fvc.steps
    assert (7, True) == (outcome.body.start, outcome.body.complete)


async def test_a_list_is_told_as_it_stands_at_its_end() -> None:
    """The parts are put together; count, next and completeness are the last part's."""
    fvc, pages = FakeFvc(), FakePages()
    fvc.parts = [part("aa", "bb", total=9, left=2), part("cc", total=3, complete=True)]
    outcome = await query_devices(QueryDevices(appliance="fvc-1"), fvc, pages)
    told = outcome.body
    assert ["aa", "bb", "cc"] == [device.mac for device in told.devices or ()]
    assert (3, None, True) == (told.total, told.next, told.complete)
    assert ([], ["devices None False 0 500"]) == (pages.told, fvc.steps)


@pytest.mark.parametrize(
    ("named", "asked", "told"),
    [
        (None, ["FabricWidget", "FabricVoipStatus"], [None, None]),
        (["FabricVoipStatus"], ["FabricVoipStatus"], [None]),
        (["fortiguardmessages"], None, ["not-available"]),
        (["fortiguardmessages", "FabricWidget"], ["FabricWidget"], ["not-available", None]),
    ],
)
async def test_the_resources_that_were_named_are_read_or_all(
    named: list[str] | None, asked: list[str] | None, told: list[str | None]
) -> None:
    """What an appliance of this kind does not have is not asked for."""
    fvc = FakeFvc()
    outcome = await query_appliance_status(status(named), fvc, FakePages())
    found = outcome.body.resources or ()
    assert told == [each.error and each.error.code for each in found]
    assert (named or fvc.resources) == [each.name for each in found]
    assert (["login", f"readings {asked}"] if asked else ["login"]) == fvc.steps
    assert (Conclusion.SUCCEEDED, fvc.identified) == (outcome.conclusion, outcome.body.device)


async def test_a_body_is_passed_on_without_its_secrets() -> None:
    """What cannot be passed on is said of that resource, with the status it came with."""
    fvc = FakeFvc()
    fvc.says = {
        "FabricWidget": Reading("FabricWidget", 200, {"a": [1], "token": "canary"}),
        "FabricVoipStatus": Reading("FabricVoipStatus", 200, "x" * 200_000),
    }
    outcome = await query_appliance_status(status(None), fvc, FakePages())
    small, large = outcome.body.resources or ()
    assert ({"a": [1], "token": "***"}, None) == (small.raw, small.error)
    assert large.error is not None
    assert (200, None, "unexpected-answer") == (large.status, large.raw, large.error.code)


async def test_an_appliance_that_can_serve_nothing_now_is_asked_again_later() -> None:
    """A single one that it serves makes an answer of it; one that it does not have makes none."""
    fvc, trouble = FakeFvc(), ("appliance-error", "answered 503")
    fvc.says = {name: Reading(name, 503, error=trouble) for name in fvc.resources}
    with pytest.raises(Failed) as caught:
        await query_appliance_status(status(None), fvc, FakePages())
    assert (Code.APPLIANCE_ERROR, 503) == (caught.value.code, caught.value.status)
    fvc.says["FabricWidget"] = Reading.missing("FabricWidget", 404)
    with pytest.raises(Failed):
        await query_appliance_status(status(None), fvc, FakePages())
    fvc.says["FabricWidget"] = Reading("FabricWidget", 200, {})
    outcome = await query_appliance_status(status(None), fvc, FakePages())
    assert Conclusion.SUCCEEDED == outcome.conclusion


async def test_a_streamed_list_is_told_and_not_kept() -> None:
    """Every part goes out as it comes, and without a limit there is none."""
    fvc, pages = FakeFvc(), FakePages()
    fvc.parts = [part("aa", total=2, left=1), part("bb", total=2, complete=True)]
    outcome = await query_devices(QueryDevices(appliance="fvc-1", stream=True), fvc, pages)
    assert fvc.parts == pages.told
    assert (None, 2, True) == (outcome.body.devices, outcome.body.total, outcome.body.complete)
    assert ["devices None False 0 None"] == fvc.steps


async def test_a_streamed_list_has_no_limit() -> None:
    """Programs that fill in what is the default elsewhere get the whole list as well."""
    fvc = FakeFvc()
    asked = QueryDevices(appliance="fvc-1", stream=True, limit=500, start=7)
    await query_devices(asked, fvc, FakePages())
    assert ["devices None False 7 None"] == fvc.steps
