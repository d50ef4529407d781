"""`contracts/README.md` and the examples that it names: complete, and true of what is there."""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from jsonschema import Draft202012Validator

from service.errors import Code, Reason
from service.messages.results import Conclusion
from service.settings import Settings

ROOT: Final = Path(__file__).parents[2] / "contracts"
TEXT: Final = (ROOT / "README.md").read_text("utf-8")
CLIENTS: Final = sorted((ROOT / "clients").iterdir())
ENDS: Final = {code.value for code in Code if code is not Code.BUSY}
"""Codes that an event can tell; `busy` is only why a command waits."""


def table(title: str) -> list[list[str]]:
    """The rows of the table that begins with this column, cell by cell."""
    _, _, rest = TEXT.partition(f"\n| {title} |")
    assert rest, title
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cells: list[str]) -> list[str]:
    return [cell.strip("`") for cell in cells]


def anchors() -> set[str]:
    titles = re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in titles}


def test_every_error_code_has_its_row() -> None:
    """And no row is of a code that does not exist; each says what to do."""
    rows = table("code")
    assert sorted(ENDS) == sorted(words([row[0] for row in rows]))
    assert [] == [row for row in rows if len(row) != 4 or not all(row)]


@pytest.mark.parametrize("conclusion", ["refused", "failed", "unknown"])
def test_a_code_stands_with_the_conclusion_that_the_contract_gives_it(conclusion: str) -> None:
    """An event with this conclusion may tell the codes of these rows, and no others."""
    folder = ROOT / "events/activate-sms-license.finished"
    validator = Draft202012Validator(json.loads((folder / "v1.schema.json").read_text("utf-8")))
    event = json.loads((folder / f"v1.examples/{conclusion}.json").read_text("utf-8"))
    allowed = set()
    for code in ENDS:
        event["data"]["error"]["code"] = code
        allowed |= {code} if validator.is_valid(event) else set()
    assert allowed == {row[0].strip("`") for row in table("code") if row[1] == f"`{conclusion}`"}


def test_every_reason_has_its_row() -> None:
    """And no row is of a reason that does not exist; each says what to do."""
    rows = table("reason")
    assert sorted(Reason) == sorted(words([row[0] for row in rows]))
    assert [] == [row for row in rows if len(row) != 3 or not all(row)]


def test_every_conclusion_has_its_row() -> None:
    """With what to do."""
    rows = table("`conclusion`")
    assert sorted(Conclusion) == sorted(words([row[0] for row in rows]))
    assert [] == [row for row in rows if len(row) != 5 or not all(row)]


def test_every_link_leads_somewhere() -> None:
    """To a section, or to a file of this folder: it can be copied without the rest."""
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert 8 <= len(targets)
    sections = {each[1:] for each in targets if each.startswith("#")}
    assert sections <= anchors()
    assert [] == [each for each in targets if each[0] != "#" and not (ROOT / each).is_file()]


def test_every_setting_that_is_named_exists() -> None:
    """A reader may ask the operators for it."""
    named = set(re.findall(r"COURIER_(\w+)", TEXT))
    assert named <= {name.upper() for name in Settings.model_fields}
    assert named


@pytest.mark.parametrize("example", CLIENTS, ids=lambda path: path.name)
def test_an_example_is_one_readable_file_that_the_readme_names(example: Path) -> None:
    """A stranger copies it: short, and in English."""
    lines = example.read_text("utf-8").splitlines()
    assert 130 >= len(lines)
    assert 110 >= max(map(len, lines))
    assert f"(clients/{example.name})" in TEXT


def test_the_example_for_python_needs_aio_pika_alone() -> None:
    """Besides what Python brings."""
    tree = ast.parse((ROOT / "clients/activate.py").read_text("utf-8"))
    modules = [each.module or "." for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.Import)]
    modules += [alias.name for each in imports for alias in each.names]
    assert {"aio_pika"} == {each.split(".")[0] for each in modules} - sys.stdlib_module_names


def test_the_example_for_node_needs_amqplib_alone() -> None:
    """Besides what Node brings."""
    source = (ROOT / "clients/devices.mjs").read_text("utf-8")
    imported = re.findall(r"^import .* from \"(.+)\";$", source, re.MULTILINE)
    assert ["amqplib"] == [each for each in imported if not each.startswith("node:")]
