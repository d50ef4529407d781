"""What each command does to its appliance, and what is told of it."""

from typing import Final

import pytest

from service.appliances.ports import NotSent
from service.errors import AnswerLost, Code, CommandError, Failed, Refused, Waiting
from service.handlers import Heard
from service.handlers.sms import activate_sms_license
from service.handlers.voice import apply_voice_license
from service.messages.commands import (
    ActivateSmsLicense,
    ApplyVoiceLicense,
)
from service.messages.results import Conclusion, DeviceIdentity, Effect, SmsBalance
from tests.unit.fakes import FakeFac, FakeFvc, FakeIntent
from tests.unit.making import LICENSE, SHA256, command

ADDED: Final = (Conclusion.SUCCEEDED, Effect.ADDED, 50, None)
UNCHANGED: Final = (Conclusion.SUCCEEDED, Effect.UNCHANGED, 0, None)
UNKNOWN: Final = (Conclusion.UNKNOWN, Effect.UNDETERMINED, None, Code.OUTCOME_UNKNOWN)
LICENSE_REFUSED: Final = Refused(Code.LICENSE_REFUSED, "no", status=400)
DENIED: Final = Refused(Code.PERMISSION_DENIED, "no", status=403)
BROKEN: Final = Failed(Code.APPLIANCE_ERROR, "500", status=500)
UNREADABLE: Final = Failed(Code.UNEXPECTED_ANSWER, "what?", status=404)
LOST: Final = AnswerLost(Code.UNREACHABLE, "no answer")
GATEWAY: Final = AnswerLost(Code.APPLIANCE_ERROR, "504", status=504)
BUSY: Final = Waiting(Code.BUSY, "busy")
OLD_IDENTITY: Final = DeviceIdentity(model="old", serial="old", version="old")


def nothing(conclusion: Conclusion, code: Code) -> tuple[Conclusion, Effect, int, Code]:
    return conclusion, Effect.NONE, 0, code


def activation(**data: object) -> ActivateSmsLicense:
    asked = command(data=data).data
    assert isinstance(asked, ActivateSmsLicense)
    return asked


def application(**data: object) -> ApplyVoiceLicense:
    asked = command("apply-voice-license", data).data
    assert isinstance(asked, ApplyVoiceLicense)
    return asked


def balance(total: int) -> SmsBalance:
    return SmsBalance(total_sms=total, used_sms=10, available_sms=total - 10)


@pytest.mark.parametrize(
    ("answer", "worth", "settle_time", "expected"),
    [
        (None, 50, 30, ADDED),
        (None, 0, 30, UNCHANGED),
        (None, -1, 30, UNKNOWN),
        (LICENSE_REFUSED, 0, 30, nothing(Conclusion.REFUSED, Code.LICENSE_REFUSED)),
        (LICENSE_REFUSED, 50, 30, UNKNOWN),
        (LICENSE_REFUSED, -1, 30, UNKNOWN),
        (DENIED, 0, 30, nothing(Conclusion.REFUSED, Code.PERMISSION_DENIED)),
        (DENIED, 50, 30, UNKNOWN),
        (BROKEN, 50, 30, ADDED),
        (BROKEN, 0, 30, nothing(Conclusion.FAILED, Code.APPLIANCE_ERROR)),
        (BROKEN, -1, 30, UNKNOWN),
        (UNREADABLE, 0, 30, nothing(Conclusion.FAILED, Code.UNEXPECTED_ANSWER)),
        (LOST, 50, 30, ADDED),
        (LOST, 0, 0, nothing(Conclusion.FAILED, Code.UNREACHABLE)),
        (LOST, -1, 30, UNKNOWN),
        (GATEWAY, 50, 30, ADDED),
        (GATEWAY, 0, 0, nothing(Conclusion.FAILED, Code.APPLIANCE_ERROR)),
    ],
)
async def test_the_total_decides_what_an_activation_did(
    answer: CommandError | None,
    worth: int,
    settle_time: float,
    expected: tuple[Conclusion, Effect, int | None, Code | None],
) -> None:
    """The appliance says "success" to a used licence too: figures are believed, not answers."""
    fac, intent = FakeFac(worth=worth), FakeIntent[SmsBalance]()
    fac.answer, fac.settle_time = answer, settle_time
    outcome = await activate_sms_license(activation(), fac, intent)
    told = outcome.body
    assert expected == (
        *(outcome.conclusion, told.effect, told.added_sms),
        outcome.why.code if outcome.why else None,
    )
    assert (balance(100), balance(100 + worth)) == (told.before, told.after)
    assert "****-****-****-****-IJ90" == told.license
    assert [LICENSE] == fac.posts
    assert ["recorded"] == intent.history


