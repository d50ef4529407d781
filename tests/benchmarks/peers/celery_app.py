"""Celery: two prefork processes, each with its own sessions and publishing connection.

`enqueue FILE` puts the commands of a file (JSON, one a line) into the queue; without arguments it
is the worker. The queue is a quorum queue, which Celery declares itself. A task that fails, such as
one whose event no queue took, is acked all the same: so Celery does unless told.
"""

import json
import sys
from functools import cache
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready
from kombu import Connection, Producer, Queue

from tests.benchmarks.peers.blocking import Sessions, encoded
from tests.benchmarks.peers.shared import EVENTS, Json, Settings, say_ready

_PROCESSES = 2
_SETTINGS = Settings.read()

app = Celery("peers", broker=_SETTINGS.broker_url)
app.conf.update(
    # What an earlier delivery of a process that died had begun is done again, as everywhere here.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue=_SETTINGS.queue,
    task_queues=[Queue(_SETTINGS.queue, queue_arguments={"x-queue-type": "quorum"})],
    worker_concurrency=_PROCESSES,
    worker_prefetch_multiplier=max(1, _SETTINGS.in_flight // _PROCESSES),
    worker_enable_remote_control=False,
    # Otherwise `ready` would be a line of its log.
    worker_redirect_stdouts=False,
    # Declared for every worker of a quorum queue; nothing is delayed here.
    broker_native_delayed_delivery_queue_type="classic",
)


class Hands:
    """What a process needs for its commands, made at the first."""

    def __init__(self) -> None:
        self._sessions = Sessions(_SETTINGS)
        connection = Connection(_SETTINGS.broker_url, transport_options={"confirm_publish": True})
        self._producer = Producer(connection, auto_declare=False, on_return=_returned)

    def run(self, command: Json) -> None:
        """Do the job; the event is confirmed when this returns."""
        event = self._sessions.run(command)
        self._producer.publish(
            encoded(event),
            exchange=EVENTS,
            routing_key=event.routing_key,
            content_type="application/cloudevents+json",
            content_encoding="utf-8",
            delivery_mode="persistent",
            message_id=event.id,
            correlation_id=event.correlation_id,
            mandatory=True,
        )


def _returned(error: Exception, _exchange: str, _routing_key: str, _message: object) -> None:
    raise error


# Not until a process was forked: connections must not be shared.
_hands = cache(Hands)


def _activate(command: Json) -> None:
    _hands().run(command)


activate = app.task(_activate, name="activate")


def _enqueue(path: Path) -> None:
    with app.producer_or_acquire() as producer:
        for line in path.read_text("utf-8").splitlines():
            activate.apply_async((json.loads(line),), producer=producer)


def _work() -> None:
    worker_ready.connect(_ready)
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    app.worker_main(["--quiet", "worker", "--pool", "prefork", "--loglevel", "WARNING", *quiet])


def _ready(**_: object) -> None:
    say_ready()


if __name__ == "__main__":
    if sys.argv[1:2] == ["enqueue"]:
        _enqueue(Path(sys.argv[2]))
    else:
        _work()
