"""A soak: what is sent, what goes wrong meanwhile, and what the appliances' books must say after.

The checks read the events that a workflow heard and the books of the simulated appliances. They
know nothing of the courier.
"""

import base64
import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.campaign.checker import Wish, judge, voice_applies
from tests.support.workflow import Heard, command

Json = dict[str, Any]

SMS = tuple(f"fac-{number}" for number in range(1, 6))
VOICE = tuple(f"fvc-{number}" for number in range(1, 6))

SMS_FAULTS: tuple[Json, ...] = (
    {"operation": "*", "action": "delay", "seconds": 0.2, "probability": 0.01},
    {"operation": "balance", "action": "reset", "probability": 0.01},
    {"operation": "balance", "action": "truncate", "probability": 0.01},
    {"operation": "balance", "action": "answer", "status": 503, "probability": 0.01},
    {"operation": "activate", "action": "reset", "when": "after", "probability": 0.02},
    {"operation": "activate", "action": "reset", "probability": 0.01},
    {"operation": "activate", "action": "truncate", "probability": 0.01},
    {"operation": "activate", "action": "answer", "status": 500, "probability": 0.01},
    {"operation": "activate", "action": "delay", "seconds": 0.8, "probability": 0.005},
)
"""What goes wrong on a FortiAuthenticator; the last one commits when nobody waits any more."""

VOICE_FAULTS: tuple[Json, ...] = (
    {"operation": "devices", "action": "expire-session", "probability": 0.005},
    {"operation": "upload", "action": "expire-session", "probability": 0.01},
    {"operation": "devices", "action": "rotate-cookie", "probability": 0.02},
    {"operation": "devices", "action": "page-cap", "size": 3, "probability": 0.05},
    {"operation": "login", "action": "answer", "status": 503, "probability": 0.05},
    {"operation": "devices", "action": "reset", "probability": 0.01},
    {"operation": "devices", "action": "answer", "body": "<h1>busy</h1>", "probability": 0.01},
    {"operation": "token", "action": "reset", "probability": 0.01},
    {"operation": "upload", "action": "answer", "status": 500, "probability": 0.01},
    {"operation": "apply", "action": "reset", "when": "after", "probability": 0.02},
    {"operation": "apply", "action": "answer", "status": 500, "probability": 0.01},
)
"""What goes wrong on a FortiVoice. Answers to a login are not lost: each would cost one more."""


def wishes(count: int, seed: int) -> list[Wish]:
    """Make commands of every kind, for ten appliances; one in twenty is sent twice."""
    dice = random.Random(seed)  # noqa: S311  # dice, no secret
    made: list[Wish] = []
    for number in range(count):
        if made and dice.random() < 0.05:
            made.append(dice.choice(made[-200:]))
            continue
        made.append(_wish(dice, number))
    return made


def _wish(dice: random.Random, number: int) -> Wish:
    kind = dice.choices(
        ("query-sms-balance", "activate-sms-license", "query-devices", "apply-voice-license"),
        (40, 25, 25, 10),
    )[0]
    on = dice.choice(SMS if "sms" in kind else VOICE)
    data: Json = {"appliance": on}
    key = None
    if kind == "activate-sms-license":
        key = data["license"] = f"SOAK-{number // 10000:04d}-{number % 10000:04d}-ABCD-EFGH"
    elif kind == "apply-voice-license":
        content = f"licence file {number}".encode()
        key = hashlib.sha256(content).hexdigest()
        encoded = base64.b64encode(content).decode()
        data["file"] = {"name": f"soak-{number}.lic", "content": encoded}
    return Wish(command(kind, data, id=f"soak-{number}"), key)


def contradictions(
    sent: Iterable[Wish], heard: Iterable[Heard], books: dict[str, Json]
) -> list[str]:
    """Compare what was told with what was done; return whatever does not fit."""
    lost_for_good = voice_applies("the answer to an apply may be lost")
    return [*judge(sent, heard, books, undecidable=lost_for_good).contradictions]


def logins_unexplained(books: dict[str, Json]) -> int:
    """Count the logins that no expired session explains."""
    ended: Counter[str] = Counter()
    for book in books.values():
        ended.update(book["sessions_ended"])
    return sum(int(book["logins"]) for book in books.values()) - ended["expired"]
