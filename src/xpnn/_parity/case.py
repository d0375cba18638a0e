"""A result that went wrong, and forward passes in binary64 that differ from the network in some way."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array, Namespace
from xpnn._network.interpreters.steps import steps_of
from xpnn._network.interpreters.values import Plain, ending
from xpnn._network.layers.layer import Layers
from xpnn._parity.standard import host

Change = Callable[[Array], Array]


def unchanged(a: Array) -> Array:
    """Return it as it is."""
    return a


class Step(NamedTuple):
    """A layer, with what a fault may do to it."""

    weight: Array
    """A matrix, or a number a column."""
    bias: Array | None
    activate: Change
    """The activation, or all of a layer that is no product."""
    name: str
    """The activation's, or the kind of a layer that is no product."""
    whole: tuple[int, int] | None = None
    """The widths of a layer that is no product, whose weight is 1."""
    factor: Change = unchanged
    """What becomes of both factors of the product."""
    made: Change = unchanged
    """What becomes of the sum, before the activation."""
    after: Change = unchanged
    """What becomes of the activation's result."""

    @property
    def is_matrix(self) -> bool:
        """Whether the weight is a matrix."""
        return self.weight.ndim == 2

    @property
    def widths(self) -> tuple[int, int]:
        """The numbers of inputs and outputs."""
        return self.whole or (self.weight.shape[0], self.weight.shape[-1])

    @property
    def sum_of(self) -> tuple[object, ...]:
        """What the product with the bias depends on."""
        return self.weight, self.bias, self.factor, self.made

    def product(self, z: Array) -> Array:
        """Return the product with the weight."""
        z, weight = self.factor(z), self.factor(self.weight)
        return host().xp.matmul(z, weight) if self.is_matrix else z * weight

    def linear(self, z: Array) -> Array:
        """Return the product with the bias."""
        a = self.product(z)
        return self.made(a if self.bias is None else a + self.bias)

    def __call__(self, z: Array) -> Array:
        return self.after(self.activate(self.linear(z)))


@dataclass(frozen=True, eq=False)
class Case:
    """A result that went wrong: all of its rows, and those that candidates are judged by."""

    layers: Layers
    """In binary64."""
    x: Array
    """All rows, in binary64."""
    of: str
    dtype: str
    y: Array
    """What came, all rows, in binary64."""
    expected: Array
    """The error to expect of a sound result, all rows."""
    rows: Array
    """The numbers of the rows to judge by."""
    lead: tuple[int, ...]
    """The shape of the input, without its last axis."""

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """The layers."""
        made, row, plain = [], self.x[:1, :], Plain(host().xp)
        for i, layer in enumerate(self.layers):
            width = row.shape[-1]
            row = layer.apply(row, plain)
            made.append(self._product(i, width) or self.by_words(i, plain, (width, row.shape[-1])))
        return tuple(made)

    def _product(self, i: int, width: int) -> Step | None:
        """Return a layer as a product and what becomes of it; None if it is more than that."""
        steps = steps_of(self.layers[i])
        if steps is None or len(steps) != 1:
            return None
        ((factor, shift, *_),) = steps
        weight = host().xp.ones(width) if factor is None else factor
        return Step(weight, shift, self._activation(i), self._ends[i].name)

    def by_words(self, i: int, words: Plain, widths: tuple[int, int]) -> Step:
        """Return a layer as what words make of its input."""
        layer, activation = self.layers[i], self._activation(i)
        return Step(
            host().xp.ones(widths[0]),
            None,
            lambda x: activation(layer.preactivation(x, words)),
            layer.kind,
            widths,
        )

    @property
    def _ends(self) -> tuple[Activation, ...]:
        return (*(layer.activate for layer in self.layers[:-1]), self.last)

    def _activation(self, i: int) -> Change:
        return functools.partial(self._ends[i].function, xp=host().xp)

    @property
    def last(self) -> Activation:
        """The activation that makes the result."""
        return ending(self.layers, self.of)

    @functools.cached_property
    def some(self) -> "Pass":
        """The passes of the rows to judge by."""
        return Pass(self.steps, self.x[self.rows, :])

    @functools.cached_property
    def whole(self) -> "Pass":
        """The passes of all rows, for faults that mix them; they give the rows to judge by."""
        return Pass(self.steps, self.x, self.rows)

    @functools.cached_property
    def given(self) -> Array:
        """What came, of the rows to judge by."""
        return self.y[self.rows, :]

    @functools.cached_property
    def right(self) -> Array:
        """The right result of the rows to judge by."""
        return self.some.run()

    @functools.cached_property
    def scale(self) -> Array:
        """The size of each output: small ones count as much as large ones."""
        xp = host().xp
        size = xp.max(xp.abs(self.right), axis=0, keepdims=True)
        return xp.maximum(size, 1e-9 * xp.max(size)) + PRECISIONS["float64"].tiny

    def size(self, error: Array) -> float:
        """Return the root mean square of an error; inf for NaN."""
        xp = host().xp
        size = float(xp.sqrt(xp.mean((error / self.scale) ** 2)))
        return math.inf if math.isnan(size) else size

    def left(self, y: Array) -> float:
        """Return how much of the error is left if y is what was computed."""
        return self.size(y - self.given) if y.shape == self.given.shape else math.inf

    @functools.cached_property
    def rounding(self) -> float:
        """The size of sound errors, as `left` gives it."""
        return self.size(self.expected[self.rows, :])


