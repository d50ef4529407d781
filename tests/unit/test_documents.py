"""What people read says what there is: links lead somewhere, and every setting is in the table."""

import re
from pathlib import Path
from typing import Final

import pytest

from service.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("*/*.md"),
        *ROOT.glob("deploy/kubernetes/*.md"),
        *ROOT.glob("tests/*/report/**/*.md"),
    ]
    if ".venv" not in path.parts
)
OPERATIONS: Final = (ROOT / "deploy/OPERATIONS.md").read_text("utf-8")
THREATS: Final = (ROOT / "deploy/SECURITY.md").read_text("utf-8")
ROW: Final = re.compile(r"^\| (`COURIER_.*?) \| (.*?) \|", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What a heading is called in a link, as GitHub has it."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of this repository, or to a heading in one."""
    text = path.read_text("utf-8")
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = path.parent / target if target else path
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(link)
    assert [] == broken


def test_every_setting_is_in_the_table() -> None:
    """None is missing, none is invented."""
    named: set[str] = set()
    for names, _ in ROW.findall(OPERATIONS):
        first, *others = re.findall(r"`([A-Z_]+)`", names)
        named.add(first)
        stem = first.rsplit("_", 2)[0]
        named |= {other if other.startswith(PREFIX) else stem + other for other in others}
    assert {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} == named


def test_every_default_is_the_one_in_the_table() -> None:
    """As it would be written into the environment."""
    told: dict[str, str] = {}
    for names, default in ROW.findall(OPERATIONS):
        found = re.findall(r"`([A-Z_]+)`", names)
        values = re.findall(r"`([^`]*)`", default)
        if len(found) == len(values):
            told |= dict(zip(found, values, strict=True))
    shown = {}
    for field, info in Settings.model_fields.items():
        name = f"{PREFIX}{field.upper()}"
        default = info.get_default(call_default_factory=True, validated_data={})
        if name in told:
            text = default.get_secret_value() if hasattr(default, "get_secret_value") else default
            listed = ",".join(map(str, text)) if isinstance(text, tuple | list) else str(text)
            shown[name] = listed.removesuffix(".0")
    assert 15 <= len(told)
    assert told == shown


def threats(text: str) -> list[list[str]]:
    """The tests that each row under the threats names."""
    _, _, below = text.partition("## Threats, and their tests")
    rows = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [
        re.findall(r"`([^`]+::[^`]+)`", row) for row in rows if not row.startswith("| threat |")
    ]


def missing(text: str) -> list[str]:
    """What is wrong with the rows: no test, or one that is not there."""
    found = []
    for number, named in enumerate(threats(text)):
        found += [] if named else [f"row {number} names no test"]
        for each in named:
            path, _, name = each.partition("::")
            file = ROOT / path
            if not (file.name.startswith("test_") and file.exists()) or not re.search(
                rf"^(?:async )?def {name}\(", file.read_text("utf-8"), re.MULTILINE
            ):
                found.append(each)
    return found


def test_every_threat_has_its_test() -> None:
    """A row of the threat model names at least one, and each one is there."""
    assert 30 <= len(threats(THREATS))
    assert [] == missing(THREATS)


@pytest.mark.parametrize(
    "cell",
    [
        "by hand",
        "`tests/unit/test_documents.py::test_nothing`",
        "`tests/unit/test_nowhere.py::test_every_threat_has_its_test`",
        "`tests/unit/making.py::body`",
    ],
)
def test_a_threat_without_a_test_is_found(cell: str) -> None:
    """Shown for each way in which a name says nothing."""
    head = "## Threats, and their tests\n\n| threat | what | test |\n|---|---|---|\n"
    there = "`tests/unit/test_documents.py::test_every_threat_has_its_test`"
    assert [] == missing(f"{head}| a | b | {there} |\n\n## What is accepted\n| a | b | c |\n")
    assert 1 == len(missing(f"{head}| a | b | {cell} |\n"))
