"""Kernels: functions of a library's own that compute what a formula does, in fewer steps.

Only where they give the formula's values at the edges, and its derivatives (`tests/execution/test_kernels.py`),
and a benchmark shows a gain. To add one, add a row.
"""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat

from xpnn._arrays.library import is_torch
from xpnn._arrays.types import Array, Namespace


def _always(*_: Array | None, **__: object) -> bool:
    return True


class Kernel(NamedTuple):
    """A library's own function for one of xpnn's."""

    compute: Callable[..., Array]
    """`compute(*arrays, **options)`, as the public function takes them."""
    fits: Callable[..., bool] = _always
    """Whether it gives the formula's numbers for these arrays and options."""
    dtypes: tuple[str, ...] = ("float32", "float64")
    """The dtypes for which it does."""


_PIECE = 2**18
"""Numbers that are made float64 at a time."""

_ADDED = 128
"""Terms up to which a kernel may add one after the other: some 5 units in the last place."""

Kernels = dict[str, Kernel]
"""By the name of the function that they compute."""


def _of_torch() -> Kernels:
    torch = sys.modules["torch"]
    functional = torch.nn.functional
    from xpnn._arrays.compilers import torch_takes_values_alone  # noqa: PLC0415 -- for torch alone

    def for_inference(x: Array, **_: object) -> bool:
        return x.is_cpu and torch_takes_values_alone(x)

    def in_double(compute: Callable[[Array], Array]) -> Callable[..., Array]:
        """Compute in float64 and round; many numbers piece by piece, which takes less memory."""

        def function(x: Array, **_: object) -> Array:
            if x.numel() <= _PIECE or not x.is_contiguous():
                return compute(x.double()).float()
            y = torch.empty_like(x)
            pairs = zip(x.view(-1).split(_PIECE), y.view(-1).split(_PIECE), strict=True)
            for part, to in pairs:
                to.copy_(compute(part.double()))
            return y

        return function

    def gelu(x: Array) -> Array:
        # Below -40 it is zero; at -inf that is its limit.
        return x.clamp_min_(-40) * torch.special.erfc(x * -math.sqrt(0.5)).mul_(0.5)

    def is_exact(x: Array, *, approximate: str = "none") -> bool:
        return approximate == "none" and for_inference(x)

    def is_short(x: Array, *, axis: int) -> bool:
        # On the CPU the terms are added one after the other, along the last axis in eight lanes.
        lanes = 8 if axis == x.ndim - 1 else 1
        return x.shape[axis] <= _ADDED * lanes or not x.is_cpu

    return {
        "gelu": Kernel(in_double(gelu), is_exact, ("float32",)),
        "linear": Kernel(
            lambda x, weight, bias: torch.addmm(bias, x, weight),
            lambda x, _, bias: bias is not None and x.ndim == 2,
        ),
        "relu": Kernel(torch.relu),
        "leaky_relu": Kernel(functional.leaky_relu),
        "log_sigmoid": Kernel(functional.logsigmoid),
        # In float32 it is zero from -88.8 on, where float32 goes to -103.9. float64 has those numbers,
        # but the derivative is zero from 36 on. Likewise gelu, which loses its lower tail.
        "sigmoid": Kernel(in_double(torch.Tensor.sigmoid_), for_inference, ("float32",)),
        "softmax": Kernel(lambda x, *, axis: torch.softmax(x, axis), is_short),
    }


_tables: dict[str, Kernels] = {}


def kernel_of(xp: Namespace, function: str) -> Kernel | None:
    """Return the kernel for a function on arrays of the library whose namespace is `xp`."""
    if not is_torch(xp):
        return None
    if "torch" not in _tables:
        _tables["torch"] = _of_torch()
    return _tables["torch"].get(function)


def _own_of_jax(function: str) -> Callable[[Array], Array] | None:
    """Return JAX's own function that gives the formula's values on the CPU, which has no subnormals."""
    own = {
        # XLA makes one step of it and the products, which it does not of a choice by values.
        "sigmoid": sys.modules["jax"].lax.logistic,
    }
    return own.get(function)


def with_own_values(
    xp: Namespace, function: str, formula: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a formula(x, mask, xp=..., **options) that takes its values from the library's own.

    Its derivatives, of any order, are those of the formula. The formula itself where there is none.
    """
    own = _own_of_jax(function) if array_api_compat.is_jax_namespace(xp) else None
    if own is None:
        return formula
    jax: Any = sys.modules["jax"]

    def with_own(x: Array, mask: None, /, *, xp: Namespace, **options: Any) -> Array:
        def as_written(x: Array) -> Array:
            return formula(x, mask, xp=xp, **options)

        @jax.custom_jvp  # type: ignore[untyped-decorator]
        def values(x: Array) -> Array:
            return jax.lax.platform_dependent(x, cpu=own, default=as_written)

        @values.defjvp  # type: ignore[untyped-decorator]
        def derivative(point: tuple[Array], tangent: tuple[Array]) -> tuple[Array, Array]:
            return values(*point), jax.jvp(as_written, point, tangent)[1]

        return values(x)

    return with_own
