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
        *ROOT.glob("tests/campaign/report/**/*.md"),
    ]
    if ".venv" not in path.parts
)
OPERATIONS: Final = (ROOT / "deploy/OPERATIONS.md").read_text("utf-8")
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
