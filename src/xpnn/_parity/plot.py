"""Drawings of reports: every error beside its bound. Needs matplotlib."""

import importlib.util
from collections.abc import Sequence
from typing import Any

from xpnn._parity.standard import Comparison
from xpnn._rounding.expected import FACTOR
from xpnn.errors import XpnnError

_COLUMNS = 4


def check() -> None:
    """Raise XpnnError if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise XpnnError("plots need matplotlib; get it with: pip install 'xpnn[plot]'")


def draw(names: Sequence[str], comparisons: Sequence[Comparison], passed: Sequence[bool]) -> Any:
    """Return a figure with a panel for each result: its name, its errors, whether it passed."""
    check()
    from matplotlib.figure import Figure  # it takes its time

    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.9 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.remove()
    for panel, name, comparison, ok in zip(panels.flat, names, comparisons, passed, strict=False):
        _panel(
            panel, name if ok else f"{name}\nFAILED", comparison, "tab:blue" if ok else "tab:red"
        )
    figure.supxlabel("expected error of the output (model)")
    figure.supylabel("error and bound")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, markerscale=3
    )
    return figure


def _panel(panel: Any, name: str, comparison: Comparison, colour: str) -> None:
    points = [p for p in comparison.points if p[2] > 0 and p[1] > 0]
    errors, bounds, expected = zip(*points, strict=True) if points else ((), (), ())
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.scatter(expected, bounds, s=5, color="0.75", label="bound", rasterized=True)
    # An exact result has no logarithm; it stands at the lower edge.
    least = min((e for e in errors if e), default=1.0)
    seen = [max(e, least) for e in errors]
    panel.scatter(expected, seen, s=5, color=colour, label="error", rasterized=True)
    if expected:
        ends = (min(expected), max(expected))
        panel.plot(ends, ends, color="0.2", linewidth=1, label="expected error")
        panel.plot(
            ends, [FACTOR * e for e in ends], color="0.2", linewidth=1, linestyle="--",
            label=f"{FACTOR:.0f} times",
        )  # fmt: skip
    panel.set_title(name, fontsize="medium")
    panel.grid(visible=True, linewidth=0.3)
