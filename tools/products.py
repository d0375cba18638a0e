"""How accurate reproducible products of matrices are, and how wide the rows of real networks.

Writes docs/products.md; needs scikit-learn, whose networks it looks at.

    python tools/products.py
"""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor

import xpnn
import xpnn.models

PAGE = Path(__file__).parents[1] / "docs" / "products.md"
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
XP = xpnn.reproducible(np)
Values = Any


def exact(row: Values, column: Values) -> float:
    """The sum of products, rounded once: binary64 holds those of binary32 in one, others in two."""
    a, b = row.astype("float64"), column.astype("float64")
    p = a * b
    if row.dtype == "float32":
        return math.fsum(p)
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return math.fsum(np.concatenate([p, ((a1 * b1 - p) + (a1 * b2 + a2 * b1)) + a2 * b2]))


def _halves(a: Values) -> tuple[Values, Values]:
    c = a * 134217729.0
    high = c - (c - a)
    return high, a - high


def error(y: Values, a: Values, b: Values) -> float:
    """Largest difference from the exact product, in units of 2**-24 or 2**-53 of |A| |B|."""
    size = np.abs(a).astype("float64") @ np.abs(b).astype("float64")
    wanted = np.asarray([[exact(row, column) for column in b.T] for row in a])
    difference = np.abs(y.astype("float64") - wanted)
    return float(np.max(difference[size > 0] / size[size > 0], initial=0)) / UNIT[y.dtype.name]


def spanning(rng: Any, bits: int, *shape: int) -> Values:
    """Numbers of both signs whose exponents are spread over `bits`."""
    x = rng.uniform(0.5, 1, shape) * 2.0 ** rng.uniform(-bits, 0, shape)
    return x * rng.choice([-1.0, 1.0], shape)


def pairs(rng: Any, k: int) -> Iterator[tuple[str, Values, Values]]:
    """Left and right sides of products of K terms."""
    m = 4 if k > 5000 else 20
    yield "normal", rng.standard_normal((m, k)), rng.standard_normal((k, m))
    for bits in (2, 5, 10, 20):
        yield f"{bits} bits wide", spanning(rng, bits, m, k), spanning(rng, bits, k, m)
    scales = 10.0 ** rng.uniform(-4, 4, k)
    a, b = rng.standard_normal((m, k)) * scales, rng.standard_normal((k, m))
    yield "inputs 1e-4 to 1e4, folded", a, b / scales[:, None]


def worst_cases() -> list[str]:
    lines = [
        "| K | numbers | float32 | NumPy's float32 | float64 | NumPy's float64 |",
        "| --- " * 6 + "|",
    ]
    for k in (10, 784, 1024, 10_000, 2**20):
        for name, a, b in pairs(np.random.default_rng(k), k):
            cells = []
            for dtype in UNIT:
                left, right = a.astype(dtype), b.astype(dtype)
                cells += [
                    error(XP.matmul(left, right), left, right),
                    error(left @ right, left, right),
                ]
            lines.append(f"| {k:,} | {name} | " + " | ".join(f"{c:.2g}" for c in cells) + " |")
            print(lines[-1], flush=True)
    return lines


def networks() -> Iterator[tuple[str, xpnn.Network, Values]]:
    """Networks and inputs as they come."""
    yield "digits (shipped)", xpnn.load("digits"), xpnn.models.sample("digits")[0]
    for load, kind in (
        ("iris", MLPClassifier),
        ("wine", MLPClassifier),
        ("breast_cancer", MLPClassifier),
        ("digits", MLPClassifier),
        ("diabetes", MLPRegressor),
    ):
        x, y = getattr(datasets, f"load_{load}")(return_X_y=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = kind(
                hidden_layer_sizes=(50, 50), activation="relu", random_state=0, max_iter=300
            ).fit(x, y)
        network = xpnn.Network.from_weights(
            [w.astype("float32") for w in model.coefs_],
            [b.astype("float32") for b in model.intercepts_],
            hidden="relu",
        )
        yield f"scikit-learn, {load}", network, x[:200]


def width(a: Values, axis: int) -> float:
    """Bits from the smallest to the largest entry of a row or column, the median of all."""
    with np.errstate(divide="ignore"):
        e = np.log2(np.abs(a))
    spans = np.nanmax(e, axis) - np.nanmin(np.where(np.isfinite(e), e, np.nan), axis)
    return float(np.median(spans[np.isfinite(spans)]))


def widths() -> list[str]:
    head = "| network | layer | rows, bits | balanced | columns, bits | error | NumPy's |"
    lines = [head, "| --- " * 7 + "|"]
    for name, network, given in networks():
        outputs = network.layer_outputs(given.astype("float32"))
        inputs = [given.astype("float32"), *(z for _, z in outputs[:-1])]
        for i, (x, layer) in enumerate(zip(inputs, network.layers, strict=True)):
            w = layer.weight
            balance = np.abs(w).max(1)
            cells = [width(x, 1), width(x * balance, 1), width(w, 0)]
            errors = [error(XP.matmul(x, w), x, w), error(x @ w, x, w)]
            numbers = " | ".join([f"{c:.0f}" for c in cells] + [f"{e:.2g}" for e in errors])
            lines.append(f"| {name} | {i} | {numbers} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    warnings.filterwarnings("ignore", "All-NaN")
    text = f"""# How accurate products of matrices are

Written by `python tools/products.py`.

## Worst cases

Largest error of the reproducible product, and of NumPy's own beside it, in units of 2\\*\\*-24 (float32)
or 2\\*\\*-53 (float64) of |A| |B|, the sum of the products' sizes; half a unit of it is the last
rounding. 's bits wide' has exponents spread evenly over s bits on both sides; 'folded' has inputs of
scales from 1e-4 to 1e4 and weights that take the scales back, as a network has with a scaler folded
into its first layer.

{chr(10).join(worst_cases())}

## Real networks

How many bits lie between the smallest and the largest entry, zeros aside, of a row of inputs; of the
same row with each input times its largest weight, on which the grid is laid; and of a column of
weights: medians. Then the largest errors, as above, in float32.

{chr(10).join(widths())}
"""
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
