"""Dramatiq: one process with threads, each with its own sessions and publishing connection.

`enqueue FILE` puts the commands of a file (JSON, one a line) into the queue; without arguments it
is the worker. The queue is durable and a classic one: Dramatiq knows no other.
"""

import json
import signal
import sys
import threading
from functools import cache
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.benchmarks.peers.blocking import Sessions
from tests.benchmarks.peers.shared import Json, Settings, say_ready
from tests.benchmarks.peers.telling import open_channel, tell

_SETTINGS = Settings.read()

broker = RabbitmqBroker(url=_SETTINGS.broker_url)
dramatiq.set_broker(broker)


class Hands:
    """What a thread needs for its commands, made at its first."""

    def __init__(self) -> None:
        self._sessions = Sessions(_SETTINGS)
        self._channel = open_channel(_SETTINGS.broker_url)

    def run(self, command: Json) -> None:
        """Do the job; the event is confirmed when this returns."""
        tell(self._channel, self._sessions.run(command))


@cache
def _hands(_thread: int) -> Hands:
    return Hands()


def _activate(command: Json) -> None:
    _hands(threading.get_ident()).run(command)


activate = dramatiq.actor(
    _activate, actor_name="activate", queue_name=_SETTINGS.queue, max_retries=0
)


def _enqueue(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        activate.send(json.loads(line))


def _work() -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    worker = dramatiq.Worker(broker, worker_threads=_SETTINGS.in_flight)
    worker.start()
    say_ready()
    stopped.wait()
    worker.stop()
    broker.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["enqueue"]:
        _enqueue(Path(sys.argv[2]))
    else:
        _work()
