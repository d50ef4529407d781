"""`courier log` line by line: what a person sees, and what no foreign log does to a terminal."""

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from service.cli import program
from service.eventlog.reading import harmless, harmless_foreign, harmless_json
from service.eventlog.showing import Paint, line_spans
from service.eventlog.tail import LONGEST
from tests.unit.storybook import Fields, shown, told

Show = Callable[..., str]


def texts(lines: list[Fields]) -> list[str]:
    return [json.dumps(line) for line in lines]


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return partial(shown, tmp_path)


def test_a_line_is_its_time_level_slug_and_the_fields_that_matter(show: Show) -> None:
    """The type is shortened, a correlation id that is the command's own left out, the day above."""
    line = told("command-finished", conclusion="failed", error_code="x", reason='a "b" c')
    line |= {"level": "warning", "trace_id": "0" * 32, "paths": ["/data"], "later": True}
    expected = (
        "09:12:31.482 warning command-finished     command_id=c-1"
        " command_type=query-sms-balance appliance=fac-1 conclusion=failed error_code=x"
        r' reason="a \"b\" c" paths=["/data"] later=true'
    )
    assert ["-- 2026-03-04 --", expected] == show([line]).splitlines()


def test_whose_a_line_is_comes_first(show: Show) -> None:
    """Wherever the service puts it: the eye finds it in one column."""
    line = told("command-delayed", of=None, retry_in=5) | {"command_id": "c-1", "appliance": "f"}
    assert show([line]).endswith("command-delayed      command_id=c-1 appliance=f retry_in=5\n")


def test_a_traceback_stands_below_its_line(show: Show) -> None:
    """Line by line, as it was."""
    line = told("internal-error", of=None, exception="Traceback\n  \x1b[2Jhere\nError: no")
    assert ["    Traceback", "      \\x1b[2Jhere", "    Error: no"] == show([line]).splitlines()[2:]


def test_the_day_is_told_when_it_is_another(show: Show) -> None:
    """A log that is read in the morning began yesterday."""
    lines = [told("service-stopped", after, of=None) for after in (0, 1, 86_400_000)]
    assert ["-- 2026-03-04 --", "-- 2026-03-05 --"] == [
        line for line in show(lines).splitlines() if line.startswith("--")
    ]


def test_levels_and_ends_have_colours_where_there_are_any() -> None:
    """A terminal gets them, a file does not; NO_COLOR is obeyed."""
    (spans,) = line_spans(told("command-finished", level="error", conclusion="unknown"))
    colourful = Console(force_terminal=True, color_system="standard", no_color=False)
    painted = Paint(colourful)(spans)
    assert "\x1b[31merror   \x1b[0m" in painted
    assert "\x1b[1;31munknown\x1b[0m" in painted
    for console in (Console(color_system=None), Console(force_terminal=True, no_color=True)):
        assert "\x1b" not in Paint(console)(spans)


PREFIXES: Final = ["", "courier-1  | ", "2026-03-04T09:12:31.482913Z ", "[pod/courier-0] "]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_before_the_object_is_passed_over(prefix: str, show: Show) -> None:
    """Container engines and kubectl put names and times there."""
    text = json.dumps(told("service-stopped", of=None))
    expected = "09:12:31.482 info    service-stopped"
    assert expected == show([prefix + text]).splitlines()[-1]
    assert f"{text}\n" == show([prefix + text], "--json", "--event", "service-stopped")


FOREIGN: Final = [
    *("words {", "{}", "[1]", '{"event": 7}', '{"a": NaN', "{]", '{"a":1}', "{" * 9),
    '{"a":' * 100_000,
]


def test_what_is_no_line_of_the_event_log_is_shown_as_it_is(show: Show) -> None:
    """Unless something is filtered, or another program is to read it."""
    assert FOREIGN == show(FOREIGN).splitlines()
    for option in (("--level", "debug"), ("--command", "c-1"), ("--json",), ("--timeline",)):
        assert "" == show(FOREIGN, *option)


def test_colours_of_another_program_are_taken_off(show: Show) -> None:
    """A log in the console format is readable; what else it does to a terminal is spelt out."""
    assert "red \\x1b]0;title\\x07 \\x9b2J\n" == show(
        ["\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J"]
    )


EVIL: Final = "\x1b]0;x\x07\x9b2J\u202e\u2028\r\b\x7f"
CHANGES: Final[dict[str, Fields]] = {
    "event": {"event": EVIL},
    "level": {"level": EVIL},
    "timestamp": {"timestamp": EVIL},
    "key": {EVIL: 1},
    "value": {"reason": EVIL},
    "nested": {"paths": [{EVIL: EVIL}]},
    "about": {"command_type": EVIL, "command_id": EVIL, "correlation_id": EVIL + "2"},
}


@pytest.mark.parametrize("options", [(), ("--timeline",), ("--json",)], ids=str)
def test_no_field_reaches_the_terminal_as_control(options: tuple[str, ...], show: Show) -> None:
    """Whatever part of a line somebody else has written, and however it is encoded."""
    lines = [
        json.dumps(told("command-received", of=place, reason="x") | change, ensure_ascii=is_ascii)
        for is_ascii in (True, False)
        for place, change in CHANGES.items()
    ]
    printed = show(lines, *options)
    assert [] == harm(printed)
    assert 14 <= len(printed.splitlines())


