"""The certificates with which an appliance can be served: the right one, and some to be refused."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)

CERTIFICATES: Final[Mapping[str, Callable[[trustme.CA, tuple[str, ...]], trustme.LeafCert]]] = {
    "valid": lambda authority, hosts: authority.issue_cert(*hosts),
    "self-signed": lambda _, hosts: trustme.CA().issue_cert(*hosts),
    "expired": lambda authority, hosts: authority.issue_cert(*hosts, not_after=_LONG_AGO),
    "wrong-name": lambda authority, _: authority.issue_cert("elsewhere.invalid"),
}
"""How each is issued for some hosts; the CA that signs ``self-signed`` is a stranger's."""


def tls_context(name: str, authority: trustme.CA, hosts: tuple[str, ...]) -> ssl.SSLContext:
    """Return what serves with one of ``CERTIFICATES``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATES[name](authority, hosts).configure_cert(context)
    return context
