"""Computes the polynomials of `xpnn._engine.elementary` with mpmath and writes its coefficients.

Run `python tools/elementary.py`: it prints the largest relative error that each polynomial adds, in
units of the rounding of its dtype. With `--check` it fails if the file would change.

Each is fitted by least squares at Chebyshev nodes; its coefficients are rounded one after the other,
lowest first, and those that are left fitted anew.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import mpmath as mp
import numpy as np

TARGET = Path(__file__).parents[1] / "src/xpnn/_engine/elementary_coefficients.py"
DTYPES = {"float32": np.float32, "float64": np.float64}
BITS = {"float32": 24, "float64": 53}
HIGH_BITS = {"float32": 16, "float64": 42}  # that products with exponents are exact
TERMS = {
    "EXP": {"float32": 5, "float64": 10},
    "LOG": {"float32": 3, "float64": 7},
    "TANH": {"float32": 4, "float64": 10},
}
GRID = 100
Function = Callable[[mp.mpf], mp.mpf]


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1 - r) / r**2."""
    return mp.hyp1f1(1, 3, r) / 2


def log_tail(z: mp.mpf) -> mp.mpf:
    """(log((1 + s) / (1 - s)) / s - 2) / z as a function of z = s**2."""
    s = mp.sqrt(z)
    return 2 * (mp.atanh(s) / s - 1) / z if z > mp.mpf(10) ** -20 else mp.mpf(2) / 3 + z * 2 / 5


def tanh_tail(z: mp.mpf) -> mp.mpf:
    """(tanh(x) / x - 1) / z as a function of z = x**2."""
    x = mp.sqrt(z)
    return (mp.tanh(x) / x - 1) / z if z > mp.mpf(10) ** -15 else mp.mpf(-1) / 3 + z * 2 / 15


# A function, the interval, and the error of the result for an error of the polynomial. An interval is a
# bit wider than needed, as the rounding of exponents is rounded.
R = mp.mpf("0.34661")  # half of log(2)
SHIFTED = mp.mpf("0.40552")  # log(3 / 2), the most where `elementary` shifts
Z = mp.mpf("0.0294373")  # of the square of s, with 1 + f the root of 2
NEAR = mp.mpf("0.55")  # `NEAR` of `elementary`
FITS: dict[str, tuple[Function, mp.mpf, mp.mpf, Function]] = {
    "EXP": (exp_tail, -R, SHIFTED, lambda r: r * r / abs(mp.expm1(r))),
    "LOG": (log_tail, mp.mpf(0), Z, lambda z: z / 2),
    "TANH": (tanh_tail, mp.mpf(0), NEAR**2, lambda z: z * mp.sqrt(z) / mp.tanh(mp.sqrt(z))),
}


def nearest(goal: Sequence[mp.mpf], rows: Sequence[Sequence[mp.mpf]]) -> mp.mpf:
    """First of the coefficients whose sums of columns of `rows` are nearest to `goal` in squares."""
    columns = list(zip(*rows, strict=True))
    normal = mp.matrix([[mp.fdot(a, b) for b in columns] for a in columns])
    return mp.lu_solve(normal, mp.matrix([mp.fdot(a, goal) for a in columns]))[0]


def fit(name: str, dtype: str) -> tuple[list[float], mp.mpf]:
    function, lower, upper, weight = FITS[name]
    # Nodes of Chebyshev's, by which least squares come near to the least largest error.
    points = [
        (lower + upper + (upper - lower) * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / GRID)) / 2
        for i in range(GRID)
    ]
    weights = [weight(t) for t in points]
    left, rounded = [function(t) * w for t, w in zip(points, weights, strict=True)], []
    for i in range(TERMS[name][dtype]):
        powers = range(i, TERMS[name][dtype])
        rows = [[w * t**j for j in powers] for t, w in zip(points, weights, strict=True)]
        rounded.append(float(DTYPES[dtype](float(nearest(left, rows)))))
        left = [e - rounded[-1] * row[0] for e, row in zip(left, rows, strict=True)]
    return rounded[::-1], max(map(abs, left))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    mp.mp.dps = 40
    lines = [
        '"""Constants of `elementary`, polynomials highest power first: written by tools/elementary.py."""',
        "",
        "LN2 = {",
    ]
    for dtype, bits in HIGH_BITS.items():
        high = mp.floor(mp.log(2) * 2**bits) / mp.mpf(2) ** bits
        low = float(DTYPES[dtype](float(mp.log(2) - high)))
        lines.append(f'    "{dtype}": ({float(high)!r}, {low!r}),')
    lines.append("}")
    for name, terms in TERMS.items():
        lines.append(f"{name} = {{")
        for dtype in terms:
            coefficients, error = fit(name, dtype)
            said = mp.nstr(error * 2 ** (BITS[dtype] - 1), 2)
            lines.append(f'    "{dtype}": (  # adds at most {said} units in the last place')
            lines += [f"        {c!r}," for c in coefficients]
            lines.append("    ),")
        lines.append("}")
    text = "\n".join(lines) + "\n"
    print("\n".join(line for line in lines if "#" in line))
    if check:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET.name} is stale")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
