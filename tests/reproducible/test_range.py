"""Every function of the reproducible way over the whole range of binary64, forward and backward.

The points come from the code: three numbers on either side of every constant that stands in it, with
both signs, and of every place where a result leaves the range; and numbers between them.
"""

import ast
import math
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from references import ELEMENTWISE as FORMULAS

import xpnn
from xpnn import _activations
from xpnn._activations.table import ELEMENTWISE as ACTIVATIONS
from xpnn._arrays.transfer import to_numpy
from xpnn._reproducible import arithmetic
from xpnn._reproducible.arithmetic.double import LEAST_DOUBLE
from xpnn._reproducible.operations import ELEMENTWISE
from xpnn._rounding.exact import context

MP = mpmath.MPContext()
MP.prec = 300
LARGEST = sys.float_info.max
ROOMS = [
    *(Path(arithmetic.__file__).with_name(f"{n}.py") for n in ("elementwise", "elementary")),
    *(
        Path(_activations.__file__).with_name(f"{n}.py")
        for n in ("erf", "gated", "sigmoids", "softmax")
    ),
]


def constants():
    """Every number that stands in the code, sums and powers of numbers included."""
    for path in ROOMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.BinOp):
                try:
                    value = eval(compile(ast.Expression(node), "", "eval"), {"math": math})
                except (NameError, TypeError, ZeroDivisionError):
                    continue
                if isinstance(value, int | float) and LEAST_DOUBLE <= abs(value) < math.inf:
                    yield abs(float(value))


EDGES = [LEAST_DOUBLE, LARGEST, 2.0**-511, 2.0**512, -math.log(LEAST_DOUBLE), math.log(LARGEST)]
EDGES += [1022.0, 1024.0, math.asinh(LARGEST), -math.log(LEAST_DOUBLE) / 2, 1e3, 1e5]


def points():
    places = np.asarray(sorted({*constants(), *EDGES}))
    near = [places]
    with np.errstate(over="ignore"):
        for toward in (0.0, math.inf):
            x = places
            for _ in range(3):
                x = np.nextafter(x, toward)
                near.append(x)
    rng = np.random.default_rng(0)
    near += [2.0 ** rng.uniform(-1022, 1023.99, 60), 2.0 ** rng.uniform(-60, 11, 60)]
    x = np.unique(np.concatenate(near))
    x = x[(x >= LEAST_DOUBLE) & (x <= LARGEST)]
    return np.concatenate([-x[::-1], [0.0], x])


X = points()
SPECIAL = np.asarray([math.nan, math.inf, -math.inf, -0.0, 5e-324, -1e-310])
EVERYWHERE = np.concatenate([X, SPECIAL])
"""One array for all tests: JAX compiles a function for each shape."""
EXACT = {
    "exp": MP.exp, "exp2": lambda v: MP.mpf(2) ** v, "expm1": MP.expm1, "log": MP.log,
    "log2": lambda v: MP.log(v) / MP.log(2), "log10": MP.log10, "log1p": MP.log1p, "tanh": MP.tanh,
    "sinh": MP.sinh, "cosh": MP.cosh, "sigmoid": lambda v: 1 / (1 + MP.exp(-v)), "erf": MP.erf,
    "sqrt": MP.sqrt,
}  # fmt: skip
SLOPES = {
    "exp": MP.exp, "exp2": lambda v: MP.mpf(2) ** v * MP.log(2), "expm1": MP.exp,
    "log": lambda v: 1 / v, "log2": lambda v: 1 / (v * MP.log(2)),
    "log10": lambda v: 1 / (v * MP.log(10)), "log1p": lambda v: 1 / (1 + v),
    "tanh": lambda v: MP.sech(v) ** 2, "sinh": MP.cosh, "cosh": MP.sinh,
    "sigmoid": lambda v: 1 / ((1 + MP.exp(-v)) * (1 + MP.exp(v))),
    "erf": lambda v: 2 / MP.sqrt(MP.pi) * MP.exp(-v * v), "sqrt": lambda v: 1 / (2 * MP.sqrt(v)),
}  # fmt: skip
OF_POSITIVE = ("log", "log2", "log10", "sqrt")


def domain(name):
    """Which of the points a function is defined at."""
    return X > 0 if name in OF_POSITIVE else X > -1 if name == "log1p" else X == X


