"""Computes the polynomials of `xpnn._activations.erf` with mpmath and writes `src/xpnn/_erf_coefficients.py`.

Run `python tools/erf_coefficients.py`; with `--check` it fails if the file would change.
"""

import argparse
import sys
from pathlib import Path

import mpmath as mp

TARGET = Path(__file__).parents[1] / "src" / "xpnn" / "_activations" / "erf_coefficients.py"
SMALL = mp.mpf("1.25")  # below it erf is computed directly, from it on as 1 - erfc
CENTRE = mp.mpf("3.5")  # of the map t = (a - CENTRE) / (a + CENTRE) from [0, inf) to [-1, 1)
TERMS = {"float32": (8, 12), "float64": (14, 24)}  # of SERIES and of SCALED


def erf_series(z: mp.mpf) -> mp.mpf:
    """Erf(x) / x - 1 as a function of z = x**2."""
    x = mp.sqrt(z)
    return (mp.erf(x) / x if z > mp.mpf(10) ** -50 else 2 / mp.sqrt(mp.pi)) - 1


def scaled_erfc(t: mp.mpf) -> mp.mpf:
    """(1 + 2 a) exp(a**2) erfc(a) as a function of t: smooth, and between 1 and 1.2, up to infinity."""
    if t > 1 - mp.mpf(10) ** -50:
        return 2 / mp.sqrt(mp.pi)
    a = CENTRE * (1 + t) / (1 - t)
    # erfc(a) exp(a**2) = U(1/2, 1/2, a**2) / sqrt(pi), which mpmath finds for large a too.
    return (1 + 2 * a) * mp.hyperu(mp.mpf(1) / 2, mp.mpf(1) / 2, a * a) / mp.sqrt(mp.pi)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    mp.mp.dps = 60
    lines = [
        '"""Polynomials for erf, highest power first: written by tools/erf_coefficients.py."""',
        "",
        f"SMALL = {float(SMALL)!r}",
        f"CENTRE = {float(CENTRE)!r}",
    ]
    for name, function, interval, which in (
        ("SERIES", erf_series, [0, SMALL**2], 0),
        ("SCALED", scaled_erfc, [-1, 1], 1),
    ):
        lines.append(f"{name} = {{")
        for dtype, terms in TERMS.items():
            coefficients, error = mp.chebyfit(function, interval, terms[which], error=True)
            lines.append(f'    "{dtype}": (  # largest error {mp.nstr(error, 2)}')
            lines += [f"        {float(c)!r}," for c in coefficients]
            lines.append("    ),")
        lines.append("}")
    text = "\n".join(lines) + "\n"
    if check:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET.name} is stale")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
