"""Tells what a fuzzer did: JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

_SHOWN: Final = 20
_TITLES: Final = {
    "decoder": "Messages through the decoder",
    "service": "Messages through the running service",
}


def write(name: str, figures: Json, folder: Path) -> Path:
    """Write `<name>.json` and `<name>.md`; give the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    page = folder / f"{name}.md"
    page.write_text("\n".join(_lines(name, figures)) + "\n", "utf-8")
    return page


def _lines(name: str, figures: Json) -> list[str]:
    findings = figures["findings"]
    lines = [f"# {_TITLES[name]}", "", f"**{len(findings)} findings.**", ""]
    lines += ["| | |", "|---|---|"]
    lines += [
        f"| {key.replace('_', ' ')} | {_figure(value)} |"
        for key, value in figures.items()
        if not isinstance(value, list | dict)
    ]
    for key, value in figures.items():
        if isinstance(value, Mapping):
            lines += ["", f"## {key.replace('_', ' ').capitalize()}", "", "| | |", "|---|---|"]
            lines += [f"| {_code(each)} | {_figure(count)} |" for each, count in value.items()]
    lines += ["", "## Findings", "", *(f"- {each[:300]}" for each in findings[:_SHOWN])]
    return lines if findings else [*lines, "None."]


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
