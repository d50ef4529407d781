"""`deploy/RUNBOOK.md` as it stands there: nothing is missing, and all that it names is there."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.runbook import (
    RUNBOOK,
    Section,
    commands,
    enumerated,
    helps,
    readiness_reasons,
    sections,
    settings,
)
from tests.support.stand import CONTRACTS, ROOT

TEXT: Final = RUNBOOK.read_text("utf-8")
SECTIONS: Final = sections()
PARTS: Final = ("**Means.**", "**See.**", "**Do.**", "**Over when**")
RULES: Final = (ROOT / "deploy" / "prometheus" / "courier.rules.yaml").read_text()
ALERTS: Final = re.findall(r"- alert: (\w+)", RULES)
# A test names the sections that it walks, and a walk fails when it leaves a block out.
WALKED: Final = set(
    re.findall(
        r'desk\.walk\("([a-z0-9-]+)"\)',
        Path(__file__).with_name("test_runbook.py").read_text(),
    )
)


def chapter(title: str) -> str:
    """The text of a section with all that stands under it."""
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def rows(text: str) -> set[str]:
    """The first cells of tables, as far as they are one word of code."""
    return set(re.findall(r"^\| \[?`([a-z-]+)`", text, re.MULTILINE))


def test_every_block_is_executed_or_excused() -> None:
    """A section with a block that can be executed is walked; these are the excuses."""
    executable = {
        anchor
        for anchor, section in SECTIONS.items()
        if any(block.excuse is None for block in section.blocks)
    }
    assert executable == WALKED
    excuses = [
        (anchor, block.excuse)
        for anchor, section in SECTIONS.items()
        for block in section.blocks
        if block.excuse is not None
    ]
    assert [
        ("before-you-begin", "needs systemd, or Kubernetes"),
        ("draining-a-node", "needs systemd, or Kubernetes"),
        ("the-watchdog-exit-code-75", "needs systemd"),
        ("upgrading", "it would replace the courier that is being tested"),
        (
            "moving-to-another-broker-or-virtual-host",
            "it would rename the broker of all tests",
        ),
    ] == excuses


@pytest.mark.parametrize(
    "section",
    [
        section
        for anchor, section in SECTIONS.items()
        if anchor in {*map(str.lower, ALERTS), *enumerated("Code"), *readiness_reasons()}
    ],
    ids=lambda section: section.anchor,
)
def test_a_section_says_what_it_means_how_to_see_it_what_to_do_and_when_it_is_over(
    section: Section,
) -> None:
    """All four, in this order, and no other section's."""
    found = re.findall(r"^(\*\*(?:Means\.|See\.|Do\.|Over when)\*\*)", section.text, re.MULTILINE)
    assert list(PARTS) == found


@pytest.mark.parametrize("procedure", re.findall(r"\n### (.+)", chapter("Procedures")))
def test_a_procedure_says_when_it_is_over(procedure: str) -> None:
    """Whoever has done it knows whether it worked."""
    (section,) = [each for each in SECTIONS.values() if each.title == procedure]
    assert 1 == section.text.count("**Over when**")


def test_every_alert_links_to_its_section() -> None:
    """The annotation's anchor is the alert's own, and it is there."""
    links = re.findall(r"runbook: \S*deploy/RUNBOOK\.md#(\S+)", RULES)
    assert 11 <= len(ALERTS)
    assert [name.lower() for name in ALERTS] == links
    assert set(links) <= set(SECTIONS)
    titles = set(re.findall(r"\n### (Courier\w+)", chapter("Alerts")))
    assert set(ALERTS) == titles, "a section for an alert that is not there"


def test_every_readiness_reason_has_its_row_and_its_section() -> None:
    """Those that the service can return, and no others."""
    expected = readiness_reasons()
    assert 6 <= len(expected)
    part = chapter("Not ready: the reasons")
    assert expected == rows(part) == set(re.findall(r"\n### (.+)", part))
    assert expected <= set(SECTIONS)


def test_every_error_code_has_its_section() -> None:
    """Those that a command can end or wait with, and no others."""
    expected = enumerated("Code")
    assert 13 <= len(expected)
    assert set(expected) == set(re.findall(r"\n### (.+)", chapter("Error codes")))


def test_every_reason_of_a_rejection_has_its_row() -> None:
    """And what the broker parks by itself."""
    expected = enumerated("Reason")
    assert 7 <= len(expected)
    assert {*expected, "unreadable-properties"} == rows(chapter("Rejected messages"))


def test_every_link_works() -> None:
    """To a section, or to a file beside it."""
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert 50 <= len(links)
    broken = [
        link
        for link in links
        if (link[0] == "#" and link[1:] not in SECTIONS)
        or (link[0] != "#" and not (RUNBOOK.parent / link.partition("#")[0]).exists())
    ]
    assert [] == broken


def test_every_metric_is_in_the_manifest() -> None:
    """A histogram is read by its sum and count."""
    manifest = (ROOT / "deploy" / "metrics.yaml").read_text()
    known = set(re.findall(r"- name: (\w+)", manifest))
    named = set(re.findall(r"\bcourier_\w+", TEXT))
    assert 8 <= len(named)
    assert set() == named - known


def test_every_slug_is_in_the_contract_of_the_event_log() -> None:
    """What one is told to look for in the log can stand there."""
    contract = (CONTRACTS / "event-log" / "v1.schema.json").read_text()
    asked = set(re.findall(r"--event ([a-z-]+)", TEXT))
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`[^.|]{0,60}? in the\s+log", TEXT))
    assert (True, True) == (len(asked) >= 5, len(named) > 8)
    assert set() == {slug for slug in asked | named if f'"{slug}"' not in contract}


def test_every_setting_can_be_set() -> None:
    """By the name that the service reads."""
    named = set(re.findall(r"\bCOURIER_[A-Z_]*[A-Z]\b", TEXT))
    assert 10 <= len(named)
    assert set() == named - settings()


async def test_every_command_and_option_exists() -> None:
    """As `--help` tells them; options that stand alone belong to some command of the runbook."""
    used = commands()
    told = await helps(*used)
    assert 10 <= len(used)
    assert set() == set(used) - set(told)
    missing = {
        (name, option)
        for name, options in used.items()
        for option in options
        if not re.search(rf"{option}\b(?!-)", told[name])
    }
    assert set() == missing
    alone = set(re.findall(r"`(--[a-z-]+)[ `]", TEXT))
    assert set() == {option for option in alone if option not in "".join(told.values())}
