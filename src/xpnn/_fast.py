"""How a forward pass runs unless told otherwise: compiled, or recorded and in tiles, or as written."""

import functools
from collections.abc import Callable
from typing import Any

from xpnn import _pytree
from xpnn._arrays import Library, library_of_namespace
from xpnn._dense import Dense
from xpnn._forward import Forward, Layers
from xpnn._recorder import Recorded, namespace
from xpnn._tiles import Tiled
from xpnn._transfer import is_numpy
from xpnn._types import Array, Namespace

Part = Callable[[Layers, Array, Namespace], Array]

_CACHE, _LEAST = 2**22, 2**20
"""Bytes of the buffers of a tile of rows, at most; and from which on threads pay."""


@functools.lru_cache(maxsize=256)
def _compiled(
    found: Library, forward: Forward, activations: tuple[str, ...]
) -> Callable[..., Array]:
    def run(arrays: tuple[tuple[Array, Array | None], ...], x: Array) -> Array:
        layers = tuple(map(Dense._unchecked, activations, arrays))  # noqa: SLF001
        return forward.__call__(found, layers, x)

    assert found.compiled is not None  # noqa: S101 -- for the types
    return found.compiled(run, forward.computing)


def run_compiled(found: Library, forward: Forward, layers: Layers, x: Array) -> Array:
    """Return forward(found, layers, x) as one step of the library, made once for each structure."""
    run = _compiled(found, forward, tuple(layer.activation for layer in layers))
    return run(tuple((layer.weight, layer.bias) for layer in layers), x)


def run(
    found: Library, forward: Forward, layers: Layers, x: Array, remembered: dict[Any, Any]
) -> Array:
    """Return forward(found, layers, x); `remembered` keeps what is recorded with these layers."""
    if found.compiled is not None:
        return run_compiled(found, forward, layers, x)
    if is_numpy(x) and x.size > 0:
        return run_recorded(forward, layers, x, remembered)
    return forward(found, layers, x)


def again(part: Part, x: Array, remembered: dict[Any, Any]) -> Array | None:
    """Return what `run` recorded before for such an array gives; None if it did not."""
    shape = getattr(x, "shape", ())
    rows = remembered.get((part, type(x), getattr(x, "dtype", None), shape[-1:]))
    return None if rows is None or 0 in shape else _all_axes(rows, x)


def run_recorded(forward: Forward, layers: Layers, x: Array, remembered: dict[Any, Any]) -> Array:
    """Run it as calls of NumPy's functions into the same few buffers, many rows on threads."""
    key = (forward.part, type(x), x.dtype, x.shape[-1:])
    rows = remembered.get(key)
    if rows is None:
        constants = _pytree.mapped(Recorded, layers)
        whole = functools.partial(forward.__call__, library_of_namespace(namespace), constants)
        rows = remembered[key] = Tiled(whole, _CACHE, _LEAST)
    return _all_axes(rows, x)


def _all_axes(rows: Tiled, x: Array) -> Array:
    if x.ndim == 2:
        return rows(x)
    y = rows(x.reshape(-1, x.shape[-1]))
    return y.reshape((*x.shape[:-1], *y.shape[1:]))