@pytest.mark.parametrize("answer", [LICENSE_REFUSED, BROKEN, GATEWAY])
async def test_the_appliances_status_is_told(answer: CommandError) -> None:
    """Whatever the conclusion, the HTTP status of the write stands in the error."""
    fac = FakeFac(worth=-1)
    fac.answer = answer
    outcome = await activate_sms_license(activation(), fac, FakeIntent())
    assert outcome.why is not None
    assert answer.status == outcome.why.status


async def test_an_activation_that_may_still_be_at_work_is_waited_for() -> None:
    """A lost answer and an unchanged total prove nothing until the appliance has settled."""
    fac, intent = FakeFac(worth=0), FakeIntent[SmsBalance](age=10)
    fac.answer = LOST
    with pytest.raises(AnswerLost) as caught:
        await activate_sms_license(activation(), fac, intent)
    assert (Code.UNREACHABLE, 20) == (caught.value.code, caught.value.retry_after)
    assert ["recorded", "kept"] == intent.history


async def test_an_answer_that_was_just_lost_is_never_settled_at_once() -> None:
    """A request that went out late, or trickled on for long, has its time from the loss on."""
    fac, late = FakeFac(worth=0), FakeIntent[SmsBalance](age=3600)
    fac.answer = LOST
    with pytest.raises(AnswerLost) as caught:
        await activate_sms_license(activation(), fac, late)
    assert fac.settle_time / 2 == caught.value.retry_after


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (50, ADDED),
        (0, nothing(Conclusion.FAILED, Code.UNREACHABLE)),
        (-1, UNKNOWN),
    ],
)
async def test_an_interrupted_activation_is_read_back(
    added: int, expected: tuple[Conclusion, Effect, int | None, Code | None]
) -> None:
    """It is judged by what was read before it, and never sent again."""
    fac, intent = FakeFac(total=100 + added), FakeIntent(before=balance(100), age=31)
    outcome = await activate_sms_license(activation(), fac, intent)
    assert expected == (
        *(outcome.conclusion, outcome.body.effect, outcome.body.added_sms),
        outcome.why.code if outcome.why else None,
    )
    assert balance(100) == outcome.body.before
    assert [] == fac.posts
    assert 1 == fac.reads


async def test_an_interrupted_activation_is_given_its_time() -> None:
    """Shortly after a crash an unchanged total means nothing yet."""
    fac = FakeFac(total=100)
    with pytest.raises(AnswerLost) as caught:
        await activate_sms_license(activation(), fac, FakeIntent(before=balance(100), age=29))
    assert 1 == caught.value.retry_after


@pytest.mark.parametrize("why", [NotSent("refused connection"), BUSY])
async def test_a_write_that_was_not_sent_withdraws_its_intent(why: CommandError) -> None:
    """Nothing left, so nothing is open; the command may come back and be new."""
    fac, intent = FakeFac(worth=0), FakeIntent[SmsBalance]()
    fac.answer = why
    with pytest.raises(type(why)):
        await activate_sms_license(activation(), fac, intent)
    assert ["recorded", "withdrawn"] == intent.history


async def test_nothing_is_sent_without_the_figures_before() -> None:
    """Whoever cannot read the balance does not touch it."""
    fac, intent = FakeFac(), FakeIntent[SmsBalance]()
    fac.errors = [BROKEN]
    with pytest.raises(Failed, match="500"):
        await activate_sms_license(activation(), fac, intent)
    assert ([], []) == (fac.posts, intent.history)


async def test_nothing_is_sent_without_a_durable_intent() -> None:
    """While another write is not settled, this one waits."""
    fac, intent = FakeFac(), FakeIntent[SmsBalance](refusal=BUSY)
    with pytest.raises(Waiting):
        await activate_sms_license(activation(), fac, intent)
    assert [] == fac.posts


async def test_without_the_figures_after_the_intent_stays_open() -> None:
    """A write that cannot be read back is not judged: it is asked about later."""
    fac, intent = FakeFac(), FakeIntent[SmsBalance]()
    fac.errors_after_write = [BROKEN]
    with pytest.raises(Failed, match="500"):
        await activate_sms_license(activation(), fac, intent)
    assert ["recorded", "kept"] == intent.history
    assert [LICENSE] == fac.posts


