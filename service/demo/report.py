"""What the demonstration shows: what came of each message, and whether it is what should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from service.demo.workflow import FAC
from service.eventlog.showing import line_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from service.demo.running import Line
    from service.demo.workflow import Answer, Step
    from service.simulator import Simulator

_KNOWN = frozenset({"command_id", "command_type", "correlation_id"})
"""Fields that are the same on all lines that are shown together."""


def report(
    console: Console,
    answers: Sequence[tuple[Step, Answer]],
    lines: Sequence[Line],
    simulator: Simulator,
) -> bool:
    """Show what came of it, and say whether it is what should have come of it."""
    _print_answers(console, answers)

    sessions = Table("appliance", "sessions opened", "requests answered", box=None)
    opened = dict.fromkeys(simulator.appliances, 0)
    for line in lines:
        if line.event == "session-opened":
            opened[str(line.fields["appliance"])] += 1
    for name, appliance in simulator.appliances.items():
        sessions.add_row(name, str(opened[name]), str(sum(appliance.books.requests.values())))
    console.print("\nSessions")
    console.print(sessions)

    activation = answers[2][0].draft.id
    console.print(f"\nThe event log of the activation, {activation}, sent twice")
    print_log(console, [line for line in lines if line.fields.get("command_id") == activation])

    spent = simulator.appliances[FAC].books.spent.values()
    findings = {
        "every command ended as it should": all(
            answer["data"]["conclusion"] == step.expected for step, answer in answers
        ),
        "the licence was sent and spent once": [entry.times for entry in spent] == [1],
        "one session per appliance": set(opened.values()) == {1},
        "the repeated command was told the same event": all(
            answers[2][1][name] == answers[3][1][name] for name in ("id", "data")
        ),
    }
    console.print()
    for sentence, holds in findings.items():
        console.print(f"{'[green]yes[/]' if holds else '[red]NO [/]'} {sentence}")
    return all(findings.values())


def print_log(console: Console, lines: Sequence[Line]) -> None:
    """Show lines of the event log as `courier log` does."""
    for line in lines:
        for spans in line_spans(line.fields, hidden=_KNOWN):
            console.print(Text.assemble("  ", *spans), soft_wrap=True)


def _print_answers(console: Console, answers: Sequence[tuple[Step, Answer]]) -> None:
    table = Table("what", box=None)
    for column in ("command", "appliance", "conclusion"):
        table.add_column(column, no_wrap=True)
    table.add_column("what the result says")
    for step, answer in answers:
        conclusion = answer["data"]["conclusion"]
        colour = "green" if conclusion == step.expected else "red"
        table.add_row(
            step.why,
            step.draft.name,
            str(step.draft.data["appliance"]),
            f"[{colour}]{conclusion}[/]",
            _summary(answer["data"]),
        )
    console.print(table)


def _summary(data: dict[str, Any]) -> str:
    """Say the one thing of a result that a person looks for."""
    if data["error"]:
        return f"{data['error']['code']}: {data['error']['message']}"
    say = next(say for field, say in _SUMMARIES.items() if data.get(field) is not None)
    return say(data)


def _added(data: dict[str, Any]) -> str:
    figures = (data["before"], data["after"])
    totals = " -> ".join(str(figure["total_sms"]) for figure in figures if figure)
    return f"{data['effect']}, {data['added_sms']} SMS added (total {totals})"


def _read(data: dict[str, Any]) -> str:
    read = [each["name"] for each in data["resources"] if each["error"] is None]
    return f"{len(read)} of {len(data['resources'])} resources, passed on as they are"


_SUMMARIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "stream": lambda data: f"{data['stream']['devices']} phones, pages: {data['stream']['pages']}",
    "devices": lambda data: f"{len(data['devices'])} of {data['total']} phones",
    "total_sms": lambda data: f"{data['available_sms']} of {data['total_sms']} SMS available",
    "added_sms": _added,
    "resources": _read,
    "device": "{effect} by {device[model]} {device[serial]}".format_map,
}
"""What to say of a result that has this field, by the first one that it has."""
