"""The exact forward pass, to `BITS` bits: integers for the products, mpmath for the activations.

A binary number is an integer times a power of two, so the products of a layer and their sums are sums and
products of Python's integers, without error. What activations return is rounded to `BITS` bits; the largest of
a row counts, as its values meet in one sum. That leaves 347 bits more than binary64 has. Only the textbook
formulas stand here: with so many digits none needs care.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn._arrays.types import Values
from xpnn._network.interpreters.bounds import Activation, activation_of
from xpnn._network.interpreters.values import Layers
from xpnn._network.layers.dense import Dense
from xpnn.errors import XpnnError

BITS = 400

Number = Any
"""A number of mpmath."""


@functools.cache
def context() -> Any:
    """Return mpmath with `BITS` bits; its own settings stay as they are."""
    try:
        import mpmath  # noqa: PLC0415 -- only who asks for exact values needs it
    except ModuleNotFoundError:
        raise XpnnError(
            "exact values need mpmath; get it with: pip install 'xpnn[parity]'"
        ) from None
    mp = mpmath.MPContext()
    mp.prec = BITS
    return mp


def _sigmoid(mp: Any, x: Number) -> Number:
    return 1 / (1 + mp.exp(-x))


def _softplus(mp: Any, x: Number, beta: float = 1.0, threshold: float | None = None) -> Number:
    over = threshold is not None and x * beta > threshold
    return x if over else mp.log1p(mp.exp(beta * x)) / beta


def _elu(mp: Any, x: Number, alpha: float = 1.0) -> Number:
    return x if x > 0 else alpha * mp.expm1(x)


def _gelu(mp: Any, x: Number, approximate: str = "none") -> Number:
    if approximate == "tanh":
        return x * _sigmoid(mp, mp.sqrt(8 / mp.pi) * (x + mp.mpf("0.044715") * x**3))
    # erfc refuses huge arguments, where the result is 0 or x in every dtype.
    return x * mp.erfc(-_clip(mp, x, -1000, 1000) / mp.sqrt(2)) / 2


def _clip(mp: Any, x: Number, low: int, high: int) -> Number:
    return min(max(x, mp.mpf(low)), mp.mpf(high))


FORMULAS: dict[str, Callable[..., Number]] = {
    "identity": lambda mp, x: x,
    "step": lambda mp, x: mp.mpf(int(x > 0)),
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda mp, x: -mp.log1p(mp.exp(-x)),
    "tanh": lambda mp, x: mp.tanh(x),
    "relu": lambda mp, x: max(x, mp.mpf(0)),
    "relu6": lambda mp, x: _clip(mp, x, 0, 6),
    "leaky_relu": lambda mp, x, negative_slope=0.01: x if x > 0 else x * negative_slope,
    "elu": _elu,
    "selu": lambda mp, x: (
        mp.mpf("1.0507009873554804934193349852946")
        * _elu(mp, x, mp.mpf("1.6732632423543772848170429916717"))
    ),
    "celu": lambda mp, x, alpha=1.0: x if x > 0 else alpha * mp.expm1(x / alpha),
    "gelu": _gelu,
    "silu": lambda mp, x: x * _sigmoid(mp, x),
    "mish": lambda mp, x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "softplus": _softplus,
    "softsign": lambda mp, x: x / (1 + abs(x)),
    "hard_sigmoid": lambda mp, x: _clip(mp, x + 3, 0, 6) / 6,
    "hard_swish": lambda mp, x: x * _clip(mp, x + 3, 0, 6) / 6,
    "hard_tanh": lambda mp, x: _clip(mp, x, -1, 1),
    "erf": lambda mp, x: mp.erf(_clip(mp, x, -1000, 1000)),
}
"""`formula(mpmath, x, **options)` of each elementwise activation, for finite x."""


def _softmax(mp: Any, row: Sequence[Number]) -> list[Number]:
    largest = max(row)
    e = [mp.exp(x - largest) for x in row]
    total = mp.fsum(e)
    return [x / total for x in e]


def _log_softmax(mp: Any, row: Sequence[Number]) -> list[Number]:
    k = max(range(len(row)), key=lambda i: row[i])
    others = mp.fsum(mp.exp(x - row[k]) for i, x in enumerate(row) if i != k)
    return [x - row[k] - mp.log1p(others) for x in row]


_ROWS = {"softmax": _softmax, "log_softmax": _log_softmax}


def activate(name: str, options: dict[str, Any], row: Sequence[Number]) -> list[Number]:
    """Return an activation of a row of finite numbers."""
    mp = context()
    if name in _ROWS:
        return _ROWS[name](mp, row)
    return [FORMULAS[name](mp, x, **options) for x in row]


def _integers(values: Sequence[float]) -> tuple[list[int], int]:
    """Return binary numbers as integers, and the power of two that these count."""
    parts = [math.frexp(v) for v in values]
    least = min((e for m, e in parts if m), default=0) - 53
    return [int(m * 2.0**53) << (e - 53 - least) if m else 0 for m, e in parts], least


def _integers_of(row: Sequence[Number]) -> tuple[list[int], int]:
    """As `_integers`, of numbers of mpmath: to `BITS` bits of the largest."""
    mp = context()
    least = int(mp.mag(max(map(abs, row)) or mp.mpf(1))) - BITS
    return [int(mp.nint(mp.ldexp(v, -least))) for v in row], least


class _Exact(NamedTuple):
    """A layer in integers."""

    columns: list[list[int]]
    power: int
    bias: list[Number]
    activation: Activation

    @staticmethod
    def of(layer: Dense, activation: Activation) -> "_Exact":
        rows = layer.weight.tolist()
        width = layer.weight.shape[1]
        flat, power = _integers([w for row in rows for w in row])
        columns = [flat[j::width] for j in range(width)]
        bias = [0.0] * width if layer.bias is None else layer.bias.tolist()
        return _Exact(columns, power, [context().mpf(b) for b in bias], activation)

    def __call__(self, row: list[int], power: int) -> list[Number]:
        mp = context()
        sums = [sum(map(operator.mul, row, column)) for column in self.columns]
        a = [mp.ldexp(s, power + self.power) + b for s, b in zip(sums, self.bias, strict=True)]
        return activate(*self.activation[1:], a)


def exact(layers: Layers, x: Values, of: str = "output") -> list[list[Number]]:
    """Return the exact result for every row.

    Parameters
    ----------
    layers : tuple of Dense
        With finite NumPy weights of at most 64 bits.
    x : array, shape (rows, in)
        Finite values of NumPy: floats of at most 64 bits, or integers.
    of : {'output', 'logits', 'log_proba'}
        Of which method of a network.

    Returns
    -------
    list of lists of mpmath numbers
    """
    steps = [_Exact.of(layer, activation_of(layers, i, of)) for i, layer in enumerate(layers)]
    whole = x.dtype.kind in "iub"
    results = []
    for values in x.tolist():
        row, power = (values, 0) if whole else _integers(values)
        for step in steps:
            z = step(row, power)
            row, power = _integers_of(z)
        results.append(z)
    return results
