"""Functions of one value, known by their results: what is computed between two values, whatever it is written in."""

import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS
from xpnn._arrays.arguments import Choice, Number, options_of
from xpnn._convert.graph import OF_ONE, OF_ROWS, Numbers, Value, evaluated, number, values_below
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.layer import Layer
from xpnn._network.layers.normalization import LayerNorm, normalized
from xpnn.errors import XpnnValueError

Found = tuple[Value, list[Layer]]
"""The value that a rule goes back to, and the layers from there."""

_LONGEST = 150
"""Values that one function may be made of."""
_WIDEST = 8
"""Columns at which functions of rows are told apart: those of more are the same."""
_MOST_NUMBERS = 8
"""Numbers in a function that an option may be; formulas with more are of polynomials, not of options."""
_NEAR = {"float64": 1e-13, "float32": 2.8e-8, "float16": 3e-4}
"""How near a function's results are to those of an activation, in half of their size: as its numbers are rounded.

In float32 a factor that is one unit in the last place from 1 is another function; in float64, one of 1 + 2e-13.
"""
_ROUNDED = 1e-14
"""What binary64 leaves of sums that are 0."""


_MOST_TRIED = 2**17
"""Operations that may be computed, again and again, to know the functions of one network."""
_COMPARED = 16
"""How many of them it takes to compare a function with those of the table."""
_FIRST = 64
"""Numbers at which most functions are seen to be others."""
_tried: ContextVar[list[int]] = ContextVar("tried")
"""How many were, of the network at hand."""


@contextmanager
def one_network() -> Iterator[None]:
    """Count the operations of a network from 0."""
    token = _tried.set([0])
    try:
        yield
    finally:
        _tried.reset(token)


def count_operations(where: str, count: int) -> None:
    """Raise XpnnValueError where there are more than anybody writes."""
    _tried.get()[0] += count
    if _tried.get()[0] > _MOST_TRIED:
        raise XpnnValueError(
            f"{where}: expected fewer operations in a row, and fewer branches, between products"
        )


def named(value: Value, _: Value) -> Found | None:
    """A function of an earlier value alone, the longest that has a name."""
    if value.op not in OF_ONE | OF_ROWS:
        return None
    cuts = list(_cuts(value))
    for length, (cut, numbers) in reversed(list(enumerate(cuts, 1))):
        count_operations(value.where, _COMPARED + length)
        same = value.shape == cut.shape and 0 not in value.shape
        layers = _layers_between(value, cut, numbers) if same else None
        if layers is not None:
            return cut, layers
    return None


def _cuts(value: Value) -> Iterator[tuple[Value, tuple[float, ...]]]:
    """Yield the values of which alone, and of numbers, one is made element by element or row by row.

    The nearest first, each with the numbers that are in between.
    """
    open_values, numbers = {value}, dict[float, None]()
    below = itertools.islice(values_below(value), _LONGEST)
    for one in below:
        count_operations(value.where, 1)
        if len(open_values) == 1 and one is not value and one in open_values:
            yield one, tuple(numbers)
        if one.op not in OF_ONE | OF_ROWS or one not in open_values:
            return
        if (one.op in OF_ROWS and not _is_of_rows(one)) or narrows(one):
            return
        open_values.discard(one)
        for a in one.args:
            if a.array is None:
                open_values.add(a)
            elif a.array.size == 1:
                numbers[number(a.array)] = None
            else:
                return
        numbers |= dict.fromkeys(float(v) for v in one.options.values() if type(v) in {int, float})


def _is_of_rows(value: Value) -> bool:
    if value.op in {"drop", "keep"}:
        return True
    axis = value.options.get("axis", -1)
    return len(value.shape) == 2 and axis in (-1, 1, (-1,), (1,))


def _layers_between(value: Value, cut: Value, numbers: tuple[float, ...]) -> list[Layer] | None:
    """Return the activation or normalization that gives a value of an earlier one; None if none does."""
    between = {one.op for one in _between(value, cut)}
    rows, ends = not between.isdisjoint(OF_ROWS), not between.isdisjoint({"isnan", "isinf"})
    width = min(value.shape[-1], _WIDEST) if rows else 1
    x = _probes(numbers, width)
    try:
        y = np.asarray(evaluated(value, {cut: x}))
    except (TypeError, ValueError):
        y = np.zeros(0)  # of another shape
    if y.dtype != np.float64 or y.shape != x.shape:
        return None
    near = _NEAR.get(value.dtype, 0.0)
    if _alike(y, x, x, near):  # x + 1 - 1 loses digits of x on the way: layers say so
        nothing = np.array_equal(y, x) and not (ends and _differs_at_ends(value, cut, _IDENTITY))
        return [] if nothing else None
    for name, options in _candidates(numbers, of_rows=rows):
        z = _values(name, options, x)
        few = slice(_FIRST)
        if _alike(y[few], z[few], x[few], near) and _alike(y, z, x, near):
            activation = Activation(name, dict(options))
            if not (ends and _differs_at_ends(value, cut, activation)):
                return [Affine(activation=str(activation))]
    if rows and width > 1:
        for epsilon in numbers:
            if epsilon >= 0 and _alike(y, normalized(x, epsilon, np), x, near):
                return [LayerNorm(np.ones(value.shape[-1], value.dtype), epsilon=epsilon)]
    return None


