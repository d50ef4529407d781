"""The chart: throughput beside others, growth, latency under load."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.found import Row

if TYPE_CHECKING:
    from collections.abc import Callable

_THROUGHPUT, _GROWTH, _LATENCY = "1", "growth", "latency"


def draw(rows: list[Row], path: Path) -> None:
    """Draw what was measured of it, for people who see no difference between red and green, too."""
    from matplotlib import rc_context  # noqa: PLC0415  only `make bench` has it
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels: list[Callable[[Any], None]] = []
    panels += [partial(_bars, row) for row in rows if row.key == _THROUGHPUT]
    growing = [row for row in rows if row.key.startswith(_GROWTH)]
    panels += [partial(_growth, growing)] if growing else []
    panels += [partial(_latency, row) for row in rows if row.key == _LATENCY]
    if not panels:
        return
    # The same figures give the same file.
    with rc_context({"svg.hashsalt": "courier", "font.size": 9}):
        figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
        for place, panel in enumerate(panels):
            panel(figure.add_subplot(1, len(panels), place + 1))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(row: Row, axes: Any) -> None:  # noqa: ANN401  matplotlib is not always there
    figures = {name: points[0][1] for name, points in row.series.items()}
    ordered = sorted(figures, key=lambda name: figures[name])
    colours = ["#0b5cad" if name == "service" else "#9aa5b1" for name in ordered]
    bars = axes.barh(ordered, [figures[name] for name in ordered], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.margins(x=0.15)
    axes.set_title("Activations a second")
    axes.spines[["top", "right"]].set_visible(False)


def _growth(rows: list[Row], axes: Any) -> None:  # noqa: ANN401
    for mark, row in zip("os^", rows, strict=False):
        for name, points in row.series.items():
            axes.plot(*zip(*points, strict=True), marker=mark, label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_title("CPU for a command, as a ratio, by the number of")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _latency(row: Row, axes: Any) -> None:  # noqa: ANN401
    for mark, (name, points) in zip("os", row.series.items(), strict=False):
        axes.plot(
            [1 / (1 - share) for share, _ in points],
            [ms for _, ms in points],
            marker=mark,
            label=name,
        )
    shares = [share for share, _ in next(iter(row.series.values()))]
    axes.set_xscale("log")
    ticks = [f"p{share * 100:g}" for share in shares]
    axes.set_xticks([1 / (1 - share) for share in shares], ticks, rotation=45)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title("Latency under load, ms")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
