"""Makes the Grafana dashboard `courier.json` from the manifest of the metrics.

`python -m deploy.grafana.dashboard` from the top of the repository. What is shown stands in
`panels`; this is what Grafana wants to be told about it. A panel that names what the manifest does
not have is refused, and so is a metric that nobody would see.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from deploy.grafana.panels import BACKGROUND, ROWS, UNSEEN, Panel, Query
from deploy.grafana.queries import Unknown, check, chosen, read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from deploy.grafana.panels import Row
    from deploy.grafana.queries import Metric

Json: TypeAlias = dict[str, object]

OUTPUT: Final = Path(__file__).parent / "courier.json"
SCHEMA_VERSION: Final = 42
"""Grafana's classic model as of 12.2; older ones read it, newer ones convert it."""
WIDTH: Final = 24
"""Of Grafana's grid."""
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_FIRING: Final = 'ALERTS{alertname=~"Courier.+",alertstate="firing"}'


def dashboard(
    metrics: Mapping[str, Metric],
    rows: Sequence[Row] = ROWS,
    unseen: Collection[str] = frozenset(UNSEEN),
) -> Json:
    """Make the dashboard.

    Args:
        metrics: the manifest.
        rows: what is shown.
        unseen: metrics that are left out on purpose.

    Raises:
        Unknown: a panel and the manifest do not fit together.
    """
    seen: set[str] = set()
    for row in rows:
        for panel in row.panels:
            seen |= _check_panel(panel, metrics)
    if hidden := set(metrics) - seen - set(unseen):
        raise Unknown(f"no panel shows {', '.join(sorted(hidden))}")
    if stale := set(unseen) - (set(metrics) - seen):
        raise Unknown(f"left out, but shown or gone: {', '.join(sorted(stale))}")
    return {
        "uid": "appliance-courier",
        "title": "Appliance Courier",
        "description": "Made by deploy/grafana/dashboard.py; change it there.",
        "tags": ["courier"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": [_alerts()]},
        "templating": {"list": _variables(metrics)},
        "panels": _panels(rows, metrics),
    }


def render(made: Json) -> str:
    """Write it as the file has it."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _check_panel(panel: Panel, metrics: Mapping[str, Metric]) -> set[str]:
    """Hold a panel against the manifest; say what it shows."""
    seen: set[str] = set()
    for query in panel.queries:
        asked = check(query.text, metrics)
        if strange := query.legend_labels - asked.labels:
            raise Unknown(f"{panel.title}: a legend names {', '.join(sorted(strange))}")
        seen |= asked.metrics
    return seen


def _panels(rows: Sequence[Row], metrics: Mapping[str, Metric]) -> list[Json]:
    """Lay everything out, from left to right and from top to bottom."""
    made: list[Json] = []
    top = 0
    for row in rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        made.append(_numbered(made, {"type": "row", "title": row.title, "gridPos": place}))
        top, left, lowest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, lowest = top + lowest, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            made.append(_numbered(made, _panel(panel, metrics) | {"gridPos": place}))
            left, lowest = left + panel.width, max(lowest, panel.height)
        top += lowest
    return made


def _numbered(made: Sequence[Json], panel: Json) -> Json:
    return {"id": len(made) + 1, **panel}


def _panel(panel: Panel, metrics: Mapping[str, Metric]) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": [
            _target(letter, query, chosen(query.text, metrics), panel)
            for letter, query in zip("ABCDEFGH", panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }


def _target(letter: str, query: Query, text: str, panel: Panel) -> Json:
    now_only = panel.kind == "stat"
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": text,
        "legendFormat": query.legend,
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
        "instant": now_only,
        "range": not now_only,
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": panel.base, "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.thresholds]
    made: Json = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.is_coloured else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.least is not None:
        made["min"] = panel.least
    if panel.states:
        texts = {
            str(value): {"text": text, "color": color, "index": value}
            for value, (text, color) in panel.states.items()
        }
        made["mappings"] = [{"type": "value", "options": texts}]
    if panel.nothing:
        made["noValue"] = panel.nothing
    if panel.kind == "timeseries":
        made["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
        }
    elif panel.kind == "state-timeline":
        made["custom"] = {"lineWidth": 0, "fillOpacity": 80}
    return made


def _overrides(panel: Panel) -> list[Json]:
    """Colour what has its colour by its name."""
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for name, color in panel.colours.items()
    ]


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        return {
            "colorMode": BACKGROUND,
            "graphMode": "none",
            "textMode": "name" if panel.names else "value",
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        }
    if panel.kind == "state-timeline":
        return {"showValue": "never", "mergeValues": True, "legend": {"showLegend": True}}
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "yAxis": {"unit": panel.unit},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _variables(metrics: Mapping[str, Metric]) -> list[Json]:
    """Offer the data source, and what Prometheus knows of instances and appliances."""
    instance = "courier_build_info"
    appliance = 'courier_appliance_session{instance=~"$instance"}'
    for query in (instance, appliance):
        check(query, metrics)
    source = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    return [
        source,
        _choice("instance", f"label_values({instance}, instance)"),
        _choice("appliance", f"label_values({appliance}, appliance)"),
    ]


def _choice(name: str, query: str) -> Json:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        # Read again with the time range: instances and appliances come and go.
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _alerts() -> Json:
    """Mark in every panel when an alert was firing."""
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": _FIRING,
        "step": "30s",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{appliance}} {{queue}} {{command_type}} {{reason}}",
        "tagKeys": "severity",
    }


if __name__ == "__main__":
    OUTPUT.write_text(render(dashboard(read_manifest())), encoding="utf-8")
