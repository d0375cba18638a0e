"""Measures every function of the table against mpmath, and writes `docs/accuracy.md`.

Run `python tools/accuracy.py` where NumPy, PyTorch, JAX and array-api-strict are installed.
"""

import itertools
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import xpnn
from xpnn._activations.activation import Activation
from xpnn._arrays.installed import open_backend
from xpnn._arrays.transfer import to_numpy
from xpnn._rounding.exact import context

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from references import ELEMENTWISE, bound, exact, pair, ulps

BACKENDS = ("numpy", "torch", "jax", "array-api-strict")
WAYS = dict.fromkeys(BACKENDS[:3], ("fast", "plain"))
COUNT = 3000
ROWS = 25
ALONG = {"softmax": {"axis": -1}, "log_softmax": {"axis": -1}, "logsumexp": {"axis": -1}}
Pair = tuple[np.ndarray, np.ndarray]
KEPT = 100
"""Units in the last place from which on digits were not kept, but the bound."""


def points(dtype: str) -> np.ndarray:
    """Points over the whole range: uniform where functions bend, logarithmic everywhere."""
    rng = np.random.default_rng(0)
    far = 110 if dtype == "float32" else 760
    low, high = (-37, 37) if dtype == "float32" else (-300, 300)
    parts = [
        rng.uniform(-10, 10, COUNT),
        rng.uniform(-far, far, COUNT),
        rng.choice([-1.0, 1.0], COUNT) * 10 ** rng.uniform(low, high, COUNT),
        rng.choice([-1.0, 1.0], COUNT) * 10 ** rng.uniform(-8, 1, COUNT),
    ]
    return np.concatenate(parts).astype(dtype)


def cell(y: np.ndarray, high: np.ndarray, low: np.ndarray, most: np.ndarray, dtype: str) -> str:
    """What is said of results y, where the exact ones are high + low."""
    error = ulps(y, high, low, dtype)
    normal = np.abs(high) >= np.finfo(dtype).tiny
    known = normal & np.isfinite(most) & (most > 0)
    if error[known].max(initial=0) > KEPT:
        share = np.abs((y.astype("float64") - high) - low)[known] / most[known]
        return f"bound: {share.max():.2f}"
    tail = error[~normal].max(initial=0)
    text = f"{error[normal & np.isfinite(y)].max():.2f}"
    if not (~normal).any():
        return text
    return f"{text} (flushed)" if tail > 1e4 else f"{text} ({tail:.1f})"


def cells(name: str, x: np.ndarray, exact: Pair, most: np.ndarray, dtype: str) -> list[str]:
    """What is said of a function of x, for each library and way."""
    found = []
    for backend, ways in WAYS.items():
        library, _ = open_backend(backend, None)
        for way in ways:
            xp = library.xp if way == "plain" else None
            y = to_numpy(getattr(xpnn, name)(library.xp.asarray(x), xp=xp, **ALONG.get(name, {})))
            found.append(cell(y, *exact, most, dtype))
    return found


def of_numbers(name: str, dtype: str) -> list[str]:
    """What is said of a function of each number."""
    x = points(dtype)
    pairs = [pair(exact(name, float(v))) for v in x]
    high, low = (np.asarray(part) for part in zip(*pairs, strict=True))
    fits = np.abs(high) <= np.finfo(dtype).max
    x, high, low = x[fits], high[fits], low[fits]
    return cells(name, x, (high, low), bound(name, x, high, dtype), dtype)


def of_rows(name: str, length: int, dtype: str) -> list[str]:
    """What is said of a function of rows."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(ROWS, length)) * size for size in (0.1, 1, 10, 30)]
    x = np.concatenate(rows).astype(dtype)
    numbers = [[context().mpf(v) for v in row] for row in x.tolist()]
    if name == "logsumexp":
        values = [[context().log(context().fsum(map(context().exp, row)))] for row in numbers]
        most = np.full(len(x), np.nan)
    else:
        values = [Activation(name).exact(row) for row in numbers]
        most = xpnn.error_bound(xpnn.Network([xpnn.Affine(activation=name)]), x, dtype=dtype)
    pairs = np.asarray([[pair(value) for value in row] for row in values])
    high, low = (pairs[..., i].reshape(most.shape) for i in range(2))
    return cells(name, x, (high, low), most, dtype)


def main() -> None:
    rows, along = [], []
    for name in ELEMENTWISE:
        found = [c for dtype in ("float32", "float64") for c in of_numbers(name, dtype)]
        rows.append(f"| {name} | " + " | ".join(found) + " |")
        print(rows[-1], flush=True)
    for name, length in itertools.product(ALONG, (10, 1000)):
        found = [c for dtype in ("float32", "float64") for c in of_rows(name, length, dtype)]
        along.append(f"| {name} of {length:,} | " + " | ".join(found) + " |")
        print(along[-1], flush=True)
    columns = [f"{b}, {way}" for b, ways in WAYS.items() for way in ways]
    head = " | ".join(f"{c}, {d}" for d in ("float32", "float64") for c in columns)
    versions = ", ".join(f"{b} {version(b)}" for b in BACKENDS[:3])
    text = [
        "# Accuracy",
        "",
        "What is kept, per way (`python tools/accuracy.py` writes this page):",
        "",
        "- **fast**, every call without `xp`: inside the bound that `xpnn.error_bound` proves, with the formula's",
        "  answers at NaN, infinities, masks and slices without an answer, and finite derivatives that are as",
        "  right. Digits below the smallest normal number, of a tail that a usual formula loses by adding 1, and of",
        "  a log-probability below half a unit in the last place of 1 are not part of it: shorter formulas on NumPy,",
        "  and PyTorch's and JAX's own functions, serve where they keep that. Above an eighth of the largest number",
        "  nothing is promised: PyTorch's `hard_swish` overflows there.",
        "- **plain**, with `xp`: the digits of the columns 'plain', the tails and small logarithms included.",
        "- **reproducible**: the same bits everywhere: [reproducible.md](reproducible.md).",
        "",
        "Largest error seen, in units in the last place, against mpmath with 120 digits, over",
        f"{4 * COUNT:,} points of the whole range; in brackets where the result is subnormal",
        "('flushed': the library makes those 0). 'bound: 0.10' says that digits of small results are lost, and",
        "that the error is at most that part of the proven bound.",
        "",
        f"Measured with {versions}, on the CPU. array-api-strict computes with NumPy.",
        "",
        f"| function | {head} |",
        "| --- |" + " --- |" * (2 * len(columns)),
        *rows,
        "",
        f"Of rows, {4 * ROWS} of each length: normal numbers of standard deviations 0.1, 1, 10 and 30.",
        "",
        f"| function | {head} |",
        "| --- |" + " --- |" * (2 * len(columns)),
        *along,
    ]
    (ROOT / "docs" / "accuracy.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
