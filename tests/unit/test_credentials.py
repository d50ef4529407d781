"""When an appliance may be logged into: never again with what it refused, and never in a loop."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.appliances.credentials import Credentials, CredentialsRefused, Rules
from service.errors import Code, Waiting
from tests.support.clock import Clock
from tests.unit.device import FakeSecret


@pytest.fixture
def secret() -> FakeSecret:
    return FakeSecret("first")


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


def made(secret: FakeSecret, *, cooldown: float = 300, logins: int = 10) -> Credentials:
    return Credentials("fvc-1", secret, Rules(cooldown=cooldown, idle=600, logins=logins, doubt=0))


def refused(credentials: Credentials) -> None:
    """Log in and be refused."""
    credentials.note_refused(credentials.take())


def kept_back(credentials: Credentials) -> Waiting:
    """Ask for a login that is not allowed now."""
    with pytest.raises(Waiting) as caught:
        credentials.take()
    return caught.value


def test_the_password_is_read_for_every_login(secret: FakeSecret) -> None:
    """One that was rotated needs no restart."""
    credentials = made(secret)
    assert "first" == credentials.take()
    secret.text = "second"
    assert "second" == credentials.take()


def test_a_refused_password_is_given_again_when_the_cool_down_is_over(
    clock: Clock, secret: FakeSecret
) -> None:
    """And then for one login: if it is refused again, the time begins anew."""
    credentials = made(secret, cooldown=300)
    refused(credentials)
    for _ in range(2):
        clock.forward(299)
        assert isinstance(kept_back(credentials), CredentialsRefused)
        clock.forward(1)
        refused(credentials)
    assert isinstance(kept_back(credentials), CredentialsRefused)
    assert (0, 3) == (credentials.accepted, credentials.refused)


def test_another_password_is_given_at_once(secret: FakeSecret) -> None:
    """Whoever corrected it need not wait; one that comes back unused is still refused."""
    credentials = made(secret)
    refused(credentials)
    secret.text = "second"
    assert "second" == credentials.take()
    secret.text = "first"
    assert isinstance(kept_back(credentials), CredentialsRefused)


def test_a_login_that_succeeds_ends_the_refusal(secret: FakeSecret) -> None:
    """Whether it was with the same password or another one."""
    credentials = made(secret, cooldown=0)
    seen = [credentials.are_refused]
    refused(credentials)
    seen.append(credentials.are_refused)
    credentials.note_accepted()
    seen.append(credentials.are_refused)
    assert [False, True, False] == seen
    assert (1, 1) == (credentials.accepted, credentials.refused)


def test_a_refusal_keeps_no_password(secret: FakeSecret) -> None:
    """It is known again by its digest: what is kept can be dumped, the password cannot."""
    secret.text = "a password that nobody else has"
    credentials = made(secret)
    refused(credentials)
    assert "nobody else" not in repr(vars(credentials))


def test_a_password_that_cannot_be_read_costs_no_login(secret: FakeSecret) -> None:
    """Whoever reads nothing sends nothing."""
    credentials = made(secret, logins=1)
    secret.text = None
    for _ in range(3):
        assert Code.CREDENTIALS_REFUSED is kept_back(credentials).code
    secret.text = "first"
    assert "first" == credentials.take()


def test_the_budget_holds_within_every_five_minutes(clock: Clock, secret: FakeSecret) -> None:
    """Each login is forgotten five minutes after it, not all of them together."""
    credentials = made(secret, logins=3)
    for _ in range(3):
        credentials.take()
        clock.forward(90)

    assert 29 < (kept_back(credentials).retry_after or 0) <= 30
    clock.forward(30)
    credentials.take()
    assert 89 < (kept_back(credentials).retry_after or 0) <= 90


def test_a_spent_budget_says_what_is_wrong(secret: FakeSecret) -> None:
    """It is no refusal of the credentials, and no reason to look for the network."""
    credentials = made(secret, logins=2)
    for _ in range(2):
        credentials.take()

    error = kept_back(credentials)

    assert (Waiting, Code.APPLIANCE_ERROR) == (type(error), error.code)
    assert error.message == (
        "fvc-1 was logged into 2 times within 300 s;"
        " something keeps its sessions from opening or lasting"
    )


def test_a_login_that_is_given_back_was_none(secret: FakeSecret) -> None:
    """The appliance has not seen it."""
    credentials = made(secret, logins=1)
    for _ in range(5):
        credentials.take()
        credentials.give_back()
    credentials.take()
    kept_back(credentials)


def test_a_refused_password_is_not_paid_for_again(secret: FakeSecret) -> None:
    """Who is kept back by the refusal has sent nothing."""
    credentials = made(secret, logins=2)
    refused(credentials)
    for _ in range(5):
        kept_back(credentials)
    secret.text = "second"
    assert "second" == credentials.take()


def test_a_spent_budget_is_told_once_until_a_login_is_allowed_again(
    clock: Clock, secret: FakeSecret, lines: list[EventDict]
) -> None:
    """One error line for the person who must look."""
    credentials = made(secret, logins=1)
    for _ in range(2):
        credentials.take()
        for _ in range(5):
            kept_back(credentials)
        clock.forward(300)

    told = [(line["event"], line["log_level"], line["appliance"]) for line in lines]
    assert [("login-budget-spent", "error", "fvc-1")] * 2 == told


def test_every_refusal_is_told(secret: FakeSecret, lines: list[EventDict]) -> None:
    """There is one for each login that was tried."""
    credentials = made(secret)
    for text in ("first", "second"):
        secret.text = text
        refused(credentials)
        kept_back(credentials)

    told = [(line["event"], line["log_level"], line["appliance"]) for line in lines]
    assert [("credentials-refused", "error", "fvc-1")] * 2 == told