_IDENTITY = Activation.of("identity")


def _between(value: Value, cut: Value) -> Iterator[Value]:
    return itertools.takewhile(lambda one: one is not cut, values_below(value))


def _differs_at_ends(value: Value, cut: Value, activation: Activation) -> bool:
    """Whether a function that asks for NaN and infinity makes something else of them."""
    rows = np.broadcast_to(np.asarray([[np.nan], [np.inf], [-np.inf]]), (3, *cut.shape[1:][-1:]))
    given, own = evaluated(value, {cut: rows}), activation(rows)
    return not np.allclose(given, own, rtol=1e-6, atol=0, equal_nan=True)


@functools.lru_cache(maxsize=64)
def _probes(numbers: tuple[float, ...], width: int) -> Numbers:
    """Return rows of numbers at which functions are told apart: everywhere, and beside the kinks."""
    kinks = np.asarray([0.0, *numbers, *(-n for n in numbers)])
    kinks = kinks[np.abs(kinks) < 1e3]
    beside = [kinks, *(kinks + d for d in (1e-3, -1e-3, 0.3, -0.3))]
    spread = np.linspace(-40, 40, 801), np.random.default_rng(0).normal(size=400) * 3
    every = np.concatenate([*beside, *spread])
    order = np.random.default_rng(1).permutation(every.size)
    rows = np.resize(every[order], (max(-(-every.size // width), 8), width))
    # Beyond all numbers there may be limits: x between -2000 and 2000, log of what is at least 1e-30.
    return np.concatenate(
        [rows, rows[:50] * 4, *(_FAR[:, None] * one for one in np.eye(width)[:2])]
    )


_POWERS = 2.0 ** np.arange(-140, 127)
_FAR = np.concatenate([_POWERS, -_POWERS, 1.5 * _POWERS[100:], -1.5 * _POWERS[100:]])
"""Numbers of every size that float32 has."""


def _alike(y: Numbers, z: Numbers, x: Numbers, near: float) -> bool:
    """Whether results are the same where both are finite, and where a plain formula does not overflow.

    A factor of x that was rounded is felt in exp(-x**2) as often as x is large, and in x + 3 near -3; no result
    counts for less than what binary64 leaves of x.
    """
    finite = np.isfinite(y) & np.isfinite(z)
    if not bool(np.all(finite[np.abs(x) < 20])):
        return False
    size = np.abs(x)
    felt = np.minimum(size, 3) + (1 + 2 * np.minimum(size, 30) ** 2) * np.abs(z)
    near_enough = np.abs(y - z) <= near * felt + _ROUNDED * (1 + size)
    return bool(np.all(near_enough[finite]))


def _candidates(
    numbers: tuple[float, ...], *, of_rows: bool
) -> Iterator[tuple[str, tuple[tuple[str, Any], ...]]]:
    """Yield activations, and the options that the numbers in a function may be: the fewest first."""
    numbers = numbers if len(numbers) <= _MOST_NUMBERS else ()
    for name, record in RECORDS.items():
        if record.of_rows == of_rows and name != "identity":  # which is exact
            choices = []
            for option, known in options_of(name).items():
                kind = known.kind
                fit: list[Any] = [known.default]
                if isinstance(kind, Number):
                    fit += [v for v in numbers if kind.allows(v)]
                elif isinstance(kind, Choice):
                    fit += kind.names
                choices.append([(option, v) for v in dict.fromkeys(fit)])
            yield from ((name, options) for options in itertools.product(*choices))


@functools.lru_cache(maxsize=512)
def _cached(name: str, options: tuple[tuple[str, Any], ...], x: bytes, width: int) -> Numbers:
    rows = np.frombuffer(x).reshape(-1, width)
    found: Numbers = RECORDS[name].function(rows, **dict(options))
    return found


def _values(name: str, options: tuple[tuple[str, Any], ...], x: Numbers) -> Numbers:
    return _cached(name, options, x.tobytes(), x.shape[-1])


def narrows(value: Value) -> bool:
    """Whether it is a conversion to a floating dtype of fewer digits, which rounds."""
    if value.op != "astype" or not value.dtype.startswith("float"):
        return False
    given = np.dtype(value.args[0].dtype)
    return given.kind == "f" and given.itemsize > np.dtype(value.dtype).itemsize
