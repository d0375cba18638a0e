"""The functions of the standard that go over axes: sums, products, and the largest and least entry."""

import math
from collections.abc import Callable
from typing import Any

from xpnn._arrays.axes import slices_of
from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, python_number
from xpnn._arrays.library import device_of
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.operands import are_integers, call, check_operands
from xpnn.errors import XpnnTypeError, XpnnValueError

# Sums and products


def _reduce(xp: Namespace, name: str, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
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
    check_operands(xp, "sum", (x,), {})
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
    return _reduce(xp, "var", x, axis, keepdims, correction=_finite(xp, correction))


def std(
    xp: Namespace, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False
) -> Any:
    """Standard deviation."""
    return _reduce(xp, "std", x, axis, keepdims, correction=_finite(xp, correction))


def _finite(xp: Namespace, correction: Any) -> float:
    correction = python_number(correction)
    if not isinstance(correction, int | float) or not math.isfinite(correction):
        raise XpnnValueError(
            f"{xp.__name__}: expected correction to be a number, got {correction!r}"
        )
    return float(correction)


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
    if axis is None and x.ndim != 1:
        raise XpnnValueError(f"{xp.__name__}.cumulative_sum: expected an axis")
    axis = 0 if axis is None else axis
    check_operands(xp, "cumulative_sum", (x,), {})
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
        first = xp.zeros(shape, dtype=y.dtype, device=device_of(y))
        y = xp.concat([first, y], axis=axis)
    return y


def matmul(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """Matrix product: each entry an exact sum of products on a grid, rounded once."""
    if not (xp.boundary.is_array(x1) and xp.boundary.is_array(x2)):
        raise XpnnTypeError(f"{xp.__name__}.matmul: expected two arrays, got {x1!r} and {x2!r}")
    check_operands(xp, "matmul", (x1, x2), {})
    if are_integers(xp, x1, x2):
        y = xp.native_namespace.matmul(xp.boundary.native_of(x1), xp.boundary.native_of(x2))
        return xp.boundary.result(y, (x1, x2))
    if 0 in (x1.ndim, x2.ndim) or x1.shape[-1] != x2.shape[max(x2.ndim - 2, 0)]:
        raise XpnnValueError(
            f"{xp.__name__}.matmul: expected x1 of shape (..., M, K) and x2 of shape "
            f"(..., K, N), got shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    a = x1[None, :] if x1.ndim == 1 else x1
    b = x2[:, None] if x2.ndim == 1 else x2
    y = None
    if isinstance(a, xp.Array) and isinstance(b, xp.Array):
        y = _with_split(xp, a, b)
    y = call(xp, "matmul", a, b) if y is None else xp.Array(y)
    if x2.ndim == 1:
        y = y[..., 0]
    return y[..., 0] if x1.ndim == 1 and x2.ndim == 1 else y[..., 0, :] if x1.ndim == 1 else y


def _with_split(xp: Namespace, a: ReproducibleArray, b: ReproducibleArray) -> Array | None:
    """a @ b with the right side split once, for as long as it lives; None where that cannot be."""
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
    x1, x2 = (xp.moveaxis(x, axis, -1) for x in (x1, x2))
    return xp.matmul(x1[..., None, :], x2[..., None])[..., 0, 0]


def tensordot(xp: Namespace, x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum of products over axes of both, as `matmul`."""
    if isinstance(axes, int):
        first, second = tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes))
    else:
        first, second = (tuple(i % x.ndim for i in a) for a, x in zip(axes, (x1, x2), strict=True))
    rest1 = [i for i in range(x1.ndim) if i not in first]
    rest2 = [i for i in range(x2.ndim) if i not in second]
    k = math.prod([x1.shape[i] for i in first])
    shape = tuple(x1.shape[i] for i in rest1) + tuple(x2.shape[i] for i in rest2)
    m = math.prod([x1.shape[i] for i in rest1])
    n = math.prod([x2.shape[i] for i in rest2])
    a = xp.reshape(xp.permute_dims(x1, (*rest1, *first)), (m, k))
    b = xp.reshape(xp.permute_dims(x2, (*second, *rest2)), (k, n))
    return xp.reshape(xp.matmul(a, b), shape)


# Functions of the standard whose ties or order libraries settle differently


def _first(xp: Namespace, x: Any, axis: int | None, keepdims: bool, largest: bool) -> Any:
    axis = python_number(axis)
    check_operands(xp, "argmax" if largest else "argmin", (x,), {"axis": axis})
    own = xp.native_namespace
    a = xp.boundary.native_of(x)
    if axis is None:
        y = _first(xp, xp.reshape(x, (-1,)), 0, False, largest)
        return xp.reshape(y, (1,) * x.ndim) if keepdims else y
    best = (own.max if largest else own.min)(a, axis=axis, keepdims=True)
    found = (a == best) | (a != a)
    shape = [1] * a.ndim
    n = shape[axis] = a.shape[axis]
    index = own.reshape(own.arange(n, device=device_of(a)), tuple(shape))
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
