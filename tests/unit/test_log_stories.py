"""`courier log --timeline`: one block per command, and no more in memory than is under way."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from service.eventlog.reading import read
from service.eventlog.showing import story_spans
from service.eventlog.stories import Stories
from tests.unit.storybook import Fields, shown, told, whole

Show = Callable[..., str]
BEGAN: Final = "2026-03-04 09:12:31 UTC"


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return partial(shown, tmp_path)


def test_a_timeline_has_a_block_for_each_command(show: Show) -> None:
    """A header, then each step with the time since the first; lines of no command are left out."""
    a, b = whole("c-1"), whole("c-2", after=2)
    other = told("service-ready", 3, of=None)
    lines = [other, a[0], b[0], a[1], b[1], other, a[2], b[2], b[3], a[3]]
    for line in b:
        line["correlation_id"] = "wf-7"
    expected = [
        "c-2  query-sms-balance  fac-1  correlation wf-7  succeeded in 24 ms  " + BEGAN,
        "        0 ms  info    command-received     attempt=1",
        "       20 ms  info    appliance-answered   requests=2 status=200 duration_ms=15.2",
        "       21 ms  info    command-finished     conclusion=succeeded attempt=1",
        "       24 ms  info    result-told          event_id=e-1 duration_ms=2.5",
        "",
    ]
    printed = show(lines, "--timeline").splitlines()
    assert expected == printed[:6]
    assert "c-1  query-sms-balance  fac-1  succeeded in 24 ms  " + BEGAN == printed[6]
    assert 12 == len(printed)


def test_waiting_in_a_retry_queue_is_a_gap(show: Show) -> None:
    """What took long was not the appliance; and one that waits still is not finished."""
    waits = [
        told("command-received", 0, attempt=1),
        told("command-delayed", 10, retry_in=5, attempt=1, error_code="unreachable"),
    ]
    back = whole(after=5_010)
    back[2] |= {"duration_ms": 5_031}
    printed = show([*waits, *back], "--timeline")
    assert "succeeded in 5.0 s" in printed
    assert "         ...  waited 5.0 s in a retry queue\n     5010 ms  info" in printed
    printed = show(waits, "--timeline")
    assert "not finished after 10 ms" in printed
    assert printed.endswith("         ...  waits in a retry queue\n\n")


def test_steps_stand_in_the_order_of_time(show: Show) -> None:
    """Lines of several couriers come in any order."""
    printed = show([*reversed(whole()[:3]), whole()[3]], "--timeline").splitlines()
    assert ["0", "20", "21", "24"] == [line.split()[0] for line in printed[1:5]]


def test_a_story_whose_beginning_is_not_there_has_its_whole_duration(show: Show) -> None:
    """A rotated log begins in the middle; the end knows how long it took."""
    steps = whole()[2:]
    for milliseconds, expected in (
        (90_000, "90.0 s"),
        (150_000, "2 min 30 s"),
        (9_000_000, "2 h 30 min"),
    ):
        steps[0] |= {"duration_ms": milliseconds}
        assert f"succeeded in {expected}" in show(steps, "--timeline")


def test_what_comes_after_the_end_belongs_to_it_until_the_command_comes_again(show: Show) -> None:
    """A reply that was ignored, the second telling of a joined delivery; a repeat is its own."""
    again = [
        told("command-received", 500, attempt=1),
        told("command-repeated", 501, conclusion="succeeded"),
        told("result-told", 502, event_id="e-1", duration_ms=1.0),
    ]
    late = [told("result-told", 30, event_id="e-1"), told("reply-ignored", 31, reply_to="x")]
    blocks = show([*whole(), *late, *again], "--timeline").strip().split("\n\n")
    assert [7, 4] == [len(block.splitlines()) for block in blocks]
    assert ["succeeded in 31 ms" in blocks[0], "succeeded in 2 ms" in blocks[1]] == [True, True]


def test_a_rejection_is_a_story_too(show: Show) -> None:
    """As far as its sender can be read, which is not the appliance."""
    steps = [
        told("command-rejected", level="warning", reason="contract-violation", queue="q", paths=[]),
        told("result-told", 3, event_id="e-1", duration_ms=2.5),
    ]
    for step in steps:
        del step["appliance"]
    printed = show(steps, "--timeline")
    assert printed.startswith(
        "c-1  query-sms-balance  rejected (contract-violation) in 3 ms  2026-"
    )


def test_slugs_and_levels_choose_whole_stories(show: Show) -> None:
    """Who asks for what went wrong wants to see how it came to that."""
    bad = whole("c-2")
    bad[2] |= {"level": "warning", "conclusion": "failed"}
    lines = [*whole("c-1"), *bad, *whole("c-3")]
    for options in (("--level", "warning"), ("--event", "none", "--command", "c-2")):
        blocks = show(lines, "--timeline", *options).strip().split("\n\n")
        assert [["c-2"], [""]][options[0] == "--event"] == [b.split(" ")[0] for b in blocks]


def test_a_step_without_a_time_stays_where_it_is() -> None:
    """And a story that has none at all is printed all the same."""
    steps = whole()
    steps[1]["timestamp"] = "never"
    printed = ["".join(text for text, _ in spans) for spans in story_spans(steps)]
    assert "        0 ms  info    appliance-answered" in printed[2]
    for step in steps:
        step["timestamp"] = None
    assert 6 == len(list(story_spans(steps)))


def give(stories: Stories, lines: list[Fields]) -> list[list[str]]:
    """What is given out while these lines come, by their slugs."""
    given = [list(stories.add(read(json.dumps(line)))) for line in lines]
    return [[str(each["event"]) for each in story] for found in given for story in found]


def test_stories_that_ended_are_forgotten() -> None:
    """A log of any length needs no more memory than the commands that are under way."""
    stories = Stories(lambda _: True)
    given = give(stories, [line for number in range(500) for line in whole(f"c-{number}")])
    assert [4] * (500 - 64) == [len(story) for story in given]
    assert 64 == len(list(stories.rest()))
    assert [] == list(stories.rest())


def test_stories_without_end_are_given_up_when_there_are_too_many() -> None:
    """The one of which nothing was heard for longest goes first; its later lines are another."""
    size = len(json.dumps(told("command-received", of="c-100")))
    stories = Stories(lambda _: True, held=100 * size)
    lines = [told("command-received", of=f"c-{number}") for number in range(100, 201)]
    given = give(stories, [lines[0], lines[1], lines[0], *lines[2:]])
    assert [["command-received"], ["command-received"] * 2] == given
    assert 99 == len(list(stories.rest()))


def test_an_endless_story_is_given_out_in_parts() -> None:
    """A command that is redelivered again and again fills no memory."""
    stories = Stories(lambda _: True)
    given = give(stories, [told("command-received")] * 2500)
    assert [1000, 1000] == [len(story) for story in given]
    assert [500] == [len(story) for story in stories.rest()]
