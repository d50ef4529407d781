"""What the transport raises, and what it means: nothing of it leaves `http`."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)
"""What comes of building a request, and of sending it."""

NOT_SENT = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol),
    *(httpx.LocalProtocolError, httpx.InvalidURL, ValueError),
)
"""What is raised only before a request has left."""

_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def reason(error: Exception) -> str:
    """Find the sentence that helps: what TLS or the operating system said, else the kind."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "timed out"
    causes = list(_causes(error))
    for cause in causes:
        # aiohttp's own of that kind says nothing of it, but names the one that does.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
            key = "url" if cause.verify_code in _OTHER_NAME else "ca_file"
            return f"its certificate is not trusted ({cause.verify_message}); see {key}"
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio puts the address where the reason belongs.
            is_asyncio = cause.errno and cause.strerror.startswith("Connect call failed")
            return os.strerror(cause.errno or 0) if is_asyncio else cause.strerror
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
