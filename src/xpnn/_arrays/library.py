"""What the Array API standard leaves open: whose arrays these are, dtype rules, devices, words.

`prepare` answers all of it at once for a public function, so that its formula gets arrays of one
library, on one device, in one floating dtype, and only computes.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.backends.table import REFUSED, adapted
from xpnn._arrays.backends.tracing import traced_as_constant, traced_root
from xpnn._arrays.dtypes import (
    computing_float,
    default_float,
    dtype_name,
    float_names,
    know_dtypes,
    promote,
)
from xpnn._arrays.types import Array, Device, DType, Namespace
from xpnn.errors import XpnnTypeError, XpnnValueError

_library_of_type: dict[type, Library] = {}
_namespaces: list[tuple[Namespace, Library]] = []


def library(x: Array, called: str = "x", function: str = "xpnn") -> Library:
    """Return the library that the array `x` belongs to; TypeError if `x` is no array."""
    found = _library_of_type.get(type(x))
    if found is None:
        found = _library_of_type[type(x)] = _find_library(x, called, function)
    return found


def is_array(x: object) -> bool:
    """Whether it is an array of a library that array-api-compat knows, or of one that follows the standard."""
    return bool(array_api_compat.is_array_api_obj(x))


def remember(found: Library, *types: type) -> Library:
    """Keep a library, the one of its namespace and of types, and the names of its dtypes."""
    _namespaces.append((found.xp, found))
    _library_of_type.update(dict.fromkeys(types, found))
    know_dtypes(found.xp)
    return found


@traced_as_constant
def _know(compat: str) -> None:
    """Import a module of array-api-compat and make its library known."""
    _library_of(importlib.import_module(compat))


def _library_of(xp: Namespace) -> Library:
    """Return the library of a namespace as array-api-compat gives it."""
    for known, found in _namespaces:  # no dict, as torch.compile cannot compare modules
        if known is xp:
            return found
    found = remember(adapted(xp))
    if found.xp is not xp:  # which lacks what the standard asks for
        _namespaces.append((xp, found))
    return found


def _find_library(x: Array, called: str, function: str) -> Library:
    root = traced_root(x)
    if root is not None:  # torch.compile warns of the cache that array-api-compat asks
        _know(f"array_api_compat.{root}")
        # Of sys.modules the compiler looks at a copy that was made before.
        return _library_of(getattr(array_api_compat, root))
    package, kind = type(x).__module__.partition(".")[0], type(x).__qualname__
    if package in REFUSED:
        refused = REFUSED[package].format(called=called)
        raise XpnnTypeError(f"{function}: {called} is a {package}.{kind}, which {refused}")
    try:
        xp = array_api_compat.array_namespace(x)
    except TypeError:
        arrays = f"numpy.asarray({called}), torch.asarray({called}) or jax.numpy.asarray({called})"
        mends = f"network.table({called})" if hasattr(type(x), "columns") else arrays
        raise XpnnTypeError(
            f"{function}: expected {called} to be an array of NumPy, PyTorch, JAX or another Array "
            f"API library, got {type(x).__module__}.{kind}; pass {mends}"
        ) from None
    found = _library_of(xp)
    why = found.refusal(x)
    if why is not None:
        raise XpnnTypeError(f"{function}: {called} is {why.format(called=called)}")
    return found


def library_of_namespace(xp: Namespace) -> Library:
    """Return the library whose namespace is `xp`, given as its users know it (`torch`) or wrapped."""
    for known, found in _namespaces:
        if known is xp:
            return found
    if not hasattr(xp, "empty"):
        raise XpnnTypeError(
            f"xp: expected an array namespace such as numpy, torch or jax.numpy, got {xp!r}"
        )
    found = library(xp.empty(0, dtype=xp.float32))
    if found.xp is not xp:
        _namespaces.append((xp, found))
    return found


def own_library() -> Library:
    """Return NumPy, in which xpnn itself computes."""
    return library_of_namespace(np)


def common_library(function: str, xp: Namespace | None, arrays: dict[str, Array]) -> Library:
    """Return the one library of all `arrays`, on one device; `xp`, where given, must be that one."""
    first = next(iter(arrays))
    given = {called: a for called, a in arrays.items() if a is not None or called == first}
    found = library(given[first], first, function)
    known = first
    for called, a in given.items():
        other = library(a, called, function)
        if other is not found:
            raise XpnnTypeError(
                f"{function}: expected arrays of one library, got {first} of {found.name} and "
                f"{called} of {other.name}; convert one, e.g. {found.name}.asarray({called})"
            )
        if found.device_of(given[known]) is None:
            known = called
        if not found.meet(given[known], a):
            raise XpnnValueError(
                f"{function}: expected arrays on one device, got {known} on "
                f"{found.place_of(given[known])} and {called} on {found.place_of(a)}; move one, e.g. "
                f"array_api_compat.to_device({called}, {known}.device)"
            )
    if xp is not None and xp is not found.xp:
        asked = library_of_namespace(xp)
        if asked.raw is found:
            return asked
        if asked is not found:
            raise XpnnTypeError(
                f"{function}: expected {first} to be an array of xp, {asked.name}, got one of "
                f"{found.name}; leave xp out or convert, e.g. {asked.name}.asarray({first})"
            )
    return found


def device_of(x: Array) -> Device | None:
    """Return the device of `x`, or what else `to_device` takes; None where the compiler decides, as in jax.jit."""
    return library(x).device_of(x)


def device_beside(x: Array) -> Device | None:
    """Return the device for a constant in one operation with `x`; None where it may be anywhere."""
    return library(x).beside(x)


def key_of(device: Device | None) -> Any:
    """Return what stands for a device among the keys of a dictionary: CuPy's own cannot."""
    return device if type(device).__hash__ is not None else str(device)


