"""Makes passwords for the broker's users, and the definitions that RabbitMQ loads at every start.

    python passwords.py BROKER COURIER PEOPLE

Three directories, for three who must not read each other's: BROKER gets `users.json` with what is
in the file of that name here and hashes of the passwords, and `90-users.conf`, which loads it;
COURIER the password of the service; PEOPLE those of `courier-operator` and of `admin`, who may do
everything. A password that is there stays. Needs nothing but Python.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Final

LOADED: Final = "/etc/rabbitmq/conf.d/users.json"
ADMINISTRATOR: Final = "admin"
SERVICE: Final = "courier"


def main(broker: Path, courier: Path, people: Path) -> None:
    """Write what is missing, and the definitions anew."""
    definitions = json.loads(Path(__file__).with_name("users.json").read_text("utf-8"))
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    definitions["vhosts"] = [{"name": "/"}]
    definitions["users"].append({"name": ADMINISTRATOR, "tags": ["administrator"]})
    definitions["permissions"].append({"user": ADMINISTRATOR, "vhost": "/", **everything})
    for user in definitions["users"]:
        directory = courier if user["name"] == SERVICE else people
        user["password_hash"] = hashed(kept(directory / f"{user['name']}-password"))
        user["hashing_algorithm"] = "rabbit_password_hashing_sha256"
    (broker / "users.json").write_text(json.dumps(definitions, indent=2), "utf-8")
    (broker / "90-users.conf").write_text(f"load_definitions = {LOADED}\n", "utf-8")


def kept(file: Path) -> str:
    """Return the password in a file, after making one if there is none."""
    if not file.exists():
        file.write_text(secrets.token_hex(24), "utf-8")
    return file.read_text("utf-8")


def hashed(password: str) -> str:
    """Hash a password as RabbitMQ does: four bytes of salt, then SHA-256 of both."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


if __name__ == "__main__":
    main(*(Path(each) for each in sys.argv[1:]))