def exact_at(f, x, far=2000.0, mp=MP):
    """f at x; functions that are constant or out of range past `far` are taken there."""
    saturates = f not in {EXACT[n] for n in (*OF_POSITIVE, "log1p")} | {
        SLOPES[n] for n in (*OF_POSITIVE, "log1p")
    }
    return f(mp.mpf(math.copysign(min(abs(x), far), x) if saturates else x))


def units_off(got, exact):
    """Distance in units in the last place; infinity and 0 where the exact value is out of range."""
    size, hair = abs(exact), MP.mpf(2) ** -50
    if size < LEAST_DOUBLE * (1 + hair) and got == 0.0:
        return 0.0
    if size > LARGEST * (1 - hair) and math.isinf(got) and (got > 0) == (exact > 0):
        return 0.0
    if not math.isfinite(got) or size > LARGEST * (1 + hair) or 0 < abs(got) < LEAST_DOUBLE:
        return math.inf
    return float(abs(MP.mpf(got) - exact) / math.ulp(max(float(size), LEAST_DOUBLE)))


def worst(got, exact):
    off = [units_off(float(g), e) for g, e in zip(got, exact, strict=True)]
    return max(off), int(np.argmax(off))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementary_functions(name):
    x = X[domain(name)]
    got = getattr(xpnn.reproducible(np), name)(x)
    off, i = worst(got, [exact_at(EXACT[name], v) for v in x.tolist()])
    assert off <= (0.5 if name == "sqrt" else 2), f"{name}({x[i]!r}) is {got[i]!r}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementary_functions_everywhere_the_same(name, backend, rxp):
    x = EVERYWHERE
    expected = getattr(xpnn.reproducible(np), name)(x)
    got = to_numpy(getattr(rxp, name)(backend.asarray(x)))
    differ = np.flatnonzero(got.view("u8") != expected.view("u8"))
    assert not differ.size, f"{x[differ[:5]]}: {got[differ[:5]]}, not {expected[differ[:5]]}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_their_derivatives(name, ad):
    rxp = xpnn.reproducible(ad.xp)
    (got,) = ad.grad(getattr(rxp, name), EVERYWHERE)
    # Where the value is infinite, so may be the derivative.
    fits = domain(name) & np.isfinite(getattr(xpnn.reproducible(np), name)(X))
    x, got = X[fits], got[: len(X)][fits]
    off, i = worst(got, [exact_at(SLOPES[name], v) for v in x.tolist()])
    assert off <= 4, f"the derivative of {name} at {x[i]!r} is {got[i]!r}"


def test_derivatives_of_the_logarithm_of_a_sum_of_exponentials(ad):
    rxp = xpnn.reproducible(ad.xp)
    a = np.concatenate([X, [math.inf, -math.inf, -math.inf, 3.0, math.inf, -math.inf]])
    b = np.resize([0.0, 1.5, -800.0, 1e300, math.inf, -math.inf, LARGEST], len(a))
    b[-3:] = 3.0, math.inf, -math.inf
    found = ad.grad(rxp.logaddexp, a, b)
    for got, x, other in zip(found, (a, b), (b, a), strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.where(x == other, 0.0, x - other).tolist()
        assert worst(got, [exact_at(EXACT["sigmoid"], v) for v in difference])[0] <= 2


def exact_activation(name, x):
    mp = context()
    return MP.mpf(FORMULAS[name](mp.mpf(x)))


@pytest.mark.parametrize("name", [f.__name__ for f in ACTIVATIONS])
def test_activations(name, backend, rxp):
    x = EVERYWHERE
    expected = getattr(xpnn, name)(x, xp=xpnn.reproducible(np))
    got = to_numpy(getattr(xpnn, name)(backend.asarray(x), xp=rxp))
    assert got.tobytes() == expected.tobytes()
    if backend.name == "numpy":
        for v, y in zip(x[: len(X) : 3].tolist(), got[: len(X) : 3].tolist(), strict=True):
            exact = exact_activation(name, v)
            # A term of the formula that is less than the least normal number is 0.
            assert units_off(y, exact) <= 8 or abs(y - exact) <= LEAST_DOUBLE, (v, y)
