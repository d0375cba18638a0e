"""Measures every elementwise function against mpmath, and writes the table `docs/accuracy.md`.

Run `python tools/accuracy.py` where NumPy, PyTorch, JAX and array-api-strict are installed.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import xpnn
from xpnn._arrays.installed import open_backend
from xpnn._arrays.transfer import to_numpy

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from references import ELEMENTWISE, bound, exact, pair, ulps

BACKENDS = ("numpy", "torch", "jax", "array-api-strict")
WAYS = dict.fromkeys(BACKENDS[:3], ("fast", "plain"))
COUNT = 3000
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


def main() -> None:
    rows = []
    for name in ELEMENTWISE:
        cells = []
        for dtype in ("float32", "float64"):
            x = points(dtype)
            pairs = [pair(exact(name, float(v))) for v in x]
            high, low = (np.asarray(part) for part in zip(*pairs, strict=True))
            fits = np.abs(high) <= np.finfo(dtype).max
            x, high, low = x[fits], high[fits], low[fits]
            most = bound(name, x, high, dtype)
            for backend, ways in WAYS.items():
                found, _ = open_backend(backend, None)
                for way in ways:
                    xp = found.xp if way == "plain" else None
                    y = to_numpy(getattr(xpnn, name)(found.xp.asarray(x), xp=xp))
                    cells.append(cell(y, high, low, most, dtype))
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
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
    ]
    (ROOT / "docs" / "accuracy.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
