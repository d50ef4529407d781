from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from service.simulator import Books, FortiVoice
from service.simulator.sessions import Sessions

if TYPE_CHECKING:
    from tests.appliances.simulator.driving import Voice


@pytest.mark.parametrize(
    ("switch", "reason"), [("session_lifetime", "expired"), ("session_idle", "idle")]
)
async def test_sessions_can_end_by_themselves(
    voice: Voice, fvc: FortiVoice, switch: str, reason: str
) -> None:
    """A session is over when its time since the login, or since its last use, is."""
    fvc.set_switches({switch: 3600})
    await voice.login()
    assert (await voice.devices()).status_code == 200

    fvc.set_switches({switch: 0})
    assert (await voice.devices()).status_code == 403
    assert {reason: 1} == fvc.books.sessions_ended


def test_only_the_lifetime_counts_from_the_login() -> None:
    """A session that is used does not become idle, but old."""
    cookies = map(str, count())
    sessions = Sessions(Books("fvc-1"), lambda: next(cookies))
    session = sessions.open(limit=None)
    session.began -= 100
    session.used -= 100

    assert session is sessions.find("name=0", "name")
    sessions.end_old(lifetime=None, idle=50)
    assert session is sessions.find("name=0", "name")
    sessions.end_old(lifetime=50, idle=None)
    assert sessions.find("name=0", "name") is None


async def test_a_login_beyond_the_limit_ends_the_oldest_session(
    voice: Voice, fvc: FortiVoice
) -> None:
    """The table of sessions has the newest ones, also when a cookie was rotated meanwhile."""
    fvc.session_limit = 2
    cookies = []
    for _ in range(3):
        await voice.login()
        cookies.append(voice.cookie)
    statuses = []
    for voice.cookie in cookies:
        statuses.append((await voice.devices()).status_code)

    assert [403, 200, 200] == statuses
    assert {"evicted": 1} == fvc.books.sessions_ended
    assert (2, 2) == (fvc.books.sessions_open, fvc.books.sessions_peak)


async def test_a_lower_limit_is_reached_with_the_next_login(voice: Voice, fvc: FortiVoice) -> None:
    """As many of the oldest sessions end as are too many."""
    for _ in range(4):
        await voice.login()

    fvc.session_limit = 1
    await voice.login()

    assert {"evicted": 4} == fvc.books.sessions_ended
    assert 1 == fvc.books.sessions_open


async def test_a_session_that_is_over_takes_no_place(voice: Voice, fvc: FortiVoice) -> None:
    """Old sessions are gone before the limit is looked at."""
    fvc.session_limit = 1
    await voice.login()
    fvc.session_lifetime = 0

    await voice.login()

    assert {"expired": 1} == fvc.books.sessions_ended
