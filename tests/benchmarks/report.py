"""The report: Markdown for people, JSON for programs, one chart for both kinds of questions."""

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from service.demo.node import installed_server
from tests.benchmarks.chart import draw
from tests.benchmarks.found import Check, Row, Table
from tests.benchmarks.scale import Scale
from tests.benchmarks.workers import SETTINGS

_PACKAGES: Final = (
    *("appliance-courier", "faststream", "aio-pika", "aiormq", "httpx", "httpx-aiohttp", "aiohttp"),
    *("uvloop", "msgspec", "pydantic", "celery", "dramatiq", "requests"),
)
_ABOUT: Final = (
    "Made by `make bench`. The ratios are what to keep: each is of runs that took turns in one"
    " session, as median (least to most) over the rounds. Absolute figures are this machine's."
)

_HEAD: Final = "what | asked | measured | spread | holds |"
_RULE: Final = "|---|---|---|---|---|---|"


def write(rows: list[Row], scale: Scale, seconds: float, busiest: float, directory: Path) -> Path:
    """Write it; give the page's path.

    Args:
        busiest: the most of their one core that appliances and load used together.
    """
    directory.mkdir(parents=True, exist_ok=True)
    about = {
        "machine": machine(),
        "versions": versions(),
        "settings": SETTINGS,
        "scale": asdict(scale),
        "minutes": round(seconds / 60, 1),
        "appliances and load, at most, of the one core that they keep to": round(busiest, 2),
    }
    document = {"about": about, "rows": [_plain(row) for row in rows]}
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (directory / "report.json").write_text(text + "\n")
    page = directory / "report.md"
    page.write_text(_page(rows, about))
    draw(rows, directory / "chart.svg")
    return page


def machine() -> str:
    """Say what it ran on."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(model)} cores ({model[0] if model else platform.machine()}), {memory:.0f} GiB"


def versions() -> dict[str, str]:
    """Name what took part."""
    found = {"python": platform.python_version()}
    server = installed_server()
    found["rabbitmq"] = server.parent.name.rpartition("-")[2] if server else "none"
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not there"
    return found


def summary(row: Row) -> str:
    """A row for the terminal."""
    lines = [f"{row.key} {row.title}"]
    lines += [f"  {' | '.join(_cells(check))}" for check in row.checks]
    for table in row.tables:
        lines += [f"  {' | '.join(table.columns)}"]
        lines += [f"  {' | '.join(str(cell) for cell in cells)}" for cells in table.rows]
    return "\n".join(lines + ([f"  {row.note}"] if row.note else []))


def _plain(row: Row) -> dict[str, object]:
    checks = [
        asdict(check) | {"median": check.middle, "holds": check.holds} for check in row.checks
    ]
    return asdict(row) | {"checks": checks, "holds": row.holds}


def _page(rows: list[Row], about: dict[str, object]) -> str:
    asked = [row for row in rows if row.is_asked]
    held = sum(row.holds for row in asked)
    lines = ["# How fast it is", "", _ABOUT, ""]
    lines += [f"{held} of {len(asked)} questions are answered as asked.", "", "![chart](chart.svg)"]
    lines += ["", f"| | {_HEAD}", _RULE]
    for row in rows:
        lines += [f"| {row.key} | {_line(check)}" for check in row.checks if check.is_asked]
    for row in rows:
        lines += ["", f"## {row.key} {row.title}", "", row.method]
        lines += ["", row.note] if row.note else []
        lines += ["", f"| {_HEAD}", _RULE[4:], *(f"| {_line(check)}" for check in row.checks)]
        for table in row.tables:
            lines += ["", *_table(table)]
    lines += ["", "## What it ran on", ""]
    lines += [f"- {name}: {_words(value)}" for name, value in about.items()]
    return "\n".join(lines) + "\n"


def _line(check: Check) -> str:
    return f"{' | '.join(_cells(check))} |"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    return str(value)


def _cells(check: Check) -> tuple[str, ...]:
    unit = f" {check.unit}" if check.unit else ""
    asked = f"{check.bound} {check.limit:g}{unit}" if check.limit is not None else ""
    spread = f"{_figure(min(check.values))} to {_figure(max(check.values))}"
    holds = "" if check.limit is None else "yes" if check.holds else "**no**"
    return check.what, asked, f"{_figure(check.middle)}{unit}", spread, holds


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _table(table: Table) -> list[str]:
    return [
        f"{table.title}:",
        "",
        f"| {' | '.join(table.columns)} |",
        f"|{'---|' * len(table.columns)}",
        *(f"| {' | '.join(str(cell) for cell in cells)} |" for cells in table.rows),
    ]
