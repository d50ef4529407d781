"""What `deploy/rabbitmq/` tells a broker is what the courier declares."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from deploy.rabbitmq.__main__ import definitions
from service.app import LAST_WORDS
from service.messages.wire import MAX_BYTES, MAX_RESULT
from service.settings import Settings
from service.topology import exchanges, queues

FILES: Final = Path(__file__).parents[2] / "deploy" / "rabbitmq"
DELAYS: Final = Settings.model_fields["retry_delays"].default


def test_the_topology_for_an_administrator_is_the_couriers() -> None:
    """`python -m deploy.rabbitmq` writes the file anew."""
    assert definitions("/", DELAYS) == json.loads((FILES / "topology.json").read_text())


@pytest.mark.parametrize("file", ["users.json", "without-replies.json"])
@pytest.mark.parametrize("right", ["configure", "read", "write"])
def test_the_couriers_user_has_rights_on_its_own_names_only(file: str, right: str) -> None:
    """Every name that it declares, and no other; the default exchange only where it replies."""
    permissions = json.loads((FILES / file).read_text())["permissions"]
    (pattern,) = [each[right] for each in permissions if each["user"] == "courier"]
    own = {each.name for each in exchanges(DELAYS)} | {each.name for each in queues(DELAYS)}
    own |= {"courier.ledger", "courier.sqlite-owner"}
    others = {"theirs", "courier", "courierx", "my.courier.x", "amq.topic", "amq.gen-courier.x", ""}
    assert own == {name for name in own | others if re.search(pattern, name)}
    replies = (file, right) == ("users.json", "write")
    assert replies is bool(re.search(pattern, "amq.default"))


def test_no_user_of_the_files_has_a_password_or_a_tag() -> None:
    """Who loads them sets a password, or uses certificates; nobody is an administrator."""
    users = json.loads((FILES / "users.json").read_text())["users"]
    assert {"courier": ("", []), "courier-operator": ("", [])} == {
        each["name"]: (each["password_hash"], each["tags"]) for each in users
    }


def test_the_broker_takes_every_message_that_the_courier_sends() -> None:
    """Its bound lies above ours: the largest result, with all that a command can give it along."""
    text = (FILES / "rabbitmq.conf").read_text()
    (bound,) = re.findall(r"^max_message_size = (\d+)$", text, re.MULTILINE)
    assert MAX_RESULT + MAX_BYTES < int(bound)


def test_systemd_waits_for_the_drain() -> None:
    """Longer than the default drain and the last words after it."""
    unit = (FILES.parent / "courier.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert Settings.model_fields["drain_timeout"].default + LAST_WORDS < int(seconds)
