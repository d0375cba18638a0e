"""What array libraries with compilers and derivatives need to be told: barriers, constants, rules."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpnn._arrays import device_of, library_of_namespace
from xpnn._transfer import from_numpy
from xpnn._types import Array, Namespace

Function = Callable[..., Any]


class Compiler(NamedTuple):
    """What is known of a library's compiler."""

    keep: Callable[[], Callable[[Array], Array] | None]
    """Gives the barrier, or None where no compiler is at work."""


def _jax_keep() -> Callable[[Array], Array]:
    lax = sys.modules["jax"].lax

    def keep(p: Array) -> Array:
        # The barrier alone is passed by contraction, the select alone by re-association.
        return lax.optimization_barrier(lax.select(p == p, p, lax.full_like(p, 0)))  # noqa: PLR0124

    return keep


def _torch_keep() -> Callable[[Array], Array] | None:
    torch = sys.modules["torch"]
    if not torch.compiler.is_compiling():
        return None
    return lambda p: torch.where(p == p, p, torch.zeros_like(p))  # noqa: PLR0124


def _no_keep() -> None:
    return None


def compiler_of(xp: Namespace) -> Compiler:
    """Return what is known of the compiler of the library whose namespace is `xp`."""
    if array_api_compat.is_jax_namespace(xp):
        return Compiler(_jax_keep)
    if array_api_compat.is_torch_namespace(xp):
        return Compiler(_torch_keep)
    return Compiler(_no_keep)


_constants: dict[tuple[Any, ...], Array] = {}


def constant(table: Callable[[], tuple[float, ...]], xp: Namespace, like: Array) -> Array:
    """Return a table of numbers as a float64 array on the device of `like`, made there once."""
    found = library_of_namespace(xp)
    key = (table, found.name, str(device_of(like)))
    if key not in _constants:
        values = np.asarray(table())
        _constants[key] = from_numpy(found, values, "float64", device_of(like))
    return _constants[key]
