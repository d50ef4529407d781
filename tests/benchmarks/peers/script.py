"""The vendor's curl recipe as a script: one command at a time, every call from the beginning."""

import json
import signal
from functools import partial
from types import FrameType

import requests

from tests.benchmarks.peers.blocking import TIMEOUT, run
from tests.benchmarks.peers.shared import BALANCE_PATH, Settings, say_ready
from tests.benchmarks.peers.telling import open_channel, tell


def main() -> None:
    """Consume until told to stop."""
    settings = Settings.read()
    appliances = settings.appliances()
    channel = open_channel(settings.broker_url)
    channel.basic_qos(prefetch_count=1)
    signal.signal(signal.SIGTERM, _stop)
    say_ready()
    try:
        for method, _, body in channel.consume(settings.queue):
            command = json.loads(body)
            appliance = appliances[command["data"]["appliance"]]
            # Without a session each call has a connection, a handshake and credentials of its own.
            ask = partial(
                requests.request,
                url=appliance.url + BALANCE_PATH,
                auth=(appliance.username, appliance.password),
                verify=appliance.ca_file,
                timeout=TIMEOUT,
            )
            tell(channel, run(command, ask))
            channel.basic_ack(method.delivery_tag)
    except KeyboardInterrupt:
        channel.connection.close()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
