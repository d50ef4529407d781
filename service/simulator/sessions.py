"""FortiVoice's sessions: which cookie is worth something, and what belongs to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.simulator import samples

if TYPE_CHECKING:
    from service.simulator.books import Books


@dataclass
class Session:
    """A login and what it was given; tokens and file ids are single-use and of no other session.

    Attributes:
        cookie: The cookie's value as the client must send it, byte for byte.
        began: When it was opened, in seconds of a clock that only runs forward.
        tokens: Upload tokens that are not used yet.
        files: SHA-256 of uploaded files that are not applied yet, by file id.
    """

    cookie: str
    began: float
    tokens: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)


class Sessions:
    """All valid sessions of one appliance.

    Attributes:
        lifetime: Seconds from its login on that a session is valid; None for ever.
    """

    def __init__(self, books: Books) -> None:
        self.lifetime: float | None = None
        self._books = books
        self._valid: dict[str, Session] = {}

    def open(self) -> Session:
        """Open a session with a cookie of its own."""
        session = Session(samples.cookie_value(), time.monotonic())
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
                return self._unless_expired(session)
        return None

    def rotate(self, session: Session) -> None:
        """Give a session another cookie; a session that is over stays so."""
        alive = self._valid.pop(session.cookie, None) is not None
        session.cookie = samples.cookie_value()
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

    def _unless_expired(self, session: Session) -> Session | None:
        age = time.monotonic() - session.began
        if self.lifetime is None or age < self.lifetime:
            return session
        self.end(session, "expired")
        return None
