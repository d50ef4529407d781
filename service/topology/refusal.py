"""What a refused connection to the broker means: which setting a person must look at.

One sentence with the variable's name, never with a password. Whatever is not named here may pass
by itself: a broker that is down, or starts.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

from aio_pika.exceptions import ProbableAuthenticationError
from aiormq.exceptions import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

_URL: Final = "COURIER_BROKER_URL"
_CERTIFICATE: Final = "COURIER_BROKER_CERT_FILE"
_MISMATCHES: Final = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})


_LOOK: Final = 2.0
"""Seconds that a broker has to say what it has against our certificate."""


def refusal(address: URL, error: BaseException, tls: ssl.SSLContext | None) -> str | None:
    """Say what a person must correct; None when waiting may help. Blocks, for two seconds at most.

    Args:
        address: what was connected to.
        error: what aio-pika or pika raised.
        tls: what it was connected with.
    """
    where = host(address)
    if why := _of_tls(where, error):
        return why
    if isinstance(error, AuthenticationError):
        return login_refusal(address, "it does not offer this kind of login")
    if isinstance(error, ProbableAuthenticationError):
        return login_refusal(address, str(error))
    # A virtual host that is not there or not allowed: waiting will not bring it.
    if any(word in str(error) for word in ("NOT_ALLOWED", "Connection.Close", "vhost")):
        return f"{_URL}: {where} refuses the connection: {error}"
    if address.scheme == "amqps" and tls is not None:
        return _of_tls(where, _look_again(address, tls))
    return None


def _look_again(address: URL, tls: ssl.SSLContext) -> BaseException | None:
    """Shake hands once more and say nothing.

    In TLS 1.3 a broker refuses our certificate after the handshake. Had we written by then, the
    reset of the connection may have swallowed its reason.
    """
    try:
        with (
            socket.create_connection((address.host or "", port(address)), _LOOK) as connection,
            tls.wrap_socket(connection, server_hostname=address.host) as secured,
        ):
            secured.recv(1)
    except OSError as error:
        return error
    return None


def _of_tls(where: str, error: BaseException | None) -> str | None:
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and (why := _tls(cause)):
            variable, words = why
            return f"{variable}: {where} {words}"
    return None


def login_refusal(address: URL, said: str) -> str:
    """Say whose login was refused: the certificate's or that of the address."""
    if is_external(address):
        return (
            f"{_CERTIFICATE}: {host(address)} refuses the login by certificate (EXTERNAL): {said}"
        )
    return f"{_URL}: {host(address)} refuses the login: {said}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an error and what it came from, each once: aiormq's may go round in circles."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        # pika keeps what it wraps in an attribute or among the arguments.
        inner = getattr(each, "exception", None)
        waiting += [each.__cause__, each.__context__, inner, *each.args]


def is_external(address: URL) -> bool:
    """Tell whether the certificate is the login."""
    return address.query.get("auth", "").upper() == "EXTERNAL"


def host(address: URL) -> str:
    """Name a broker without its credentials."""
    return f"{address.host}:{port(address)}{address.path}"


def port(address: URL) -> int:
    """Give the port, which depends on the scheme unless it is said."""
    return address.port or (5671 if address.scheme == "amqps" else 5672)


def _tls(error: ssl.SSLError) -> tuple[str, str] | None:
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _MISMATCHES:
            return _URL, f"has a certificate for another name: {error.verify_message}"
        if error.verify_code in _EXPIRED:
            return _URL, f"has a certificate that is not valid today: {error.verify_message}"
        return (
            "COURIER_BROKER_CA_FILE",
            f"has a certificate that this CA has not signed: {error.verify_message}",
        )
    if reason in _NO_TLS:
        return _URL, "does not speak TLS there: amqps:// needs the broker's TLS port"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        said = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        return _CERTIFICATE, f"refuses our certificate: {said}"
    return None
