"""What array libraries need to be told, or do, so that formulas run well: barriers, rules, tiles."""

import functools
import math
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpnn._arrays.library import (
    device_of,
    jax_exactly,
    jax_has_64_bits,
    library,
    library_of_namespace,
    torch_sees_no_values,
)
from xpnn._arrays.transfer import from_numpy
from xpnn._arrays.types import Array, Namespace, Values
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
    is_tracing: Callable[[], bool]
    """Whether what is computed now may be no values, but what stands for them: to be forgotten."""
    as_one: Callable[[Function], Function] | None
    """Makes one step of a function that computes in binary64, so that no such array leaves it."""
    in_rows: Callable[[Function, Array, int], Array]
    """`in_rows(f, a, size)`: f(a), which takes row by row, computed for `size` rows at a time."""
    to_host: Callable[[Array], Values | None]
    """The same array as NumPy's, where its values are known and NumPy can compute in its stead."""
    from_host: Function
    """The opposite."""
    guard: Callable[[str], AbstractContextManager[Any]] | None = None
    """`guard(dtype)`: goes around what has to be computed as written; None where that of the library does.
    """
    rows: Callable[[Function, int], Function] | None = None
    """`rows(f, size)`: f(constants, x), whose rows depend on those of x alone, compiled.

    About `size` elements of x are computed at a time.
    """
    step: Callable[[Function], Function] = lambda f: f
    """Makes one step of a function of arrays; itself where nothing is compiled."""
    is_known: Callable[[Array], bool] = lambda _: True
    """Whether the values of an array can be looked at now."""
    has_64_bits: Callable[[], bool] = lambda: True
    """Whether there are integers and floating values of 64 bits now."""
    loop: Callable[..., Any] | None = None
    """`loop(f, y, start, stop, parts)`: y = f(y, *one) for step after step, as a loop of the compiler's.

    parts are arrays, how many entries a step takes, and along which axis. None where nothing compiles
    the steps.
    """
    item: Callable[[Array, Any], Array] = lambda x, key: x[key]
    """`item(x, key)`: x[key]; where a compiler knows no values of key, what is beyond x is NaN or,
    of integers, the least.
    """
    whole: Callable[..., Function] | None = None
    """`whole(f, fullgraph=True, backend="aot_eager")`: f compiled anew, for a test of it."""


def _jax_keep(p: Array) -> Array:
    lax = sys.modules["jax"].lax
    # The barrier alone is passed by contraction. With JAX 0.10 on the CPU the select alone would do;
    # the barrier keeps algebraic simplifications away that look through it.
    return lax.optimization_barrier(lax.select(p == p, p, lax.full_like(p, math.nan)))  # noqa: PLR0124


def _jax_with_rule(rule: Rule) -> Function:
    jax = sys.modules["jax"]
    function = jax.custom_vjp(_jax_as_it_is(rule.f))

    def forward(*arrays: Array) -> tuple[Array, tuple[Array, ...]]:
        y = function(
            *arrays
        )  # not f, of which a second derivative would be taken operation by operation
        return y, (y, *arrays)

    function.defvjp(forward, lambda saved, g: rule.backward(g, *saved))
    like = jax.eval_shape
    return _jax_in_any_mesh(jax.jit(function), lambda *a: like(rule.like, *a).sharding.spec)


def _jax_in_any_mesh(f: Function, spec_of: Function) -> Function:
    """Make a function of f for arrays of explicit meshes, too, that leaves to XLA how f is spread.

    `spec_of` the same arrays is how the result lies on the mesh.
    """
    jax = sys.modules["jax"]
    explicit = jax.sharding.AxisType.Explicit

    def function(*given: Any) -> Any:
        meshes = (jax.typeof(a).sharding.mesh for a in jax.tree.leaves(given))
        mesh = next((mesh for mesh in meshes if explicit in (mesh.axis_types or ())), None)
        if mesh is None:
            return f(*given)
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.sharding.auto_axes(f, out_sharding=spec_of(*given))(*given)

    return function


