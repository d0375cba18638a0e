"""Exact values: the forward pass in integers and mpmath, to `BITS` bits.

The numbers are those of `xpnn._rounding.exact`, with so many digits that the records' textbook formulas need no
care.
"""

import operator

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Values
from xpnn._network.interpreters.values import ending, passed
from xpnn._network.layers.layer import Layers, Shape
from xpnn._rounding.exact import Integers, Number, context

Row = Integers | list[Number]
"""A row of the input, or of what was made of it."""


class Exact:
    """The words for exact rows, with arrays of NumPy's of at most 64 bits."""

    def linear(
        self, rows: list[Row], weight: Values, bias: Values | None, _: str | None = None, /
    ) -> list[Row]:
        """Return x @ weight + bias: sums of products of integers, without error."""
        mp, width = context(), weight.shape[1]
        flat = Integers.of(weight.reshape(-1).tolist())
        columns = [flat.values[j::width] for j in range(width)]
        shift = [mp.mpf(b) for b in ([0.0] * width if bias is None else bias.tolist())]

        def product(row: Row) -> Row:
            x = row if isinstance(row, Integers) else Integers.rounded(row)
            sums = [sum(map(operator.mul, x.values, column)) for column in columns]
            power = x.power + flat.power
            return [mp.ldexp(s, power) + b for s, b in zip(sums, shift, strict=True)]

        return [product(row) for row in rows]

    def affine(
        self, rows: list[Row], scale: Values | None, shift: Values | None, _: str | None = None, /
    ) -> list[Row]:
        """Return x * scale + shift."""
        mp, made = context(), list[Row]()
        for row in rows:
            x = _numbers(row)
            if scale is not None:
                x = [v * mp.mpf(f) for v, f in zip(x, scale.tolist(), strict=True)]
            if shift is not None:
                x = [v + mp.mpf(b) for v, b in zip(x, shift.tolist(), strict=True)]
            made.append(x)
        return made

    def normalize(self, rows: list[Row], epsilon: float, /) -> list[Row]:
        """Return (x - mean) / sqrt(variance + epsilon); NaN where that is 0 / 0."""
        mp, made = context(), list[Row]()
        for row in rows:
            x = _numbers(row)
            mean = mp.fsum(x) / len(x)
            d = [v - mean for v in x]
            size = mp.sqrt(mp.fsum(v * v for v in d) / len(x) + mp.mpf(epsilon))
            made.append([v / size if size else mp.nan for v in d])
        return made

    def add(self, rows: list[Row], others: list[Row], /) -> list[Row]:
        """Return x + y."""
        pairs = zip(rows, others, strict=True)
        return [list(map(operator.add, _numbers(x), _numbers(y))) for x, y in pairs]

    def flatten(self, rows: list[Row], _: Shape, /) -> list[Row]:
        """Return rows, which the network has laid out."""
        return rows

    def activate(self, rows: list[Row], activation: Activation, /) -> list[Row]:
        """Return an activation of each row."""
        return [activation.exact(_numbers(row)) for row in rows]


def _numbers(row: Row) -> list[Number]:
    return row.numbers() if isinstance(row, Integers) else row


def exact(layers: Layers, x: Values, of: str = "output") -> list[list[Number]]:
    """Return the exact result for every row.

    Parameters
    ----------
    layers : tuple of layers
        With finite NumPy weights of at most 64 bits.
    x : array, shape (rows, in)
        Finite values of NumPy: floats of at most 64 bits, or integers.
    of : {'output', 'logits', 'log_proba'}
        Of which method of a network.

    Returns
    -------
    list of lists of mpmath numbers
    """
    rows: list[Row] = [Integers.of(values) for values in x.tolist()]
    return [_numbers(row) for row in passed(layers, rows, Exact(), ending(layers, of))]