@pytest.mark.parametrize("answer", [None, LICENSE_REFUSED, DENIED, BROKEN, LOST, GATEWAY])
@pytest.mark.parametrize("unreadable", [BROKEN, DENIED, BUSY])
async def test_what_was_said_to_a_write_is_kept_when_it_cannot_be_read_back(
    answer: CommandError | None, unreadable: CommandError
) -> None:
    """The answer was heard once; who reads back later has nothing else to judge by."""
    fac, intent = FakeFac(), FakeIntent[SmsBalance]()
    fac.answer, fac.errors_after_write = answer, [unreadable]
    with pytest.raises(type(unreadable)) as caught:
        await activate_sms_license(activation(), fac, intent)
    assert unreadable is caught.value
    assert Heard(answer) == intent.heard


@pytest.mark.parametrize(
    ("answer", "worth", "expected"),
    [
        (None, 50, ADDED),
        (None, 0, UNCHANGED),
        (None, -1, UNKNOWN),
        (LICENSE_REFUSED, 0, nothing(Conclusion.REFUSED, Code.LICENSE_REFUSED)),
        (LICENSE_REFUSED, 50, UNKNOWN),
        (DENIED, 0, nothing(Conclusion.REFUSED, Code.PERMISSION_DENIED)),
        (BROKEN, 50, ADDED),
        (BROKEN, 0, nothing(Conclusion.FAILED, Code.APPLIANCE_ERROR)),
        (UNREADABLE, 0, nothing(Conclusion.FAILED, Code.UNEXPECTED_ANSWER)),
    ],
)
async def test_a_write_that_was_answered_needs_no_time_to_settle(
    answer: CommandError | None,
    worth: int,
    expected: tuple[Conclusion, Effect, int | None, Code | None],
) -> None:
    """Read back later it ends as the answer says, with its status, and is never sent again."""
    fac = FakeFac(total=100 + worth)
    intent = FakeIntent(before=balance(100), heard=Heard(answer), age=0)
    outcome = await activate_sms_license(activation(), fac, intent)
    told, why = outcome.body, outcome.why
    assert expected == (outcome.conclusion, told.effect, told.added_sms, why and why.code)
    assert (balance(100), balance(100 + worth)) == (told.before, told.after)
    assert why is None or (answer and answer.status) == why.status
    assert ([], []) == (fac.posts, intent.history)


@pytest.mark.parametrize("lost", [LOST, GATEWAY])
async def test_a_lost_answer_that_is_remembered_is_given_its_time(lost: CommandError) -> None:
    """That an answer was lost tells nothing of the write: the total decides, in time."""
    fac, heard = FakeFac(total=100), Heard(lost)
    with pytest.raises(AnswerLost) as caught:
        await activate_sms_license(
            activation(), fac, FakeIntent(before=balance(100), heard=heard, age=29)
        )
    assert (lost.code, lost.status, 1) == (
        *(caught.value.code, caught.value.status, caught.value.retry_after),
    )
    outcome = await activate_sms_license(
        activation(), fac, FakeIntent(before=balance(100), heard=heard, age=31)
    )
    assert (Conclusion.FAILED, lost) == (outcome.conclusion, outcome.why)
    assert [] == fac.posts


async def test_only_who_has_sent_the_write_knows_what_was_said() -> None:
    """A later reading back that fails leaves what was heard, or that nobody knows, as it is."""
    fac = FakeFac()
    for heard in (None, Heard(LICENSE_REFUSED)):
        fac.errors = [BROKEN]
        intent = FakeIntent(before=balance(100), heard=heard, age=31)
        with pytest.raises(Failed, match="500"):
            await activate_sms_license(activation(), fac, intent)
        assert (heard, []) == (intent.heard, intent.history)


async def test_a_dry_run_reads_and_changes_nothing() -> None:
    """It tells the balance, records no intent and sends no licence."""
    fac, intent = FakeFac(), FakeIntent[SmsBalance]()
    outcome = await activate_sms_license(activation(dry_run=True), fac, intent)
    told = outcome.body
    assert (Conclusion.SUCCEEDED, None) == (outcome.conclusion, outcome.why)
    assert (True, Effect.NONE, 0) == (told.dry_run, told.effect, told.added_sms)
    assert (balance(100), None) == (told.before, told.after)
    assert ([], []) == (fac.posts, intent.history)


