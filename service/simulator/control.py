"""The control page: the books to read, and everything that ``steering`` can do, over HTTP.

For people and for tests in other processes; it listens on loopback and asks for no login. What is
wrong with a request is answered as ``{"error": {"field": ..., "message": ...}}``.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from service.simulator.checks import FieldError, within
from service.simulator.steering import ORDERS, rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from service.simulator.server import SimulatedAppliance

ROUTES: Final = (
    ("GET", "/", "index", "this page"),
    ("GET", "/appliances", "show_appliances", "every appliance: name, kind, url, username"),
    ("GET", "/books", "show_all_books", "every appliance's books"),
    ("GET", "/books/{name}", "show_books", "one appliance's books"),
    ("GET", "/secrets/{name}", "show_secrets", "every secret that it had or gave out"),
    ("GET", "/switches/{name}", "show_switches", "its switches and how they stand"),
    ("PATCH", "/switches/{name}", "set_switches", 'set some: {"latency": 0.5, ...}'),
    ("GET", "/faults/{name}", "show_faults", "its rules and how often each has fired"),
    ("PUT", "/faults/{name}", "replace_faults", 'replace them: {"rules": [rule, ...]}'),
    ("POST", "/faults/{name}", "add_fault", 'add one: {"operation": ..., "action": ..., ...}'),
    ("DELETE", "/faults/{name}", "clear_faults", "forget them"),
    ("PUT", "/{name}/password", "set_password", 'rotate it: {"password": "..."}'),
    ("PUT", "/{name}/certificate", "set_certificate", 'serve with it: {"kind": "expired"}'),
    ("POST", "/{name}/stop", "do", "switch it off: connections are refused"),
    ("POST", "/{name}/start", "do", "switch it on again, on the same port"),
    ("POST", "/{name}/expire-sessions", "do", "end all of its sessions"),
)
"""Method, path, handler and meaning."""


class _UnknownNameError(FieldError):
    """No appliance has this name."""


class Control:
    """The control page over some appliances."""

    def __init__(self, appliances: Mapping[str, SimulatedAppliance]) -> None:
        self._appliances = appliances

    def application(self) -> web.Application:
        """Return the page as an application to be served."""
        application = web.Application(middlewares=[_errors_as_json])
        for method, path, handler, _ in ROUTES:
            application.router.add_route(method, path, getattr(self, handler))
        return application

    async def index(self, _request: web.Request) -> web.Response:
        """List the routes for a person."""
        lines = [f"{method:<7}{path:<25}{meaning}" for method, path, _, meaning in ROUTES]
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

    async def show_secrets(self, request: web.Request) -> web.Response:
        """Show every secret, so that a test can search for it where it must not be."""
        return web.json_response({"secrets": self._named(request).secrets})

    async def show_switches(self, request: web.Request) -> web.Response:
        """Show the switches and how they stand."""
        return web.json_response(self._named(request).switches())

    async def set_switches(self, request: web.Request) -> web.Response:
        """Set some switches, or none when one of them is wrong."""
        return await self._carry_out(request, "switches", await _object(request))

    async def show_faults(self, request: web.Request) -> web.Response:
        """Show the rules and how often each has fired."""
        return web.json_response(self._named(request).faults.as_dict())

    async def replace_faults(self, request: web.Request) -> web.Response:
        """Replace all rules, or none when one of them is wrong."""
        rules = (await _object(request)).get("rules")
        return await self._carry_out(request, "faults", rules, "rules")

    async def add_fault(self, request: web.Request) -> web.Response:
        """Add a rule behind the others."""
        appliance = self._named(request)
        appliance.faults.add(rule(appliance, await _object(request)))
        return web.json_response(appliance.faults.as_dict(), status=HTTPStatus.CREATED)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Forget all rules."""
        return await self._carry_out(request, "faults", [])

    async def set_password(self, request: web.Request) -> web.Response:
        """Rotate an appliance's password or access key."""
        password = (await _object(request)).get("password")
        return await self._carry_out(request, "password", password, "password")

    async def set_certificate(self, request: web.Request) -> web.Response:
        """Serve an appliance with another certificate."""
        kind = (await _object(request)).get("kind")
        return await self._carry_out(request, "certificate", kind, "kind")

    async def do(self, request: web.Request) -> web.Response:
        """Do what the path's last part says."""
        return await self._carry_out(request, "do", request.path.rpartition("/")[2], "path")

    async def _carry_out(
        self, request: web.Request, order: str, value: object, place: str = ""
    ) -> web.Response:
        """Carry an order out; ``place`` is where its value stands in the request."""
        appliance = self._named(request)
        with within(place):
            deed = ORDERS[order](appliance, value)
            return web.json_response(await deed())

    def _named(self, request: web.Request) -> SimulatedAppliance:
        name = request.match_info["name"]
        if name not in self._appliances:
            raise _UnknownNameError("name", f"must be one of {', '.join(self._appliances)}")
        return self._appliances[name]


async def _object(request: web.Request) -> dict[str, object]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise FieldError("body", "must be a JSON object")
    return body


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _UnknownNameError as error:
        return _error(error.field, error.message, HTTPStatus.NOT_FOUND)
    except FieldError as error:
        return _error(error.field, error.message, HTTPStatus.BAD_REQUEST)
    except OSError as error:
        return _error("port", f"cannot listen: {error}", HTTPStatus.CONFLICT)
    except web.HTTPException as error:
        field = "method" if error.status == HTTPStatus.METHOD_NOT_ALLOWED else "path"
        return _error(field, f"{error.reason}; GET / lists the routes", error.status)


def _error(field: str, message: str, status: int) -> web.Response:
    return web.json_response({"error": {"field": field, "message": message}}, status=status)
