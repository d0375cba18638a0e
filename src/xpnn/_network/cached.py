"""How a forward pass runs unless told otherwise: compiled, or recorded and in tiles, or as written."""

import functools
from collections.abc import Callable
from typing import Any

from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.backends.tracing import is_compiling
from xpnn._arrays.library import key_of, library, library_of_namespace
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array
from xpnn._execution.recorder import Recorded, namespace
from xpnn._execution.tiles import Tiled
from xpnn._network.interpreters.values import Fast, Forward, Part
from xpnn._network.layers.layer import Layers, rebuilt

_CACHE, _LEAST = 7 * 2**20, 2**20
"""Bytes of the buffers of a tile of rows, at most; and from which on threads pay.

A thread waits for Python between two operations: the longer each is, the less that costs. Products,
which the BLAS computes with one thread here, are long in few rows.
"""


@functools.lru_cache(maxsize=256)
def _compiled(
    found: Library, forward: Forward, structures: tuple[tuple[Any, ...], ...]
) -> Callable[..., Array]:
    def run(arrays: tuple[Array, ...], x: Array) -> Array:
        own = iter(arrays)
        layers = tuple(rebuilt(structure, own) for structure in structures)
        return _known(found, forward, layers, Fast(found), x)

    return found.compile(run, forward.computing)


def compiled(found: Library, forward: Forward, layers: Layers) -> Callable[[Array], Array]:
    """Return forward(found, layers, x) as one step of the library, made once for each structure."""
    function = _compiled(found, forward, tuple(layer.structure for layer in layers))
    return functools.partial(function, tuple(pytree.leaves(layers)))


def run(
    found: Library, forward: Forward, layers: Layers, x: Array, remembered: dict[Any, Any] | None
) -> Array:
    """Return forward(found, layers, x).

    `remembered` keeps how, for the next array like this; None where these layers are for one call.
    """
    if found.compiles:
        way = compiled(found, forward, layers)
        if forward.computing == "float64":  # which a setting may forbid the next time
            remembered = None
    elif remembered is None or is_compiling():
        return forward(found, layers, x)
    elif is_numpy(x):
        way = _recorded(forward, layers)
    else:
        way = functools.partial(_known, found, forward, layers, Fast(found))
    if remembered is not None:
        remembered.setdefault((forward.part, type(x)), {})[_kind(x)] = way
    return way(x)


def _known(found: Library, forward: Forward, layers: Layers, by: Fast, x: Array) -> Array:
    with found.guard(forward.computing):
        return forward(found, layers, x, by)


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
    product = max(layer.largest_matrix for layer in layers)
    rows = Tiled(whole, _CACHE, _LEAST, product=product)

    def way(x: Array) -> Array:
        if x.ndim == 2 and x.size > 0:
            return rows(x)
        if x.size == 0:
            return forward(library(x), layers, x)
        y = rows(x.reshape(-1, x.shape[-1]))
        return library(x).returned(y.reshape((*x.shape[:-1], *y.shape[1:])))

    return way
