"""The functions of the standard that go over axes: sums, products, and the largest and least entry."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.arguments import Count, Number, Option
from xpnn._arrays.axes import slices_of
from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, python_number
from xpnn._arrays.library import device_beside
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._execution.chunks import check_lengths
from xpnn._reproducible.operands import are_integers, call, check_arrays, check_operands, natively
from xpnn.errors import XpnnTypeError, XpnnValueError

# Sums and products


def _reduce(xp: Namespace, name: str, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
    check_arrays(xp, name, x)
    slices = slices_of(f"{xp.__name__}.{name}", axis, tuple(x.shape))
    y = call(xp, name, x, axes=slices.axes, **options)
    return xp.reshape(y, slices.kept) if keepdims else y


def sum(
    xp: Namespace,
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: DType | None = None,
    keepdims: bool = False,
) -> Any:
    """Sum of the terms on a grid, exactly, rounded once."""
    axis = python_number(axis)
    check_arrays(xp, "sum", x)
    check_operands(xp, "sum", (x,))
    slices = slices_of(f"{xp.__name__}.sum", axis, tuple(x.shape))
    if are_integers(xp, x) and (dtype is None or dtype_name(dtype) not in FLOATS):
        count = math.prod([x.shape[i] for i in slices.axes])
        a, to = _to_add_up(xp, "sum", x, dtype, count)
        y = xp.native_namespace.sum(a, axis=axis, dtype=a.dtype, keepdims=keepdims)
        return xp.boundary.result(xp.native_namespace.astype(y, to), (x,))
    x = x if dtype is None else xp.astype(x, dtype)
    return _reduce(xp, "sum", x, axis, keepdims)


def _to_add_up(
    xp: Namespace, name: str, x: Any, dtype: DType | None, count: int
) -> tuple[Array, DType]:
    """Return integers in the dtype in which to add `count` of them, and that of the sum.

    Sums wrap alike with a sign and without. Where 64-bit types are switched off, what cannot
    leave 32 bits is added in those.
    """
    own, a = xp.native_namespace, xp.boundary.native_of(x)
    signed = "int64" if dtype_name(a.dtype).startswith("int") else "uint64"
    given = dtype_name(a.dtype).lstrip("uint")
    asked = signed if dtype is None else dtype_name(dtype)
    if asked not in INTEGERS:
        raise XpnnTypeError(f"{xp.__name__}.{name}: expected a numeric dtype, got {asked}")
    if dtype is None and not xp.of.has_64_bits():
        if count * 2 ** int(given) > 2**31:
            xp.boundary.check_integer(
                signed, f"the sum of {count} numbers of {dtype_name(a.dtype)}"
            )
        asked = signed.replace("64", "32")
    added = asked.lstrip("u")
    return own.astype(a, getattr(own, added)), getattr(own, asked)


def mean(xp: Namespace, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean."""
    return _reduce(xp, "mean", x, axis, keepdims)


def var(
    xp: Namespace, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False
) -> Any:
    """Variance."""
    return _reduce(xp, "var", x, axis, keepdims, correction=_number(xp, "var", correction))


def std(
    xp: Namespace, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False
) -> Any:
    """Standard deviation."""
    return _reduce(xp, "std", x, axis, keepdims, correction=_number(xp, "std", correction))


def _number(xp: Namespace, name: str, correction: Any) -> float:
    called = f"{xp.__name__}.{name}: expected correction"
    return Option(0, Number()).taken(called, correction)


