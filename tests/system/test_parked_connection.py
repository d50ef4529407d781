"""The tool reads the parked queue over its own client: by the same settings as the service."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.support.rabbit import Rabbit
from tests.support.stand import Stand


@asynccontextmanager
async def tls_before(url: str, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """A port where the broker is spoken to over TLS."""
    parts = urlsplit(url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pump(reader, outside), pump(inside, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def test_addresses_password_and_certificates_are_those_of_the_settings(
    stand: Stand, tmp_path: Path
) -> None:
    """The first address that answers, amqps with a client's certificate, the password of a file."""
    await stand.appliances()
    await stand.service()
    authority, parts = trustme.CA(), urlsplit(stand.url)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    ca, certificate, password = (tmp_path / name for name in ("ca.pem", "client.pem", "password"))
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("courier").private_key_and_cert_chain_pem.write_to_path(certificate)
    password.write_text(f"{parts.password}\nsecond line")
    async with tls_before(stand.url, tls) as port:
        address = f"amqps://{parts.username}@127.0.0.1:{port}{parts.path}"
        settings = {
            "BROKER_URL": f"amqp://127.0.0.1:9/,{address}",
            "BROKER_PASSWORD_FILE": str(password),
            "BROKER_CA_FILE": str(ca),
            "BROKER_CERT_FILE": str(certificate),
            "BROKER_KEY_FILE": str(certificate),
        }
        exit_code, output = await stand.courier("parked", "list", "--json", **settings)
        assert (0, "") == (exit_code, output)
        del settings["BROKER_CERT_FILE"], settings["BROKER_KEY_FILE"]
        exit_code, output = await stand.courier("parked", "list", **settings)
        assert (1, True) == (exit_code, f"127.0.0.1:{port} does not answer" in output), output


async def test_what_refuses_us_is_said_in_one_line(stand: Stand) -> None:
    """A password or virtual host that is wrong, no broker, no queue: exit code 1, no traceback."""
    wrong = stand.url.replace(f":{urlsplit(stand.url).password}@", ":hunter2@")
    for url, named in (
        (wrong, "ACCESS_REFUSED"),
        (f"{stand.url}-not", "not found"),
        ("amqp://127.0.0.1:9/", "does not answer"),
        (stand.url, "start `courier serve` first"),
    ):
        exit_code, output = await stand.courier("parked", "list", BROKER_URL=url)
        assert (1, 1, True) == (exit_code, len(output.splitlines()), named in output), output


async def test_a_broker_under_alarm_takes_nothing_and_loses_nothing(
    stand: Stand, broker: Rabbit
) -> None:
    """A replay does not wait for ever: it says so, and the message is still parked."""
    await stand.appliances()
    service = await stand.service()
    await stand.courier("send", "query-devices", "-a", "Not A Name")
    assert 0 == await service.end()
    with broker.memory_alarm():
        exit_code, output = await stand.courier("parked", "replay", "--all", "--yes")
    assert (1, True) == (exit_code, "takes no messages at the moment" in output), output
    exit_code, output = await stand.courier("parked", "list", "--json")
    assert (0, 1) == (exit_code, len(output.splitlines()))
