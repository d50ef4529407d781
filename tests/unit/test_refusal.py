"""Which setting a refused connection to the broker is about; which refusal may pass by itself."""

import ssl
from typing import Final

import pytest
from aio_pika.exceptions import AMQPConnectionError, ProbableAuthenticationError
from aiormq.exceptions import AuthenticationError
from yarl import URL

from service.topology.refusal import causes, host, refusal

PLAIN: Final = URL("amqp://courier:canary@broker/vhost?heartbeat=10")
EXTERNAL: Final = URL("amqps://broker/vhost?auth=EXTERNAL")


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("address", "error", "expected"),
    [
        (PLAIN, AuthenticationError("AMQPLAIN", ["PLAIN"]), "URL: broker:5672/vhost refuses the l"),
        (PLAIN, ProbableAuthenticationError("no"), "URL: broker:5672/vhost refuses the login: "),
        (EXTERNAL, ProbableAuthenticationError("no"), "CERT_FILE: broker:5671/vhost refuses the l"),
        (EXTERNAL, AuthenticationError("PLAIN", []), "CERT_FILE: broker:5671/vhost refuses the l"),
        (PLAIN, AMQPConnectionError("NOT_ALLOWED - vhost"), "URL: broker:5672/vhost refuses the c"),
        (EXTERNAL, tls_error("WRONG_VERSION_NUMBER"), "URL: broker:5671/vhost does not speak TLS"),
        (
            EXTERNAL,
            tls_error("SSLV3_ALERT_CERTIFICATE_REVOKED"),
            "CERT_FILE: broker:5671/vhost refuses our certificate: certificate revoked",
        ),
    ],
)
def test_a_refusal_names_the_setting_and_no_password(
    address: URL, error: BaseException, expected: str
) -> None:
    """Whoever reads it knows where to look."""
    found = refusal(address, error, None)
    assert found is not None
    assert found.startswith(f"COURIER_BROKER_{expected}")
    assert "canary" not in found


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError(), tls_error("UNEXPECTED_EOF")]
)
def test_what_may_pass_by_itself_is_no_refusal(error: BaseException) -> None:
    """A broker that is down, or just starts."""
    assert refusal(EXTERNAL, error, None) is None


def test_errors_that_go_round_in_circles_are_gone_through_once() -> None:
    """As aiormq's do when the broker refuses our certificate."""
    outer, inner = AMQPConnectionError("outer"), tls_error("inner")
    outer.__cause__, inner.__context__ = inner, outer
    assert [outer, inner] == list(causes(outer))


def test_a_broker_is_named_without_what_is_secret() -> None:
    """With the port that its scheme has."""
    assert ("broker:5672/vhost", "broker:5671/vhost") == (host(PLAIN), host(EXTERNAL))
