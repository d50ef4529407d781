"""Voice licences: upload the file, then apply it once.

Nothing documented says afterwards which licence is installed (FortiVoice 6.4.0 REST API Reference,
"Uploading license files with Restful API"). So a 200 is told as `accepted`, and an apply whose
answer was lost is `unknown`: nobody can read it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.appliances.ports import NotSent
from service.errors import AnswerLost, Code, CommandError, Failed, Refused, Waiting
from service.handlers import Outcome
from service.messages.results import Conclusion, DeviceIdentity, Effect, VoiceApplication

if TYPE_CHECKING:
    from service.appliances.ports import VoiceLicensing
    from service.handlers import WriteIntent
    from service.messages.commands import ApplyVoiceLicense


async def apply_voice_license(
    asked: ApplyVoiceLicense, appliance: VoiceLicensing, intent: WriteIntent[DeviceIdentity]
) -> Outcome[VoiceApplication]:
    """Upload and apply a licence file. The apply is sent once for one command, never again.

    Raises:
        AnswerLost: another process may still send it; call again later.
    """
    if intent.before is not None:
        wait = appliance.send_window - intent.age if intent.may_be_sent else 0
        if wait > 0:
            raise AnswerLost(Code.UNREACHABLE, "the apply was interrupted", retry_after=wait)
        return _unknown(asked, intent.before, "the apply was interrupted")
    device = await appliance.identity()
    if asked.dry_run:
        await appliance.authorise()
        return Outcome(_result(asked, Effect.NONE, device))
    upload = await appliance.upload(asked.file)
    await intent.record(device)
    try:
        await appliance.apply(upload)
    except (NotSent, Waiting):
        await intent.withdraw()
        raise
    except Refused as error:
        return Outcome(_result(asked, Effect.NONE, device), Conclusion.REFUSED, error)
    except (AnswerLost, Failed) as error:
        return _unknown(asked, device, error.message, error.status)
    return Outcome(_result(asked, Effect.ACCEPTED, device))


def _unknown(
    asked: ApplyVoiceLicense, device: DeviceIdentity, reason: str, status: int | None = None
) -> Outcome[VoiceApplication]:
    return Outcome(
        VoiceApplication.undetermined(asked, device),
        Conclusion.UNKNOWN,
        CommandError(
            Code.OUTCOME_UNKNOWN,
            f"{reason}; look at the licence information of {asked.appliance}",
            status=status,
        ),
    )


def _result(asked: ApplyVoiceLicense, effect: Effect, device: DeviceIdentity) -> VoiceApplication:
    return VoiceApplication.of(asked).model_copy(update={"effect": effect, "device": device})
