"""Copies of arrays from one library, device or dtype to another, which keep every digit or say so."""

import itertools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import numpy as np

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.backends.tracing import traced_as_constant
from xpnn._arrays.dtypes import FLOATS, computing_float, dtype_name, dtype_named
from xpnn._arrays.library import device_of, library, library_of_namespace
from xpnn._arrays.types import Array, Device, Namespace
from xpnn.errors import XpnnTypeError, XpnnValueError


def is_numpy(a: Array) -> bool:
    """Whether `a` is a NumPy array."""
    return isinstance(a, np.ndarray)


def frozen(a: Array | None) -> Array | None:
    """Return the values of a NumPy array where nobody can change them; other arrays as they are.

    A plain array in native byte order that owns its memory and is read-only. What was made of the values
    before, such as a copy for another library or a recorded program, is then right for as long as the
    array lives. (With memory of a bytes object nobody could lift that, but torch.compile, which does
    while it looks at an array, raises an AssertionError.)
    """
    if not isinstance(a, np.ndarray) or dtype_name(a.dtype) not in FLOATS:
        return a
    if type(a) is np.ndarray and a.dtype.isnative and a.base is None and not a.flags.writeable:
        return a
    order: Literal["C", "F"] = "F" if a.flags.fnc else "C"
    plain = np.array(a, dtype=a.dtype.newbyteorder("="), order=order, copy=True, subok=False)
    plain.flags.writeable = False
    return plain


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """Copy `x` into a NumPy array, off any device and any gradient's record.

    bfloat16, which NumPy itself lacks, comes as float32, which holds its values exactly.
    """
    if not is_numpy(x):
        found = library(x)
        x, found = found.to_raw(x), found.raw
        if dtype_name(x.dtype) == "bfloat16":
            x = found.xp.astype(x, found.xp.float32)
        x = found.to_numpy(x)
    return np.array(x.astype(np.float32) if dtype_name(x.dtype) == "bfloat16" else x)


def from_numpy(found: Library, a: np.ndarray[Any, Any], dtype: str, device: Device | None) -> Array:
    """Copy the NumPy array `a` to another library, as `dtype`, which must be there.

    Under jax.jit or torch.inference_mode it is made outside, so that it can be remembered.
    """
    check_dtype(found, dtype)
    xp = found.xp
    wide = computing_float(dtype)

    def copy() -> Array:
        y = found.from_numpy(np.array(a, dtype=wide), wide, device)
        return y if wide == dtype else xp.astype(y, dtype_named(xp, dtype))

    return found.lastingly(copy, dtype)


_constants: dict[tuple[Any, ...], Array] = {}


def constant(table: Callable[[], tuple[float, ...]], xp: Namespace, like: Array) -> Array:
    """Return a table of numbers as a float64 array on the device of `like`, made there once."""
    found = library_of_namespace(xp)
    key = (table, found.name, str(device_of(like)))
    if key not in _constants:
        values = np.asarray(table())
        _constants[key] = from_numpy(found, values, "float64", device_of(like))
    return _constants[key]


_numbers = itertools.count()


Copies = dict[str | None, Callable[[Namespace, Device | None], Array]]


def constant_copies(name: str, a: np.ndarray[Any, Any]) -> Copies:
    """Return functions of (xp, device) that copy an array of NumPy's, by dtype; None for its own.

    A compiler that records all that Python does calls them instead, of which it would keep no values.
    It knows the constant by the function's name: no other may have that name, and what it calls twice
    must give the same array.
    """
    number, own = next(_numbers), dtype_name(a.dtype)
    copies: Copies = {to: _constant_copy(f"{name}_{number}_{to}", a, to) for to in FLOATS}
    return {**copies, None: copies[own]} if own in copies else copies


def _constant_copy(name: str, a: np.ndarray[Any, Any], dtype: str) -> Callable[..., Array]:
    made: dict[str, Array] = {}

    def copy(xp: Namespace, device: Device | None) -> Array:
        key = str(device)
        if key not in made:
            found = library_of_namespace(xp)
            made[key] = from_numpy(found, a, dtype, device)
            found.mark_constant(made[key])
        return made[key]

    copy.__code__ = copy.__code__.replace(co_name=name)
    return traced_as_constant(copy)


def check_dtype(found: Library, dtype: str) -> None:
    """Raise TypeError if the library lacks `dtype`, or would quietly give a smaller one."""
    if dtype_named(found.xp, dtype) is None:
        raise XpnnTypeError(
            f"{found.name} has no dtype {dtype}; convert the weights to another{found.more_dtypes}"
        )
    why = found.lacks(dtype)
    if why is not None:
        raise XpnnTypeError(why)


def move(a: Array, found: Library, device: Device | None, dtype: str) -> Array:
    """Bring `a` to a library, device and dtype; within one library its gradients follow."""
    own = library(a)
    if own.raw is found.raw and own is not found:
        return found.enter(move(own.to_raw(a), found.raw, device, dtype))
    if own is not found:
        return from_numpy(found, to_numpy(a), dtype, device)
    check_dtype(found, dtype)
    if dtype_name(a.dtype) != dtype:
        a = own.xp.astype(a, dtype_named(own.xp, dtype))
    if device is not None and device != device_of(a):
        a = found.to_device(a, device)
    return a


def destination(like: Any, device: Any) -> tuple[Library, Device | None]:
    """Return the library and device of an array, or of a namespace and a device or its name."""
    if isinstance(like, ModuleType) or hasattr(like, "__array_namespace_info__"):
        found, where = library_of_namespace(like), None
    elif isinstance(like, str):
        raise XpnnTypeError(
            f"to: expected an array, or a namespace such as numpy, torch or jax.numpy, got the text {like!r}; "
            "a device goes beside it, to(torch, device='cuda')"
        )
    else:
        found, where = library(like, "like", "to"), device_of(like)
    return found, where if device is None else find_device(found, device)


def find_device(found: Library, device: Any) -> Device:
    """Return the device of a name such as `cpu` or `cuda:1`; ValueError if it is not there."""
    try:
        return found.find_device(device)
    except (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError):
        raise _no_device(found, device) from None


def _no_device(found: Library, device: Any) -> XpnnValueError:
    there = ", ".join(devices_here(found))
    return XpnnValueError(f"{found.name} has no device {device!r} here; it has {there}")


def devices_here(found: Library) -> list[str]:
    """Return the names of the devices that a library can compute on now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # array-api-compat asks torch for devices of old names
        devices = found.xp.__array_namespace_info__().devices()
    return [str(d) for d in devices if d is not None and str(d) != "meta"]
