"""All simulated appliances of one run: their CA, their start and stop, their inventory file."""

from __future__ import annotations

import json
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

import trustme
from aiohttp import web

from service.simulator.certificates import tls_context
from service.simulator.checks import FieldError
from service.simulator.control import Control
from service.simulator.fortiauthenticator import FortiAuthenticator
from service.simulator.fortivoice import FortiVoice
from service.simulator.script import Script

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from service.simulator.server import SimulatedAppliance

_LOOPBACK: Final = "127.0.0.1"
_CERTIFIED: Final = (_LOOPBACK, "localhost", "::1")


class Simulator:
    """Simulated appliances, running inside ``async with``.

    Attributes:
        appliances: All of them by name: ``fac-1``, ... then ``fvc-1``, ...; their ``url`` is known
            once they run, faults and switches can be set before.
        control_url: The control page's address once it runs, None without one.
        ca_pem: The certificate of the CA that all of them are certified by.
        script: What happens to them; its steps at second 0 happen before they listen, the others
            when it is played.
    """

    def __init__(  # noqa: PLR0913  # each has a default and a name at the call
        self,
        *,
        fortiauthenticators: int = 1,
        fortivoices: int = 1,
        host: str = _LOOPBACK,
        ports: Sequence[int] = (),
        control_port: int | None = None,
        latency: float = 0.0,
        devices: int = 7,
        tls: bool = True,
        script: Path | None = None,
    ) -> None:
        """Prepare appliances; nothing listens before ``async with``.

        Args:
            fortiauthenticators: How many FortiAuthenticators.
            fortivoices: How many FortiVoices.
            host: The address on which they listen.
            ports: Their ports in the order of ``appliances``; those without one get any free one.
            control_port: The control page's port on loopback, 0 for any free one, None for no page.
            latency: Seconds that every request takes.
            devices: Phones that each FortiVoice lists.
            tls: Whether they speak HTTPS.
            script: A script's file.

        Raises:
            FieldError: something cannot be so: the script, a switch, more ports than appliances.
            OSError: the script cannot be read.
        """
        sms = [
            FortiAuthenticator(f"fac-{number}", _password(), latency=latency)
            for number in range(1, fortiauthenticators + 1)
        ]
        voice = [
            FortiVoice(
                f"fvc-{number}", _password(), devices=devices, latency=latency, number=number
            )
            for number in range(1, fortivoices + 1)
        ]
        self.appliances: Mapping[str, SimulatedAppliance] = {
            each.name: each for each in (*sms, *voice)
        }
        if len(ports) > len(self.appliances):
            raise FieldError("ports", f"{len(ports)} ports for {len(self.appliances)} appliances")
        self.script = Script() if script is None else Script.load(script, self.appliances)
        self.control_url: str | None = None
        self._authority = trustme.CA(organization_name="Appliance Courier simulator")
        self.ca_pem: bytes = self._authority.cert_pem.bytes()
        self._host, self._ports, self._tls = host, ports, tls
        self._control_port = control_port
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            for place, appliance in enumerate(self.appliances.values()):
                port = self._ports[place] if place < len(self._ports) else 0
                appliance.issue = self._issue if self._tls else None
                appliance.listen_on(self._host, port, self._issue("valid") if self._tls else None)
                starting.push_async_callback(appliance.close)
            await self.script.prepare()
            for appliance in self.appliances.values():
                await appliance.open()
            if self._control_port is not None:
                await self._start_control(self._control_port, starting)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._running.aclose()

    def fortiauthenticator(self, name: str = "fac-1") -> FortiAuthenticator:
        """Return a FortiAuthenticator with its own switches.

        Raises:
            KeyError: no FortiAuthenticator has this name.
        """
        appliance = self.appliances[name]
        if not isinstance(appliance, FortiAuthenticator):
            raise KeyError(name)
        return appliance

    def fortivoice(self, name: str = "fvc-1") -> FortiVoice:
        """Return a FortiVoice with its own switches.

        Raises:
            KeyError: no FortiVoice has this name.
        """
        appliance = self.appliances[name]
        if not isinstance(appliance, FortiVoice):
            raise KeyError(name)
        return appliance

    def write_files(self, directory: Path) -> Path:
        """Write an inventory with all that it refers to; return its path.

        The directory gets ``ca.pem``, one file per appliance that holds its password and only its
        owner can read, and ``appliances.toml``. Passwords are those of now: after a rotation, call
        it again.
        """
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        authority = directory / "ca.pem"
        authority.write_bytes(self.ca_pem)
        lines: list[str] = []
        for name, appliance in self.appliances.items():
            secret = directory / f"{name}.password"
            secret.touch(mode=0o600)
            secret.chmod(0o600)
            secret.write_text(appliance.password, encoding="utf-8")
            entry = {
                "kind": appliance.kind,
                "url": appliance.url,
                "username": appliance.username,
                "password_file": str(secret),
            }
            if self._tls:
                entry["ca_file"] = str(authority)
            lines += [f"[appliances.{name}]"]
            # A JSON string is a TOML basic string, too.
            lines += [f"{key} = {json.dumps(text)}" for key, text in entry.items()]
            lines += [""]
        inventory = directory / "appliances.toml"
        inventory.write_text("\n".join(lines), encoding="utf-8")
        return inventory

    def _issue(self, certificate: str) -> ssl.SSLContext:
        hosts = tuple(dict.fromkeys((*_CERTIFIED, self._host)))
        return tls_context(certificate, self._authority, hosts)

    async def _start_control(self, port: int, starting: AsyncExitStack) -> None:
        application = Control(self.appliances).application()
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        starting.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, _LOOPBACK, port).start()
        self.control_url = f"http://{_LOOPBACK}:{runner.addresses[0][1]}"


def _password() -> str:
    return secrets.token_urlsafe(15)