@pytest.mark.parametrize(
    ("answer", "conclusion", "effect", "code"),
    [
        (None, Conclusion.SUCCEEDED, Effect.ACCEPTED, None),
        (LICENSE_REFUSED, Conclusion.REFUSED, Effect.NONE, Code.LICENSE_REFUSED),
        (LOST, *UNKNOWN[:2], Code.OUTCOME_UNKNOWN),
        (
            AnswerLost(Code.UNEXPECTED_ANSWER, "403", status=403),
            *(Conclusion.UNKNOWN, Effect.UNDETERMINED, Code.OUTCOME_UNKNOWN),
        ),
        (BROKEN, *UNKNOWN[:2], Code.OUTCOME_UNKNOWN),
    ],
)
async def test_an_apply_is_told_by_its_answer(
    answer: CommandError | None, conclusion: Conclusion, effect: Effect, code: Code | None
) -> None:
    """Nobody can read back which licence is installed: only a clear answer is believed."""
    fvc, intent = FakeFvc(), FakeIntent[DeviceIdentity]()
    fvc.answer = answer
    outcome = await apply_voice_license(application(), fvc, intent)
    why = outcome.why
    assert (conclusion, effect) == (outcome.conclusion, outcome.body.effect)
    assert (code, answer and answer.status) == (why and why.code, why and why.status)
    assert fvc.identified == outcome.body.device
    assert ("a.lic", 7, SHA256) == tuple(outcome.body.file.model_dump().values())
    assert ["identity", "upload", "apply"] == fvc.steps
    assert ["recorded"] == intent.history


async def test_the_file_that_was_uploaded_is_applied() -> None:
    """Once, under the name that the appliance gave to it."""
    fvc = FakeFvc()
    await apply_voice_license(application(), fvc, FakeIntent())
    assert ["file-1"] == fvc.applied
    assert b"License" == fvc.uploads["file-1"].content.get_secret_value()


async def test_an_interrupted_apply_is_unknown_and_never_repeated() -> None:
    """It asks the appliance nothing: no answer could tell."""
    fvc = FakeFvc()
    outcome = await apply_voice_license(application(), fvc, FakeIntent(before=OLD_IDENTITY))
    assert UNKNOWN[:2] == (outcome.conclusion, outcome.body.effect)
    assert OLD_IDENTITY == outcome.body.device
    assert [] == fvc.steps


@pytest.mark.parametrize("why", [NotSent("refused connection"), BUSY])
async def test_an_apply_that_was_not_sent_withdraws_its_intent(why: CommandError) -> None:
    """It may come back, with a new upload."""
    fvc, intent = FakeFvc(), FakeIntent[DeviceIdentity]()
    fvc.answer = why
    with pytest.raises(type(why)):
        await apply_voice_license(application(), fvc, intent)
    assert ["recorded", "withdrawn"] == intent.history


@pytest.mark.parametrize("errors", [[BROKEN], [None, BROKEN]], ids=["login", "upload"])
async def test_before_the_apply_nothing_is_open(errors: list[Exception | None]) -> None:
    """Login and upload change no licence: what fails there may simply be tried again."""
    fvc, intent = FakeFvc(), FakeIntent[DeviceIdentity]()
    fvc.errors = errors
    with pytest.raises(Failed, match="500"):
        await apply_voice_license(application(), fvc, intent)
    assert [] == intent.history
    assert "apply" not in fvc.steps


async def test_nothing_is_applied_without_a_durable_intent() -> None:
    """While another write is not settled, the upload stays unused."""
    fvc, intent = FakeFvc(), FakeIntent[DeviceIdentity](refusal=BUSY)
    with pytest.raises(Waiting):
        await apply_voice_license(application(), fvc, intent)
    assert [] == fvc.applied


@pytest.mark.parametrize(("age", "wait"), [(0.0, 30.0), (29.0, 1.0)])
async def test_an_interrupted_apply_is_unknown_only_when_nobody_can_send_it_any_more(
    age: float, wait: float
) -> None:
    """Another replica that lost its lock unseen sends within `read_timeout` of its intent."""
    fvc = FakeFvc()
    intent = FakeIntent(before=fvc.identified, age=age, may_be_sent=True)
    with pytest.raises(AnswerLost) as lost:
        await apply_voice_license(application(), fvc, intent)
    assert wait == lost.value.retry_after
    intent.age = 30.0
    outcome = await apply_voice_license(application(), fvc, intent)
    assert Conclusion.UNKNOWN == outcome.conclusion
    assert [] == fvc.applied


async def test_a_dry_run_stops_before_the_upload() -> None:
    """It logs in, asks for the right to upload and leaves it unused."""
    fvc, intent = FakeFvc(), FakeIntent[DeviceIdentity]()
    outcome = await apply_voice_license(application(dry_run=True), fvc, intent)
    assert (Conclusion.SUCCEEDED, Effect.NONE) == (outcome.conclusion, outcome.body.effect)
    assert (True, fvc.identified) == (outcome.body.dry_run, outcome.body.device)
    assert ["identity", "authorise"] == fvc.steps
    assert [] == intent.history
