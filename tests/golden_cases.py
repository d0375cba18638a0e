"""What the golden digests are of: the same computation for every backend, inputs by NumPy.

`python tests/golden_cases.py` computes `golden.json` with NumPy; the tests hold every backend to it.
Never do that to make a test pass: a digest that changes is a broken guarantee.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import xpnn
import xpnn.models
from xpnn._activations.table import ACTIVATIONS
from xpnn._arrays.digest import digest

FILE = Path(__file__).with_name("golden.json")

# Each takes (xp, asarray): a reproducible namespace, and what makes a backend's own array of NumPy's.
CASES: dict[str, Callable[[Any, Callable[[np.ndarray], Any]], Any]] = {}

DTYPES = ("float32", "float64")
ELEMENTWISE = (
    "exp exp2 expm1 log log2 log10 log1p tanh sinh cosh sigmoid erf sqrt reciprocal square"
).split()
REDUCTIONS = ("sum", "mean", "var", "std", "cumulative_sum")


def sweep(dtype: str) -> np.ndarray:
    """A dense sweep over every binade, both signs, and all that is special."""
    bits = np.finfo(dtype).bits
    step = 2**13 - 1 if bits == 32 else 2**45 - 1
    kind = np.uint32 if bits == 32 else np.uint64
    x = np.arange(0, 2**bits - step, step * 4, dtype=np.float64)
    x = (x.astype(kind)).view(dtype)
    near = np.linspace(-3, 3, 2001).astype(dtype)
    return np.concatenate([x, near, hard(dtype).reshape(-1)])


def hard(dtype: str) -> np.ndarray:
    """Zeros, subnormals, infinities, NaN, the largest and the least, and midpoints."""
    info = np.finfo(dtype)
    values = [
        0.0,
        info.tiny,
        info.smallest_subnormal,
        info.max,
        np.inf,
        1.0,
        1 + info.eps,
        2.0**-23,
    ]
    values += [1e-3, 0.5, 3.0, 88.0, 700.0 if dtype == "float64" else 100.0, info.tiny * 1.5]
    with np.errstate(over="ignore"):
        x = np.asarray(values, dtype)
    return np.stack([x, -x, np.where(np.arange(14) == 3, np.nan, x)])


def normal(seed: int, *shape: int, dtype: str, sigma: float = 0.0) -> np.ndarray:
    """Normal numbers, or for sigma > 0 with a wide range of exponents."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if sigma:
        x = x * 2.0 ** np.round(rng.normal(0, sigma, shape))
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def case(name: str) -> Callable[[Any], Any]:
    def register(f: Any) -> Any:
        CASES[name] = f
        return f

    return register


for _dtype in DTYPES:
    for _name in ELEMENTWISE:

        @case(f"{_name} {_dtype}")
        def _elementwise(xp, asarray, name=_name, dtype=_dtype):
            return getattr(xp, name)(asarray(sweep(dtype)))

    for _name in [n for n in ACTIVATIONS if n not in ("softmax", "log_softmax")]:

        @case(f"xpnn.{_name} {_dtype}")
        def _activation(xp, asarray, name=_name, dtype=_dtype):
            return getattr(xpnn, name)(asarray(sweep(dtype)[::7]), xp=xp)

    for _name in ("softmax", "log_softmax", "logsumexp"):

        @case(f"xpnn.{_name} {_dtype}")
        def _softmax(xp, asarray, name=_name, dtype=_dtype):
            x = normal(1, 60, 333, dtype=dtype, sigma=3)
            x[:3, :14] = hard(dtype)
            return getattr(xpnn, name)(asarray(x), axis=-1, xp=xp)

    for _name in REDUCTIONS:

        @case(f"{_name} {_dtype}")
        def _reduction(xp, asarray, name=_name, dtype=_dtype):
            x = normal(2, 7, 1001, dtype=dtype, sigma=30)
            return getattr(xp, name)(asarray(x), axis=1)

    for _name in ("add", "subtract", "multiply", "divide", "logaddexp"):

        @case(f"{_name} {_dtype}")
        def _binary(xp, asarray, name=_name, dtype=_dtype):
            x = np.concatenate([hard(dtype).reshape(-1), normal(3, 300, dtype=dtype, sigma=60)])
            return getattr(xp, name)(asarray(x[:, np.newaxis]), asarray(x[np.newaxis, :]))

    for _shape in ((1, 1, 1), (3, 784, 50), (50, 3000, 7), (2, 1024, 3), (5, 1025, 2), (4, 0, 3)):

        @case(f"matmul {_shape} {_dtype}")
        def _matmul(xp, asarray, shape=_shape, dtype=_dtype):
            m, k, n = shape
            a, b = normal(4, m, k, dtype=dtype, sigma=3), normal(5, k, n, dtype=dtype)
            return xp.matmul(asarray(a), asarray(b))

    @case(f"matmul hard {_dtype}")
    def _matmul_hard(xp, asarray, dtype=_dtype):
        a, b = normal(6, 14, 14, dtype=dtype, sigma=100), normal(7, 14, 14, dtype=dtype, sigma=100)
        a[3:6], b[:, 5:8] = hard(dtype), hard(dtype).T
        return xp.matmul(asarray(a), asarray(b))

    for _widths, _rows in (
        ((1, 1), 1),
        ((16, 4096, 3), 3),
        ((64, 32, 10), 10_000),
        ((3000, 5), 20),
    ):

        @case(f"network {_widths} {_rows} rows {_dtype}")
        def _network(xp, asarray, widths=_widths, rows=_rows, dtype=_dtype):
            return network(widths, dtype)(asarray(normal(8, rows, widths[0], dtype=dtype)), xp=xp)


