"""A broker with the configuration of `deploy/rabbitmq/`, TLS included, and its certificates."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trustme

from service.demo.debian import install_rabbitmq
from service.demo.node import PrivateNode, installed_server
from service.demo.probe import free_ports
from tests.support.fences import FILES
from tests.support.rabbit import Rabbit

_EXPIRED: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Guarded:
    """The broker, and what a client needs.

    Attributes:
        rabbit: the broker as an administrator sees it, without TLS: only tests can.
        port: where it speaks TLS.
        folder: for certificates.
    """

    rabbit: Rabbit
    port: int
    folder: Path
    authority: trustme.CA

    def ca(self, authority: trustme.CA | None = None) -> str:
        """The file of a certification authority."""
        found = authority or self.authority
        return self._written(found.cert_pem, "ca")

    def client(
        self, name: str, *, authority: trustme.CA | None = None, expired: bool = False
    ) -> dict[str, str]:
        """The settings of a client with a certificate for this name."""
        issued = (authority or self.authority).issue_cert(
            "client.example", common_name=name, not_after=_EXPIRED if expired else None
        )
        return {
            "BROKER_CA_FILE": self.ca(),
            "BROKER_CERT_FILE": self._written(issued.cert_chain_pems[0], "certificate"),
            "BROKER_KEY_FILE": self._written(issued.private_key_pem, "key"),
        }

    def _written(self, content: trustme.Blob, kind: str) -> str:
        path = self.folder / f"{kind}-{len([*self.folder.iterdir()])}.pem"
        content.write_to_path(path)
        return str(path)


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """Start it: `rabbitmq.conf`, `rabbitmq.tls.conf` and `enabled_plugins` as they are.

    But for the paths and ports, and for one listener without TLS, for the administrator.
    """
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    port, metrics = free_ports(2)
    tls = (FILES / "rabbitmq.tls.conf").read_text().replace("/etc/rabbitmq/tls/", f"{folder}/")
    assert "\nlisteners.tcp = none\n" in tls
    places = (
        f"listeners.ssl.default = 127.0.0.1:{port}\n"
        f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {metrics}\n"
    )
    if installed_server() is None:
        asyncio.run(install_rabbitmq(print))
    found = installed_server()
    assert found is not None
    node = PrivateNode(
        found,
        configuration=[
            (FILES / "rabbitmq.conf").read_text(),
            tls.replace("\nlisteners.tcp = none\n", "\n"),
            places,
        ],
        plugins=re.findall(r"\w+", (FILES / "enabled_plugins").read_text()),
    )
    with closing(node):
        node.start()
        rabbit = Rabbit(node.url, node.api, node)
        yield Guarded(rabbit, port, folder, authority)
        rabbit.close()
