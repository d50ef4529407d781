"""What an account may do: learnt from answers, doubted once, and believed for a while."""

import pytest

from service.appliances.permissions import Permissions
from tests.support.clock import Clock

READ, WRITE = "devices", "upload"


@pytest.fixture
def permissions() -> Permissions:
    return Permissions("fvc-1", 300, 0)


def refused_in_new_sessions(permissions: Permissions, operation: str = READ) -> int:
    """Tell how many sessions in a row refuse it, each anew, before it is believed."""
    sessions = 1
    while not permissions.count_refusal(operation, set()):
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
    permissions.note_answered(READ, set(), works=True)
    assert 3 == refused_in_new_sessions(permissions)


def test_what_worked_in_this_session_says_that_it_is_over(permissions: Permissions) -> None:
    """A session that expires after each success never looks like a missing permission."""
    for _ in range(20):
        session: set[str] = set()
        permissions.note_answered(READ, session, works=True)
        assert not permissions.count_refusal(READ, session)


def test_what_was_denied_is_no_longer_taken_to_work(permissions: Permissions) -> None:
    """The benefit of the doubt is spent."""
    permissions.note_answered(READ, set(), works=True)
    refused_in_new_sessions(permissions)
    assert 2 == refused_in_new_sessions(permissions)


def test_a_success_forgets_what_was_refused_before(permissions: Permissions) -> None:
    """It was the session after all."""
    permissions.count_refusal(READ, set())
    permissions.note_answered(READ, set(), works=True)
    assert 3 == refused_in_new_sessions(permissions)


def test_an_answer_that_is_no_success_forgets_it_too(permissions: Permissions) -> None:
    """Whoever is answered 500 was let in; that it works is not known by that."""
    permissions.count_refusal(READ, set())
    permissions.note_answered(READ, set(), works=False)
    assert 2 == refused_in_new_sessions(permissions)


def test_refusals_of_sessions_that_are_far_apart_are_not_counted_together(
    clock: Clock, permissions: Permissions
) -> None:
    """A session that ends once an hour before its first use is no missing permission."""
    for _ in range(5):
        assert not permissions.count_refusal(READ, set())
        clock.forward(61)


def test_what_works_and_is_denied_by_turns_is_not_doubted_each_time(
    permissions: Permissions,
) -> None:
    """What is denied may depend on what is asked for: after one denial a second is no surprise."""
    permissions.note_answered(READ, set(), works=True)
    assert 3 == refused_in_new_sessions(permissions)
    permissions.note_answered(READ, set(), works=True)
    assert not permissions.denied_lately(READ)
    assert 2 == refused_in_new_sessions(permissions)


def test_each_operation_is_a_permission_of_its_own(permissions: Permissions) -> None:
    """One that is denied says nothing of another."""
    permissions.note_answered(WRITE, set(), works=True)
    refused_in_new_sessions(permissions, READ)
    assert not permissions.denied_lately(WRITE)
    assert 3 == refused_in_new_sessions(permissions, WRITE)


def test_new_sessions_that_are_refused_at_once_are_believed_after_a_while(clock: Clock) -> None:
    """Whatever ended the first of them may have ended the others; it is asked once more, later."""
    permissions = Permissions("fvc-1", 300, 3.0)
    assert not permissions.count_refusal(READ, set(), age=50)
    assert 0 == permissions.pause(READ)
    assert not permissions.count_refusal(READ, set(), age=0.1)
    assert 3 == pytest.approx(permissions.pause(READ), abs=0.1)
    assert 0 == permissions.pause(WRITE)
    clock.forward(3.2)
    assert 0 == permissions.pause(READ)
    assert permissions.count_refusal(READ, set(), age=0.1)


def test_a_session_that_others_opened_in_the_while_proves_nothing(clock: Clock) -> None:
    """It may have ended with those before it; the next one is opened after the while."""
    permissions = Permissions("fvc-1", 300, 3.0)
    assert not permissions.count_refusal(READ, set(), age=50)
    assert not permissions.count_refusal(READ, set(), age=0.1)
    clock.forward(3.1)
    for age in (3.0, 0.5):
        assert not permissions.count_refusal(READ, set(), age=age)
    assert 0 == permissions.pause(READ)
    assert permissions.count_refusal(READ, set(), age=0.05)


def test_a_success_after_the_while_forgets_the_doubt(clock: Clock) -> None:
    """The next time it is waited for again."""
    permissions = Permissions("fvc-1", 300, 3.0)
    for _ in range(3):
        assert not permissions.count_refusal(READ, set(), age=0.1)
        assert permissions.pause(READ)
        clock.forward(3)
        permissions.note_answered(READ, set(), works=True)
        assert 0 == permissions.pause(READ)


def test_a_denial_is_believed_for_the_cool_down(clock: Clock, permissions: Permissions) -> None:
    """Then a login finds out again."""
    assert not permissions.denied_lately(READ)
    refused_in_new_sessions(permissions)
    clock.forward(299)
    assert permissions.denied_lately(READ)
    clock.forward(1)
    assert not permissions.denied_lately(READ)
    assert 2 == refused_in_new_sessions(permissions)
