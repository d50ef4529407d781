"""What is going on when the courier dies: every kind of command, and what may go wrong with it."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tests.campaign.checker import Wish
from tests.support.workflow import command, licence

Json = dict[str, Any]

FAC: Final = "fac-1"
FVC: Final = "fvc-1"


@dataclass(frozen=True)
class Scenario:
    """What is sent, what goes wrong, and how it ends when nobody dies.

    Attributes:
        wishes: in order; one that stands twice is sent twice.
        ends: the conclusion, or `rejected`.
        faults: rules of the simulated appliances, by name.
        switches: how they stand, by name.
        asks: ids of the commands that want a reply.
        loses_answer: the answer to a write is lost, whoever dies.
    """

    wishes: tuple[Wish, ...]
    ends: tuple[str, ...] = ("succeeded",)
    faults: tuple[tuple[str, Json], ...] = ()
    switches: tuple[tuple[str, Json], ...] = ()
    asks: tuple[str, ...] = ()
    loses_answer: bool = False


def activation(
    command_id: str,
    key: str = licence(1),
    *,
    on: str = FAC,
    dry_run: bool = False,
    expires: str | None = None,
) -> Wish:
    """Activate an SMS licence."""
    more = {"expirytime": expires} if expires else {}
    data = {"appliance": on, "license": key, "dry_run": dry_run}
    return Wish(command("activate-sms-license", data, id=command_id, **more), key)


def application(
    command_id: str,
    content: bytes = b"a licence for phones",
    *,
    on: str = FVC,
    dry_run: bool = False,
) -> Wish:
    """Apply a voice licence."""
    file = {"name": "call-center.lic", "content": base64.b64encode(content).decode()}
    data = {"appliance": on, "file": file, "dry_run": dry_run}
    document = command("apply-voice-license", data, id=command_id)
    return Wish(document, hashlib.sha256(content).hexdigest())


def balance(command_id: str) -> Wish:
    return Wish(command("query-sms-balance", {"appliance": FAC}, id=command_id))


def devices(command_id: str, *, on: str = FVC) -> Wish:
    return Wish(command("query-devices", {"appliance": on}, id=command_id))


def stream(command_id: str, *, on: str = FVC) -> Wish:
    return Wish(command("query-devices", {"appliance": on, "stream": True}, id=command_id))


def status(command_id: str, *, on: str = FVC) -> Wish:
    return Wish(command("query-appliance-status", {"appliance": on}, id=command_id))


def malformed(command_id: str) -> Wish:
    """A mistyped `dry_run`: it must not activate a licence."""
    data = {"appliance": FAC, "license": licence(1), "dryrun": True}
    document = command("activate-sms-license", data, id=command_id)
    return Wish(document, licence(1), malformed="contract-violation")


_LOST: Final[Json] = {"action": "reset", "when": "after", "times": 1}
"""It is done, and nobody hears of it."""
_BUSY: Final[Json] = {"action": "answer", "status": 503, "times": 1}
_LOGGED_OUT: Final[Json] = {
    "action": "answer",
    "when": "after",
    "headers": {"Set-Cookie": "APSCookie=0&0;"},
    "times": 1,
}
"""The session ends with this answer, so that what follows in it cannot be sent."""

SCENARIOS: Final = {
    "balance": Scenario((balance("balance"),)),
    "devices": Scenario((devices("devices"),)),
    "activate": Scenario((activation("activate"),)),
    "apply": Scenario((application("apply"),)),
    "activate-dry": Scenario((activation("activate-dry", dry_run=True),)),
    "apply-dry": Scenario((application("apply-dry", dry_run=True),)),
    # Read back at once.
    "activate-lost": Scenario(
        (activation("activate-lost"),), faults=((FAC, {"operation": "activate", **_LOST}),)
    ),
    # Read back after a while: the login and the figures before are read, those after are not.
    "activate-unread": Scenario(
        (activation("activate-unread"),),
        faults=(
            (FAC, {"operation": "activate", **_LOST}),
            (FAC, {"operation": "balance", "after": 2, **_BUSY}),
        ),
    ),
    "activate-refused": Scenario(
        (activation("activate-refused", "0000-AAAA-BBBB-CCCC-DDDD"),), ends=("refused",)
    ),
    "activate-used": Scenario(
        (activation("activate-used"),), switches=((FAC, {"licenses": {licence(1): 0}}),)
    ),
    "apply-lost": Scenario(
        (application("apply-lost"),),
        ends=("unknown",),
        faults=((FVC, {"operation": "apply", **_LOST}),),
        loses_answer=True,
    ),
    "apply-withdrawn": Scenario(
        (application("apply-withdrawn"),), faults=((FVC, {"operation": "upload", **_LOGGED_OUT}),)
    ),
    "devices-later": Scenario(
        (devices("devices-later"),), faults=((FVC, {"operation": "devices", **_BUSY}),)
    ),
    "stream": Scenario((stream("stream"),), switches=((FVC, {"devices": 1203}),)),
    "status": Scenario((status("status"),)),
    "malformed": Scenario((malformed("malformed"),), ends=("rejected",), asks=("malformed",)),
    "reply": Scenario((activation("reply"),), asks=("reply",)),
    "expired": Scenario((activation("expired", expires="2020-01-01T00:00:00Z"),), ends=("failed",)),
    "twice": Scenario((activation("twice"), activation("twice"))),
}
"""Every scenario by its name."""
