"""What the demonstration sends, as a workflow does: each command once, one licence twice."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.client import Client, Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.messages.wire import Json
    from service.settings import Settings

    Answer = dict[str, Any]

FAC, FVC = "fac-1", "fvc-1"
ANSWER_TIMEOUT = 20.0


@dataclass(frozen=True)
class Step:
    """One message of the demonstration and how it should end."""

    why: str
    draft: Draft
    expected: str


def steps() -> list[Step]:
    """List the messages: each command once, and one licence a second time."""
    run = uuid.uuid4().hex[:8]
    licence = "-".join(uuid.uuid4().hex[:4].upper() for _ in range(5))
    activation: dict[str, Json] = {"appliance": FAC, "license": licence}
    file: dict[str, Json] = {
        "name": "call_center.lic",
        "content": base64.b64encode(b"a licence file, as far as anybody can tell\n").decode(),
    }

    def draft(number: int, name: str, data: dict[str, Json]) -> Draft:
        return Draft(name, data, id=f"demo-{run}-{number}", source="/courier/demo")

    balance: dict[str, Json] = {"appliance": FAC}
    return [
        Step("how many SMS are left?", draft(1, "query-sms-balance", balance), "succeeded"),
        Step(
            "what would this licence do?",
            draft(2, "activate-sms-license", {**activation, "dry_run": True}),
            "succeeded",
        ),
        Step("activate it", draft(3, "activate-sms-license", activation), "succeeded"),
        Step("the same message again", draft(3, "activate-sms-license", activation), "succeeded"),
        Step(
            "apply a voice licence",
            draft(4, "apply-voice-license", {"appliance": FVC, "file": file}),
            "succeeded",
        ),
        Step("which phones are there?", draft(5, "query-devices", {"appliance": FVC}), "succeeded"),
        Step(
            "all of them, in pages",
            draft(6, "query-devices", {"appliance": FVC, "stream": True}),
            "succeeded",
        ),
        Step(
            "what does it say about itself?",
            draft(7, "query-appliance-status", {"appliance": FVC}),
            "succeeded",
        ),
        Step(
            "an appliance that nobody has",
            draft(8, "query-devices", {"appliance": "fvc-nowhere"}),
            "refused",
        ),
    ]


async def send(settings: Settings, messages: Sequence[Step]) -> list[tuple[Step, Answer]]:
    """Send them one after the other, and wait for each answer.

    Raises:
        TimeoutError: an answer did not come within `ANSWER_TIMEOUT`.
    """
    answers = []
    async with Client.opened(settings) as client:
        for step in messages:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                body = await client.send(step.draft, wait=True)
            answers.append((step, json.loads(body or b"{}")))
    return answers
