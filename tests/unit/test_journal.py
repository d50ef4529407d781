"""The journal: what the event log told of commands lately, in a place that does not grow."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from service.journal import KEPT, Journal
from service.journal.followed import LINES, Followed, State
from service.journal.hour import SLOTS, Histogram
from service.telemetry import about, heard_by, log

START: Final = datetime(2026, 3, 4, 9, 12, 31, tzinfo=UTC)
QUERY: Final = "courier.query-devices.v1"


class Told:
    """An event log that tells a journal what a test wants, at an hour that the test chooses."""

    def __init__(self) -> None:
        self.at = START
        self.journal = Journal(lambda: self.at)

    def line(self, event: str, command: str | None = "c-1", **fields: object) -> None:
        mine = {"command_id": command, "command_type": QUERY, "appliance": "fvc-1"}
        self.journal.hear(
            {
                "timestamp": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": "info",
                "event": event,
                **(mine if command is not None else {}),
                **fields,
            }
        )

    def received(self, command: str = "c-1", **fields: object) -> None:
        self.line("command-received", command, **{"attempt": 1, "correlation_id": "o-1"} | fields)

    def finished(self, command: str = "c-1", took: int = 80, **fields: object) -> None:
        told = {"conclusion": "succeeded", "attempt": 1, "duration_ms": took}
        self.line("command-finished", command, **told | fields)

    def delayed(self, command: str = "c-1", retry_in: int = 5) -> None:
        self.line(
            "command-delayed", command, retry_in=retry_in, attempt=1, error_code="unreachable"
        )

    def later(self, **time: float) -> None:
        self.at += timedelta(**time)

    def all(self) -> dict[str, Followed]:
        return {one.id: one for one in self.journal.look().commands}


@pytest.fixture
def told() -> Told:
    return Told()


def events(one: Followed) -> list[str]:
    return [line.event for line in one.lines]


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def test_a_command_runs_from_its_receipt_to_its_end(told: Told) -> None:
    """What was told of both stands in one place: type, appliance, instants, conclusion, tries."""
    told.received()
    (one,) = told.all().values()
    assert (State.RUNNING, 1, milliseconds(START)) == (one.state, one.attempts, one.received)
    told.later(seconds=2)
    told.finished(took=2000, conclusion="failed", error_code="unreachable", attempt=3)
    (one,) = told.all().values()
    assert (QUERY, "fvc-1", "o-1") == (one.type, one.appliance, one.correlation_id)
    assert (State.ENDED, "failed", "unreachable") == (one.state, one.conclusion, one.error)
    assert (3, 2000, milliseconds(told.at)) == (one.attempts, one.duration, one.ended)


def test_a_delayed_command_waits_and_its_story_goes_on(told: Told) -> None:
    """The page says until when, and why; the next try is the same command."""
    told.received()
    told.delayed(retry_in=30)
    (one,) = told.all().values()
    expected = (State.WAITING, milliseconds(START) + 30_000, "unreachable")
    assert expected == (one.state, one.until, one.error)
    told.later(seconds=30)
    told.received(attempt=2)
    assert (State.RUNNING, None, 2) == (one.state, one.until, one.attempts)
    told.finished()
    assert [one] == list(told.all().values())
    expected_story = ["command-received", "command-delayed", "command-received", "command-finished"]
    assert expected_story == events(one)


def test_what_is_told_after_the_end_belongs_to_the_story(told: Told) -> None:
    """The result is told, or the reply is not delivered, after the command has finished."""
    told.received()
    told.finished()
    told.line("result-told", event_id="e-1")
    (one,) = told.all().values()
    assert ["command-received", "command-finished", "result-told"] == events(one)
    assert {"event_id": "e-1"} == one.lines[-1].fields


def test_a_line_is_kept_without_what_every_line_says(told: Told) -> None:
    """A story of forty lines does not hold the command's name forty times."""
    told.received()
    told.line("session-reused", correlation_id="o-1", trace_id="0" * 32, status=200)
    (one,) = told.all().values()
    assert {"status": 200} == one.lines[-1].fields