class Pass:
    """Forward passes of the same rows, whose common beginnings are computed once."""

    def __init__(self, steps: tuple[Step, ...], x: Array, rows: Array | None = None) -> None:
        self.steps, self.x, self.rows = steps, x, rows
        self._inputs = [x]
        self._sums: dict[int, Array] = {}

    def input(self, i: int) -> Array:
        """Return the right input of layer i; for i = number of layers, the result."""
        while len(self._inputs) <= i:
            j = len(self._inputs) - 1
            self._inputs.append(self.steps[j].activate(self.sums(j)))
        return self._inputs[i]

    def sums(self, i: int) -> Array:
        """Return the right x @ weight + bias of layer i."""
        if i not in self._sums:
            self._sums[i] = self.steps[i].linear(self.input(i))
        return self._sums[i]

    def run(self, steps: tuple[Step, ...] | None = None, x: Array | None = None) -> Array:
        """Return what these layers make of x, or of the right input."""
        steps = self.steps if steps is None else steps
        start, z = 0, x
        if z is None:
            same = zip(steps, self.steps, strict=False)
            start = next((i for i, (a, b) in enumerate(same) if a is not b), len(self.steps))
            start = min(start, len(steps))
            z = self.input(start)
            if start < min(len(steps), len(self.steps)):
                old, new = self.steps[start], steps[start]
                if all(a is b for a, b in zip(new.sum_of, old.sum_of, strict=True)):
                    z, start = new.after(new.activate(self.sums(start))), start + 1
        for step in steps[start:]:
            z = step(z)
        return self.chosen(z)

    def chosen(self, y: Array) -> Array:
        """Return the rows to judge by."""
        return y if self.rows is None else y[self.rows, :]


Candidates = Iterator[tuple[str, Array]]
"""Where the fault is, in words, and what comes of it."""


def in_layers(i: int, *others: int) -> str:
    """Return 'in layer 0' or 'in layers 0, 1'."""
    return f" in layer{'s' * bool(others)} {', '.join(map(str, (i, *others)))}"


def changed(case: Case, change: Callable[[int, Step], Step | None], words: str = "") -> Candidates:
    """Change each layer alone, all but the last, and all; `change` gives None where it cannot."""
    new = {i: c for i, s in enumerate(case.steps) if (c := change(i, s)) is not None}
    sets: list[tuple[int, ...]] = [(i,) for i in new]
    for several in (tuple(i for i in new if i < len(case.steps) - 1), tuple(new)):
        if len(several) > 1 and several not in sets:
            sets.append(several)
    for those in sets:
        steps = tuple(new[i] if i in those else old for i, old in enumerate(case.steps))
        yield in_layers(*those) + words, case.some.run(steps)


def replaced(case: Case, new: dict[int, Step]) -> tuple[Step, ...]:
    """Return the layers, some of them others."""
    return tuple(new.get(i, old) for i, old in enumerate(case.steps))


def rounded(a: Array, bits: int) -> Array:
    """Round binary64 to so many bits, to nearest (G. W. Veltkamp's way)."""
    c = a * (2.0 ** (53 - bits) + 1)
    return c - (c - a)


def cut(a: Array, bits: int, xp: Namespace) -> Array:
    """Round binary64 to so many bits, toward zero."""
    near = rounded(a, bits)
    step = xp.abs(near) * 2.0**-bits
    return xp.where(xp.abs(near) > xp.abs(a), rounded(near - xp.sign(near) * step, bits), near)


def narrowed(dtype: str) -> Change:
    """Return the rounding to a dtype, with its range."""
    p = PRECISIONS[dtype]
    least = p.tiny * 2.0 ** (1 - p.bits)

    def change(a: Array) -> Array:
        xp = host().xp
        small = xp.round(a / least) * least
        y = xp.where(xp.abs(a) < p.tiny, small, rounded(a, p.bits))
        y = xp.where(xp.isfinite(a), y, a)
        return xp.where(xp.abs(y) > p.largest, xp.sign(y) * math.inf, y)

    return change