def harm(printed: str) -> list[str]:
    """Characters that a terminal obeys, or that hide what is there."""
    return [
        each
        for each in printed.replace("\n", "")
        if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and not "\u0600" <= each <= "\u0605"  # signs of Arabic that stand before numbers
    ]


@given(st.text(st.characters(categories=["Cc", "Zl", "Zp", "Lu"]) | st.sampled_from("\u202e")))
def test_no_text_is_harmful(text: str) -> None:
    """Every control character and separator of lines; and JSON means the same."""
    for safe in (harmless(text), harmless_foreign(text)):
        assert [] == harm(safe.replace("\n", "\\n"))
    encoded = json.dumps({"event": text}, ensure_ascii=False)
    assert [] == harm(harmless_json(encoded))
    assert {"event": text} == json.loads(harmless_json(encoded))


def test_markup_is_text(show: Show) -> None:
    """Words in brackets are no orders to the renderer, in the demo neither."""
    line = told("reply-ignored", reason="[bold red]x[/] [link=file:///]y[/link] :bomb:")
    assert json.dumps(line["reason"]) in show([line])
    assert "[bold]z[/bold]\n" == show(["[bold]z[/bold]"])
    console = Console(width=200, force_terminal=False, record=True, quiet=False)
    with console.capture() as captured:
        console.print(Text.assemble(*line_spans(line)[0]), soft_wrap=True)
    assert json.dumps(line["reason"]) in captured.get()


LINES: Final = [
    told("command-received", 0, of="c-1"),
    told("appliance-request", 1000, of="c-1", level="debug"),
    told("command-received", 2000, of="c-2", correlation_id="wf", appliance="fvc-1"),
    told("breaker-opened", 3000, of=None, appliance="fvc-1", level="warning"),
    told("command-finished", 4000, of="c-2", correlation_id="wf", level="error"),
    told("a-later-slug", 5000, of=None, level="notice"),
    told("no-time", of="c-3", timestamp="yesterday"),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--command", "c-1"), [0, 1]),
        (("--command", "c-1", "--command", "c-3"), [0, 1, 6]),
        (("--correlation", "wf"), [2, 4]),
        (("--appliance", "fvc-1"), [2, 3]),
        (("-a", "fvc-1", "--command", "c-2"), [2]),
        (("--event", "command-received"), [0, 2]),
        (("--event", "command-received", "--event", "no-time"), [0, 2, 6]),
        (("--level", "debug"), [0, 1, 2, 3, 4, 5, 6]),
        (("--level", "INFO"), [0, 2, 3, 4, 5, 6]),
        (("--level", "warning"), [3, 4]),
        (("--level", "critical"), []),
        (("--since", "2026-03-04T09:12:34.482Z"), [3, 4, 5]),
        (("--until", "2026-03-04T10:12:33.482+01:00"), [0, 1, 2]),
        (("--since", "2026-03-04T09:12:33Z", "--until", "2026-03-04T09:12:35Z"), [2, 3]),
        (("--since", "1s"), []),
        (("--until", "1s"), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_line_must_fit_all_that_is_asked_for(
    options: tuple[str, ...], expected: list[int], show: Show
) -> None:
    """Of one filter any value; and what is passed on is passed as it was."""
    assert [json.dumps(LINES[each]) for each in expected] == show(
        [*texts(LINES), "words"], "--json", *options
    ).splitlines()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--since", "yesterday"), "--since"),
        (("--until", "2026-03-04T09:12:31"), "--until"),
        (("--level", "loud"), "--level"),
        (("--timeline", "--json"), "exclude"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(options: tuple[str, ...], named: str) -> None:
    """Exit code 2, and the option is named."""
    result = CliRunner().invoke(program(), ["log", "x.log", *options])
    assert 2 == result.exit_code
    assert named in result.output


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("nowhere.log", None, "No such file or directory"),
        ("folder", "", "Is a directory"),
        ("courier.log.gz", b"\x1f\x8b\x08\x00\x00\x00", "is no text"),
        ("courier.db", b"SQLite format 3\x00" + bytes(90), "is no text"),
        ("bad\x1bname", None, "No such file or directory"),
    ],
)
@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes | str | None, why: str, follow: tuple[str, ...], tmp_path: Path
) -> None:
    """Exit code 2, and why."""
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    result = CliRunner().invoke(program(), ["log", str(path), *follow])
    assert (2, f"courier: {harmless(str(path))}: {why}\n") == (result.exit_code, result.stderr)


def test_a_line_without_end_comes_in_parts(show: Show) -> None:
    """Nobody can make the tool hold more than a mebibyte of it; bytes of no text are spelt out."""
    parts = show(["x" * (3 * LONGEST)]).splitlines()
    assert 3 * LONGEST == sum(map(len, parts))
    assert max(map(len, parts)) < LONGEST + 100_000


def test_a_file_that_was_cut_off_under_its_writer_is_read(tmp_path: Path) -> None:
    """It begins with zeros, which are no reason to call it no text."""
    path = tmp_path / "courier.log"
    path.write_bytes(bytes(70_000) + b"words\xff\r\n" + b"more")
    result = CliRunner().invoke(program(), ["log", str(path)])
    assert (0, "words\\xff\nmore\n") == (result.exit_code, result.stdout)
