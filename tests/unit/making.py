"""Commands and deliveries, made in one line; a test names only what it is about."""

import copy
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from pamqp import commands as spec
from pamqp.header import ContentHeader

from service.errors import Code
from service.execution import Received
from service.messages.commands import Command, decode
from service.messages.wire import now

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

LICENSE: Final = "AB12-CD34-EF56-GH78-IJ90"
OTHER_LICENSE: Final = "ZZ99-YY88-XX77-WW66-VV55"
CONTENT: Final = "TGljZW5zZQ=="
SHA256: Final = "c011d6097bfbc8e936280addcf2e3e7d06ea2223ffd596973191b800a7035c32"

DATA: Final[dict[str, dict[str, Any]]] = {
    "activate-sms-license": {"appliance": "fac-1", "license": LICENSE},
    "query-sms-balance": {"appliance": "fac-1"},
    "apply-voice-license": {"appliance": "fvc-1", "file": {"name": "a.lic", "content": CONTENT}},
    "query-devices": {"appliance": "fvc-1"},
}


def message(
    name: str = "activate-sms-license", data: Mapping[str, Any] | None = None, **attributes: object
) -> dict[str, Any]:
    """A command as a producer writes it."""
    return {
        "specversion": "1.0",
        "id": "c-1",
        "source": "/portal",
        "type": f"courier.{name}.v1",
        "data": copy.deepcopy(DATA[name]) | dict(data or {}),
    } | attributes


def encode(whole: object) -> bytes:
    return json.dumps(whole).encode()


def body(
    name: str = "activate-sms-license", data: Mapping[str, Any] | None = None, **attributes: object
) -> bytes:
    return encode(message(name, data, **attributes))


def command(
    name: str = "activate-sms-license", data: Mapping[str, Any] | None = None, **attributes: object
) -> Command:
    return decode(body(name, data, **attributes))


def received(
    wanted: Command | None = None,
    *,
    ago: float = 0,
    received_at: datetime | None = None,
    attempts: int = 0,
    had_intent: bool = False,
    redelivered: bool = False,
    inherited: bool = False,
    last_error: Code | None = None,
    expired: bool = False,
) -> Received:
    """A command as a delivery brings it, first seen some seconds ago."""
    return Received(
        wanted or command(),
        received_at or now() - timedelta(seconds=ago),
        attempts=attempts,
        had_intent=had_intent,
        redelivered=redelivered or inherited,
        inherited=inherited,
        last_error=last_error,
        expired=expired,
    )


def delivery(
    headers: dict[str, Any] | None = None, *, redelivered: bool = False, **properties: object
) -> IncomingMessage:
    """An AMQP message as aio-pika brings it."""
    return IncomingMessage(
        DeliveredMessage(
            delivery=spec.Basic.Deliver("tag", 1, redelivered, "exchange", "key"),
            header=ContentHeader(
                properties=spec.Basic.Properties(
                    headers=headers or {},
                    **properties,  # type: ignore[arg-type]  # whatever a producer sets
                )
            ),
            body=body(),
            channel=cast("AbstractChannel", None),
        )
    )
