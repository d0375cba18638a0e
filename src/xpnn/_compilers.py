"""What array libraries with compilers and derivatives need to be told: barriers, constants, rules."""

import math
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


class Rule(NamedTuple):
    """A function of arrays and its derivatives."""

    f: Function
    backward: Function
    """`backward(g, y, *arrays)`: derivatives with respect to the arrays, a tuple."""
    like: Function
    """`like(*arrays)`: some array of the shape and dtype of f's result."""


class Compiler(NamedTuple):
    """What is known of a library's compiler and derivatives."""

    keep: Callable[[Array], Array] | None
    """The barrier that leaves an operation as it is written; None where nothing would change it."""
    with_rule: Callable[[Rule], Function]
    """Makes a function of a rule's f that has its derivatives."""
    operator: Callable[[Callable[[str], Rule]], Function | None]
    """Makes `operator(arrays, text)`, the function of the rule that a text stands for.

    A compiler at work calls it and does not look into it. None where no compiler is like that.
    """
    is_at_work: Callable[[], bool]
    """Whether `operator` is to be called now."""
    as_one: Callable[[Function], Function]
    """Makes one step of a function that computes in binary64, so that no such array leaves it."""


def _jax_keep(p: Array) -> Array:
    lax = sys.modules["jax"].lax
    # The barrier alone is passed by contraction, the select alone by re-association.
    return lax.optimization_barrier(lax.select(p == p, p, lax.full_like(p, math.nan)))  # noqa: PLR0124


def _jax_with_rule(rule: Rule) -> Function:
    jax = sys.modules["jax"]

    def forward(*arrays: Array) -> tuple[Array, tuple[Array, ...]]:
        y = rule.f(*arrays)
        return y, (y, *arrays)

    function = jax.custom_vjp(rule.f)
    function.defvjp(forward, lambda saved, g: rule.backward(g, *saved))
    return jax.jit(function)  # type: ignore[no-any-return]


def _jax_as_one(f: Function) -> Function:
    jax = sys.modules["jax"]
    if jax.config.jax_enable_x64:
        return f
    # Without 64-bit types JAX would run the derivatives of f outside of f, and in binary32.
    function = jax.custom_vjp(f)

    def forward(*arrays: Array) -> tuple[Any, tuple[Array, ...]]:
        return f(*arrays), arrays

    def backward(arrays: tuple[Array, ...], g: Any) -> tuple[Array, ...]:
        with jax.enable_x64(True):
            return jax.vjp(f, *arrays)[1](g)  # type: ignore[no-any-return]

    function.defvjp(forward, backward)
    return function  # type: ignore[no-any-return]


def _torch_operator(rule_of: Callable[[str], Rule]) -> Function:
    """Make the operator by which torch.compile calls a rule's f, and does not look into it."""
    torch = sys.modules["torch"]

    def run(arrays: list[Array], text: str) -> Array:
        return rule_of(text).f(*arrays)

    operator = torch.library.custom_op(
        "xpnn::reproducible", run, mutates_args=(), schema="(Tensor[] arrays, str text) -> Tensor"
    )

    def like(arrays: list[Array], text: str) -> Array:
        same = rule_of(text).like(*arrays)
        return torch.empty_like(same, memory_format=torch.contiguous_format)

    def save(ctx: Any, inputs: tuple[list[Array], str], output: Array) -> None:
        arrays, ctx.text = inputs
        ctx.save_for_backward(output, *arrays)

    def backward(ctx: Any, g: Array) -> tuple[list[Array], None]:
        return list(rule_of(ctx.text).backward(g, *ctx.saved_tensors)), None

    def vmap(info: Any, in_dims: Any, arrays: list[Array], text: str) -> tuple[Array, int]:
        axes = in_dims[0]
        rows = (
            [a if i is None else a.select(i, n) for a, i in zip(arrays, axes, strict=True)]
            for n in range(info.batch_size)
        )
        return torch.stack([operator(row, text) for row in rows]), 0

    operator.register_fake(like)
    operator.register_autograd(backward, setup_context=save)
    operator.register_vmap(vmap)
    return operator  # type: ignore[no-any-return]


def _torch_with_rule(rule: Rule) -> Function:
    torch = sys.modules["torch"]

    class WithRule(torch.autograd.Function):  # type: ignore[misc, name-defined]
        generate_vmap_rule = True

        @staticmethod
        def forward(*arrays: Array) -> Array:
            return rule.f(*arrays)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Array, ...], output: Array) -> None:
            ctx.save_for_backward(output, *inputs)

        @staticmethod
        def backward(ctx: Any, g: Array) -> tuple[Array, ...]:
            return rule.backward(g, *ctx.saved_tensors)  # type: ignore[no-any-return]

        @staticmethod
        def jvp(ctx: Any, *tangents: Array) -> Array:
            raise XpnnTypeError(
                "the reproducible way has no forward-mode derivatives, only reverse mode: "
                "torch.autograd.grad, torch.func.grad, torch.func.vjp"
            )

    def is_dual(a: Array) -> bool:
        return torch.autograd.forward_ad.unpack_dual(a).tangent is not None

    def function(*arrays: Array) -> Array:
        backward = torch.is_grad_enabled() and any(a.requires_grad for a in arrays)
        needed = backward or any(is_dual(a) for a in arrays)
        return WithRule.apply(*arrays) if needed else rule.f(*arrays)

    return function


def _torch_is_at_work() -> bool:
    return bool(sys.modules["torch"].compiler.is_compiling())


def compiler_of(xp: Namespace) -> Compiler:
    """Return what is known of the compiler of the library whose namespace is `xp`."""
    if array_api_compat.is_jax_namespace(xp):
        return Compiler(_jax_keep, _jax_with_rule, lambda _: None, lambda: False, _jax_as_one)
    if array_api_compat.is_torch_namespace(xp):
        return Compiler(None, _torch_with_rule, _torch_operator, _torch_is_at_work, lambda f: f)
    return Compiler(None, lambda rule: rule.f, lambda _: None, lambda: False, lambda f: f)


_constants: dict[tuple[Any, ...], Array] = {}


def constant(table: Callable[[], tuple[float, ...]], xp: Namespace, like: Array) -> Array:
    """Return a table of numbers as a float64 array on the device of `like`, made there once."""
    found = library_of_namespace(xp)
    key = (table, found.name, str(device_of(like)))
    if key not in _constants:
        values = np.asarray(table())
        _constants[key] = from_numpy(found, values, "float64", device_of(like))
    return _constants[key]
