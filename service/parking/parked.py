"""A queue, `courier.parked` or one that somebody looks at, held by a client that nothing can kill.

The only module that knows pika, and of it only the connection: properties stay bytes
(`properties`). Messages are taken one by one with `basic.get` and stay unacked until they are
settled, so whatever ends this program sends the others back to where they were.
"""

from __future__ import annotations

import logging
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

import pika  # type: ignore[import-untyped]  # it says nothing about its types
from pika import exceptions, spec

from service.errors import ConfigurationError, PublishFailed
from service.topology import PARKED
from service.topology.refusal import is_external, login_refusal, port, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

    from service.settings import Settings

_PATIENCE = 10.0
"""Seconds for the broker to answer while connecting, and to take a message under an alarm."""
_BASIC = 60
_NOT_FOUND = 404


@dataclass(frozen=True)
class Taken:
    """A message that this program holds.

    Attributes:
        tag: what it is settled by.
        properties: as they stand on the wire.
    """

    tag: int
    properties: bytes = field(repr=False)
    body: bytes = field(repr=False)


class _Bytes(spec.BasicProperties):  # type: ignore[misc]  # pika says nothing about its types
    """Stands where pika has its `BasicProperties`, and neither takes apart nor puts together."""

    __repr__ = object.__repr__  # pika's shows everything

    def __init__(self, raw: bytes = b"") -> None:
        super().__init__()
        self.raw = raw

    def decode(self, encoded: bytes, offset: int = 0) -> _Bytes:
        self.raw = encoded[offset:]
        return self

    def encode(self) -> list[bytes]:
        return [self.raw]


class _GetOk(Protocol):
    delivery_tag: int


class _Channel(Protocol):
    """What is used of pika's channel."""

    def basic_get(self, queue: str) -> tuple[_GetOk | None, _Bytes, bytes | None]: ...
    def basic_ack(self, delivery_tag: int) -> None: ...
    def confirm_delivery(self) -> None: ...
    def basic_publish(
        self, exchange: str, routing_key: str, body: bytes, properties: _Bytes, *, mandatory: bool
    ) -> None: ...


class _Connection(Protocol):
    """What is used of pika's connection."""

    is_open: bool

    def channel(self) -> _Channel: ...
    def close(self) -> None: ...


class HeldQueue:
    """A queue while somebody looks at it."""

    def __init__(self, connection: _Connection, name: str) -> None:
        """Use `opened`."""
        self._name = name
        self._channel = connection.channel()
        self._channel.confirm_delivery()

    def messages(self) -> Iterator[Taken]:
        """Take every message that lies there, one after the other; each is held until the end."""
        while True:
            got, properties, body = self._channel.basic_get(self._name)
            if got is None:
                return
            yield Taken(got.delivery_tag, properties.raw, body or b"")

    def publish(self, properties: bytes, body: bytes, *, exchange: str, routing_key: str) -> None:
        """Publish a message and wait for the confirm.

        Raises:
            PublishFailed: no queue takes it, or the broker refuses it.
        """
        try:
            self._channel.basic_publish(
                exchange, routing_key, body, _Bytes(properties), mandatory=True
            )
        except exceptions.UnroutableError:
            raise PublishFailed(f"no queue takes it ({exchange or routing_key})") from None
        except exceptions.NackError:
            raise PublishFailed("the broker refuses it") from None

    def settle(self, taken: Taken) -> None:
        """Let the broker forget a message: what was promised for it is done."""
        self._channel.basic_ack(taken.tag)


@contextmanager
def opened(
    settings: Settings, queue: str = PARKED, *, program: str = "courier parked"
) -> Iterator[HeldQueue]:
    """Hold a queue; at the end everything that was not settled goes back.

    Args:
        settings: where the broker is.
        queue: its name.
        program: what the broker's administrator reads beside the connection.

    Raises:
        ConfigurationError: no broker can be used, the queue is not there, or the connection was
            lost on the way; what was not settled by then is still in the queue.
    """
    # What it logs of a lost connection is told once, by the error.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    theirs, spec.props[_BASIC] = spec.props[_BASIC], _Bytes
    connection = None
    try:
        connection = _connect(settings, program)
        yield HeldQueue(connection, queue)
    except exceptions.AMQPError as error:
        raise ConfigurationError(_explain(error, queue)) from None
    finally:
        try:
            if connection is not None and connection.is_open:
                connection.close()
        finally:
            spec.props[_BASIC] = theirs


def _connect(settings: Settings, program: str) -> _Connection:
    """Connect to the first broker that answers, and wait for none.

    Raises:
        ConfigurationError: the first that answers refuses us, or none answers.
    """
    tls = settings.broker_tls()
    silent = []
    for address in settings.broker_addresses(program):
        where = f"{address.host}:{port(address)}"
        try:
            # The one place where pika's own types end.
            return cast("_Connection", pika.BlockingConnection(_parameters(address, tls)))
        except (exceptions.AuthenticationError, exceptions.ProbableAuthenticationError) as error:
            raise ConfigurationError(login_refusal(address, str(error))) from None
        except (
            exceptions.ProbableAccessDeniedError,
            exceptions.ConnectionClosedByBroker,
        ) as error:
            raise ConfigurationError(
                f"COURIER_BROKER_URL: {where} refuses the connection: {error}"
            ) from None
        except (exceptions.AMQPError, OSError) as error:
            if why := refusal(address, error, tls):
                raise ConfigurationError(why) from None
            silent.append(f"{where} does not answer ({_cause(error)})")
    raise ConfigurationError("COURIER_BROKER_URL: " + "; ".join(silent))


def _parameters(address: URL, tls: ssl.SSLContext | None) -> object:
    options = None
    if address.scheme == "amqps":
        options = pika.SSLOptions(tls or ssl.create_default_context(), address.host)
    return pika.ConnectionParameters(
        host=address.host,
        port=port(address),
        # yarl leaves an encoded slash as it is, and the default virtual host is called "/".
        virtual_host=address.path[1:].replace("%2F", "/") or "/",
        credentials=_credentials(address),
        ssl_options=options,
        heartbeat=int(address.query["heartbeat"]),
        connection_attempts=1,
        socket_timeout=_PATIENCE,
        stack_timeout=_PATIENCE,
        blocked_connection_timeout=_PATIENCE,
        client_properties={"connection_name": address.query["name"]},
    )


def _credentials(address: URL) -> object:
    if is_external(address):
        return pika.credentials.ExternalCredentials()
    user, password = address.user or "guest", address.password or "guest"
    return pika.PlainCredentials(user, password, erase_on_connect=True)


def _cause(error: BaseException) -> str:
    """Find the words in pika's errors, which wrap one another and often say nothing themselves."""
    inner = getattr(error, "exception", None) or (error.args[0] if error.args else None)
    if isinstance(inner, BaseException):
        return _cause(inner)
    return f"{type(error).__name__} {error}".strip()


def _explain(error: exceptions.AMQPError, queue: str) -> str:
    if isinstance(error, exceptions.ChannelClosedByBroker):
        if error.reply_code == _NOT_FOUND:
            todo = ": start `courier serve` first" if queue == PARKED else ""
            return f"the broker has no queue {queue}{todo}"
        return f"the broker does not let us look into {queue}: {error.reply_text}"
    if isinstance(error, exceptions.ConnectionBlockedTimeout):
        return "the broker takes no messages at the moment (an alarm); the others stay there"
    return f"the broker's connection was lost ({_cause(error)}); what was not settled stays there"
