from __future__ import annotations

import ast
import asyncio
import json
import os
import socket
import ssl
import tomllib
from pathlib import Path

import httpx
import pytest

import service.simulator
from service.simulator import Entry, Hang, Rule, Simulator
from service.simulator.books import JOURNAL_LENGTH, Books
from tests.appliances.simulator.driving import BALANCE, Sms, Voice

pytestmark = pytest.mark.usefixtures("socket_enabled")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def text_and_mode(file: Path) -> tuple[str, int]:
    return file.read_text(encoding="utf-8"), file.stat().st_mode & 0o777


def test_it_shares_no_code_with_the_service() -> None:
    """No module of the simulator imports anything of ``service`` but the simulator."""
    package = Path(service.simulator.__path__[0])
    imported = {
        node.module or ""
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }

    ours = {name for name in imported if name.startswith("service")}
    assert all(name.startswith("service.simulator") for name in ours)


async def test_appliances_are_named_by_kind_and_number_and_have_their_own_secrets() -> None:
    """Any number of both can run together."""
    async with Simulator(fortiauthenticators=2, fortivoices=3, devices=9, latency=0.5) as simulator:
        appliances = simulator.appliances

    assert list(appliances) == ["fac-1", "fac-2", "fvc-1", "fvc-2", "fvc-3"]
    assert len({each.password for each in appliances.values()}) == 5
    assert len({each.url for each in appliances.values()}) == 5
    assert {each.latency for each in appliances.values()} == {0.5}
    assert simulator.fortivoice("fvc-3").devices == 9
    assert simulator.fortivoice("fvc-3").serial == "FO4000YYZRD00008"
    assert simulator.control_url is None


def test_an_appliance_is_found_by_its_kind() -> None:
    """The wrong kind under a name is no such appliance."""
    simulator = Simulator()

    with pytest.raises(KeyError):
        simulator.fortivoice("fac-1")
    with pytest.raises(KeyError):
        simulator.fortiauthenticator("fvc-1")


def test_more_ports_than_appliances_are_a_mistake() -> None:
    """Ports that would stay unused are refused."""
    with pytest.raises(ValueError, match="3 ports for 2 appliances"):
        Simulator(ports=(1, 2, 3))


async def test_ports_are_given_in_order_and_the_rest_is_free() -> None:
    """The first appliances get the ports, the others any."""
    port = free_port()
    async with Simulator(ports=[port]) as simulator:
        assert simulator.appliances["fac-1"].url == f"https://127.0.0.1:{port}"
        assert not simulator.appliances["fvc-1"].url.endswith((f":{port}", ":0"))


async def test_a_taken_port_stops_everything_that_was_started() -> None:
    """A start that fails leaves no socket behind."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = Simulator(ports=(port, taken.getsockname()[1]))
        with pytest.raises(OSError, match="address already in use"):
            await simulator.__aenter__()

    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "https://127.0.0.1:"), ("::1", "https://[::1]:")],  # noqa: S104
)
async def test_the_url_is_one_that_leads_to_the_host(host: str, url: str) -> None:
    """Wildcards and IPv6 addresses become usable URLs that the certificate covers."""
    async with Simulator(host=host, fortivoices=0) as simulator:
        fac = simulator.fortiauthenticator()
        verify = ssl.create_default_context(cadata=simulator.ca_pem.decode())
        async with httpx.AsyncClient(verify=verify, trust_env=False) as http:
            assert (await Sms(http, fac).send("GET")).status_code == 200
    assert fac.url.startswith(url)


async def test_only_its_own_ca_vouches_for_an_appliance(simulator: Simulator) -> None:
    """Another simulator's CA is refused; ``localhost`` is as good as the address."""
    url = simulator.appliances["fac-1"].url
    own, other = [
        ssl.create_default_context(cadata=each.ca_pem.decode()) for each in (simulator, Simulator())
    ]
    async with httpx.AsyncClient(verify=own, trust_env=False) as http:
        answer = await http.get(url.replace("127.0.0.1", "localhost") + BALANCE)
        assert answer.status_code == 401
    async with httpx.AsyncClient(verify=other, trust_env=False) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get(url + BALANCE)


async def test_without_tls_it_speaks_plain_http(tmp_path: Path) -> None:
    """TLS can be left out, and the inventory then names no CA."""
    async with Simulator(tls=False) as simulator:
        fac = simulator.fortiauthenticator()
        inventory = tomllib.loads(simulator.write_files(tmp_path).read_text())
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await Sms(http, fac).send("GET")).status_code == 200

    assert inventory["appliances"]["fac-1"]["url"].startswith("http://127.0.0.1:")
    assert "ca_file" not in inventory["appliances"]["fac-1"]


