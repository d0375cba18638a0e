"""Copies of arrays from one library, device or dtype to another, which keep every digit or say so."""

import itertools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeVar

import array_api_compat
import numpy as np

from xpnn._arrays.dtypes import FLOATS, computing_float, dtype_name, dtype_named
from xpnn._arrays.library import (
    Library,
    device_of,
    is_torch,
    jax_has_64_bits,
    jax_numbers,
    library,
    library_of_namespace,
)
from xpnn._arrays.types import Array, Device, Namespace
from xpnn.errors import XpnnTypeError, XpnnValueError

T = TypeVar("T")


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
    if is_numpy(x):
        x = x.astype(np.float32) if dtype_name(x.dtype) == "bfloat16" else x
    else:
        found = library(x)
        x, xp = found.xp.unwrap(x) if found.reproducible else x, found.native
        if dtype_name(x.dtype) == "bfloat16":
            x = xp.astype(x, xp.float32)
        if array_api_compat.is_torch_namespace(xp):
            x = x.numpy(force=True)  # off the device and the gradient's record
        elif array_api_compat.is_cupy_namespace(xp):
            x = x.get()
        else:
            home = xp.__array_namespace_info__().default_device()
            if home is not None and home != device_of(x):
                x = array_api_compat.to_device(x, home)
    return np.array(x)


def to_native(x: Array, found: Library) -> tuple[Array, Library]:
    """Return `x`, of a reproducible namespace or given to one, as an array of the library below."""
    native = library_of_namespace(found.native)
    return (found.xp.unwrap(x) if library(x).reproducible is not None else x), native


def from_numpy(found: Library, a: np.ndarray[Any, Any], dtype: str, device: Device | None) -> Array:
    """Copy the NumPy array `a` to another library, as `dtype`, which must be there.

    Under jax.jit or torch.inference_mode it is made outside, so that it can be remembered.
    """
    check_dtype(found, dtype)
    xp = found.xp
    wide = computing_float(dtype)

    def copy() -> Array:
        y = xp.asarray(np.array(a, dtype=wide), dtype=getattr(xp, wide), device=device)
        return y if wide == dtype else xp.astype(y, dtype_named(xp, dtype))

    return lastingly(found.native, dtype, copy)


def lastingly(xp: Namespace, dtype: str, make: Callable[[], T]) -> T:
    """Make arrays that may be used later, by whoever: outside any trace, transform or mode."""
    if array_api_compat.is_jax_namespace(xp):
        jax = sys.modules["jax"]

        def compute() -> T:
            with jax.ensure_compile_time_eval(), jax_numbers(dtype):
                return make()

        return compute() if jax.sharding.get_abstract_mesh().empty else _apart(compute)
    if is_torch(xp) and can_make_lasting():
        return _apart(make)
    return make()