def of_parts(
    function: str,
    found: Library,
    f: Callable[..., Any],
    axes: tuple[int, ...],
    like: Array,
    *,
    alike: bool = True,
) -> Callable[..., Any]:
    """Return f for arrays like one, of which processes may have parts that need `axes` whole."""
    refuse = lambda why: XpnnValueError(f"{function}: {why}")
    return found.raw.of_parts(f, axes, like, refuse, alike=alike)


class Arguments(NamedTuple):
    """The arguments of a formula, of one library and on one device, and the dtypes for them."""

    function: str

    library: Library
    arrays: list[Array | None]
    """In their own dtypes; the mask last."""
    computing: str
    """Name of the dtype to compute in."""
    result: DType
    plain: bool
    """Whether the formula is to run as it is written."""

    def gathered(self, axes: tuple[int, ...], ndim: int) -> "Arguments":
        """Return these with arrays that are whole along axes of so many, as axes that become one must be."""
        from_end = tuple(i - ndim for i in axes)
        raw = self.library.raw
        each = (
            a if a is None else raw.gathered(a, tuple(i for i in from_end if -i <= a.ndim))
            for a in self.arrays
        )
        return self._replace(arrays=list(each))


def promoted(function: str, found: Library, names: set[str], like: Array) -> str:
    """Return the name of what floating dtypes promote to; the default of the library for none."""
    if names:
        return promote(names)
    found.check_default_float(function)
    return default_float(found.xp, device_of(like))


def in_native_order(x: Array) -> Array:
    """Return an array of NumPy's, or of chunks of NumPy's, in this machine's byte order, in which results are."""
    dtype = getattr(x, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.isnative:
        return x
    return x.astype(dtype.newbyteorder("="))


def prepare(
    function: str, xp: Namespace | None, where: Array | None = None, **arrays: Array
) -> Arguments:
    """Check `arrays` and bring them to the dtype that `function` computes in; None stays None.

    `where` is a mask for the first of them: checked, and spread to its shape.
    """
    found = common_library(function, xp, {**arrays, "where": where})
    first = next(iter(arrays.values()))
    names = float_names(function, arrays)
    arrays = {called: in_native_order(a) for called, a in arrays.items()}
    name = promoted(function, found, names, first)
    result = next(
        (a.dtype for a in arrays.values() if a is not None and dtype_name(a.dtype) == name), None
    )
    if result is None:
        result = getattr(found.xp, name)
    if where is not None:
        where = _mask(function, where, first.shape, found.xp)
    computing = found.computing(function, computing_float(name))
    return Arguments(function, found, [*arrays.values(), where], computing, result, xp is not None)


def _mask(function: str, where: Array, shape: tuple[int, ...], xp: Namespace) -> Array:
    if dtype_name(where.dtype) != "bool":
        raise XpnnTypeError(
            f"{function}: expected where to be a boolean array, got dtype "
            f"{dtype_name(where.dtype)}; compare it, e.g. where != 0"
        )
    return broadcast_to(function, "where", where, shape, xp)


def broadcast_to(
    function: str, called: str, a: Array, shape: tuple[int, ...], xp: Namespace
) -> Array:
    """Spread `a` to `shape`; ValueError with both shapes if it does not fit."""
    if tuple(a.shape) == shape:  # whose lengths may not be known yet
        return a
    check_broadcast(function, called, a, shape)
    return xp.broadcast_to(a, shape)


def common_shape(
    function: str, x: tuple[int, ...], called: str, a: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape that x and another array have together, as far as lengths are known; or ValueError."""
    ndim = max(len(x), len(a))
    padded = [(1,) * (ndim - len(s)) + tuple(s) for s in (x, a)]
    sizes = list(zip(*padded, strict=True))
    if any(n != m and 1 not in (n, m) and n == n and m == m for n, m in sizes):
        raise XpnnValueError(
            f"{function}: expected {called} to broadcast with x of shape {tuple(x)}, got shape {tuple(a)}"
        )
    return tuple(m if n == 1 else n for n, m in sizes)


def check_broadcast(function: str, called: str, a: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError with both shapes if `a` does not fit a shape, as far as lengths are known."""
    sizes = zip(reversed(a.shape), reversed(shape), strict=False)
    # A length that is not known is None, or NaN.
    fits = all(n in (1, m) or n != n or m != m for n, m in sizes)
    if len(a.shape) > len(shape) or not fits:
        raise XpnnValueError(
            f"{function}: expected {called} to broadcast to the shape of x, {tuple(shape)}, "
            f"got shape {tuple(a.shape)}"
        )
