"""Draws the README's picture: one image of a digit, one network, three libraries, and what each says.

    python tools/picture.py  # writes docs/pictures/same.svg; needs matplotlib, torch and jax

All numbers of it are computed here; what it says of them is held to them.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import xpnn
import xpnn.models

PAGE = Path(__file__).parents[1] / "docs" / "pictures" / "same.svg"
ROW = 65  # of the sample; a zero that could be an eight
LIBRARIES = {"NumPy": "#1f6fb4", "PyTorch": "#d1542a", "JAX": "#7a4fb5"}
INK, PALE, MARK = "#24292f", "#6e7781", "#c2185b"
MONO = {"family": "DejaVu Sans Mono", "fontsize": 8.5}


class Numbers(NamedTuple):
    """What the picture shows."""

    image: Any
    fast: dict[str, Any]
    """The probabilities of each library in the fast way, and below in the reproducible one."""
    same: dict[str, Any]
    bound: float
    """How far the shown probability may be from the exact one, in the fast way."""


def measured() -> Numbers:
    """Run the network on every library; SystemExit if what the picture says is not so."""
    network = xpnn.load("digits")
    x = xpnn.models.sample("digits")[0][[ROW]].astype("float32")
    torch, jax = (importlib.import_module(name) for name in ("torch", "jax"))
    arrays = dict(zip(LIBRARIES, (x, torch.from_numpy(x), jax.numpy.asarray(x)), strict=True))
    fast = {name: np.asarray(network(a)) for name, a in arrays.items()}
    same = {name: np.asarray(network(a, xp=xpnn.reproducible(a))) for name, a in arrays.items()}
    if not all(xpnn.explain(network, x, p).passed for p in fast.values()):
        raise SystemExit("a result is outside of its bound")
    if len({p.tobytes() for p in same.values()}) > 1:
        raise SystemExit("the bits are not the same")
    bound = np.asarray(xpnn.error_bound(network, x)).flat[same["NumPy"].argmax()]
    return Numbers(x.reshape(28, 28), fast, same, float(bound))


def lines(values: dict[str, Any], axes: Any, top: float, *, bits: bool) -> None:
    """A value a line, the digits that are not everybody's marked."""
    texts = {name: f"{p.max():.9f}" for name, p in values.items()}
    alike = [len(set(characters)) == 1 for characters in zip(*texts.values(), strict=True)]
    common = [*alike, False].index(False)
    for i, (name, text) in enumerate(texts.items()):
        y = top - 0.105 * i
        axes.text(0.03, y, name, color=LIBRARIES[name], fontsize=9, fontweight="bold")
        axes.text(0.25, y, text[:common], color=INK, **MONO)
        axes.text(0.25, y, " " * common + text[common:], color=MARK, fontweight="bold", **MONO)
        if bits:
            axes.text(0.62, y, f"0x{values[name].max().view('u4'):08x}", color=PALE, **MONO)


def draw(numbers: Numbers, path: Path) -> None:
    """Write the picture, on a card of its own, for pages that are white and pages that are dark."""
    mpl.rcParams.update({"svg.hashsalt": "xpnn", "font.family": "DejaVu Sans"})
    figure = Figure(figsize=(8.2, 2.7))
    card = FancyBboxPatch(
        (0.012, 0.03),
        0.976,
        0.94,
        boxstyle="round,pad=0,rounding_size=0.02",
        fc="white",
        ec="#d0d7de",
    )
    figure.patches.append(card)
    card.set(transform=figure.transFigure, figure=figure, zorder=-1)
    picture = figure.add_axes((0.035, 0.2, 0.17, 0.56))
    picture.imshow(numbers.image, cmap="gray_r", interpolation="nearest")
    picture.set(xticks=[], yticks=[])
    picture.set_title("one image, one network", fontsize=9, color=INK)
    bars = figure.add_axes((0.25, 0.2, 0.27, 0.56))
    for i, (name, color) in enumerate(LIBRARIES.items()):
        bars.bar(
            np.arange(10) + 0.27 * (i - 1), numbers.fast[name][0], 0.25, color=color, label=name
        )
    bars.set_title("probability of each digit", fontsize=9, color=INK)
    bars.set(xticks=range(10), yticks=[0, 0.5], ylim=(0, 0.65))
    bars.tick_params(labelsize=8, colors=INK, length=0)
    bars.spines[["top", "right", "left"]].set_visible(False)
    bars.legend(frameon=False, fontsize=8, loc="upper center", labelcolor=INK)
    words = figure.add_axes((0.545, 0.06, 0.44, 0.88))
    words.set_axis_off()
    heads = (
        (0.93, "network(x)", f"inside of a proven bound, ± {numbers.bound:.1g}", numbers.fast),
        (0.44, "network(x, xp=xpnn.reproducible(x))", "the same bits", numbers.same),
    )
    for top, call, said, values in heads:
        words.text(0.03, top, call, color=INK, **MONO)
        words.text(0.97, top, said, color=PALE, fontsize=8.5, ha="right")
        lines(values, words, top - 0.13, bits=values is numbers.same)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    draw(measured(), PAGE)