def network(widths: tuple[int, ...], dtype: str, hidden: str = "gelu") -> xpnn.Network:
    """A network of random weights."""
    pairs = list(itertools.pairwise(widths))
    weights = [
        normal(10 + i, *p, dtype=dtype) / np.asarray(p[0] ** 0.5, dtype)
        for i, p in enumerate(pairs)
    ]
    biases = [normal(20 + i, n, dtype=dtype) for i, (_, n) in enumerate(pairs)]
    return xpnn.Network.from_weights(weights, biases, hidden=hidden, output="softmax")


def softsign(x: Any) -> Any:
    """An elementwise function in terms of operators."""
    return x / (1 + abs(x))


def layered(kind: str, dtype: str) -> xpnn.Network:
    """A network that has a layer of this kind before a dense one with softmax: 5 -> 3."""
    scale, shift, slope = normal(30, 3, 5, dtype=dtype)
    weight = normal(31, 5, 5, dtype=dtype) / np.asarray(3, dtype)
    inside = xpnn.Dense(weight, shift, "tanh")
    first: Any = {
        "affine": xpnn.Affine(scale, shift),
        "affine with an activation": xpnn.Affine(scale, shift, activation="silu"),
        "activation": xpnn.Affine(activation="elu(alpha=1.5)"),
        "flatten": xpnn.Flatten((5, 1)),
        "layer_norm": xpnn.LayerNorm(scale, shift),
        "function": xpnn.Function(
            softsign,
            elementwise=True,
            slope=1,
            roundings=3,
            exact=lambda _, t: softsign(t),
        ),
        "prelu": xpnn.PReLU(slope),
        "residual": xpnn.Residual([xpnn.Affine(scale), inside]),
        "shortcut": xpnn.Residual([inside], [xpnn.Dense(weight[::-1]), xpnn.Affine(scale)]),
    }[kind]
    last = xpnn.Dense(normal(32, 5, 3, dtype=dtype), normal(33, 3, dtype=dtype), "softmax")
    return xpnn.Network([first, inside, last] if kind == "prelu" else [first, last])


def samples(kind: str, rows: np.ndarray) -> np.ndarray:
    """Rows of 5 numbers as the network that has a layer of this kind takes them."""
    return rows.reshape(-1, 5, 1) if kind == "flatten" else rows


LAYERED = (
    *("affine", "affine with an activation", "activation"),
    *("flatten", "function", "layer_norm", "prelu", "residual", "shortcut"),
)
for _kind in LAYERED:
    for _dtype in DTYPES:

        @case(f"layers {_kind} {_dtype}")
        def _layered(xp, asarray, kind=_kind, dtype=_dtype):
            x = np.concatenate(
                [
                    normal(34, 500, 5, dtype=dtype, sigma=3),
                    hard(dtype).reshape(-1)[:40].reshape(8, 5),
                ]
            )
            return layered(kind, dtype)(asarray(samples(kind, x)), xp=xp)


@case("digits")
def _digits(xp, asarray):
    images, _ = xpnn.models.sample("digits")
    return xpnn.load("digits")(asarray(images.astype("float32")), xp=xp)


def digests(xp: Any, asarray: Callable[[np.ndarray], Any], names: Any = None) -> Iterator[Any]:
    for name in names or CASES:
        yield name, digest(CASES[name](xp, asarray))


if __name__ == "__main__":
    FILE.write_text(json.dumps(dict(digests(xpnn.reproducible(np), np.asarray)), indent=1) + "\n")