def _jax_as_it_is(f: Function) -> Function:
    """Make a function of f whose operations jax.vmap finds as f wrote them, at whatever time.

    Where 64-bit types are off and f switches them on, JAX would otherwise take what it recorded of f
    apart later, when they are off again, and cut it to 32 bits.
    """
    jax = sys.modules["jax"]
    function = jax.custom_batching.custom_vmap(f)

    def batched(size: int, is_batched: Any, *given: Any) -> tuple[Any, Any]:
        axes = jax.tree.map(lambda is_mapped: 0 if is_mapped else None, tuple(is_batched))
        whole = jax.vmap(f, axes, axis_size=size)

        def of_all(*given: Any) -> Any:
            with jax_exactly("float64"):
                return whole(*given)

        y = _jax_as_it_is(of_all)(*given)
        return y, jax.tree.map(lambda _: True, y)

    function.def_vmap(batched)
    return function  # type: ignore[no-any-return]


def _jax_as_one(f: Function) -> Function:
    # Without 64-bit types JAX would run the derivatives of f outside of f, and in binary32.
    jax = sys.modules["jax"]
    return f if jax.config.jax_enable_x64 else _jax_with_derivatives_of(f, f)


def _jax_with_derivatives_of(f: Function, computed: Function) -> Function:
    """Make one step of `computed`, the same function as f, with the derivatives of f."""
    jax = sys.modules["jax"]
    function = jax.custom_vjp(_jax_as_it_is(computed))

    def forward(*given: Any) -> tuple[Any, tuple[Any, ...]]:
        return function(*given), given

    def pull(given: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
        with jax_exactly("float64"):
            return jax.vjp(f, *given)[1](g)  # type: ignore[no-any-return]

    def backward(given: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
        return _jax_with_derivatives_of(pull, pull)(given, g)  # type: ignore[no-any-return]

    function.defvjp(forward, backward)
    return function  # type: ignore[no-any-return]


def _jax_is_known(a: Any) -> bool:
    return not isinstance(a, sys.modules["jax"].core.Tracer)


def _jax_item(x: Array, key: Any) -> Array:
    if all(map(_jax_is_known, key if isinstance(key, tuple) else (key,))):
        return x[key]
    # Left alone, JAX takes the last entry for what is beyond it.
    return x.at[key].get(mode="fill")


def _jax_loop(
    f: Function, y: Any, start: int, stop: int, parts: list[tuple[Array, int, int]]
) -> Any:
    lax = sys.modules["jax"].lax

    def step(i: Array, y: Any) -> Any:
        given = (lax.dynamic_slice_in_dim(a, i * size, size, axis) for a, size, axis in parts)
        return f(y, *given)

    return lax.fori_loop(start, stop, step, y)


def _jax_in_rows(f: Function, a: Array, size: int) -> Array:
    jax = sys.modules["jax"]
    lax, count = jax.lax, a.shape[0]

    def tiled(a: Array) -> Array:
        # XLA takes new memory for each array of a call, but not for each round of a loop. The last
        # tile overlaps the one before.
        def one(i: Array, y: Array) -> Array:
            start = jax.numpy.minimum(i * size, count - size)
            rows = f(lax.dynamic_slice_in_dim(a, start, size))
            return lax.dynamic_update_slice_in_dim(y, rows, start, 0)

        row = jax.eval_shape(f, a[:1, ...])
        y = jax.numpy.zeros((count, *row.shape[1:]), row.dtype)
        return lax.fori_loop(0, -(-count // size), one, y)

    # The count of an exported function may be a symbol.
    return (
        f(a)
        if not isinstance(count, int) or count <= size
        else lax.platform_dependent(a, cpu=tiled, default=f)
    )


def _jax_rows(f: Function, size: int) -> Function:
    jax = sys.modules["jax"]

    def tiled(constants: Any, x: Array) -> Array:
        width = x.shape[-1]
        rows = x.reshape(-1, width)
        y = _jax_in_rows(functools.partial(f, constants), rows, max(size // width, 16))
        return y.reshape((*x.shape[:-1], *y.shape[1:]))

    def rows(_: Any, x: Array) -> Any:
        return jax.sharding.PartitionSpec(*jax.typeof(x).sharding.spec[:-1])

    # Tiles are for the values alone: their derivatives would be added in the order of tiles.
    return _jax_in_any_mesh(jax.jit(_jax_with_derivatives_of(f, tiled)), rows)


def _jax_to_host(a: Array) -> Values | None:
    return np.asarray(a) if _jax_is_known(a) and a.is_fully_addressable else None


def _in_rows(f: Function, a: Array, size: int) -> Array:
    if a.shape[0] <= size or str(device_of(a)) != "cpu":
        return f(a)
    parts = [f(a[i : i + size, ...]) for i in range(0, a.shape[0], size)]
    return library(a).xp.concat(parts)


def _numpy_to_host(a: Array) -> Values | None:
    return a if type(a) is np.ndarray else None


def torch_takes_values_alone(a: Array) -> bool:
    """Whether neither derivatives, transforms nor the compiler are at work on `a`."""
    torch = sys.modules["torch"]
    return (
        not torch_sees_no_values()
        and not (a.requires_grad and torch.is_grad_enabled())
        and torch.autograd.forward_ad._current_level < 0  # noqa: SLF001
        and not torch._C._functorch.is_functorch_wrapped_tensor(a)  # noqa: SLF001
    )


def _torch_is_tracing() -> bool:
    torch = sys.modules["torch"]
    return (
        torch_sees_no_values()
        or torch._C._functorch.peek_interpreter_stack() is not None  # noqa: SLF001
        or torch.is_inference_mode_enabled()
    )


def _torch_to_host(a: Array) -> Values | None:
    torch = sys.modules["torch"]
    ordinary = (
        type(a) in {torch.Tensor, torch.nn.Parameter}
        and a.is_cpu
        and torch_takes_values_alone(a)
        and a.dtype is not torch.bfloat16
    )
    return a.numpy(force=True) if ordinary else None


def _torch_from_host(a: Values) -> Array:
    torch = sys.modules["torch"]
    if a.dtype.name == "bfloat16":  # of ml_dtypes, which torch knows by its bits
        return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(a)


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


# array_namespace of array-api-compat, vendored or not, is cached; that is no news to its callers.
_CACHE_OF_COMPAT = "Dynamo detected a call to a `functools.lru_cache`-wrapped .* '_helpers.py"


def _torch_whole(f: Function, *, fullgraph: bool = True, backend: str = "aot_eager") -> Function:
    torch = sys.modules["torch"]
    torch.compiler.reset()
    compiled = torch.compile(f, fullgraph=fullgraph, backend=backend)

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=_CACHE_OF_COMPAT)
                return compiled(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException:  # noqa: SLF001
            # The compiler has errors of its own for an error that f raises: let that one out.
            try:
                f(*args, **kwargs)
            except Exception as error:
                raise error from None
            raise

    return function


def compiler_of(xp: Namespace) -> Compiler:
    """Return what is known of the compiler of the library whose namespace is `xp`."""
    if array_api_compat.is_jax_namespace(xp):
        return Compiler(
            keep=_jax_keep,
            with_rule=_jax_with_rule,
            operator=lambda _: None,
            is_at_work=lambda: False,
            is_tracing=lambda: True,
            as_one=_jax_as_one,
            in_rows=_jax_in_rows,
            to_host=_jax_to_host,
            from_host=lambda a: a,
            guard=jax_exactly,
            rows=_jax_rows,
            step=sys.modules["jax"].jit,
            is_known=_jax_is_known,
            has_64_bits=jax_has_64_bits,
            item=_jax_item,
            loop=_jax_loop,
        )
    if array_api_compat.is_torch_namespace(xp):
        return Compiler(
            keep=None,
            with_rule=_torch_with_rule,
            operator=_torch_operator,
            is_at_work=torch_sees_no_values,
            is_tracing=_torch_is_tracing,
            as_one=None,
            in_rows=_in_rows,
            to_host=_torch_to_host,
            from_host=_torch_from_host,
            is_known=lambda _: not _torch_is_tracing(),
            whole=_torch_whole,
        )
    return Compiler(
        keep=None,
        with_rule=lambda rule: rule.f,
        operator=lambda _: None,
        is_at_work=lambda: False,
        is_tracing=lambda: False,
        as_one=None,
        in_rows=_in_rows,
        to_host=_numpy_to_host,
        from_host=lambda a: a,
    )


_constants: dict[tuple[Any, ...], Array] = {}


def constant(table: Callable[[], tuple[float, ...]], xp: Namespace, like: Array) -> Array:
    """Return a table of numbers as a float64 array on the device of `like`, made there once."""
    found = library_of_namespace(xp)
    key = (table, found.name, str(device_of(like)))
    if key not in _constants:
        values = np.asarray(table())
        _constants[key] = from_numpy(found, values, "float64", device_of(like))
    return _constants[key]
