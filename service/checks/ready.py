"""Asks the running service whether it is ready, in a process that has little to import."""

from __future__ import annotations

import http.client
import json
import sys

from service.checks import Finding, State, document
from service.errors import ConfigurationError
from service.settings import Settings

PATIENCE = 3.0
"""Seconds."""
_NEAR = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing listens here
"""Where whoever listens everywhere is found from the same machine."""


def main(*, as_json: bool) -> int:
    """Print whether the service is ready, and why not; return the exit code."""
    try:
        finding = look(Settings.load())
    except ConfigurationError as error:
        finding = _failed(str(error))
    text = json.dumps(document([finding])) if as_json else finding.detail
    sys.stdout.write(f"{text}\n")
    return 0 if finding.state is State.OK else 1


def look(settings: Settings) -> Finding:
    """Ask `/health/ready`."""
    host = _NEAR.get(settings.http_host, settings.http_host)
    if not settings.http_port:
        return _failed("nobody can find a service whose COURIER_HTTP_PORT is 0")
    where = f"{f'[{host}]' if ':' in host else host}:{settings.http_port}"
    connection = http.client.HTTPConnection(host, settings.http_port, timeout=PATIENCE)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        told = json.loads(answer.read())["reasons"]
    except (OSError, http.client.HTTPException) as error:
        return _failed(f"no courier answers at {where}: {str(error) or type(error).__name__}")
    except (ValueError, LookupError, TypeError):
        return _failed(f"what answers at {where} is no courier")
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return Finding("service", "ready", State.OK, "ready", {"reasons": []})
    reasons = [str(reason) for reason in told]
    return Finding(
        "service",
        "ready",
        State.FAILED,
        f"not ready: {', '.join(reasons)}",
        {"reasons": [*reasons]},
    )


def _failed(why: str) -> Finding:
    return Finding("service", "ready", State.FAILED, why, {"reasons": []})
