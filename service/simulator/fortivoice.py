"""FortiVoice's REST interface: login, phone list, licence upload.

Follows the FortiVoice 6.4.0 REST API Reference Guide. Where it is silent, the assumption stands at
its place and names appliances.md; the switches of ``FortiVoice`` change it. The paths are the
guide's examples', to the letter and the trailing slash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from service.simulator import phones, samples
from service.simulator.actions import RotateCookie
from service.simulator.books import Upload
from service.simulator.checks import SECONDS, TEXT, matching, or_null, some_of, whole
from service.simulator.devices import QueryError, listing
from service.simulator.multipart import parts
from service.simulator.server import SimulatedAppliance
from service.simulator.sessions import Sessions
from service.simulator.switches import Switch
from service.simulator.wire import Call, Reply

if TYPE_CHECKING:
    from service.simulator.faults import Plan
    from service.simulator.sessions import Session

ROUTES: Final = {
    # The guide has it with the slash under "Setting up an authenticated session", and without it
    # in every example.
    "/api/v1/VoiceadminLogin": {"POST": "login"},
    "/api/v1/VoiceadminLogin/": {"POST": "login"},
    "/api/v1/DeviceSip_phone": {"GET": "devices"},
    "/api/v1/SysStatusLicinfo": {"POST": "token", "PUT": "apply", "GET": "licinfo"},
    "/api/v1/uploadfile/": {"POST": "upload"},
}
"""The operation by path and method."""

FABRIC: Final = (
    *("FabricAuthenticate", "FabricCallStatistics", "FabricDeviceStatus", "FabricSysStatusUsage"),
    *("FabricSysStatusSysinfo", "FabricWidget", "FabricVoipStatus"),
)
"""The guide's "FortiVoice supported resource list": read only, with no path and no schema."""

_ACTIONS: Final = {"GET": 1, "POST": 2, "DELETE": 3, "PUT": 5}
"""What an error body has as ``reqAction``: the method's number (appliances.md, "Wire details")."""


