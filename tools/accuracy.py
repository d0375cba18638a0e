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
from references import ELEMENTWISE, exact, pair, ulps

BACKENDS = ("numpy", "torch", "jax", "array-api-strict")
COUNT = 3000


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
            normal = np.abs(high) >= np.finfo(dtype).tiny
            for backend in BACKENDS[:3]:
                found, _ = open_backend(backend, None)
                y = to_numpy(getattr(xpnn, name)(found.xp.asarray(x)))
                error = ulps(y, high, low, dtype)
                tail = error[~normal].max() if (~normal).any() else 0
                worst = error[normal].max()
                tail_text = "flushed" if tail > 1e4 else f"{tail:.1f}"
                cells.append(f"{worst:.2f}" + (f" ({tail_text})" if (~normal).any() else ""))
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    head = " | ".join(f"{b}, {d}" for d in ("float32", "float64") for b in BACKENDS[:3])
    versions = ", ".join(f"{b} {version(b)}" for b in BACKENDS[:3])
    text = [
        "# Accuracy",
        "",
        "Largest error seen, in units in the last place, against mpmath with 120 digits, over",
        f"{4 * COUNT:,} points of the whole range; in brackets where the result is subnormal",
        "('flushed': the library makes those 0). Written by `python tools/accuracy.py`.",
        "",
        f"Measured with {versions}, on the CPU. array-api-strict computes with NumPy.",
        "",
        f"| function | {head} |",
        "| --- |" + " --- |" * 6,
        *rows,
    ]
    (ROOT / "docs" / "accuracy.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
