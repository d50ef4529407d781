"""Reads what a PromQL query names, and holds it against the manifest of the metrics.

Only the names are read: metrics, label matchers, label lists. Whether the query makes sense is
Prometheus' business, which the tests ask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST: Final = Path(__file__).parents[1] / "metrics.yaml"

FOREIGN: Final[Mapping[str, frozenset[str]]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
}
"""What Prometheus itself stores, with its labels."""
TARGET: Final = frozenset({"job", "instance"})
"""The labels that Prometheus gives to everything."""

_TOKEN: Final = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*")"""
    r"""|(?P<range>\[[^\]]*\])"""
    r"""|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"""
    r"""|(?P<number>[0-9][0-9A-Za-z.]*)"""
    r"""|(?P<sign>[^\s])"""
)
_LISTING: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS: Final = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_STORED: Final = {"histogram": ("_bucket", "_sum", "_count")}


class Unknown(Exception):
    """A query or a dashboard that does not fit the manifest; the text says in what."""


@dataclass(frozen=True)
class Metric:
    """One entry of the manifest.

    Attributes:
        kind: counter, gauge or histogram.
        unit: the base unit, "" for counts and states.
        labels: without `le`.
    """

    name: str
    kind: str
    unit: str
    labels: frozenset[str]

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """The labels of what Prometheus stores of it, by the names that it stores."""
        names = [self.name + suffix for suffix in _STORED.get(self.kind, ("",))]
        return {
            name: self.labels | ({"le"} if name.endswith("_bucket") else set()) for name in names
        }


@dataclass
class Named:
    """What a query names.

    Attributes:
        matched: the labels in the braces behind each metric.
        listed: the labels that it groups by or joins on.
        ends: where each metric's name ends in the text.
    """

    matched: dict[str, set[str]] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    ends: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What a query that fits the manifest asks for.

    Attributes:
        metrics: the names of the manifest's metrics.
        labels: those that its series have.
    """

    metrics: frozenset[str]
    labels: frozenset[str]


def read_manifest(path: Path = MANIFEST) -> dict[str, Metric]:
    """Read which metrics there are, by name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        entry["name"]: Metric(
            entry["name"], entry["type"], entry["unit"], frozenset(entry["labels"])
        )
        for entry in entries
    }


def read(query: str) -> Named:
    """Read what a query names."""
    found = Named()
    tokens = [each for each in _TOKEN.finditer(query) if each.lastgroup != "range"]
    texts = [each.group() for each in tokens]
    at = 0
    while at < len(texts):
        text, after = texts[at], texts[at + 1] if at + 1 < len(texts) else ""
        at += 1
        if tokens[at - 1].lastgroup != "name" or text in _WORDS:
            continue
        if text in _LISTING:
            if after == "(":  # group_left may stand alone
                at, names = _until(texts, at, ")")
                found.listed.update(names)
        elif after == "(" or after in {"by", "without"}:
            continue  # a function
        else:
            found.ends.append((tokens[at - 1].end(), text))
            names = set()
            if after == "{":
                at, names = _until(texts, at, "}")
            found.matched.setdefault(text, set()).update(names)
    return found


def _until(texts: list[str], at: int, end: str) -> tuple[int, set[str]]:
    """Collect the names up to a closing sign; say where it goes on."""
    stop = texts.index(end, at)
    return stop + 1, {each for each in texts[at:stop] if each[0].isalpha() or each[0] == "_"}


def check(
    query: str, metrics: Mapping[str, Metric], *, recorded: frozenset[str] = frozenset()
) -> Asked:
    """Refuse a query that names what there is not.

    Args:
        query: PromQL.
        metrics: the manifest.
        recorded: names that a rule records; their labels are not known here.

    Returns:
        What it asks for.

    Raises:
        Unknown: it names a metric, a suffix or a label that the manifest does not have.
    """
    owners = {name: metric for metric in metrics.values() for name in metric.series}
    named = read(query)
    labels = set(TARGET)
    for name, matched in named.matched.items():
        if name in recorded:
            continue
        if name in owners:
            known = owners[name].series[name]
        elif name in FOREIGN:
            known = FOREIGN[name]
        else:
            raise Unknown(f"{name} is no series of the manifest: {query}")
        labels |= known
        if strange := matched - known - TARGET:
            raise Unknown(f"{name} has no label {', '.join(sorted(strange))}: {query}")
    if not named.matched:
        raise Unknown(f"no metric is named: {query}")
    if strange := named.listed - labels:
        raise Unknown(f"nothing has the label {', '.join(sorted(strange))}: {query}")
    asked = {owners[name].name for name in named.matched if name in owners}
    return Asked(frozenset(asked), frozenset(labels))


def chosen(query: str, metrics: Mapping[str, Metric]) -> str:
    """Restrict our series to the instances and appliances that are chosen on the dashboard."""
    labels = {name: each for metric in metrics.values() for name, each in metric.series.items()}
    for end, name in reversed(read(query).ends):
        if name not in labels:
            continue
        matchers = 'instance=~"$instance"'
        if "appliance" in labels[name]:
            matchers += ',appliance=~"$appliance"'
        if query[end : end + 1] == "{":
            query = f"{query[: end + 1]}{matchers},{query[end + 1 :]}"
        else:
            query = f"{query[:end]}{{{matchers}}}{query[end:]}"
    return query
