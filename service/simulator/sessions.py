"""FortiVoice's sessions: which cookie is worth something, and what belongs to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.simulator.books import Books


@dataclass
class Session:
    """A login and what it was given; tokens and file ids are single-use and of no other session.

    Attributes:
        cookie: The cookie's value as the client must send it, byte for byte.
        began: When it was opened, in seconds of a clock that only runs forward.
        used: When it was used last.
        tokens: Upload tokens that are not used yet.
        files: SHA-256 of uploaded files that are not applied yet, by file id.
    """

    cookie: str
    began: float
    used: float
    tokens: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)


class Sessions:
    """All valid sessions of one appliance; ``new_cookie`` makes the values of their cookies."""

    def __init__(self, books: Books, new_cookie: Callable[[], str]) -> None:
        self._books = books
        self._new_cookie = new_cookie
        self._valid: dict[str, Session] = {}

    def open(self, limit: int | None) -> Session:
        """Open a session with a cookie of its own; one beyond the limit ends the oldest."""
        while limit is not None and len(self._valid) >= limit:
            self.end(min(self._valid.values(), key=attrgetter("began")), "evicted")
        now = time.monotonic()
        session = Session(self._new_cookie(), began=now, used=now)
        self._valid[session.cookie] = session
        self._books.session_opened()
        return session

    def find(self, cookie_header: str, name: str) -> Session | None:
        """Return the session that a ``Cookie`` header names, if it is valid.

        Nothing is decoded: a value that was is another one (appliances.md, "byte for byte").
        """
        for pair in cookie_header.split(";"):
            key, _, value = pair.strip().partition("=")
            session = self._valid.get(value) if key == name else None
            if session is not None:
                session.used = time.monotonic()
                return session
        return None

    def rotate(self, session: Session) -> None:
        """Give a session another cookie; a session that is over stays so."""
        alive = self._valid.pop(session.cookie, None) is not None
        session.cookie = self._new_cookie()
        if alive:
            self._valid[session.cookie] = session

    def end(self, session: Session, reason: str) -> None:
        """End one session."""
        del self._valid[session.cookie]
        self._books.session_ended(reason)

    def expire(self) -> int:
        """End all sessions and return how many there were."""
        ended = list(self._valid.values())
        for session in ended:
            self.end(session, "expired")
        return len(ended)

    def end_old(self, lifetime: float | None, idle: float | None) -> None:
        """End the sessions that began, or were used last, this many seconds ago or earlier."""
        now = time.monotonic()
        for session in list(self._valid.values()):
            if lifetime is not None and now - session.began >= lifetime:
                self.end(session, "expired")
            elif idle is not None and now - session.used >= idle:
                self.end(session, "idle")