@pytest.mark.parametrize("command", ["c-1", None])
def test_a_rejected_message_has_ended(command: str | None, told: Told) -> None:
    """With its reason for an error, even when nobody can read its id."""
    told.line("command-rejected", command, reason="not-json", paths=["/a", "/b"])
    (one,) = told.all().values()
    expected = (command or "", State.ENDED, "rejected", "not-json")
    assert expected == (one.id, one.state, one.conclusion, one.error)
    assert "/a, /b" == one.lines[0].fields["paths"]


def test_a_conflict_does_not_end_the_command_that_runs(told: Told) -> None:
    """Another message with the id of a running command is rejected; that one goes on."""
    told.received()
    told.received()
    told.line("command-rejected", reason="id-conflict")
    rejected, running = sorted(told.journal.look().commands, key=lambda one: one.state)
    assert ("rejected", "") == (rejected.conclusion, running.conclusion)
    told.finished()
    assert ("rejected", "succeeded") == (rejected.conclusion, running.conclusion)


def test_a_command_that_was_given_up_has_ended(told: Told) -> None:
    """However often it was received before: it is not taken for another message."""
    for _ in range(3):
        told.received()
    told.line("command-rejected", reason="delivery-limit")
    assert State.ENDED is told.all()["c-1"].state
    assert 1 == len(told.all())


def test_a_delivery_that_joins_in_the_last_moment_ends_with_the_other(told: Told) -> None:
    """The command has ended, but its work is still there to be joined."""
    told.received()
    told.finished()
    told.received()
    told.line("command-joined")
    told.line("result-told", event_id="e")
    told.line("result-told", event_id="e")
    assert [("succeeded", False), ("succeeded", True)] == sorted(
        (one.conclusion, one.repeated) for one in told.journal.look().commands
    )


def test_a_repeated_command_is_another_row_and_no_work(told: Told) -> None:
    """It is answered again with what was stored: it counts in no figure."""
    told.received()
    told.finished()
    told.received()
    told.line("command-repeated", conclusion="succeeded")
    again, first = told.journal.look().commands
    assert (True, False) == (again.repeated, first.repeated)
    assert [{"succeeded": 1}] == [minute.ends for minute in told.journal.look().minutes]


def test_lines_about_no_command_are_not_kept(told: Told) -> None:
    """Nor those about a command that has been forgotten."""
    told.line("session-closed", None, appliance="fvc-1")
    told.line("appliance-answered", "forgotten")
    assert {} == told.all()
    assert 0 == told.journal.version


def test_ten_thousand_commands_take_no_more_room_than_two_hundred(told: Told) -> None:
    """The newest are kept, by number too; whoever has been forgotten is found no more."""
    for number in range(10_000):
        told.received(f"c-{number}")
        told.finished(f"c-{number}")
        told.line("result-told", f"c-{number}")
    look = told.journal.look()
    assert [f"c-{number}" for number in range(10_000 - KEPT, 10_000)] == sorted(
        one.id for one in look.commands
    )
    assert None is told.journal.find(1)
    assert look.commands[0] is told.journal.find(10_000)


@pytest.mark.parametrize(
    ("state", "most", "step"),
    [(State.RUNNING, 500, Told.received), (State.WAITING, 300, Told.delayed)],
)
def test_what_does_not_end_takes_no_endless_room(
    state: State, most: int, step: Callable[[Told, str], None], told: Told
) -> None:
    """A backlog in the retry queues is as long as it likes; the newest are kept."""
    for number in range(1000):
        told.received(f"c-{number}")
        step(told, f"c-{number}")
    kept = [one for one in told.journal.look().commands if one.state is state]
    assert {f"c-{number}" for number in range(1000 - most, 1000)} == {one.id for one in kept}


def test_who_runs_again_does_not_count_as_waiting(told: Told) -> None:
    """A backlog behind it does not push it out."""
    told.received("c-1")
    told.delayed("c-1")
    told.received("c-1")
    for number in range(400):
        told.delayed(f"d-{number}")
    assert State.RUNNING is told.all()["c-1"].state


