"""`deploy/SIMULATOR.md` is all that others have: it names everything, and what it shows works."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.simulator import Books, Entry, Simulator, Spent, Upload
from service.simulator.actions import ACTIONS
from service.simulator.certificates import CERTIFICATES
from service.simulator.checks import CHECKS, OPERATIONS
from service.simulator.control import ROUTES
from service.simulator.steering import ORDERS

if TYPE_CHECKING:
    import httpx

TEXT = (Path(__file__).parents[3] / "deploy" / "SIMULATOR.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl .*", TEXT, re.MULTILINE)
SCRIPTS = [block for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL) if "[[" in block]


def rows(name: str) -> str:
    """Return the tables of a chapter."""
    chapter = re.search(f"^##+ {name}\n(.*?)(^## |\\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert chapter is not None
    return "\n".join(line for line in chapter[1].splitlines() if line.startswith("|"))


def in_code(names: set[str], where: str) -> set[str]:
    """Return which of the names are written as code."""
    return {name for name in names if re.search(f'`"?{re.escape(name)}"?`', where)}


SWITCHES = {name for appliance in Simulator().appliances.values() for name in appliance.switches()}
OF_RULES = {"action", *CHECKS}
OF_BOOKS = set(Books("x").as_dict()) | {
    each.name for kind in (Entry, Spent, Upload) for each in fields(kind)
}


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        ("The control page", {f"{method} {path}" for method, path, *_ in ROUTES}),
        ("Switches", SWITCHES),
        ("Faults", {*OF_RULES, *ACTIONS, *OPERATIONS}),
        ("Power and certificates", set(CERTIFICATES)),
        ("Scripts", {"at", "appliance", *ORDERS}),
        ("The books", OF_BOOKS),
    ],
)
def test_everything_is_in_its_chapters_tables(chapter: str, names: set[str]) -> None:
    """What can be asked, set, done and read is documented, every name of it."""
    assert names == in_code(names, rows(chapter))


def test_no_switch_is_documented_that_does_not_exist() -> None:
    """The first column of the switches is the switches, with their defaults."""
    documented = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", rows("Switches"), re.MULTILINE))
    real = {
        name: str(value).replace("None", "null").replace("False", "false").removesuffix(".0")
        for appliance in Simulator().appliances.values()
        for name, value in appliance.switches().items()
    }
    assert real == documented


def asked(line: str, control: str) -> tuple[str, str, str | None]:
    """Read a curl line: method, URL, body."""
    words = iter(shlex.split(line.replace("$CONTROL", control))[1:])
    method, url, body = "GET", "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-d":
            body = next(words)
        else:
            url = word
    return method, url, body


async def test_every_curl_line_works_and_every_route_has_one(
    simulator: Simulator, page: httpx.AsyncClient
) -> None:
    """The lines are run in their order against a new simulator."""
    assert simulator.control_url is not None
    met = []
    for line in CURLS:
        method, url, body = asked(line, simulator.control_url)
        answer = await page.request(method, url, content=body)
        assert answer.is_success, (line, answer.text)
        path = re.sub("f..-1", "{name}", url.removeprefix(simulator.control_url))
        met.append((method, path))

    assert [(method, path) for method, path, *_ in ROUTES] == met


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_one(script: str, tmp_path: Path) -> None:
    """The examples can be copied out."""
    path = tmp_path / "example.toml"
    path.write_text(script, encoding="utf-8")

    Simulator(script=path)


def test_there_are_two_scripts_to_copy() -> None:
    """The search for them finds them."""
    assert 2 == len(SCRIPTS)