def _apart(make: Callable[[], T]) -> T:
    """Call make on a thread of its own.

    JAX keeps its mesh for each thread, torch its modes: inference_mode, func.jvp, FakeTensorMode.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(1) as apart:
        return apart.submit(make).result()


def can_make_lasting() -> bool:
    """Whether `lastingly` does what it says: torch.compile records all that Python does."""
    torch = sys.modules.get("torch")
    return torch is None or not torch.compiler.is_dynamo_compiling()


_numbers = itertools.count()


def constant_copies(attribute: str) -> dict[str, Callable[..., Array]]:
    """Return functions of (owner, attribute, device) that copy an array of NumPy's to torch, by dtype.

    torch.compile calls them instead of recording what they do, of which it would keep no values. It
    knows the constant by the function's name: no other may have that name, and what it calls twice
    must give the same tensor.
    """
    number = next(_numbers)
    return {dtype: _constant_copy(f"{attribute}_{number}_{dtype}", dtype) for dtype in FLOATS}


def _constant_copy(name: str, dtype: str) -> Callable[..., Array]:
    made: dict[str, Array] = {}

    def copy(owner: Any, attribute: str, device: Device | None) -> Array:
        key = str(device)
        if key not in made:
            torch = library_of_namespace(sys.modules["torch"])
            made[key] = from_numpy(torch, getattr(owner, attribute), dtype, device)
            # As torch._dynamo.mark_static has it, which while compiling is for what is compiled: no
            # shape of a constant varies with the input.
            made[key]._dynamo_static_indices = set(range(made[key].ndim))  # noqa: SLF001
        return made[key]

    copy.__code__ = copy.__code__.replace(co_name=name)
    copy._dynamo_marked_constant = True  # type: ignore[attr-defined] # noqa: SLF001
    return copy


def check_dtype(found: Library, dtype: str) -> None:
    """Raise TypeError if the library lacks `dtype`, or would quietly give a smaller one."""
    if dtype_named(found.xp, dtype) is None:
        other = ", or import ml_dtypes, which brings it" if found.name == "numpy" else ""
        raise XpnnTypeError(
            f"{found.name} has no dtype {dtype}; convert the weights to another{other}"
        )
    jax = dtype == "float64" and array_api_compat.is_jax_namespace(found.native)
    if jax and not jax_has_64_bits():
        raise XpnnTypeError(
            "float64 weights would become float32 here, as JAX's 64-bit types are switched "
            'off; switch them on with jax.config.update("jax_enable_x64", True) or '
            'jax.config.update("jax_explicit_x64_dtypes", "allow"), or make the network '
            "float32: network.to(jax.numpy, dtype=jax.numpy.float32)"
        )


def move(a: Array, found: Library, device: Device | None, dtype: str) -> Array:
    """Bring `a` to a library, device and dtype; within one library its gradients follow."""
    own = library(a)
    if own.reproducible is not None and own.native is found.xp:
        return move(own.xp.unwrap(a), found, device, dtype)
    if found.reproducible is not None and own.xp is found.native:
        return found.enter(move(a, library_of_namespace(found.native), device, dtype))
    if own.xp is not found.xp:
        return from_numpy(found, to_numpy(a), dtype, device)
    check_dtype(found, dtype)
    if dtype_name(a.dtype) != dtype:
        a = own.xp.astype(a, dtype_named(own.xp, dtype))
    if device is not None and device != device_of(a):
        a = array_api_compat.to_device(a, device)
    return a


def to_device(x: Array, device: Device) -> Array:
    """Move `x` to another device of its library."""
    return array_api_compat.to_device(x, device)


def destination(like: Any, device: Any) -> tuple[Library, Device | None]:
    """Return the library and device of an array, or of a namespace and a device or its name."""
    if isinstance(like, ModuleType) or hasattr(like, "__array_namespace_info__"):
        found, where = library_of_namespace(like), None
    else:
        found, where = library(like, "like", "to"), device_of(like)
    return found, where if device is None else find_device(found, device)


def find_device(found: Library, device: Any) -> Device:
    """Return the device of a name such as `cpu` or `cuda:1`; ValueError if it is not there."""
    if array_api_compat.is_jax_namespace(found.native) and isinstance(device, str):
        kind, _, index = device.partition(":")
        try:
            return sys.modules["jax"].devices(kind)[int(index or 0)]
        except (RuntimeError, IndexError, ValueError):
            raise _no_device(found, device) from None
    try:
        if isinstance(device, str) and array_api_compat.is_array_api_strict_namespace(found.native):
            device = found.native.Device(device)
        found.xp.empty(0, dtype=found.xp.float32, device=device)
    except (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError):
        raise _no_device(found, device) from None
    return device


def _no_device(found: Library, device: Any) -> XpnnValueError:
    devices = found.xp.__array_namespace_info__().devices()
    there = ", ".join(str(d) for d in devices if d is not None)
    return XpnnValueError(f"{found.name} has no device {device!r} here; it has {there}")
