"""What a person found that an `unknown` write did: the data of every settled event."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from service.messages.events import OfACommand
from service.messages.results import member

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# A UUID, whose last group goes on, is none.
_LICENCE = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){4}(?![A-Za-z0-9])")


class Verdict(StrEnum):
    """What a person found that an `unknown` write did. A closed list."""

    APPLIED = "applied"
    NOT_APPLIED = "not-applied"


def _check_remark(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must be printable text on one line")
    if _LICENCE.search(value):
        raise ValueError("holds what looks like a licence; it would be told to everybody")
    return value


Note = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_check_remark)]
"""What a person saw, in their own words."""
Person = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_remark)]
"""How somebody names themselves."""


class Settled(OfACommand):
    """The data of every settled event: what a person found about a command that ended unknown."""

    verdict: Annotated[str, member(Verdict)]
    note: Note
    settled_by: Person


class ActivateSmsLicenseSettled(Settled):
    """`courier.activate-sms-license.settled.v1`."""

    answers = "courier.activate-sms-license.v1"


class ApplyVoiceLicenseSettled(Settled):
    """`courier.apply-voice-license.settled.v1`."""

    answers = "courier.apply-voice-license.v1"
