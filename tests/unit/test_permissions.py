"""What an account may do: learnt from answers, doubted once, and believed for a while."""

import pytest

from service.appliances.permissions import Permissions
from tests.support.clock import Clock

READ, WRITE = "devices", "upload"


@pytest.fixture
def permissions() -> Permissions:
    return Permissions("fvc-1", 300)


def refused_in_new_sessions(permissions: Permissions, operation: str = READ) -> int:
    """Tell how many sessions in a row refuse it, each anew, before it is believed."""
    sessions = 1
    while not permissions.lacks(operation, set()):
        sessions += 1
        assert sessions < 10
    return sessions


def test_what_never_worked_is_denied_when_a_second_session_refuses_it(
    permissions: Permissions,
) -> None:
    """The first one may have been over."""
    assert 2 == refused_in_new_sessions(permissions)
    assert permissions.denied_lately(READ)


def test_what_worked_in_an_earlier_session_is_doubted_once_more(permissions: Permissions) -> None:
    """Two sessions in a row may be over; a third would be strange."""
    permissions.note(READ, set())
    assert 3 == refused_in_new_sessions(permissions)


def test_what_worked_in_this_session_says_that_it_is_over(permissions: Permissions) -> None:
    """A session that expires after each success never looks like a missing permission."""
    for _ in range(20):
        session: set[str] = set()
        permissions.note(READ, session)
        assert not permissions.lacks(READ, session)


def test_what_was_denied_is_no_longer_taken_to_work(permissions: Permissions) -> None:
    """The benefit of the doubt is spent."""
    permissions.note(READ, set())
    refused_in_new_sessions(permissions)
    assert 2 == refused_in_new_sessions(permissions)


def test_a_success_forgets_what_was_refused_before(permissions: Permissions) -> None:
    """It was a session after all, or somebody granted it."""
    permissions.lacks(READ, set())
    permissions.note(READ, set())
    assert 3 == refused_in_new_sessions(permissions)
    permissions.note(READ, set())
    assert not permissions.denied_lately(READ)


def test_each_operation_is_a_permission_of_its_own(permissions: Permissions) -> None:
    """One that is denied says nothing of another."""
    permissions.note(WRITE, set())
    refused_in_new_sessions(permissions, READ)
    assert not permissions.denied_lately(WRITE)
    assert 3 == refused_in_new_sessions(permissions, WRITE)


def test_a_denial_is_believed_for_the_cool_down(clock: Clock, permissions: Permissions) -> None:
    """Then a login finds out again."""
    assert not permissions.denied_lately(READ)
    refused_in_new_sessions(permissions)
    clock.forward(299)
    assert permissions.denied_lately(READ)
    clock.forward(1)
    assert not permissions.denied_lately(READ)
    assert 2 == refused_in_new_sessions(permissions)
