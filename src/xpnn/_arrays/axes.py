"""Axes of a call, brought to the end as one axis and back: sums and softmax are written for that."""

import math
import operator
from typing import Any, NamedTuple

from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.types import Array, Namespace
from xpnn.errors import XpnnTypeError, XpnnValueError

Axis = int | tuple[int, ...] | None


class Slices(NamedTuple):
    """How the axes of a call become the last axis, and how a result gets its shape back."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def single(self) -> int | None:
        """The axis, if it is one."""
        return self.axes[0] if len(self.axes) == 1 else None

    @property
    def order(self) -> tuple[int, ...]:
        """The axes as they are flattened: those left alone first."""
        return (*(i for i in range(len(self.shape)) if i not in self.axes), *self.axes)

    def flatten(self, x: Array, xp: Namespace) -> Array:
        """Bring `axes` of x to the end, as one axis."""
        order = self.order
        if order != tuple(range(len(order))):
            x = xp.permute_dims(x, order)
        if len(self.axes) != 1:
            kept = [self.shape[i] for i in order[: len(order) - len(self.axes)]]
            along = [self.shape[i] for i in self.axes]
            x = xp.reshape(x, _known(*kept, None if None in along else math.prod(along)))
        return x

    @property
    def kept(self) -> tuple[int, ...]:
        """The shape with length 1 along the axes."""
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))

    @property
    def without(self) -> tuple[int, ...]:
        """The shape without the axes."""
        return tuple(n for i, n in enumerate(self.shape) if i not in self.axes)

    def restore(self, y: Array, xp: Namespace) -> Array:
        """Undo `flatten`."""
        order = self.order
        if len(self.axes) != 1:
            y = xp.reshape(y, _known(*(self.shape[i] for i in order)))
        if order != tuple(range(len(order))):
            y = xp.permute_dims(y, tuple(order.index(i) for i in range(len(order))))
        return y


def _known(*shape: int | None) -> tuple[int, ...]:
    """Return a shape to reshape to: -1 for a size that is not known while a formula is traced."""
    if shape.count(None) > 1:
        raise XpnnTypeError(
            f"expected at most one axis of a length that is not known yet, got shape {shape}; name "
            "more lengths, or one axis"
        )
    return tuple(-1 if n is None else n for n in shape)


def plain_axis(function: str, axis: Any) -> Axis:
    """Return the `axis` of a call as Python's own integers; TypeError if it is of none."""
    if axis is None or type(axis) is int:
        return axis
    try:
        return tuple(map(as_index, axis)) if isinstance(axis, tuple) else as_index(axis)
    except TypeError:
        raise XpnnTypeError(
            f"{function}: expected axis to be an integer, a tuple of integers or None, got {axis!r}"
        ) from None


def as_index(i: Any) -> int:
    """Return an integer, or an array of one and no axis, as Python's; TypeError if it is neither."""
    dtype = getattr(i, "dtype", None)
    if isinstance(i, bool) or (
        dtype is not None and (dtype_name(dtype) == "bool" or tuple(i.shape) != ())
    ):
        raise TypeError(f"expected an integer, got {i!r}")
    if not hasattr(i, "__index__") and hasattr(i, "item"):
        i = i.item()  # of an array of CuPy
    return operator.index(i)


def slices_of(function: str, axis: Axis, shape: tuple[int, ...]) -> Slices:
    """Read the `axis` of a call; TypeError or ValueError if there is no such axis."""
    ndim, axis = len(shape), plain_axis(function, axis)
    if axis is None:
        return Slices(shape, tuple(range(ndim)))
    given = axis if isinstance(axis, tuple) else (axis,)
    if ndim == 0 and given in {(-1,), (0,)}:
        return Slices(shape, ())  # as torch, NumPy and SciPy take it
    axes = []
    for index in given:
        if not -ndim <= index < ndim:
            raise XpnnValueError(
                f"{function}: expected axis between {-ndim} and {ndim - 1} for an array of shape "
                f"{shape}, got {index}"
            )
        axes.append(index % ndim)
    if len(set(axes)) < len(axes):
        raise XpnnValueError(f"{function}: expected different axes, got {axis}")
    # torch.compile cannot sort an axis that it takes for unknown.
    return Slices(shape, tuple(axes if len(axes) == 1 else sorted(axes)))
