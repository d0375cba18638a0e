"""What the Array API standard leaves open: whose arrays these are, dtype rules, devices, words.

`prepare` answers all of it at once for a public function, so that its formula gets arrays of one
library, on one device, in one floating dtype, and only computes.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple, cast

import array_api_compat
import numpy as np

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


class Library(NamedTuple):
    """An array library: its standard namespace, and what goes around formulas of some dtype."""

    xp: Namespace
    guard: Callable[[str], AbstractContextManager[Any]]
    reproducible: Namespace | None = None
    """`xp` itself, if it is the reproducible namespace over another library."""
    compiled: Callable[[Callable[..., Any], str], Callable[..., Any]] | None = None
    """`compiled(f, dtype)`: f, which computes in dtype, as one step; None where that is no gain."""

    @property
    def name(self) -> str:
        """The name that a person knows it by, such as `numpy` or `jax.numpy`."""
        return str(self.xp.__name__).removeprefix("array_api_compat.")

    @property
    def native(self) -> Namespace:
        """The namespace of the library's own arrays."""
        return self.xp if self.reproducible is None else self.reproducible.native_namespace

    def enter(self, x: Array) -> Array:
        """Return `x` as an array of `xp`."""
        return x if self.reproducible is None else self.reproducible.wrap(x)

    def leave(self, y: Array, given: Array) -> Array:
        """Return an array of `xp` as one of the kind of `given`."""
        same = self.reproducible is None or isinstance(given, type(y))
        return y if same else self.reproducible.unwrap(y)  # type: ignore[union-attr]


