"""Folding: affine layers become part of the dense layers beside them, where that is the same function.

The new parameters are sums of products of the old ones: integers, without error, rounded once at the end.
"""

import operator
from collections.abc import Callable

from xpnn._arrays import pytree
from xpnn._arrays.backends.tracing import is_compiling
from xpnn._arrays.dtypes import PRECISIONS, dtype_name, promote
from xpnn._arrays.library import device_of, library, own_library
from xpnn._arrays.transfer import from_numpy, to_numpy
from xpnn._arrays.types import Array
from xpnn._network.interpreters.steps import Steps, steps_of
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.layer import Layer, Layers
from xpnn._rounding.enclosure import off_by
from xpnn._rounding.exact import Integers
from xpnn.errors import XpnnTypeError


def fold(layers: Layers) -> Layers:
    """Return layers of the same function, as few as there can be."""
    done: list[Layer] = []
    group: list[Layer] = []
    steps: Steps = ()
    for one in layers:
        layer = one.changed(fold)
        own = steps_of(layer)
        is_open = bool(steps) and group[-1].activate.name == "identity"
        if own is None or not is_open or not _is_foldable(steps + own):
            done += _as_one(group, steps)
            group, steps = [], ()
        group.append(layer)
        steps += own or ()
    return (*done, *_as_one(group, steps))


def check_known(layers: Layers) -> None:
    """Raise XpnnTypeError unless the values of all arrays can be looked at now."""
    if is_compiling() or not all(library(a).is_known(a) for a in pytree.leaves(layers)):
        raise XpnnTypeError(
            "network.fold: expected weights whose values are known, got ones that a compiler, a "
            "transform or a mode is at work on; fold the network before that"
        )


def _is_foldable(steps: Steps) -> bool:
    """Whether steps are one product and one sum together.

    To round parameters that were rounded before errs more than to round exact ones once. Arrays of more
    axes are those of many layers, as a vmap stacks them.
    """
    return sum(step.is_product for step in steps) <= 1 and all(
        step.rounded is None
        and all(a is None or len(a.shape) <= 1 + step.is_product for a in (step.factor, step.shift))
        for step in steps
    )


def _as_one(group: list[Layer], steps: Steps) -> list[Layer]:
    """Return one layer in place of several; these where its parameters would be out of range."""
    if len(group) < 2:
        return group
    given = [a for step in steps for a in (step.factor, step.shift) if a is not None]
    rounded = promote({dtype_name(a.dtype) for a in given})
    try:
        *numbers, shape = _exactly(steps)
        new = [None if n is None else _rounded(n.floats(), rounded, given[0]) for n in numbers]
    except (OverflowError, ValueError):  # integers are neither infinite nor NaN
        return group
    factor, shift = new
    activation = str(group[-1].activate)
    if shape is None:
        return [Affine(factor, shift, activation=activation, rounded=rounded)]
    xp = library(given[0]).xp
    return [Dense(xp.reshape(factor, shape), shift, activation, rounded=rounded)]


def _rounded(numbers: list[float], dtype: str, like: Array) -> Array:
    """Return numbers as an array of a dtype beside another one.

    OverflowError if they are too large, or the library makes zero of what is small.
    """
    found, xp = library(like), own_library().xp
    given = xp.asarray(numbers, dtype=xp.float64)
    if bool(xp.any(xp.abs(given) > PRECISIONS[dtype].largest)):
        raise OverflowError
    a = from_numpy(found, given, dtype, device_of(like))
    new = xp.astype(to_numpy(a), xp.float64)
    # Half of what `off_by` leaves for the way to binary64 is for the rounding of `given` itself.
    if bool(xp.any(xp.abs(new - given) > off_by(xp.abs(new), dtype) / (1 + 2.0**-13))):
        raise OverflowError
    return a


def _exactly(
    steps: Steps,
) -> tuple[Integers | None, Integers | None, tuple[int, ...] | None]:
    """Return the factor and the shift of all steps, and the shape of the factor if it is a matrix."""
    factor: Integers | None = None
    shift: Integers | None = None
    shape: tuple[int, ...] | None = None
    for step in steps:
        by, plus = _integers(step.factor), _integers(step.shift)
        if step.is_product:
            assert step.factor is not None is not by  # noqa: S101 -- a product has a matrix
            shape = _, width = tuple(step.factor.shape)
            if shift is not None:
                columns = [by.values[j::width] for j in range(width)]
                sums = [sum(map(operator.mul, shift.values, column)) for column in columns]
                shift = Integers(sums, shift.power + by.power)
            if factor is not None:
                each = [v for v in factor.values for _ in range(width)]
                factor = Integers(each, factor.power)
        elif by is not None:
            shift = None if shift is None else shift.times(by)
            by = by if shape is None else Integers(by.values * shape[0], by.power)
        factor = _both(factor, by, Integers.times)
        shift = _both(shift, plus, Integers.plus)
    return factor, shift, shape


def _both(
    a: Integers | None, b: Integers | None, f: Callable[[Integers, Integers], Integers]
) -> Integers | None:
    """Return f(a, b), or the one that there is."""
    return b if a is None else a if b is None else f(a, b)


def _integers(a: Array | None) -> Integers | None:
    return None if a is None else Integers.of(to_numpy(a).reshape(-1).tolist())
