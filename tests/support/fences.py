"""Users of the broker who may do what `deploy/rabbitmq/` allows them, and nothing besides."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.support.rabbit import Rabbit

FILES: Final = Path(__file__).parents[2] / "deploy" / "rabbitmq"


def definitions(name: str, vhost: str, users: dict[str, str] | None = None) -> dict[str, Any]:
    """One of the files, for another virtual host, and with other names for its users."""
    read: dict[str, Any] = json.loads((FILES / name).read_text())
    names = users or {}
    for each in (item for items in read.values() for item in items):
        if "vhost" in each:
            each["vhost"] = vhost
        for key in ("user", "name"):
            if each.get(key) in names:
                each[key] = names[each[key]]
    return read


@contextmanager
def fenced(broker: Rabbit, url: str, *files: str) -> Iterator[dict[str, str]]:
    """Load files into the virtual host of a URL; give the URLs of the users by their names.

    They have other names here, since other tests have such users at the same time, and passwords.
    """
    parts = urlsplit(url)
    vhost, mark = parts.path[1:], secrets.token_hex(4)
    names = {name: f"{name}-{mark}" for name in ("courier", "courier-operator")}
    password = secrets.token_hex(16)
    for name in files:
        broker.load(definitions(name, vhost, names))
    for name in names.values():
        broker.set_password(name, password)
    host = f"{parts.hostname}:{parts.port}"
    yield {name: f"amqp://{user}:{password}@{host}/{vhost}" for name, user in names.items()}
    for name in names.values():
        broker.delete_user(name)
