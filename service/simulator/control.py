"""The control page: the books to read, the faults, sessions and passwords to steer, over HTTP.

For people and for tests in other processes; it listens on loopback and asks for no login. What is
wrong with a request is answered as ``{"error": {"field": ..., "message": ...}}``.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from service.simulator.checks import FaultError
from service.simulator.faults import Rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from service.simulator.server import SimulatedAppliance

_ROUTES: Final = (
    ("GET", "/", "index", "this page"),
    ("GET", "/appliances", "show_appliances", "every appliance: name, kind, url, username"),
    ("GET", "/books", "show_all_books", "every appliance's books"),
    ("GET", "/books/{name}", "show_books", "one appliance's books"),
    ("GET", "/faults/{name}", "show_faults", "its rules and how often each has fired"),
    ("PUT", "/faults/{name}", "replace_faults", 'replace them: {"rules": [rule, ...]}'),
    ("POST", "/faults/{name}", "add_fault", 'add one: {"operation": ..., "action": ..., ...}'),
    ("DELETE", "/faults/{name}", "clear_faults", "forget them"),
    ("POST", "/{name}/expire-sessions", "expire_sessions", "end all of its sessions"),
    ("PUT", "/{name}/password", "set_password", 'rotate it: {"password": "..."}'),
)


class _BadRequestError(Exception):
    """A request that cannot be done: the field that is wrong, why, and the status that says so."""

    def __init__(self, field: str, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.status = status


class Control:
    """The control page over some appliances."""

    def __init__(self, appliances: Mapping[str, SimulatedAppliance]) -> None:
        self._appliances = appliances

    def application(self) -> web.Application:
        """Return the page as an application to be served."""
        application = web.Application(middlewares=[_errors_as_json])
        for method, path, handler, _ in _ROUTES:
            application.router.add_route(method, path, getattr(self, handler))
        return application

    async def index(self, _request: web.Request) -> web.Response:
        """List the routes for a person."""
        lines = [f"{method:<7}{path:<25}{meaning}" for method, path, _, meaning in _ROUTES]
        return web.Response(text="\n".join(["Simulated appliances", "", *lines, ""]))

    async def show_appliances(self, _request: web.Request) -> web.Response:
        """Say which appliances there are; their passwords are not told."""
        told = ("name", "kind", "url", "username")
        listed = [{key: getattr(each, key) for key in told} for each in self._appliances.values()]
        return web.json_response({"appliances": listed})

    async def show_all_books(self, _request: web.Request) -> web.Response:
        """Show all books by appliance."""
        books = {name: each.books.as_dict() for name, each in self._appliances.items()}
        return web.json_response(books)

    async def show_books(self, request: web.Request) -> web.Response:
        """Show the books of one appliance."""
        return web.json_response(self._named(request).books.as_dict())

    async def show_faults(self, request: web.Request) -> web.Response:
        """Show the rules and how often each has fired."""
        return web.json_response(self._named(request).faults.as_dict())

    async def replace_faults(self, request: web.Request) -> web.Response:
        """Replace all rules, or none when one of them is wrong."""
        appliance = self._named(request)
        appliance.faults.load((await _object(request)).get("rules"))
        return web.json_response(appliance.faults.as_dict())

    async def add_fault(self, request: web.Request) -> web.Response:
        """Add a rule behind the others."""
        appliance = self._named(request)
        appliance.faults.add(Rule.from_dict(await _object(request)))
        return web.json_response(appliance.faults.as_dict(), status=HTTPStatus.CREATED)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Forget all rules."""
        appliance = self._named(request)
        appliance.faults.clear()
        return web.json_response(appliance.faults.as_dict())

    async def expire_sessions(self, request: web.Request) -> web.Response:
        """End all sessions of an appliance."""
        return web.json_response({"expired": self._named(request).expire_sessions()})

    async def set_password(self, request: web.Request) -> web.Response:
        """Rotate an appliance's password or access key."""
        appliance = self._named(request)
        password = (await _object(request)).get("password")
        if not isinstance(password, str) or not password:
            raise _BadRequestError("password", "must be a string that is not empty")
        appliance.password = password
        return web.json_response({"appliance": appliance.name})

    def _named(self, request: web.Request) -> SimulatedAppliance:
        name = request.match_info["name"]
        if name not in self._appliances:
            known = ", ".join(self._appliances)
            raise _BadRequestError("name", f"must be one of {known}", HTTPStatus.NOT_FOUND)
        return self._appliances[name]


async def _object(request: web.Request) -> dict[str, object]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _BadRequestError("body", "must be a JSON object")
    return body


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _BadRequestError as error:
        return _error(error.field, error.message, error.status)
    except FaultError as error:
        return _error(error.field, error.message, HTTPStatus.BAD_REQUEST)
    except web.HTTPException as error:
        field = "method" if error.status == HTTPStatus.METHOD_NOT_ALLOWED else "path"
        return _error(field, f"{error.reason}; GET / lists the routes", error.status)


def _error(field: str, message: str, status: int) -> web.Response:
    return web.json_response({"error": {"field": field, "message": message}}, status=status)
