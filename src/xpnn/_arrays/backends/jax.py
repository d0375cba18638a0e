"""JAX: all is compiled by XLA, which rearranges what is written unless barriers stand between."""

import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np
from jax.sharding import PartitionSpec

from xpnn._arrays.backends import meshes
from xpnn._arrays.backends.protocol import (
    Array,
    Device,
    Differentiable,
    Function,
    Kernel,
    Namespace,
    Node,
    Values,
)
from xpnn._arrays.backends.standard import Standard
from xpnn._arrays.backends.threads import on_another_thread

T = TypeVar("T")


class Jax(Standard):
    """Arrays of JAX and what stands in for them in its transforms."""

    def __init__(self, xp: Namespace) -> None:
        super().__init__(xp)
        self.kernels = _KERNELS

    # Devices and dtypes

    def device_of(self, x: Array) -> Device | None:
        """Return the device, or of a sharded array the sharding of one that is whole on each of its devices.

        None where the compiler decides (inside jax.jit).
        """
        device = getattr(x, "device", None)
        # An array that lies on several devices answers with its sharding.
        return meshes.whole(device, tuple(x.shape)) if hasattr(device, "device_set") else device

    def beside(self, x: Array) -> Device | None:
        """Return the device; None for an array that nobody put anywhere, whose constants are moved as it is."""
        return None if self.is_known(x) and not x.committed else self.device_of(x)

    def place_of(self, x: Array) -> str:
        """Return the device, or how an array is sharded."""
        device = getattr(x, "device", None)
        return meshes.words(device) if hasattr(device, "device_set") else str(device)

    def meet(self, x: Array, y: Array) -> bool:
        """Whether one call may take them."""
        return super().meet(x, y) or meshes.meet(x, y)

    def find_device(self, name: Any) -> Device:
        """Return the device of a name such as `cpu` or `cuda:1`."""
        if not isinstance(name, str):
            return super().find_device(name)
        kind, _, index = name.partition(":")
        try:
            return jax.devices(kind)[int(index or 0)]
        except IndexError as error:
            raise ValueError from error

    def lacks(self, dtype: str) -> str | None:
        """Return why there is no float64, which would quietly become float32."""
        if dtype != "float64" or self.has_64_bits():
            return None
        return (
            "float64 weights would become float32 here, as JAX's 64-bit types are switched "
            'off; switch them on with jax.config.update("jax_enable_x64", True) or '
            'jax.config.update("jax_explicit_x64_dtypes", "allow"), or make the network '
            "float32: network.to(jax.numpy, dtype=jax.numpy.float32)"
        )

    def has_64_bits(self) -> bool:
        """Whether arrays of 64-bit types are given where they are asked for."""
        mode = getattr(jax.config, "jax_explicit_x64_dtypes", None)  # since JAX 0.8
        return bool(jax.config.jax_enable_x64) or getattr(mode, "name", None) == "ALLOW"

    def enable_64_bits(self) -> None:
        """Switch 64-bit types on for the whole program."""
        jax.config.update("jax_enable_x64", True)

    # Values from and to NumPy

    def from_numpy(self, values: Values, dtype: str, device: Device | None) -> Array:
        """Copy an array of NumPy to a device, or as a sharding says to all of them, other computers' too."""
        if not hasattr(device, "device_set"):
            return super().from_numpy(values, dtype, device)
        values = values.astype(dtype)
        return jax.make_array_from_callback(values.shape, device, values.__getitem__)

    def from_numpy_like(self, values: Values, rows: Array) -> Array:
        """Copy values, one or some for each row, to where the rows are."""
        device = meshes.of_rows(rows.sharding, rows.ndim) or self.device_of(rows)
        return self.from_numpy(values, values.dtype.name, device)

    def to_host(self, x: Array) -> Values | None:
        """Return the values, unless they are traced or on other computers."""
        return np.asarray(x) if self.is_known(x) and x.is_fully_addressable else None

    def analysed_on_host(self, arrays: list[Array]) -> list[Values] | None:
        """Return values that are known: the many operations of an analysis take long to compile."""
        values = [self.to_host(x) for x in arrays]
        there = self.device_of(arrays[0]) is not None and all(x is not None for x in values)
        return values if there else None  # type: ignore[return-value]

    # What is known while others are at work

    def is_known(self, x: Any) -> bool:
        """Whether it is no tracer."""
        return not isinstance(x, jax.core.Tracer)

    def is_traced(self, x: Array) -> bool:
        """Whether it is a tracer."""
        return not self.is_known(x)

    def lastingly(self, make: Callable[[], T], dtype: str) -> T:
        """Make arrays outside of all traces, and of the thread's mesh."""

        def compute() -> T:
            with jax.ensure_compile_time_eval(), self.guard(dtype):
                return make()

        no_mesh = jax.sharding.get_abstract_mesh().empty
        return compute() if no_mesh else on_another_thread(compute)

    # How formulas run

    def guard(self, dtype: str) -> AbstractContextManager[Any]:
        """Make JAX compute with what is written: all digits of constants, weights and products."""
        context = ExitStack()
        # On GPUs and TPUs JAX rounds the factors of a product to TF32 or bfloat16 unless told
        # otherwise. What the user chose (jax_default_matmul_precision) counts.
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

    def exactly(self, dtype: str) -> AbstractContextManager[Any]:
        """Compute with what is written whatever the user's settings, and let steps be NaN."""
        context = ExitStack()
        context.enter_context(self.guard(dtype))
        if jax.config.jax_default_matmul_precision != "highest":
            context.enter_context(jax.default_matmul_precision("highest"))
        if jax.config.jax_debug_nans:
            context.enter_context(jax.debug_nans(False))
        return context

    compiles: ClassVar[bool] = True

    def compile(self, f: Function, dtype: str) -> Function:
        """Compile f, once for each structure, shape and dtype."""
        # A lambda, as it wants to refer to f weakly.
        jitted = jax.jit(lambda *arguments: f(*arguments), inline=True)  # noqa: PLW0108
        if dtype != "float64":
            return jitted

        def function(*arguments: Any) -> Any:
            if jax.config.jax_enable_x64:
                return jitted(*arguments)
            with jax.enable_x64(True):
                return jitted(*arguments)

        return function

    def adds_in_pairs(self, x: Array, axis: int) -> bool:
        """XLA adds in lanes and trees."""
        return True

    # What the same bits need

    rearranges: ClassVar[bool] = True

    def barrier(self, x: Array) -> Array:
        """Return x behind a barrier and a choice."""
        lax = jax.lax
        # The barrier alone is passed by contraction. With JAX 0.10 on the CPU the select alone would
        # do; the barrier keeps algebraic simplifications away that look through it.
        return lax.optimization_barrier(lax.select(x == x, x, lax.full_like(x, math.nan)))

    def loop(
        self, f: Function, y: Any, start: int, stop: int, parts: list[tuple[Array, int, int]]
    ) -> Any:
        """Return y after y = f(y, *one) for step after step."""
        lax = jax.lax

        def step(i: Array, y: Any) -> Any:
            given = (lax.dynamic_slice_in_dim(a, i * size, size, axis) for a, size, axis in parts)
            return f(y, *given)

        return lax.fori_loop(start, stop, step, y)

    def step(self, f: Function) -> Function:
        """Make one step of a function of arrays."""
        return jax.jit(f)

    def with_vjp(self, rule: Differentiable) -> Function:
        """Make a function of a rule's f that has its derivatives, in any mesh."""
        function = jax.custom_vjp(self._under_vmap(rule.f))

        def forward(*arrays: Array) -> tuple[Array, tuple[Array, ...]]:
            # Not f, of which a second derivative would be taken operation by operation.
            y = function(*arrays)
            return y, (y, *arrays)

        function.defvjp(forward, lambda saved, g: rule.backward(g, *saved))
        traced = jax.make_jaxpr(rule.abstract_value)
        spec_of = lambda *arrays: traced(*arrays).out_avals[0].sharding.spec
        return meshes.in_any(jax.jit(lambda *arrays: function(*meshes.alike(*arrays))), spec_of)

    def opaque(self, f: Function) -> Function:
        """Make one step of f: without 64-bit types its derivatives would run outside, in binary32."""
        return f if jax.config.jax_enable_x64 else meshes.entered(self._with_derivatives_of(f, f))

    def gathered(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Return x whole along axes of an explicit mesh."""
        return meshes.gathered(x, axes) if isinstance(x, jax.Array) else x

    def map_tiles(self, f: Function, x: Array, size: int) -> Array:
        """Compute tile by tile in a loop of XLA's, on the CPU."""
        count, devices = x.shape[0], meshes.devices_of(x)
        # The count of an exported function may be a symbol.
        if not isinstance(count, int) or count <= size:
            return f(x)
        tiled: Function = functools.partial(_looped, f, size, 0)
        if devices > 1:
            # Every n-th row: whichever rows a device has, some are in each tile, and it needs no others.
            least = -(-count // (size * devices))
            fits = (n for n in range(least, _TRIES * least) if count % (n * devices) == 0)
            n = next(fits, 1)
            if n == 1:
                return f(x)

            def tiled(x: Array) -> Array:
                y = _looped(lambda x: f(x[:, 0])[:, None], 1, 1, x.reshape(-1, n, *x.shape[1:]))
                return y.reshape(count, *y.shape[2:])

        return jax.lax.platform_dependent(x, cpu=tiled, default=f)

    def compile_rows(self, f: Function, size: int) -> Function:
        """Compile f(constants, x) in tiles."""

        def tiled(constants: Any, x: Array) -> Array:
            width = x.shape[-1]
            rows = x.reshape(-1, width)
            y = self.map_tiles(functools.partial(f, constants), rows, max(size // width, 16))
            return y.reshape((*x.shape[:-1], *y.shape[1:]))

        def spec_of(_: Any, x: Array) -> Any:
            return PartitionSpec(*jax.typeof(x).sharding.spec[:-1])

        # Tiles are for the values alone: their derivatives would be added in the order of tiles.
        return meshes.in_any(jax.jit(self._with_derivatives_of(f, tiled)), spec_of)

    def item(self, x: Array, key: Any) -> Array:
        """Return x[key]; left alone, JAX takes the last entry for what is beyond it."""
        if all(map(self.is_known, key if isinstance(key, tuple) else (key,))):
            return x[key]
        return x.at[key].get(mode="fill")

    def _under_vmap(self, f: Function) -> Function:
        """Make a function of f whose operations jax.vmap finds as f wrote them, at whatever time.

        Where 64-bit types are off and f switches them on, JAX would otherwise take what it recorded of
        f apart later, when they are off again, and cut it to 32 bits.
        """
        function = jax.custom_batching.custom_vmap(f)

        def batched(size: int, is_batched: Any, *given: Any) -> tuple[Any, Any]:
            axes = jax.tree.map(lambda is_mapped: 0 if is_mapped else None, tuple(is_batched))
            whole = jax.vmap(f, axes, axis_size=size)

            def of_all(*given: Any) -> Any:
                with self.exactly("float64"):
                    return whole(*given)

            y = self._under_vmap(of_all)(*given)
            return y, jax.tree.map(lambda _: True, y)

        function.def_vmap(batched)
        return function

    def _with_derivatives_of(self, f: Function, computed: Function) -> Function:
        """Make one step of `computed`, the same function as f, with the derivatives of f."""
        function = jax.custom_vjp(self._under_vmap(computed))

        def forward(*given: Any) -> tuple[Any, tuple[Any, ...]]:
            return function(*given), given

        def pull(given: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
            with self.exactly("float64"):
                return jax.vjp(f, *given)[1](g)

        def backward(given: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
            return self._with_derivatives_of(pull, pull)(given, g)

        function.defvjp(forward, backward)
        return function

    # Trees of arrays

    @staticmethod
    def register_pytree(node: Node) -> None:
        """Make a class a tree of arrays, whose leaves have names."""
        keys = tuple(jax.tree_util.GetAttrKey(name) for name in node.children)

        def flatten_with_keys(x: Any) -> tuple[list[tuple[Any, Any]], Any]:
            children, rest = node.flatten(x)
            return list(zip(keys, children, strict=True)), rest

        jax.tree_util.register_pytree_with_keys(
            node.cls, flatten_with_keys, node.unflatten, node.flatten
        )


def _looped(f: Function, size: int, axis: int, x: Array) -> Array:
    """Return f(x), computed for `size` entries along an axis at a time."""
    lax, count = jax.lax, x.shape[axis]

    # XLA takes new memory for each array of a call, but not for each round of a loop. The last tile
    # overlaps the one before.
    def one(i: Array, y: Array) -> Array:
        start = jax.numpy.minimum(i * size, count - size)
        part = f(lax.dynamic_slice_in_dim(x, start, size, axis))
        return lax.dynamic_update_slice_in_dim(y, part, start, axis)

    part = jax.eval_shape(f, lax.slice_in_dim(x, 0, 1, axis=axis))
    y = jax.numpy.zeros((*x.shape[: axis + 1], *part.shape[axis + 1 :]), part.dtype)
    return lax.fori_loop(0, -(-count // size), one, meshes.varying(y, meshes.axes_of(part)))


_TRIES = 8
"""Times as many tiles as are needed, where no fewer give each device as many rows of each."""


FAR = 1000.0
"""From here on gelu and silu are x, and from -FAR down 0, in every dtype."""

LAST = 1e18
"""From here on x / (1 + x) is 1."""


def _relu_far_out(function: Function) -> Function:
    """Make a function of one whose values or derivatives are NaN at infinity."""
    jnp = jax.numpy

    def computed(x: Array, **options: Any) -> Array:
        near = jnp.abs(x) <= FAR
        return jnp.where(near, function(jnp.where(near, x, 0), **options), jnp.where(x <= 0, 0, x))

    return computed


_silu_by_choice = _relu_far_out(jax.nn.silu)


@jax.custom_jvp  # type: ignore[untyped-decorator]
def _silu(x: Array) -> Array:
    """Return silu with no choice by values, which its derivatives need at infinity."""
    return jax.numpy.maximum(x, -FAR) * jax.nn.sigmoid(x)


_silu.defjvp(functools.partial(jax.jvp, _silu_by_choice))


def _has_entries(x: Array, *, axis: int, **_: object) -> bool:
    return x.shape[axis] != 0


_KERNELS = {
    # XLA makes one step of it and the products, which it does not of a choice by values.
    "sigmoid": Kernel(jax.nn.sigmoid),
    "softsign": Kernel(lambda x: jax.nn.soft_sign(jax.numpy.clip(x, -LAST, LAST))),
    "gelu": Kernel(
        _relu_far_out(
            lambda x, approximate="none": jax.nn.gelu(x, approximate=approximate == "tanh")
        )
    ),
    "silu": Kernel(_silu),
    "erf": Kernel(jax.lax.erf, dtypes=("float32",)),
    "log_softmax": Kernel(lambda x, *, axis: jax.nn.log_softmax(x, axis), _has_entries),
    "logsumexp": Kernel(
        lambda x, *, axis, keepdims: jax.nn.logsumexp(x, axis, keepdims=keepdims), _has_entries
    ),
}
