"""A picture of every ratio that has a goal: a row a goal, a dot a workload."""

from pathlib import Path

import numpy as np
from _goals import GOALS, Result

MET, MISSED = "#0072b2", "#d55e00"  # told apart by colour-blind eyes too


def draw(results: list[Result], path: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    rows = [(goal, list(goal.values(results))) for goal in GOALS]
    rows = [(goal, found) for goal, found in rows if found][::-1]
    figure, axes = plt.subplots(figsize=(11, 1.5 + 0.48 * len(rows)), layout="constrained")
    axes.axvline(1, color="0.6", linewidth=1, zorder=0)
    for i, (goal, found) in enumerate(rows):
        ratios = [ratio for _, _, ratio in found]
        colours = [MET if goal.met(r, peer) else MISSED for r, peer, _ in found]
        spread = np.linspace(-0.25, 0.25, len(found)) if len(found) > 1 else np.zeros(1)
        axes.scatter(ratios, i + spread, s=16, c=colours, alpha=0.75, linewidths=0)
        axes.plot([goal.least] * 2, [i - 0.4, i + 0.4], color="black", linewidth=2)
    labels = [f"{goal.on}\nagainst {goal.against}" for goal, _ in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="x", color="0.92", zorder=0)
    axes.set_axisbelow(True)
    figure.suptitle("Every ratio that has a goal: a dot a workload", fontsize=11)
    axes.set_xlabel("time of the peer / time of xpnn (right of 1: xpnn is faster)")
    dots = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=label)
        for colour, label in ((MET, "goal met"), (MISSED, "goal missed"))
    ]
    goal_mark = Line2D([], [], marker="|", markersize=12, markeredgewidth=2, linestyle="")
    goal_mark.set(color="black", label="goal")
    axes.legend(
        handles=[*dots, goal_mark],
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=3,
        frameon=False,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
