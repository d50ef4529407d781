"""What every answer over HTTP says to the browser, and which questions for the page are not taken.

The page shows what an operator may see and nobody else. On a developer's machine it is there
without being asked for, so a website that is open in the same browser must not get at it: not by
embedding it, and not by giving its own name the address 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # No inline script or style, nothing from anywhere else, no form, no frame around it.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # After an upgrade nobody shall look at the new courier through the old page.
    "cache-control": "no-store",
}


_METHODS = frozenset({"GET", "HEAD"})


class Guard:
    """Stands before the application.

    Args:
        app: what is guarded.
        names: hosts that the page may be asked for by; None for any.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] | None) -> None:
        """Keep the parts."""
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] != "http":
            return  # a web socket: there is none
        if scope["method"] not in _METHODS:
            allowed = {"allow": ", ".join(sorted(_METHODS))}
            answer = PlainTextResponse("Only reading.\n", status_code=405, headers=allowed)
            await answer(scope, receive, sending)
            return
        if self._is_foreign(scope):
            sentence = (
                "This page is answered under the name of this machine only (localhost, 127.0.0.1,"
                " [::1] or COURIER_HTTP_HOST). To have it under another name, set"
                " COURIER_PAGE=true.\n"
            )
            await PlainTextResponse(sentence, status_code=421)(scope, receive, sending)
            return
        await self._app(scope, receive, sending)

    def _is_foreign(self, scope: Scope) -> bool:
        path = str(scope["path"])
        if self._names is None or not (path == "/" or path.startswith("/page")):
            return False
        return _host(Headers(scope=scope).get("host", "")) not in self._names


def _host(header: str) -> str:
    """Cut the port off a Host header."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
