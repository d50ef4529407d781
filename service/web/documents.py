"""What the messages look like, for those who send and read them: `/docs`.

The page and the AsyncAPI document are generated (`make contracts`); nothing of them is secret.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from service.published import root

if TYPE_CHECKING:
    from starlette.requests import Request


def documents() -> list[Route]:
    """List the routes; their files are read once."""
    folder = Path(__file__).parent / "docs"
    return [
        _route("/docs", (folder / "index.html").read_bytes(), "text/html"),
        _route("/docs/style.css", (folder / "style.css").read_bytes(), "text/css"),
        _route("/docs/asyncapi.yaml", (root() / "asyncapi.yaml").read_bytes(), "application/yaml"),
    ]


def _route(path: str, content: bytes, media_type: str) -> Route:
    return Route(path, partial(_answer, content, media_type))


async def _answer(content: bytes, media_type: str, _: Request) -> Response:
    return Response(content, media_type=media_type)