class FortiVoice(SimulatedAppliance):
    """A FortiVoice phone system; its attributes are switches.

    Attributes:
        devices: How many phones it lists; ``phones.phone`` says which.
        cookie_name: The session cookie's name (appliances.md knows three).
        cookie_attributes: What follows the cookie's value in ``Set-Cookie``.
        serial: The serial number that the login tells.
        fabric_path: What stands before the names of the Fabric resources.
        fabric_missing: Those that it does not have (404).
        fabric_denied: Those that the account may not read (403).
        logout_path: A path whose GET or POST ends the session; None as the guide documents none.
        session_lifetime: Seconds from its login on that a session is valid; None for ever.
        session_idle: Seconds from its last use on that a session is valid; None for ever.
        session_limit: Most sessions at once; a login beyond it ends the oldest. None for any.
    """

    kind: ClassVar[str] = "fortivoice"
    operations: ClassVar[frozenset[str]] = frozenset(
        {"logout", "fabric"}.union(*(methods.values() for methods in ROUTES.values()))
    )

    devices = Switch(7, whole(0, phones.MOST))
    cookie_name = Switch(
        "APSCookie", matching(r"[\w.-]+", "must be a name of letters, digits, '_', '.', '-'")
    )
    # The guide's sample ends with the bare semicolon; attributes are not shown.
    cookie_attributes = Switch(";", TEXT)
    serial = Switch("FO4000YYZRD00006", TEXT)
    logout_path = Switch[str | None](None, or_null(matching(r"/[\w./%-]*", "must be a path")))
    # The guide has the names only; this is where every other resource is.
    fabric_path = Switch("/api/v1/", matching(r"/[\w./%-]*/", "must be a path with / at its end"))
    fabric_missing = Switch[Sequence[str]]([], some_of(*FABRIC))
    fabric_denied = Switch[Sequence[str]]([], some_of(*FABRIC))
    session_lifetime = Switch[float | None](None, or_null(SECONDS))
    session_idle = Switch[float | None](None, or_null(SECONDS))
    session_limit = Switch[int | None](None, or_null(whole(1)))

    def __init__(
        self, name: str, password: str, *, devices: int = 7, latency: float = 0.0, number: int = 1
    ) -> None:
        super().__init__(name, "admin", password, latency=latency)
        self.devices = devices
        # The first one has the guide's serial number, the others count on from there.
        self.serial = f"FO4000YYZRD{number + 5:05d}"
        self._sessions = Sessions(self.books, lambda: self.given_out(samples.cookie_value()))

    def expire_sessions(self) -> int:
        """End all sessions; return how many there were."""
        return self._sessions.expire()

    def operation(self, call: Call) -> str:
        """Name the operation by path and method."""
        if call.path == self.logout_path and call.method in {"GET", "POST"}:
            return "logout"
        if call.method == "GET" and self._fabric_name(call) is not None:
            return "fabric"
        return ROUTES.get(call.path, {}).get(call.method, "other")

    def handle(self, operation: str, call: Call, plan: Plan) -> Reply:
        """Answer as the guide says.

        A wrong path is 404 and a wrong method 405 whoever asks; the guide does not say what is
        looked at first (appliances.md).
        """
        self._sessions.end_old(self.session_lifetime, self.session_idle)
        if operation == "login":
            return self._login(call)
        if operation == "other":
            if call.path in ROUTES or self._fabric_name(call):
                return _refusal(call, 405, 1, "Method not allowed")
            return _refusal(call, 404, 3, "Not found")
        session = self._sessions.find(call.headers.get("Cookie", ""), self.cookie_name)
        if session is None:
            return _refusal(call, 403, 7, "Access denied")
        reply = self._answer(operation, call, session, plan)
        if plan.all(RotateCookie):
            self._sessions.rotate(session)
            return replace(reply, headers=(*reply.headers, self._set_cookie(session)))
        return reply

    def _answer(self, operation: str, call: Call, session: Session, plan: Plan) -> Reply:
        if operation == "devices":
            return self._list(call, plan)
        if operation == "fabric":
            return self._fabric(call)
        step = {"token": self._give_token, "upload": self._take_file, "apply": self._apply}
        if operation in step:
            return step[operation](call, session)
        if operation == "logout":
            self._sessions.end(session, "logout")
            return Reply(200, "{}")
        # appliances.md: reading it works on the sibling product; the guide does not have it.
        return _refusal(call, 405, 1, "Method not allowed")

    def _login(self, call: Call) -> Reply:
        """Open a session ("Resource: VoiceadminLogin", "Login")."""
        given = call.object()
        if given.keys() != {"name", "password"}:
            return _refusal(call, 400, 1, "Bad request")
        right = given == {"name": self.username, "password": self.password}
        if not self.admits(right=right):
            return Reply(403, samples.LOGIN_REFUSED)
        session = self._sessions.open(self.session_limit)
        body = samples.login(self.username, self.password, self.serial)
        return Reply(200, body, headers=(self._set_cookie(session),))

    def _set_cookie(self, session: Session) -> tuple[str, str]:
        return ("Set-Cookie", f"{self.cookie_name}={session.cookie}{self.cookie_attributes}")

    def _fabric_name(self, call: Call) -> str | None:
        name = call.path.removeprefix(self.fabric_path)
        return name if name in FABRIC and call.path != name else None

    def _fabric(self, call: Call) -> Reply:
        """Tell a resource; one may be of a firmware or a permission that is not there."""
        name = self._fabric_name(call)
        if name is None or name in self.fabric_missing:
            return _refusal(call, 404, 3, "Not found")
        if name in self.fabric_denied:
            return _refusal(call, 403, 7, "Access denied")
        token = self.given_out(samples.upload_token())
        return Reply(200, samples.fabric(name, self.serial, self.password, token))

    def _list(self, call: Call, plan: Plan) -> Reply:
        """List phones ("Resource: DeviceSip_phone")."""
        try:
            return Reply(200, listing(call.query, self.devices, plan))
        except QueryError as error:
            return _refusal(call, 400, 1, f"Bad request: {error}")

    def _give_token(self, call: Call, session: Session) -> Reply:
        """Give an upload token ("Getting the upload authorization token"): 22 is a number."""
        if json.dumps(call.object()) != '{"reqAction": 22}':
            return _refusal(call, 400, 1, "Bad request")
        token = self.given_out(samples.upload_token())
        session.tokens.add(token)
        return Reply(200, json.dumps({"token": token}, separators=(",", ":")))

    def _take_file(self, call: Call, session: Session) -> Reply:
        """Take a file ("Uploading a file with the authorization token ..."): first it, then token.

        A token that is unknown, used or of another session is answered 403: the guide's code for a
        "missing authentication token" (appliances.md: "opaque and single-use").
        """
        found = parts(call)
        names = [(part.name, part.file_name is not None) for part in found]
        if names != [("license", True), ("token", False)] or not found[0].content:
            return _refusal(call, 400, 1, "Bad request")
        file, token = found[0], found[1].content.decode(errors="replace")
        if token not in session.tokens:
            return _refusal(call, 403, 7, "Access denied")
        session.tokens.remove(token)
        digest = hashlib.sha256(file.content).hexdigest()
        file_id = self.given_out(samples.file_id())
        session.files[file_id] = digest
        self.books.uploads.append(Upload(file.file_name or "", len(file.content), digest))
        return Reply(200, json.dumps({"id": file_id}))

    def _apply(self, call: Call, session: Session) -> Reply:
        """Apply a file ("Applying the uploaded file with file ID ..."): "5" is a string.

        An id that is unknown, used or of another session is 400 with ``errorType`` 3, "not found"
        (appliances.md).
        """
        asked = call.object()
        if asked.keys() != {"vm_lic_file", "reqAction"} or asked["reqAction"] != "5":
            return _refusal(call, 400, 1, "Bad request")
        file_id = asked["vm_lic_file"]
        if not isinstance(file_id, str) or file_id not in session.files:
            return _refusal(call, 400, 3, "Not found")
        self.books.applied[session.files.pop(file_id)] += 1
        return Reply(200, samples.APPLIED)


def _refusal(call: Call, status: int, error_type: int, message: str) -> Reply:
    return Reply(status, samples.refusal(error_type, message, _ACTIONS.get(call.method, 1)))
