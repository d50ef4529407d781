"""`docker compose up`, seen from outside: by its published ports and Docker's own command line."""

from __future__ import annotations

import json
import random
import socket
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

from tests.support import http
from tests.support.engine import ROOT, Engine, compose

if TYPE_CHECKING:
    from tests.support.images import Images
    from tests.support.workflow import Json

FILE = str(ROOT / "deploy" / "compose.yaml")
PASSWORDS = ("courier-password", "people-passwords")
"""The volumes that have them."""


def _free_port() -> int:
    """A port below those that this machine gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311  no secret
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@dataclass(frozen=True)
class Stack:
    """One project of `deploy/compose.yaml`; every method blocks."""

    engine: Engine
    images: Images
    amqp_port: int = field(default_factory=_free_port)
    management_port: int = field(default_factory=_free_port)
    port: int = field(default_factory=_free_port)
    name: str = field(default_factory=lambda: f"courier-{uuid4().hex[:8]}")

    def __call__(self, *arguments: str) -> str:
        """Run a command of Docker Compose, which takes a second for each."""
        return self.engine.run(
            *(*compose(), "--file", FILE, "--project-name", self.name, *arguments),
            env={
                "COURIER_IMAGE": self.images.courier,
                "COURIER_RABBITMQ_IMAGE": self.images.rabbitmq,
                "COURIER_AMQP_PORT": str(self.amqp_port),
                "COURIER_MANAGEMENT_PORT": str(self.management_port),
                "COURIER_PORT": str(self.port),
            },
        )

    def container(self, service: str) -> str:
        """The container of a service, by its id."""
        labels = {"project": self.name, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={labels[key]}" for key in labels]
        return self.engine.docker("ps", "--all", "--quiet", *filters)

    def inspected(self, service: str) -> Json:
        """What Docker says about a container."""
        return dict(json.loads(self.engine.docker("inspect", self.container(service)))[0])

    def python(self, service: str, program: str) -> str:
        """Run a program in a container, which has neither a shell nor curl to offer."""
        return self.engine.docker("exec", self.container(service), "python", "-c", program)

    def passwords(self) -> dict[str, str]:
        """The broker's passwords, by the user's name; no container that runs for long has all."""
        volumes = [f"--volume={self.name}_{which}:/{which}:ro" for which in PASSWORDS]
        program = "import pathlib, json; print(json.dumps({p.name: p.read_text() for p in pathlib"
        program += ".Path('/').glob('*-password*/*-password')}))"
        start = ("run", "--rm", "--network=none", *volumes, "--entrypoint=python")
        found = json.loads(self.engine.docker(*start, self.images.courier, "-c", program))
        return {name.removesuffix("-password"): found[name] for name in found}

    def amqp(self) -> str:
        """The broker's address, for an administrator outside."""
        return f"amqp://admin:{self.passwords()['admin']}@127.0.0.1:{self.amqp_port}/"

    def is_ready(self) -> bool:
        try:
            return http.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def control(self, path: str, method: str = "GET", body: Json | None = None) -> Json:
        """Ask the simulated appliances' control page, which is on their own loopback address."""
        data = None if body is None else json.dumps(body).encode()
        asked = f"Request('http://127.0.0.1:8090{path}', {data!r}, method={method!r})"
        program = f"from urllib.request import *; print(urlopen({asked}).read().decode())"
        return dict(json.loads(self.python("simulator", program)))

    def events(self) -> list[Json]:
        """The courier's event log, since its container was made."""
        lines = self.engine.docker("logs", self.container("courier")).splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"timestamp"')]

    def slugs(self, command_id: str) -> list[str]:
        """What the event log says of a command."""
        return [str(e["event"]) for e in self.events() if e.get("command_id") == command_id]