async def test_the_inventory_leads_to_the_appliances(simulator: Simulator, tmp_path: Path) -> None:
    """The written files are all that a client needs, and secrets are their owner's only."""
    directory = tmp_path / 'new "quoted" é'
    inventory = simulator.write_files(directory)
    told = tomllib.loads(inventory.read_text(encoding="utf-8"))["appliances"]

    assert inventory == directory / "appliances.toml"
    assert list(told) == ["fac-1", "fvc-1"]
    for name, entry in told.items():
        appliance = simulator.appliances[name]
        secret = Path(entry["password_file"])
        assert (entry["kind"], entry["url"]) == (appliance.kind, appliance.url)
        assert entry["username"] == appliance.username
        assert text_and_mode(secret) == (appliance.password, 0o600)
        assert text_and_mode(Path(entry["ca_file"]))[0] == simulator.ca_pem.decode()


async def test_written_files_follow_a_rotation_when_written_again(
    simulator: Simulator, tmp_path: Path
) -> None:
    """A file with loose permissions is tightened on the way."""
    simulator.write_files(tmp_path)
    secret = tmp_path / "fac-1.password"
    secret.chmod(0o644)
    simulator.appliances["fac-1"].password = "rotated"
    simulator.write_files(tmp_path)

    assert text_and_mode(secret) == ("rotated", 0o600)


async def test_a_stopped_appliance_refuses_connections_and_comes_back_on_its_port(
    voice: Voice,
) -> None:
    """Sessions and books outlive an outage."""
    url = voice.appliance.url
    await voice.login()
    await voice.appliance.stop()
    with pytest.raises(httpx.TransportError):
        await voice.devices()
    with pytest.raises(httpx.ConnectError):
        await voice.devices()
    await voice.appliance.stop()

    await voice.appliance.start()

    assert voice.appliance.url == url
    assert (await voice.devices()).status_code == 200


async def test_it_closes_at_once_while_requests_hang(tmp_path: Path) -> None:
    """A hung request is dropped when the simulator ends."""
    async with Simulator(fortivoices=0, tls=False) as simulator:
        fac = simulator.fortiauthenticator()
        fac.faults.add(Rule(action=Hang()))
        simulator.write_files(tmp_path)
        async with httpx.AsyncClient(trust_env=False) as http:
            hung = asyncio.create_task(Sms(http, fac).send("GET"))
            while not fac.books.in_flight:
                assert not hung.done()
                await asyncio.wait([hung], timeout=0.01)
            async with asyncio.timeout(2):
                await fac.stop()
            with pytest.raises(httpx.TransportError):
                await hung


def connect(url: str, ca_pem: bytes) -> socket.socket:
    """Shake hands over TLS, then go on without it: the farewell is never answered."""
    address = httpx.URL(url)
    verify = ssl.create_default_context(cadata=ca_pem.decode())
    plain = socket.create_connection((address.host, address.port or 0), timeout=5)
    with verify.wrap_socket(plain, server_hostname=address.host) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        tls.recv(1)
        return socket.socket(fileno=os.dup(tls.fileno()))


def read_to_the_end(connection: socket.socket) -> bool:
    with connection:
        connection.settimeout(5)
        while connection.recv(65_536):
            pass
    return True


async def test_it_closes_connections_whose_client_does_not_answer(simulator: Simulator) -> None:
    """A client that ignores TLS's farewell is cut off, not waited for."""
    fac = simulator.fortiauthenticator()
    connection = await asyncio.to_thread(connect, fac.url, simulator.ca_pem)

    await fac.stop()

    assert await asyncio.to_thread(read_to_the_end, connection)


def test_the_journal_is_bounded_and_in_order() -> None:
    """The oldest entries go, the numbers tell how many there were."""
    books = Books("x")
    for _ in range(JOURNAL_LENGTH + 5):
        with books.request("login") as entry:
            entry.outcome = "200"

    assert len(books.journal) == JOURNAL_LENGTH
    assert [each.number for each in books.journal] == list(range(6, JOURNAL_LENGTH + 6))
    assert isinstance(books.journal[0], Entry)


async def test_the_books_are_plain_json(sms: Sms, voice: Voice) -> None:
    """What the books say can be written down and compared."""
    await sms.activate()
    await voice.login()
    await voice.apply(await voice.uploaded())

    for appliance in (sms.appliance, voice.appliance):
        books = appliance.books.as_dict()
        assert json.loads(json.dumps(books)) == books
    assert [each.operation for each in voice.appliance.books.journal] == [
        "login",
        "token",
        "upload",
        "apply",
    ]
