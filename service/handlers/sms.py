"""SMS licences: read the balance, activate a licence and tell by the balance what it did.

The appliance answers "success" to a used licence too, and adds nothing (REST API Solution Guide,
"FortiGuard messaging", note). So the total before and after the write decides, not the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.appliances.ports import NotSent
from service.errors import AnswerLost, Code, CommandError, Failed, Refused, Waiting
from service.handlers import Heard, Outcome
from service.messages.results import Balance, Conclusion, Effect, SmsActivation, SmsBalance

if TYPE_CHECKING:
    from service.appliances.ports import SmsLicensing
    from service.handlers import Pages, WriteIntent
    from service.messages.commands import ActivateSmsLicense, QuerySmsBalance


async def query_sms_balance(
    _asked: QuerySmsBalance, appliance: SmsLicensing, _pages: Pages
) -> Outcome[Balance]:
    """Read the balance."""
    balance = await appliance.balance()
    return Outcome(Balance(**dict(balance)))


async def activate_sms_license(
    asked: ActivateSmsLicense, appliance: SmsLicensing, intent: WriteIntent[SmsBalance]
) -> Outcome[SmsActivation]:
    """Activate a licence once, and tell what it added.

    Raises:
        AnswerLost: nothing has changed so far, but the write may still be worked on; call again
            later, the intent is open.
    """
    before = intent.before or await appliance.balance()
    if asked.dry_run:
        return Outcome(_result(asked, Effect.NONE, before))
    just_sent = intent.before is None
    if just_sent:
        await intent.record(before)
        heard = Heard(await _activate(asked, appliance, intent))
    else:
        heard = intent.heard or Heard(
            AnswerLost(Code.UNREACHABLE, "the activation was interrupted")
        )
    # The appliance may still be at it after we stopped waiting: it calls the vendor's servers.
    # Whoever has just lost an answer gives it as long again, however late the request went out.
    least = appliance.settle_time / 2 if just_sent else 0
    try:
        after = await appliance.balance()
        unsettled = max(appliance.settle_time - intent.age, least)
        return _judge(asked, before, after, heard.error, unsettled=unsettled)
    except CommandError:
        if just_sent:
            await intent.keep(heard)
        raise


async def _activate(
    asked: ActivateSmsLicense, appliance: SmsLicensing, intent: WriteIntent[SmsBalance]
) -> CommandError | None:
    """Send the write and keep what came of it: the balance has the last word."""
    try:
        await appliance.activate(asked.license)
    except (NotSent, Waiting):
        await intent.withdraw()
        raise
    except (Refused, Failed, AnswerLost) as error:
        return error
    return None


def _judge(
    asked: ActivateSmsLicense,
    before: SmsBalance,
    after: SmsBalance,
    answer: CommandError | None,
    *,
    unsettled: float,
) -> Outcome[SmsActivation]:
    """Decide by the two totals; used and available move with the traffic and prove nothing."""
    added = after.total_sms - before.total_sms
    if added < 0 or (added > 0 and isinstance(answer, Refused)):
        return Outcome(
            SmsActivation.undetermined(asked, before, after),
            Conclusion.UNKNOWN,
            CommandError(
                Code.OUTCOME_UNKNOWN,
                f"the total went from {before.total_sms} to {after.total_sms}, which does not fit"
                " the appliance's answer; look at its licences",
                status=answer.status if answer else None,
            ),
        )
    if added > 0:
        return Outcome(_result(asked, Effect.ADDED, before, after, added))
    if answer is None:
        return Outcome(_result(asked, Effect.UNCHANGED, before, after))
    if isinstance(answer, AnswerLost) and unsettled > 0:
        raise AnswerLost(answer.code, answer.message, status=answer.status, retry_after=unsettled)
    conclusion = Conclusion.REFUSED if isinstance(answer, Refused) else Conclusion.FAILED
    return Outcome(_result(asked, Effect.NONE, before, after), conclusion, answer)


def _result(
    asked: ActivateSmsLicense,
    effect: Effect,
    before: SmsBalance,
    after: SmsBalance | None = None,
    added: int = 0,
) -> SmsActivation:
    told = {"effect": effect, "added_sms": added, "before": before, "after": after}
    return SmsActivation.of(asked).model_copy(update=told)