def cumulative_sum(
    xp: Namespace,
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Any:
    """Sums of the first entries along an axis."""
    check_arrays(xp, "cumulative_sum", x)
    if axis is None and x.ndim != 1:
        raise XpnnValueError(f"{xp.__name__}.cumulative_sum: expected an axis")
    axis = 0 if axis is None else axis
    check_operands(xp, "cumulative_sum", (x,))
    slices = slices_of(f"{xp.__name__}.cumulative_sum", axis, tuple(x.shape))
    if are_integers(xp, x) and (dtype is None or dtype_name(dtype) not in FLOATS):
        a, to = _to_add_up(xp, "cumulative_sum", x, dtype, x.shape[axis])
        y = xp.native_namespace.cumulative_sum(a, axis=axis, dtype=a.dtype)
        y = xp.boundary.result(xp.native_namespace.astype(y, to), (x,))
    else:
        x = x if dtype is None else xp.astype(x, dtype)
        y = call(xp, "cumulative_sum", x, axes=slices.axes)
    if include_initial:
        shape = tuple(1 if i == axis % y.ndim else n for i, n in enumerate(y.shape))
        first = xp.zeros(shape, dtype=y.dtype, device=device_beside(y))
        y = xp.concat([first, y], axis=axis)
    return y


def matmul(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """Matrix product: each entry an exact sum of products on a grid, rounded once."""
    check_arrays(xp, "matmul", x1, x2)
    check_operands(xp, "matmul", (x1, x2))
    if 0 in (x1.ndim, x2.ndim) or x1.shape[-1] != x2.shape[max(x2.ndim - 2, 0)]:
        for x in (x1, x2):
            check_lengths(f"{xp.__name__}.matmul", x, range(x.ndim))
        raise XpnnValueError(
            f"{xp.__name__}.matmul: expected x1 of shape (..., M, K) and x2 of shape "
            f"(..., K, N), got shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    a = x1[None, :] if x1.ndim == 1 else x1
    b = x2[:, None] if x2.ndim == 1 else x2
    natives = list(map(xp.boundary.native_of, (a, b)))
    if are_integers(xp, a, b):
        y = natively(xp, "matmul", xp.of.matmul_of_integers, *natives)
        y = xp.boundary.result(y, (a, b))
    else:
        y = natively(xp, "matmul", lambda *_: _with_split(xp, a, b), *natives)
        y = call(xp, "matmul", a, b) if y is None else xp.Array(y)
    if x2.ndim == 1:
        y = y[..., 0]
    return y[..., 0] if x1.ndim == 1 and x2.ndim == 1 else y[..., 0, :] if x1.ndim == 1 else y


def _with_split(xp: Namespace, a: Any, b: Any) -> Array | None:
    """a @ b with the right side split once, for as long as it lives; None where that cannot be."""
    if not (isinstance(a, xp.Array) and isinstance(b, xp.Array)):
        return None
    natives = (a._native, b._native)
    if any(getattr(x, "requires_grad", False) for x in natives) or a.dtype != b.dtype:
        return None
    writes, known = xp.writes, b._split  # one that happens meanwhile makes what is split here old
    if known is None or known[0] != writes:
        split = xp.engine.split(b._native)
        if split is None:
            return None
        known = b._split = (writes, split)
    return xp.engine.compute("matmul", dtype_name(b.dtype), natives, {}, right=known[1])


def vecdot(xp: Namespace, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Sum of products along an axis, as `matmul`."""
    called = f"{xp.__name__}.vecdot"
    check_arrays(xp, "vecdot", x1, x2)
    for x in (x1, x2):
        if x.ndim == 0:
            raise XpnnValueError(f"{called}: expected arrays of one axis or more, got shape ()")
        slices_of(called, axis, tuple(x.shape))
    if x1.shape[axis] != x2.shape[axis]:
        raise XpnnValueError(
            f"{called}: expected as many entries along axis {axis} of both, got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    x1, x2 = (xp.moveaxis(x, axis, -1) for x in (x1, x2))
    return xp.matmul(x1[..., None, :], x2[..., None])[..., 0, 0]


def tensordot(xp: Namespace, x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum of products over axes of both, as `matmul`."""
    check_arrays(xp, "tensordot", x1, x2)
    first, second = _axes_of_both(f"{xp.__name__}.tensordot", x1, x2, axes)
    rest1 = [i for i in range(x1.ndim) if i not in first]
    rest2 = [i for i in range(x2.ndim) if i not in second]
    k = math.prod([x1.shape[i] for i in first])
    shape = tuple(x1.shape[i] for i in rest1) + tuple(x2.shape[i] for i in rest2)
    m = math.prod([x1.shape[i] for i in rest1])
    n = math.prod([x2.shape[i] for i in rest2])
    a = xp.reshape(xp.permute_dims(x1, (*rest1, *first)), (m, k))
    b = xp.reshape(xp.permute_dims(x2, (*second, *rest2)), (k, n))
    return xp.reshape(xp.matmul(a, b), shape)


def _axes_of_both(called: str, x1: Any, x2: Any, axes: Any) -> tuple[tuple[int, ...], ...]:
    """Return the axes that are added over, of each: of as many entries, pair by pair."""
    shapes = tuple(x1.shape), tuple(x2.shape)
    if isinstance(axes, Sequence):
        pair = tuple(tuple(one) if isinstance(one, Sequence) else (one,) for one in axes)
    else:
        count = Option(2, Count()).taken(f"{called}: expected axes", axes)
        pair = tuple(range(-count, 0)), tuple(range(count))
    fits = len(pair) == 2 and len(pair[0]) == len(pair[1])
    if fits:
        for shape, one in zip(shapes, pair, strict=True):
            if one:
                slices_of(called, one, shape)
        lengths = ([shape[i] for i in one] for shape, one in zip(shapes, pair, strict=True))
        fits = next(lengths) == next(lengths)
    if not fits:
        raise XpnnValueError(
            f"{called}: expected axes, of as many entries in both, as a number or a pair of sequences, "
            f"got {axes!r} for shapes {shapes[0]} and {shapes[1]}"
        )
    return tuple(
        tuple(i % len(shape) for i in one) for shape, one in zip(shapes, pair, strict=True)
    )


# Functions of the standard whose ties or order libraries settle differently


def _first(xp: Namespace, x: Any, axis: int | None, keepdims: bool, largest: bool) -> Any:
    name, axis = "argmax" if largest else "argmin", python_number(axis)
    if isinstance(axis, tuple):
        raise XpnnTypeError(f"{xp.__name__}.{name}: expected one axis or None, got {axis}")
    check_operands(xp, name, (x,), {"axis": axis})
    own = xp.native_namespace
    a = xp.boundary.native_of(x)
    if axis is None:
        y = _first(xp, xp.reshape(x, (-1,)), 0, False, largest)
        return xp.reshape(y, (1,) * x.ndim) if keepdims else y
    best = (own.max if largest else own.min)(a, axis=axis, keepdims=True)
    found = (a == best) | (a != a)
    shape = [1] * a.ndim
    n = shape[axis] = a.shape[axis]
    index = own.reshape(own.arange(n, device=device_beside(a)), tuple(shape))
    y = own.min(own.where(found, index, n), axis=axis, keepdims=keepdims)
    return xp.boundary.result(y, (x,))


def argmax(xp: Namespace, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first largest entry, or of the first NaN."""
    return _first(xp, x, axis, keepdims, largest=True)


def argmin(xp: Namespace, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first smallest entry, or of the first NaN."""
    return _first(xp, x, axis, keepdims, largest=False)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (*(sum, mean, var, std, cumulative_sum, matmul, vecdot, tensordot, argmax, argmin),)
}
