"""The job with requests, for the peers that block: Celery, Dramatiq and the script."""

import json
from collections.abc import Callable
from functools import partial

import requests

from tests.benchmarks.peers.shared import (
    BALANCE_PATH,
    Appliance,
    Finished,
    Json,
    Settings,
    finished,
    instant,
)

Ask = Callable[..., requests.Response]
TIMEOUT = 30.0


def run(command: Json, ask: Ask) -> Finished:
    """Do the job up to its event.

    Args:
        command: the whole CloudEvent.
        ask: sends a request to the balance of the command's appliance; takes the method first.
    """
    started = instant()
    before = _balance(ask)
    ask("POST", json={"license": command["data"]["license"]}).raise_for_status()
    return finished(command, started=started, before=before, after=_balance(ask))


def _balance(ask: Ask) -> Json:
    answer = ask("GET")
    answer.raise_for_status()
    body: Json = answer.json()
    return body


def encoded(event: Finished) -> bytes:
    """Write the event."""
    return json.dumps(event.document, separators=(",", ":")).encode()


class Sessions:
    """A session for each appliance, whose connection stays open; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._asks = {name: _ask(each) for name, each in settings.appliances().items()}

    def run(self, command: Json) -> Finished:
        """Do the job up to its event."""
        return run(command, self._asks[command["data"]["appliance"]])


def _ask(appliance: Appliance) -> Ask:
    session = requests.Session()
    # Proxies and .netrc would be looked up for every request.
    session.trust_env = False
    session.verify = appliance.ca_file
    session.headers["Authorization"] = appliance.authorization
    return partial(session.request, url=appliance.url + BALANCE_PATH, timeout=TIMEOUT)
