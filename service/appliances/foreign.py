"""What httpx raises, and what it means: nothing of it leaves `http`."""

from __future__ import annotations

import os
import ssl

import h11
import httpcore
import httpx

FOREIGN = (
    *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict),
    *(httpcore.ConnectionNotAvailable, h11.ProtocolError, OSError, UnicodeError),
)
"""What httpx raises, or lets through from below; nothing of it leaves this module."""

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
    httpcore.ConnectionNotAvailable,
)
"""What httpx's own transport raises only before a request has left."""

_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def reason(error: Exception) -> str:
    """Find the sentence that helps: what TLS or the operating system said, else the kind."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "timed out"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            key = "url" if cause.verify_code in _OTHER_NAME else "ca_file"
            return f"its certificate is not trusted ({cause.verify_message}); see {key}"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio puts the address where the reason belongs.
            is_asyncio = cause.errno and cause.strerror.startswith("Connect call failed")
            return os.strerror(cause.errno or 0) if is_asyncio else cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