def test_a_story_keeps_its_last_lines(told: Told) -> None:
    """It says how many older ones are left out; a text is cut, a traceback at its beginning."""
    told.received()
    for number in range(LINES + 4):
        told.line("appliance-answered", requests=number)
    told.line("internal-error", exception=f"Traceback{'x' * 5000}ValueError: no", reason="y" * 5000)
    (one,) = told.all().values()
    assert (LINES, 6) == (len(one.lines), one.left_out)
    assert str(one.lines[-1].fields["exception"]).endswith("xValueError: no")
    assert [1000, 300] == [len(str(value)) for value in one.lines[-1].fields.values()]


def test_a_look_tells_what_changed_since_the_last_one(told: Told) -> None:
    """And nothing twice: commands, what is kept no more, and minutes."""
    told.received("c-1")
    told.received("c-2")
    first = told.journal.look()
    told.finished("c-2")
    second = told.journal.look(first.version)
    assert (True, False) == (first.whole, second.whole)
    assert (["c-2"], [{"succeeded": 1}]) == (
        [one.id for one in second.commands],
        [minute.ends for minute in second.minutes],
    )
    third = told.journal.look(second.version)
    assert ([], [], []) == (third.commands, third.minutes, third.gone)
    for number in range(KEPT):
        told.received(f"d-{number}")
        told.finished(f"d-{number}")
    (c_2,) = second.commands
    assert [c_2.number] == told.journal.look(third.version).gone


def test_who_did_not_look_for_long_gets_everything(told: Told) -> None:
    """What was forgotten meanwhile is not remembered for ever; nor is a version that never was."""
    told.received("c-1")
    long_ago = told.journal.look().version
    for number in range(2 * KEPT):
        told.received(f"d-{number}")
        told.finished(f"d-{number}")
    assert not told.journal.look(long_ago).whole
    for number in range(2000):
        told.received(f"e-{number}")
        told.finished(f"e-{number}")
    assert told.journal.look(long_ago).whole
    assert KEPT + 1 == len(told.journal.look(long_ago).commands)
    assert told.journal.look(told.journal.version + 1).whole


def test_an_hour_has_sixty_minutes(told: Told) -> None:
    """Ends are counted by minute and conclusion; what is older than an hour is not told."""
    for minute in range(2 * SLOTS):
        for conclusion in ("succeeded", "failed")[: 1 + minute % 2]:
            told.received()
            told.finished(conclusion=conclusion)
        told.later(minutes=1)
    told.line("command-rejected", "c-9", reason="not-json")
    minutes = {minute.number: minute.ends for minute in told.journal.look().minutes}
    now = milliseconds(told.at) // 60_000
    assert set(range(now - SLOTS + 1, now + 1)) == set(minutes)
    assert ({"rejected": 1}, {"succeeded": 1, "failed": 1}) == (minutes[now], minutes[now - 1])
    told.later(minutes=SLOTS)
    assert [] == told.journal.look().minutes


def test_durations_of_the_hour_are_told_together(told: Told) -> None:
    """Half of them took no longer than the median, of this hour alone."""
    told.finished(took=3_600_000)
    told.later(hours=2)
    for took in range(1, 101):
        told.finished(took=took)
    (minute,) = told.journal.look().minutes
    for durations in (minute.durations, told.journal.look().hour):
        assert 50 == pytest.approx(durations.quantile(0.5), abs=3)
        assert 95 == pytest.approx(durations.quantile(0.95), abs=3)


@pytest.mark.parametrize("took", [0, 1, 5, 6, 999, 86_400_000, 10**9])
def test_a_quantile_is_never_beyond_the_longest(took: int) -> None:
    """However wide the bucket is; none is told of nothing."""
    durations = Histogram()
    assert None is durations.quantile(0.95)
    durations.add(took)
    assert took == durations.quantile(1)
    assert 0 <= (durations.quantile(0.5) or 0) <= took


def test_it_hears_the_event_log() -> None:
    """The story on the page is the lines of the log, and no other."""
    journal = Journal()
    with heard_by(journal.hear), about(command_id="c-1", command_type=QUERY, appliance="fvc-1"):
        log.info("command-received", attempt=1)
        log.info("command-finished", conclusion="succeeded", attempt=1, duration_ms=12)
    (one,) = journal.look().commands
    assert ("c-1", "succeeded", 12) == (one.id, one.conclusion, one.duration)
    assert ["command-received", "command-finished"] == events(one)
