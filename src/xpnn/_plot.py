"""Drawings of reports: every error beside its bound. Needs matplotlib."""

from collections.abc import Sequence
from typing import Any

from xpnn._expectation import FACTOR
from xpnn._standard import Comparison
from xpnn.errors import XpnnError

_COLUMNS = 4


def draw(results: Sequence[tuple[str, bool, Comparison]]) -> Any:
    """Return a figure with a panel for each result, of its name, whether it passed, and its numbers."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- only who draws needs it
    except ModuleNotFoundError:
        raise XpnnError("plots need matplotlib; get it with: pip install 'xpnn[plot]'") from None
    columns = min(len(results), _COLUMNS)
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.9 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(results) :]:
        panel.remove()
    for panel, (name, passed, comparison) in zip(panels.flat, results, strict=False):
        _panel(panel, name, passed, comparison)
    figure.supxlabel("expected error of the output (model)")
    figure.supylabel("error and bound")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _panel(panel: Any, name: str, passed: bool, comparison: Comparison) -> None:
    points = [p for p in comparison.points if p[2] > 0 and p[1] > 0]
    errors, bounds, expected = zip(*points, strict=True) if points else ((), (), ())
    panel.set_xscale("log")
    panel.set_yscale("log")
    colour = "tab:blue" if passed else "tab:red"
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
    panel.set_title(
        name + ("" if passed else ": FAILED"), fontsize="medium", color="k" if passed else "tab:red"
    )
    panel.grid(visible=True, linewidth=0.3)
