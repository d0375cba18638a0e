"""What array libraries with compilers and derivatives need to be told: barriers, constants, rules."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpnn._arrays import device_of, library_of_namespace
from xpnn._transfer import from_numpy
from xpnn._types import Array, Namespace
from xpnn.errors import XpnnTypeError

Function = Callable[..., Any]


class Compiler(NamedTuple):
    """What is known of a library's compiler and derivatives."""

    keep: Callable[[], Callable[[Array], Array] | None]
    """Gives the barrier, or None where no compiler is at work."""
    rule: Callable[[Function, Function], Function]
    """`rule(f, backward)` is f with derivatives `backward(g, y, *arrays)`, a tuple."""


def _jax_keep() -> Callable[[Array], Array]:
    lax = sys.modules["jax"].lax

    def keep(p: Array) -> Array:
        # The barrier alone is passed by contraction, the select alone by re-association.
        return lax.optimization_barrier(lax.select(p == p, p, lax.full_like(p, 0)))  # noqa: PLR0124

    return keep


def _jax_rule(f: Function, backward: Function) -> Function:
    jax = sys.modules["jax"]

    def forward(*arrays: Array) -> tuple[Array, tuple[Array, ...]]:
        y = f(*arrays)
        return y, (y, *arrays)

    function = jax.custom_vjp(f)
    function.defvjp(forward, lambda saved, g: backward(g, *saved))
    return jax.jit(function)  # type: ignore[no-any-return]


def _torch_keep() -> Callable[[Array], Array] | None:
    torch = sys.modules["torch"]
    if not torch.compiler.is_compiling():
        return None
    return lambda p: torch.where(p == p, p, torch.zeros_like(p))  # noqa: PLR0124


def _torch_rule(f: Function, backward: Function) -> Function:
    torch = sys.modules["torch"]

    class Rule(torch.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(*arrays: Array) -> Array:
            return f(*arrays)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Array, ...], output: Array) -> None:
            ctx.save_for_backward(output, *inputs)

        @staticmethod
        def backward(ctx: Any, g: Array) -> tuple[Array, ...]:
            return backward(g, *ctx.saved_tensors)  # type: ignore[no-any-return]

        @staticmethod
        def jvp(ctx: Any, *tangents: Array) -> Array:
            raise XpnnTypeError(
                "forward-mode derivatives are not there in the reproducible way, only reverse mode "
                "(torch.autograd.grad, torch.func.grad, torch.func.vjp); leave xp out for the others"
            )

    def function(*arrays: Array) -> Array:
        needed = torch.is_grad_enabled() and any(a.requires_grad for a in arrays)
        return Rule.apply(*arrays) if needed else f(*arrays)

    return function


def _no_keep() -> None:
    return None


def _no_rule(f: Function, _: Function) -> Function:
    return f


def compiler_of(xp: Namespace) -> Compiler:
    """Return what is known of the compiler of the library whose namespace is `xp`."""
    if array_api_compat.is_jax_namespace(xp):
        return Compiler(_jax_keep, _jax_rule)
    if array_api_compat.is_torch_namespace(xp):
        return Compiler(_torch_keep, _torch_rule)
    return Compiler(_no_keep, _no_rule)


_constants: dict[tuple[Any, ...], Array] = {}


def constant(table: Callable[[], tuple[float, ...]], xp: Namespace, like: Array) -> Array:
    """Return a table of numbers as a float64 array on the device of `like`, made there once."""
    found = library_of_namespace(xp)
    key = (table, found.name, str(device_of(like)))
    if key not in _constants:
        values = np.asarray(table())
        _constants[key] = from_numpy(found, values, "float64", device_of(like))
    return _constants[key]
