"""The functions of the standard that index, count and shift: their edges, settled for every library."""

import operator
from collections.abc import Callable
from typing import Any

from xpnn._arrays.axes import slices_of
from xpnn._arrays.dtypes import FLOATS, INTEGERS, computing_float, dtype_name
from xpnn._arrays.library import device_beside
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._reproducible.arithmetic.conversions import choose
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.operands import are_of_a_kind, check_arrays, check_operands, common_dtype
from xpnn.errors import XpnnIndexError, XpnnTypeError, XpnnValueError

# Indices, which count from the end where they are negative and never point beyond


def item(xp: Namespace, x: ReproducibleArray, key: Any) -> Array:
    """Return x[key] as an array of the library."""
    return xp.of.item(x._native, index(xp, key, x.shape))


def index(xp: Namespace, key: Any, shape: tuple[int, ...]) -> Any:
    """Return an index into an array of that shape with the library's arrays in place of wrapped ones."""
    if not isinstance(key, tuple):
        return index(xp, (key,), shape)[0]
    keys = [_key(xp, k) for k in key]
    used = sum(map(_axes_of, keys))
    axis = 0
    for k in keys:
        if k is Ellipsis:
            axis += len(shape) - used
            continue
        if axis + _axes_of(k) > len(shape):
            raise XpnnIndexError(
                f"{xp.__name__}: expected an index of at most {len(shape)} axes, got {len(keys)}"
            )
        if isinstance(k, int):
            _check_number_in_range(xp, "x[...]", k, shape[axis])
        elif xp.boundary.is_array(k) and dtype_name(k.dtype) != "bool":
            _check_range(xp, "x[...]", k, shape[axis])
        axis += _axes_of(k)
    return tuple(keys)


def _key(xp: Namespace, key: Any) -> Any:
    if key is None or key is Ellipsis or isinstance(key, slice):
        return key
    if xp.boundary.is_array(key):
        if dtype_name(key.dtype) in FLOATS:
            raise XpnnIndexError(
                f"{xp.__name__}: expected integers or a mask as index, got dtype "
                f"{dtype_name(key.dtype)}; convert it with astype"
            )
        key = xp.boundary.native_of(key)
        if dtype_name(key.dtype) == "bool":
            return key
        return xp.native_namespace.astype(
            key, xp.boundary.index_dtype, copy=False
        )  # uint8 is a mask to some
    if isinstance(key, bool) or not hasattr(key, "__index__"):
        raise XpnnIndexError(
            f"{xp.__name__}: expected an index of integers, slices, None, ... or arrays of "
            f"integers, got {key!r}; lists become arrays with asarray"
        )
    return operator.index(key)


def _check_number_in_range(xp: Namespace, called: str, index: int, n: int) -> None:
    # The length of an axis may be a symbol, of which nothing can be asked.
    if type(n) is int and not -n <= index < n:
        raise _out_of_range(xp, called, index, n)


def _check_range(xp: Namespace, called: str, index: Array, n: int) -> bool:
    """Raise IndexError where an index is known to be out of range; return whether it is known."""
    if not xp.of.is_known(index):
        return False
    if 0 not in index.shape:
        own = xp.native_namespace
        least, most = int(own.min(index)), int(own.max(index))
        for i in (least, most):
            if not -n <= i < n:
                raise _out_of_range(xp, called, i, n)
    return True


def _out_of_range(xp: Namespace, called: str, index: int, n: int) -> XpnnIndexError:
    return XpnnIndexError(
        f"{xp.__name__}: {called}: expected an index from {-n} to {n - 1}, got {index}"
    )


def _indices(xp: Namespace, name: str, x: Any, indices: Any, axis: int) -> Array:
    """Return indices into an axis of x, none of them negative; what is beyond stays beyond."""
    if not xp.boundary.is_array(indices) or dtype_name(indices.dtype) not in INTEGERS:
        got = dtype_name(indices.dtype) if xp.boundary.is_array(indices) else type(indices).__name__
        raise XpnnTypeError(
            f"{xp.__name__}.{name}: expected indices to be an array of integers, got {got}"
        )
    if not -x.ndim <= axis < x.ndim:
        raise _out_of_range(xp, f"{name}, axis", axis, x.ndim)
    own, n = xp.native_namespace, x.shape[axis]
    i = xp.boundary.native_of(indices)
    _check_range(xp, name, i, n)
    i = own.astype(i, xp.boundary.index_dtype)
    return own.where((i >= -n) & (i < n), own.where(i < 0, i + n, i), n)


