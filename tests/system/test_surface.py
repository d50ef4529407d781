"""What somebody finds who looks at the service's HTTP port from outside."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.support import http
from tests.support.stand import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def raw(service: Service, request: bytes) -> str:
    """Send any bytes; all that comes back before the connection is closed."""
    parts = urlsplit(service.http)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer.decode("latin-1").lower()


async def test_it_listens_on_the_loopback_address_unless_told_otherwise(service: Service) -> None:
    """Who shows it to others has said so, by COURIER_HTTP_HOST."""
    assert "127.0.0.1" == urlsplit(service.http).hostname


async def test_nobody_is_told_what_serves_the_page(service: Service) -> None:
    """No name and no version, in an answer and in an error."""
    async with http.visit(service.http) as client:
        for path in ("/", "/docs", "/metrics", "/nothing"):
            assert "server" not in (await client.get(path)).headers
    for request in (b"no http\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /%zz HTTP/1.0\r\n\r\n"):
        answer = await raw(service, request)
        assert "uvicorn" not in answer
        assert "python" not in answer
        assert "traceback" not in answer


async def test_a_way_out_of_a_folder_leads_nowhere(service: Service) -> None:
    """As bytes, since a client would tidy them up."""
    for path in (b"/docs/../../../../etc/passwd", b"/page/..%2f..%2fsettings.py", b"//etc/passwd"):
        request = b"GET " + path + b" HTTP/1.0\r\nhost: localhost\r\n\r\n"
        assert "404 not found" in await raw(service, request)


async def test_a_web_socket_is_not_opened(service: Service) -> None:
    """There is none."""
    answer = await raw(
        service,
        b"GET /page/stream HTTP/1.1\r\nhost: evil.example\r\nconnection: upgrade, close\r\n"
        b"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: YQ==\r\n\r\n",
    )
    assert "101 switching" not in answer
