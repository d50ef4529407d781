"""FortiAuthenticator's FortiGuard messaging: the balance of SMS and the licences that add to it.

Follows the FortiAuthenticator REST API Solution Guide, "FortiGuard messaging
(/fortiguardmessages/)". Where it is silent, the assumption stands at its place and names
appliances.md; the switches of ``FortiAuthenticator`` change it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from service.simulator import samples
from service.simulator.checks import TRUTH, Check, one_of, whole
from service.simulator.server import SimulatedAppliance
from service.simulator.switches import Switch
from service.simulator.wire import Call, Reply

if TYPE_CHECKING:
    from service.simulator.faults import Plan

PATH: Final = "/api/v1/fortiguardmessages/"
_METHODS: Final = {"GET": "balance", "POST": "activate"}
"""The operation by method: the guide's "Allowed methods"."""

_LICENCE: Final = re.compile(r"[A-Za-z0-9]{4}(-[A-Za-z0-9]{4}){4}")


def _is_amounts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(licence, str) and _LICENCE.fullmatch(licence) and whole(0).passes(amount)
        for licence, amount in value.items()
    )


class FortiAuthenticator(SimulatedAppliance):
    """A FortiAuthenticator; its attributes are switches.

    Attributes:
        total_sms: All SMS that its licences brought.
        used_sms: Those that are used.
        amount: SMS that a licence adds which ``licenses`` does not name.
        licenses: SMS that a licence adds, by licence.
        success_status: Status of a successful activation (200, 201, 202 or 204).
        success_body: Whether it has the body that the sibling resource's has.
        numbers_as_strings: Whether the balance says ``"1000"`` instead of ``1000``.
    """

    kind: ClassVar[str] = "fortiauthenticator"
    operations: ClassVar[frozenset[str]] = frozenset(_METHODS.values())

    total_sms = Switch(1000, whole(0))
    used_sms = Switch(40, whole(0))
    amount = Switch(100, whole(0))
    licenses = Switch[Mapping[str, int]](
        {}, Check(_is_amounts, "must be an object: a licence and its whole number from 0 on")
    )
    # appliances.md: body and status of the POST are not documented; these can be had.
    success_status = Switch(201, one_of(200, 201, 202, 204))
    success_body = Switch(False, TRUTH)
    numbers_as_strings = Switch(False, TRUTH)

    def __init__(self, name: str, password: str, *, latency: float = 0.0) -> None:
        super().__init__(name, "webadmin", password, latency=latency)

    @property
    def secrets(self) -> list[str]:
        """Every access key that it ever had, as it is and as HTTP Basic sends it."""
        keys = super().secrets
        return keys + [self._basic(key) for key in keys]

    def operation(self, call: Call) -> str:
        """Name the operation by the one path and its methods."""
        return _METHODS.get(call.method, "other") if call.path == PATH else "other"

    def handle(self, operation: str, call: Call, plan: Plan) -> Reply:  # noqa: ARG002  # no pages
        """Answer as the guide says.

        Django's routing comes before the login (appliances.md: "without it a Django server
        redirects"), so paths are answered 301 and 404 whoever asks.
        """
        if call.path == PATH.rstrip("/"):
            query = f"?{call.query}" if call.query else ""
            return Reply(301, headers=(("Location", PATH + query),))
        if call.path != PATH:
            return Reply(404, samples.NOT_FOUND_PAGE, "text/html; charset=utf-8")
        if not self.admits(right=self._knows(call)):
            return Reply(401, headers=(("WWW-Authenticate", 'Basic realm="API"'),))
        if operation == "balance":
            return self._balance()
        if operation == "activate":
            return self._activate(call)
        return Reply(405, headers=(("Allow", "GET,POST"),))

    def arrived(self, operation: str, call: Call) -> None:
        """Record the request, and an activation by its licence."""
        super().arrived(operation, call)
        licence = call.object().get("license") if operation == "activate" else None
        if isinstance(licence, str):
            self.books.posts[licence] += 1

    def _knows(self, call: Call) -> bool:
        """Check HTTP Basic: the user and the web-service access key (appliances.md)."""
        scheme, _, given = call.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "basic" and given == self._basic(self.password)

    def _basic(self, key: str) -> str:
        return base64.b64encode(f"{self.username}:{key}".encode()).decode()

    def _balance(self) -> Reply:
        """Answer GET ("Get fortiguardmessages stats")."""
        numbers = {
            "available_sms": self.total_sms - self.used_sms,
            "total_sms": self.total_sms,
            "used_sms": self.used_sms,
        }
        strings = {name: str(number) for name, number in numbers.items()}
        return Reply(200, json.dumps(strings if self.numbers_as_strings else numbers))

    def _activate(self, call: Call) -> Reply:
        """Answer POST ("Activate a license").

        appliances.md on what the guide leaves out: 415 for content that is not JSON, 400 with the
        field's name for a licence that is missing, malformed or (from ``0000-`` on) invalid.
        """
        if not call.is_json:
            return Reply(415)
        licence = call.object().get("license")
        if not isinstance(licence, str):
            return _refused("This field is required.")
        if not _LICENCE.fullmatch(licence):
            return _refused("Enter a valid license number.")
        if licence.startswith("0000-"):
            return _refused("Invalid license.")
        # The guide's note: "Used valid licenses will return a success response, but will not add
        # SMS". Each appliance remembers its own; licences that differ in case are two.
        used = licence in self.books.spent
        added = 0 if used else self.licenses.get(licence, self.amount)
        self.total_sms += added
        self.books.licence_accepted(licence, added)
        if not self.success_body:
            return Reply(self.success_status)
        imported = {"success": f"Successfully imported {added} SMS messages"}
        return Reply(self.success_status, json.dumps({"license": licence, "messages": imported}))


def _refused(reason: str) -> Reply:
    return Reply(400, json.dumps({"license": [reason]}))
