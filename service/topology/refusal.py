"""What a refused connection to the broker means: which setting a person must look at.

One sentence with the variable's name, never with a password. Whatever is not named here may pass
by itself: a broker that is down, or starts.
"""

from __future__ import annotations

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


def refusal(address: URL, error: BaseException) -> str | None:
    """Say what a person must correct; None when waiting may help.

    Args:
        address: what was connected to.
        error: what aio-pika or pika raised.
    """
    where = host(address)
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and (why := _tls(cause)):
            variable, words = why
            return f"{variable}: {where} {words}"
    if isinstance(error, AuthenticationError):
        return login_refusal(address, "it does not offer this kind of login")
    if isinstance(error, ProbableAuthenticationError):
        return login_refusal(address, str(error))
    # A virtual host that is not there or not allowed: waiting will not bring it.
    if any(word in str(error) for word in ("NOT_ALLOWED", "Connection.Close", "vhost")):
        return f"{_URL}: {where} refuses the connection: {error}"
    return None


def login_refusal(address: URL, said: str) -> str:
    """Say whose login was refused: the certificate's or that of the address."""
    if is_external(address):
        return (
            f"{_CERTIFICATE}: {host(address)} refuses the login by certificate (EXTERNAL): {said}"
        )
    return f"{_URL}: {host(address)} refuses the login: {said}"


def causes(error: BaseException) -> Iterator[BaseException]:
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
    port = address.port or (5671 if address.scheme == "amqps" else 5672)
    return f"{address.host}:{port}{address.path}"


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