def called_by_torch_compile(f: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let torch.compile call f, which makes something known, when it compiles, and not look into it."""
    f._dynamo_marked_constant = True  # type: ignore[attr-defined] # noqa: SLF001
    return f


@called_by_torch_compile
def _import_torch(_: None) -> None:
    importlib.import_module("array_api_compat.torch")


_library_of_type: dict[type, Library] = {}
_namespaces: list[tuple[Namespace, Library]] = []


def library(x: Array, called: str = "x", function: str = "xpnn") -> Library:
    """Return the library that the array `x` belongs to; TypeError if `x` is no array."""
    found = _library_of_type.get(type(x))
    if found is None:
        found = _find_library(x, called, function)
        remember(type(x), found)
    return found


def remember(kind: type, found: Library) -> None:
    """Keep the library of a type, its namespace and its dtypes' names."""
    _library_of_type[kind] = found
    if all(known is not found.xp for known, _ in _namespaces):
        _namespaces.append((found.xp, found))
    know_dtypes(found.xp)


def _find_library(x: Array, called: str, function: str) -> Library:
    if isinstance(x, np.matrix | np.ma.MaskedArray):
        raise XpnnTypeError(
            f"{function}: {called} is a numpy.{type(x).__name__}, whose meaning of * or whose mask "
            f"would be lost; pass a plain array: numpy.asarray({called}), or {called}.filled(...)"
        )
    if is_compiling() and isinstance(x, sys.modules["torch"].Tensor):
        _import_torch(None)
        return Library(array_api_compat.torch, _nothing)
    try:
        xp = array_api_compat.array_namespace(x)
    except TypeError:
        raise XpnnTypeError(
            f"{function}: expected {called} to be an array of NumPy, PyTorch, JAX or another Array "
            f"API library, got {type(x).__module__}.{type(x).__qualname__}; pass "
            f"numpy.asarray({called}), torch.asarray({called}) or jax.numpy.asarray({called})"
        ) from None
    if hasattr(xp, "__xpnn_library__"):  # a reproducible namespace
        return cast("Library", xp.__xpnn_library__)
    if array_api_compat.is_torch_namespace(xp):
        return Library(xp, _nothing)
    if array_api_compat.is_jax_namespace(xp):
        return Library(xp, jax_numbers, compiled=_jax_compiled)
    return Library(xp, _numpy_without_warnings)


def _numpy_without_warnings(_: str) -> AbstractContextManager[Any]:
    # exp(-1000) and inf - inf are steps of right answers here, not accidents to warn of.
    return np.errstate(all="ignore")


def _nothing(_: str) -> AbstractContextManager[Any]:
    return nullcontext()


def jax_has_64_bits() -> bool:
    """Whether JAX gives arrays of 64-bit types where they are asked for."""
    config = sys.modules["jax"].config
    mode = getattr(config, "jax_explicit_x64_dtypes", None)  # since JAX 0.8
    return bool(config.jax_enable_x64) or getattr(mode, "name", None) == "ALLOW"


def jax_numbers(dtype: str) -> AbstractContextManager[Any]:
    """Make JAX compute with what is written: all digits of constants, weights and products."""
    jax = sys.modules["jax"]
    context = ExitStack()
    # On GPUs and TPUs JAX rounds the factors of a product to TF32 or bfloat16 unless told otherwise.
    # What the user chose (jax_default_matmul_precision) counts.
    if jax.config.jax_default_matmul_precision is None:
        context.enter_context(jax.default_matmul_precision("highest"))
    # With 64-bit types off but float64 arrays allowed, JAX would round numbers to float32 first.
    if dtype == "float64" and not jax.config.jax_enable_x64:
        context.enter_context(jax.enable_x64(True))
    # These watch over code that its author did not mean so: a bias is meant to broadcast.
    if jax.config.jax_numpy_rank_promotion != "allow":
        context.enter_context(jax.numpy_rank_promotion("allow"))
    if jax.config.jax_numpy_dtype_promotion != "standard":
        context.enter_context(jax.numpy_dtype_promotion("standard"))
    if jax.config.jax_debug_infs:  # what is masked counts as -inf
        context.enter_context(jax.debug_infs(False))
    return context


def jax_exactly(dtype: str) -> AbstractContextManager[Any]:
    """Make JAX compute with what is written whatever the user's settings, and let steps be NaN."""
    jax = sys.modules["jax"]
    context = ExitStack()
    context.enter_context(jax_numbers(dtype))
    if jax.config.jax_default_matmul_precision != "highest":
        context.enter_context(jax.default_matmul_precision("highest"))
    if jax.config.jax_debug_nans:
        context.enter_context(jax.debug_nans(False))
    return context


def _jax_compiled(f: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """Compile f, once for each structure, shape and dtype; it is a part of what is traced already."""
    jax = sys.modules["jax"]
    # A lambda, as it wants to refer to f weakly.
    jitted = jax.jit(lambda *arguments: f(*arguments), inline=True)  # noqa: PLW0108
    if dtype != "float64":
        return jitted  # type: ignore[no-any-return]

    def function(*arguments: Any) -> Any:
        if jax.config.jax_enable_x64:
            return jitted(*arguments)
        with jax.enable_x64(True):
            return jitted(*arguments)

    return function


def is_torch(xp: Namespace) -> bool:
    """Whether this is PyTorch's standard namespace; torch.compile warns of array-api-compat's question."""
    return getattr(xp, "__name__", "") == "array_api_compat.torch"


def is_compiling() -> bool:
    """Whether torch.compile or torch.export is at work on what runs."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def torch_sees_no_values() -> bool:
    """Whether torch.compile, torch.export or a mode such as FakeTensorMode stands in for values."""
    torch = sys.modules["torch"]
    return bool(torch.compiler.is_compiling()) or torch._C._len_torch_dispatch_stack() > 0  # noqa: SLF001


def library_of_namespace(xp: Namespace) -> Library:
    """Return the library whose namespace is `xp`, given as its users know it (`torch`) or wrapped."""
    for known, found in _namespaces:  # no dict, as torch.compile cannot compare modules
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


def common_library(function: str, xp: Namespace | None, arrays: dict[str, Array]) -> Library:
    """Return the one library of all `arrays`, on one device; `xp`, where given, must be that one."""
    first = next(iter(arrays))
    given = {called: a for called, a in arrays.items() if a is not None or called == first}
    found = library(given[first], first, function)
    device = device_of(given[first])
    for called, a in given.items():
        other = library(a, called, function)
        if other.xp is not found.xp:
            raise XpnnTypeError(
                f"{function}: expected arrays of one library, got {first} of {found.name} and "
                f"{called} of {other.name}; convert one, e.g. {found.name}.asarray({called})"
            )
        where = device_of(a)
        if device is None:
            device = where
        if where is not None and where != device:
            raise XpnnValueError(
                f"{function}: expected arrays on one device, got {first} on {device} and {called} "
                f"on {where}; move one, e.g. array_api_compat.to_device({called}, {first}.device)"
            )
    if xp is not None and xp is not found.xp:
        asked = library_of_namespace(xp)
        if asked.native is found.xp:
            return asked
        if asked.xp is not found.xp:
            raise XpnnTypeError(
                f"{function}: expected {first} to be an array of xp, {asked.name}, got one of "
                f"{found.name}; leave xp out or convert, e.g. {asked.name}.asarray({first})"
            )
    return found


def device_of(x: Array) -> Device | None:
    """Return the device of `x`; None where the compiler decides (inside jax.jit, or sharded)."""
    device = getattr(x, "device", None)
    # A JAX array that lies on several devices answers with its sharding.
    return None if hasattr(device, "device_set") else device


def key_of(device: Device | None) -> Any:
    """Return what stands for a device among the keys of a dictionary: CuPy's own cannot."""
    return device if type(device).__hash__ is not None else str(device)


class Prepared(NamedTuple):
    """The arguments of a formula, of one library and on one device, and the dtypes for them."""

    library: Library
    arrays: list[Array | None]
    """In their own dtypes; the mask last."""
    computing: str
    """Name of the dtype to compute in."""
    result: DType
    plain: bool
    """Whether the formula is to run as it is written."""


def in_native_order(x: Array) -> Array:
    """Return a NumPy array in this machine's byte order, in which results are; others as they are."""
    if not isinstance(x, np.ndarray) or x.dtype.isnative:
        return x
    return x.astype(x.dtype.newbyteorder("="))


def prepare(
    function: str, xp: Namespace | None, where: Array | None = None, **arrays: Array
) -> Prepared:
    """Check `arrays` and bring them to the dtype that `function` computes in; None stays None.

    `where` is a mask for the first of them: checked, and spread to its shape.
    """
    found = common_library(function, xp, {**arrays, "where": where})
    first = next(iter(arrays.values()))
    names = float_names(function, arrays)
    arrays = {called: in_native_order(a) for called, a in arrays.items()}
    if not names and found.reproducible is not None:
        found.reproducible.check_default_float(function)
    name = promote(names) if names else default_float(found.xp, device_of(first))
    result = next(
        (a.dtype for a in arrays.values() if a is not None and dtype_name(a.dtype) == name), None
    )
    if result is None:
        result = getattr(found.xp, name)
    if where is not None:
        where = _mask(function, where, first.shape, found.xp)
    computing = computing_float(name)
    if found.reproducible is not None and function not in found.reproducible.rounded_once:
        computing = "float64"
    return Prepared(found, [*arrays.values(), where], computing, result, xp is not None)


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
    sizes = zip(reversed(a.shape), reversed(shape), strict=False)
    if len(a.shape) > len(shape) or any(n not in (1, m) for n, m in sizes):
        raise XpnnValueError(
            f"{function}: expected {called} to broadcast to the shape of x, {tuple(shape)}, "
            f"got shape {tuple(a.shape)}"
        )
    return xp.broadcast_to(a, shape)
