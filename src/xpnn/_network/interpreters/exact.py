"""The exact forward pass, to `BITS` bits: integers for the products, mpmath for the activations.

A binary number is an integer times a power of two, so the products of a layer and their sums are sums and
products of Python's integers, without error. What activations return is rounded to `BITS` bits; the largest of
a row counts, as its values meet in one sum. That leaves 347 bits more than binary64 has, so that the records'
textbook formulas need no care.
"""

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Values
from xpnn._network.interpreters.values import Layers, activations
from xpnn._network.layers.dense import Dense
from xpnn._rounding.exact import BITS, Number, context


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
        return self.activation.exact(a)


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
    steps = [_Exact.of(*pair) for pair in zip(layers, activations(layers, of), strict=True)]
    whole = x.dtype.kind in "iub"
    results = []
    for values in x.tolist():
        row, power = (values, 0) if whole else _integers(values)
        for step in steps:
            z = step(row, power)
            row, power = _integers_of(z)
        results.append(z)
    return results