def take(xp: Namespace, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Entries of x at indices along an axis."""
    if axis is None and x.ndim != 1:
        raise XpnnValueError(f"{xp.__name__}.take: expected an axis")
    axis = 0 if axis is None else axis
    i = _indices(xp, "take", x, indices, axis)
    if len(i.shape) != 1:
        raise XpnnValueError(
            f"{xp.__name__}.take: expected indices of one axis, got shape {tuple(i.shape)}"
        )
    y = xp.native_namespace.take(xp.boundary.native_of(x), i, axis=axis)
    return xp.boundary.result(y, (x, indices))


def take_along_axis(xp: Namespace, x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """Entries of x at indices, each along its own row of an axis."""
    i = _indices(xp, "take_along_axis", x, indices, axis)
    if len(i.shape) != x.ndim or any(
        m not in {1, n}
        for a, (m, n) in enumerate(zip(i.shape, x.shape, strict=True))
        if a != axis % x.ndim
    ):
        raise XpnnValueError(
            f"{xp.__name__}.take_along_axis: expected indices of the shape of x but for the "
            f"axis, got shapes {tuple(i.shape)} and {tuple(x.shape)}"
        )
    y = xp.native_namespace.take_along_axis(xp.boundary.native_of(x), i, axis=axis)
    return xp.boundary.result(y, (x, indices))


def searchsorted(
    xp: Namespace, x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None
) -> Any:
    """Where x2 would stand in x1, which is sorted as `sort` sorts: NaN last."""
    if side not in {"left", "right"} or x1.ndim != 1:
        raise XpnnValueError(
            f"{xp.__name__}.searchsorted: expected an x1 of one axis and side to be 'left' or "
            f"'right', got shape {tuple(x1.shape)} and {side!r}"
        )
    if not xp.boundary.is_array(x2):
        raise XpnnTypeError(
            f"{xp.__name__}.searchsorted: expected x2 to be an array, got {x2!r}; make one "
            "with asarray"
        )
    check_operands(xp, "searchsorted", (x1, x2))
    given, own = (x1, x2), xp.native_namespace
    x1 = x1 if sorter is None else xp.take(x1, sorter)
    a, b = _natives_of_one_dtype(xp, x1, x2)
    if dtype_name(a.dtype) not in FLOATS:
        return xp.boundary.result(_positions(xp, a, b, side), given)
    # Libraries compare NaN in their own ways, so that none is left among what they search.
    count = own.sum(own.astype(a == a, xp.boundary.index_dtype))
    found = _positions(xp, choose(a != a, float("inf"), a, own), b, side)
    last = count if side == "left" else own.full_like(count, a.shape[0])
    found = own.minimum(found, count)
    return xp.boundary.result(own.where(b != b, last, found), given)


def _positions(xp: Namespace, a: Array, b: Array, side: str) -> Array:
    own = xp.native_namespace
    flat = own.searchsorted(a, own.reshape(b, (-1,)), side=side)
    return own.astype(own.reshape(flat, b.shape), xp.boundary.index_dtype)


def _natives_of_one_dtype(xp: Namespace, *given: Any) -> list[Array]:
    """Return the library's arrays, in the dtype that theirs promote to, of 32 bits at least."""
    natives = [xp.boundary.native_of(x) for x in given]
    name = common_dtype({dtype_name(x.dtype) for x in natives})
    dtype = xp.boundary.dtype_named(computing_float(name) if name in FLOATS else name)
    return [xp.native_namespace.astype(x, dtype, copy=False) for x in natives]


def count_nonzero(xp: Namespace, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many entries are not 0."""
    check_arrays(xp, "count_nonzero", x)
    axis = slices_of(f"{xp.__name__}.count_nonzero", axis, tuple(x.shape)).axes
    own, a = xp.native_namespace, xp.boundary.native_of(x)
    found = own.astype(a if dtype_name(a.dtype) == "bool" else a != 0, xp.boundary.index_dtype)
    return xp.boundary.result(own.sum(found, axis=axis, dtype=found.dtype, keepdims=keepdims), (x,))


def isin(xp: Namespace, x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each integer of x1 is one of x2."""
    x1, x2 = _operands_of_one_dtype(xp, "isin", x1, x2)
    found = xp.any(xp.equal(xp.expand_dims(x1, axis=-1), xp.reshape(x2, (-1,))), axis=-1)
    return xp.logical_not(found) if invert else found


# Shifts and powers of integers


def _operands_of_one_dtype(xp: Namespace, name: str, a: Any, b: Any) -> list[ReproducibleArray]:
    check_operands(xp, name, (a, b))
    arrays = [xp.boundary.wrap(x) for x in (a, b) if xp.boundary.is_array(x)]
    if not arrays:
        raise XpnnTypeError(f"{xp.__name__}.{name}: expected an array, got {a!r} and {b!r}")
    dtype = xp.boundary.dtype_named(common_dtype({dtype_name(x.dtype) for x in arrays}))
    device = device_beside(arrays[0])
    return [
        xp.astype(xp.boundary.wrap(x), dtype, copy=False)
        if xp.boundary.is_array(x)
        else xp.asarray(x, dtype=dtype, device=device)
        for x in (a, b)
    ]


def _shifted(xp: Namespace, name: str, x1: Any, x2: Any, beyond: Callable[[Array], Any]) -> Any:
    x, y = (a._native for a in _operands_of_one_dtype(xp, name, x1, x2))
    own = xp.native_namespace
    there = (y >= 0) & (y < int(dtype_name(x.dtype).lstrip("uint")))
    shifted = getattr(own, name)(x, own.where(there, y, 0))
    return xp.boundary.result(own.where(there, shifted, beyond(x)), (x1, x2))


def bitwise_left_shift(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 << x2; by the width of x1 or more, or by less than nothing, 0."""
    return _shifted(xp, "bitwise_left_shift", x1, x2, xp.native_namespace.zeros_like)


def bitwise_right_shift(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 >> x2; by the width of x1 or more, or by less than nothing, 0, or -1 of what is negative."""

    def beyond(x: Array) -> Array:
        own = xp.native_namespace
        return (
            own.zeros_like(x)
            if "u" in dtype_name(x.dtype)
            else own.where(x < 0, own.full_like(x, -1), 0)
        )

    return _shifted(xp, "bitwise_right_shift", x1, x2, beyond)


# dtypes and shapes


def broadcast_shapes(xp: Namespace, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes are broadcast to."""
    return tuple(xp.native_namespace.broadcast_shapes(*shapes))


def can_cast(xp: Namespace, from_: Any, to: DType, /) -> bool:
    """Whether the promotion of both is `to`."""
    names = {dtype_name(from_.dtype if xp.boundary.is_array(from_) else from_), dtype_name(to)}
    return are_of_a_kind(names) and common_dtype(names) == dtype_name(to)


def result_type(xp: Namespace, *given: Any) -> DType:
    """The dtype that arrays and dtypes promote to, with Python numbers of their kind beside them."""
    dtypes = [
        g.dtype if xp.boundary.is_array(g) else g
        for g in given
        if not isinstance(g, bool | int | float)
    ]
    names = set(map(dtype_name, dtypes))
    if not names or not are_of_a_kind(names):
        raise XpnnTypeError(
            f"{xp.__name__}.result_type: expected dtypes of one kind, got "
            f"{', '.join(sorted(names))}, which libraries promote differently"
        )
    like = [xp.zeros((0,), dtype=dtype) for dtype in dtypes]
    numbers = [g for g in given if isinstance(g, bool | int | float)]
    check_operands(xp, "equal", [*like, *numbers])
    return xp.boundary.dtype_named(common_dtype(names))


def _axes_of(key: Any) -> int:
    """How many axes an entry of an index takes."""
    if key is None or key is Ellipsis:
        return 0
    if isinstance(key, slice | int):  # which torch.compile does not ask for attributes
        return 1
    if hasattr(key, "dtype") and dtype_name(key.dtype) == "bool":
        return len(key.shape)
    return 1


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(take, take_along_axis, searchsorted, count_nonzero, isin, bitwise_left_shift),
        *(bitwise_right_shift, broadcast_shapes, can_cast, result_type),
    )
}
