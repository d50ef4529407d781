"""The passwords of the broker's users in Docker Compose: made once, each for its own readers."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from deploy.rabbitmq import passwords


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    broker, courier, people = (tmp_path / name for name in ("broker", "courier", "people"))
    for place in (broker, courier, people):
        place.mkdir()
    return broker, courier, people


def files(place: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in place.iterdir()}


def test_nobody_gets_a_password_that_is_not_theirs(places: tuple[Path, Path, Path]) -> None:
    """The service has its own, people have theirs, the broker has hashes."""
    passwords.main(*places)
    broker, courier, people = map(files, places)
    assert {"courier-password"} == courier.keys()
    assert {"admin-password", "courier-operator-password"} == people.keys()
    every = [*courier.values(), *people.values()]
    assert 3 == len({word for word in every if len(word) == 48})
    assert [] == [word for word in every if word in "".join(broker.values())]


def test_the_hash_is_that_of_the_password(places: tuple[Path, Path, Path]) -> None:
    """Four bytes of salt and the SHA-256 of both, as RabbitMQ documents it."""
    passwords.main(*places)
    definitions = json.loads((places[0] / "users.json").read_text())
    made = files(places[1]) | files(places[2])
    for user in definitions["users"]:
        salted = base64.b64decode(user["password_hash"])
        password = made[f"{user['name']}-password"].encode()
        assert salted[4:] == hashlib.sha256(salted[:4] + password).digest()


def test_a_password_that_is_there_stays(places: tuple[Path, Path, Path]) -> None:
    """The volumes outlive the containers; one that was taken away is made anew."""
    passwords.main(*places)
    before = files(places[1]) | files(places[2])
    (places[2] / "admin-password").unlink()
    passwords.main(*places)
    after = files(places[1]) | files(places[2])
    assert {"admin-password"} == {name for name in before if before[name] != after[name]}


def test_only_the_administrator_may_do_everything(places: tuple[Path, Path, Path]) -> None:
    """What the others may is what users.json says."""
    passwords.main(*places)
    definitions = json.loads((places[0] / "users.json").read_text())
    ours = json.loads((Path(passwords.__file__).with_name("users.json")).read_text())
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    assert [*ours["permissions"], {"user": "admin", "vhost": "/", **everything}] == definitions[
        "permissions"
    ]
    assert ["admin"] == [user["name"] for user in definitions["users"] if user["tags"]]
