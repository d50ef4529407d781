"""Prints what the courier declares, as definitions that RabbitMQ imports.

    python -m deploy.rabbitmq [--vhost NAME] [DELAY ...] > topology.json

For a broker on which somebody else declares it: an administrator, or a cluster's operator.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from service.settings import Settings
from service.topology import exchanges, queues

if TYPE_CHECKING:
    from collections.abc import Sequence


def definitions(vhost: str, delays: Sequence[int]) -> dict[str, list[dict[str, object]]]:
    """Write down exchanges, queues and bindings as the management plugin exports them."""
    place = {"vhost": vhost}
    lasting = {**place, "durable": True, "auto_delete": False}
    wanted = queues(delays)
    return {
        "exchanges": [
            {"name": each.name, **lasting, "type": each.kind, "internal": False}
            | {"arguments": each.arguments}
            for each in exchanges(delays)
        ],
        "queues": [
            {"name": each.name, **lasting, "type": "quorum", "arguments": each.all_arguments}
            for each in wanted
        ],
        "bindings": [
            {"source": each.bound_to, **place, "destination": each.name}
            | {"destination_type": "queue", "routing_key": each.routing_key, "arguments": {}}
            for each in wanted
            if each.bound_to
        ],
    }


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vhost", default="/")
    parser.add_argument("delays", nargs="*", type=int, metavar="DELAY")
    given = parser.parse_args()
    delays = given.delays or Settings.model_fields["retry_delays"].default
    print(json.dumps(definitions(given.vhost, delays), indent=2))  # noqa: T201  its purpose


if __name__ == "__main__":
    main()
