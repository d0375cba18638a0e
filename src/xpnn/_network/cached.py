"""How a forward pass runs unless told otherwise: compiled, or recorded and in tiles, or as written."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn._arrays import pytree
from xpnn._arrays.library import Library, is_compiling, key_of, library, library_of_namespace
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.kernels import kernel_of
from xpnn._execution.recorder import Recorded, namespace
from xpnn._execution.tiles import Tiled
from xpnn._network.interpreters.values import Forward, Layers
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.linear import product

Part = Callable[[Layers, Array, Namespace], Array]

_CACHE, _LEAST = 7 * 2**20, 2**20
"""Bytes of the buffers of a tile of rows, at most; and from which on threads pay.

A thread waits for Python between two operations: the longer each is, the less that costs. Products,
which the BLAS computes with one thread here, are long in few rows.
"""


@functools.lru_cache(maxsize=256)
def _compiled(
    found: Library, forward: Forward, activations: tuple[str, ...]
) -> Callable[..., Array]:
    def run(arrays: tuple[tuple[Array, Array | None], ...], x: Array) -> Array:
        layers = map(Dense._unchecked, activations, arrays)  # noqa: SLF001
        return _run_ready(found, forward, tuple(_Ready.of(layer, found) for layer in layers), x)

    assert found.compiled is not None  # noqa: S101 -- for the types
    return found.compiled(run, forward.computing)


def compiled(found: Library, forward: Forward, layers: Layers) -> Callable[[Array], Array]:
    """Return forward(found, layers, x) as one step of the library, made once for each structure."""
    function = _compiled(found, forward, tuple(layer.activation for layer in layers))
    return functools.partial(function, tuple((layer.weight, layer.bias) for layer in layers))


def run(
    found: Library, forward: Forward, layers: Layers, x: Array, remembered: dict[Any, Any] | None
) -> Array:
    """Return forward(found, layers, x).

    `remembered` keeps how, for the next array like this; None where these layers are for one call.
    """
    if found.compiled is not None:
        way = compiled(found, forward, layers)
        if forward.computing == "float64":  # which a setting may forbid the next time
            remembered = None
    elif remembered is None or is_compiling():
        return forward(found, layers, x)
    elif is_numpy(x):
        way = _recorded(forward, layers)
    else:
        ready = tuple(_Ready.of(layer, found) for layer in layers)
        way = functools.partial(_run_ready, found, forward, ready)
    if remembered is not None:
        remembered.setdefault((forward.part, type(x)), {})[_kind(x)] = way
    return way(x)


def again(part: Part, x: Array, remembered: dict[Any, Any]) -> Array | None:
    """Return what the way of an array like x before gives; None if there was none."""
    ways = remembered.get((part, type(x)))  # apart, as torch.compile cannot compare NumPy's dtypes
    way = None if ways is None else ways.get(_kind(x))
    return None if way is None else way(x)


def _kind(x: Array) -> tuple[Any, ...]:
    """What tells one kind of arrays of a type from another."""
    device = getattr(x, "device", None)
    if type(device).__hash__ is None:
        device = key_of(device)
    return (getattr(x, "dtype", None), getattr(x, "shape", ())[-1:], device)


# On NumPy


def _recorded(forward: Forward, layers: Layers) -> Callable[[Array], Array]:
    """Record it as calls of NumPy's functions into the same few buffers, many rows on threads."""
    constants = pytree.mapped(Recorded, layers)
    whole = functools.partial(forward.__call__, library_of_namespace(namespace), constants)
    product = max(math.prod(layer.weight.shape) for layer in layers)
    rows = Tiled(whole, _CACHE, _LEAST, product=product)

    def way(x: Array) -> Array:
        if x.ndim == 2 and x.size > 0:
            return rows(x)
        if x.size == 0:
            return forward(library(x), layers, x)
        y = rows(x.reshape(-1, x.shape[-1]))
        return y.reshape((*x.shape[:-1], *y.shape[1:]))

    return way


# On libraries whose functions are called one by one


class _Ready(NamedTuple):
    """A layer with all that is looked up of it, for arrays that are known to fit."""

    activation: str
    linear: Callable[..., Array]
    activate: Callable[..., Array]

    @classmethod
    def of(cls, layer: Dense, found: Library) -> "_Ready":
        weight, bias = layer.weight, layer.bias
        kernel = kernel_of(found.native, "linear")

        def linear(x: Array, *, xp: Namespace) -> Array:
            if kernel is not None and kernel.fits(x, weight, bias):
                return kernel.compute(x, weight, bias)
            return product(x, weight, bias, xp=xp)

        function = layer.activate.function

        def activate(a: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
            return function(a)  # which knows its way with such arrays

        return cls(layer.activation, linear, activate)


def _run_ready(found: Library, forward: Forward, layers: tuple[_Ready, ...], x: Array) -> Array:
    with found.guard(forward.computing):
        return forward(found, layers, x)  # type: ignore[arg-type]
