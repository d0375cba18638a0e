"""How a forward pass runs unless told otherwise: compiled, in tiles, or step by step."""

import functools
from collections.abc import Callable
from typing import Any

from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.library import library, library_of_namespace
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._engine import tuning
from xpnn._engine.recorder import Traced, namespace
from xpnn._engine.small import Small
from xpnn._execution.chunks import OfChunk, check_lengths, in_chunks
from xpnn._execution.plans import PlanCache
from xpnn._execution.tiles import Tiled
from xpnn._network.checks import check_input
from xpnn._network.interpreters.planned import Planned
from xpnn._network.interpreters.values import Fast, Forward
from xpnn._network.layers.layer import Layers, first_array, rebuilt

Pass = Callable[[Array], Array]
"""A forward pass of layers that are known, for arrays of a kind."""

_compiled: PlanCache[Callable[..., Array]] = PlanCache()


def plan(
    found: Library, forward: Forward, layers: Layers, x: Array, *, plain: bool, lasting: bool
) -> Pass:
    """Return what computes forward(found, layers, x) for arrays like x.

    `plain` asks for the functions of the library as they are written; `lasting` says whether the
    layers stay as they are.
    """
    if not all(layer.is_recordable for layer in layers):
        words = Fast(found, plain=plain)
        return functools.partial(_as_written, found, forward, layers, words)
    of_rows = found.plan_rows(forward, layers, lasting=lasting)
    if of_rows is not None:
        return of_rows
    if not plain and found.compiles:
        return compiled(found, forward, layers)
    if not lasting:
        return functools.partial(forward.__call__, found, layers)
    if not plain and is_numpy(x):
        return in_tiles(forward, layers, x)
    return Planned(found, forward, layers, plain=plain)


def by_chunks(
    run: Callable[..., Any],
    network: Any,
    x: Array,
    xp: Namespace | None,
    *,
    function: str,
    **options: Any,
) -> Any:
    """Return run(network, x, xp, ...) of rows in chunks, chunk by chunk; None where x is in one piece.

    Or where the network is to be computed as it is written: with the functions of x's own library, by layers
    of which a row may look at others, or of weights that are in chunks themselves.
    """
    found, layers = in_chunks(function, x, xp), network.layers
    if found is None or not all(layer.is_recordable for layer in layers):
        return None
    first = first_array(layers)
    if first is not None and library(first).in_chunks:
        return None
    axes, ndim = layers[0].axes, len(x.shape)
    whole = range(max(ndim - axes, 0), ndim)
    check_lengths(function, x, whole)
    check_input(function, layers, x)
    f = OfChunk(run, xp, tuple({"function": function, **options}.items()))
    pair = (x, tuple(range(ndim)))
    rows = tuple(range(ndim - axes))
    name = function.removeprefix("network.")
    return found.by_chunks(f, rows, pair, whole=whole, exact=True, name=name, shared=network)


def _as_written(found: Library, forward: Forward, layers: Layers, words: Fast, x: Array) -> Array:
    with found.guard(forward.computing):
        return forward(found, layers, x, words)


def compiled(found: Library, forward: Forward, layers: Layers) -> Pass:
    """Return forward(found, layers, x) as one step of the library, made once for each structure."""
    structures = tuple(layer.structure for layer in layers)

    def run(arrays: tuple[Array, ...], x: Array) -> Array:
        own = iter(arrays)
        layers = tuple(rebuilt(structure, own) for structure in structures)
        return _as_written(found, forward, layers, Fast(found), x)

    function = _compiled.get(
        (found, forward, structures), lambda: found.compile(run, forward.computing)
    )
    return functools.partial(function, tuple(pytree.leaves(layers)))


def in_tiles(forward: Forward, layers: Layers, x: Array) -> Pass:
    """Record it as calls of NumPy's functions into the same few buffers, many rows on threads."""
    constants = pytree.mapped(Traced, layers)
    recording = library_of_namespace(namespace)
    words = Fast(recording)

    def whole(x: Traced) -> Traced:
        return forward(recording, constants, x, words)

    product = max(layer.largest_matrix for layer in layers)
    rows = Tiled(whole, tuning.NETWORK_CACHE, tuning.NETWORK_LEAST, product=product)
    return InTiles(rows, functools.partial(forward.__call__, library(x), layers))


class InTiles:
    """A pass on NumPy's arrays; `small` takes those that a program waits for."""

    def __init__(self, rows: Tiled, as_written: Pass) -> None:
        self._rows, self._as_written, self.small = rows, as_written, Small()

    def __call__(self, x: Array) -> Array:
        """Compute it."""
        y = self.small(x)
        if y is not None:
            return y
        if x.ndim != 2 and x.size == 0:
            return self._as_written(x)
        flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        y = self._rows(flat)
        if x.ndim != 2:
            y = library(x).returned(y.reshape((*x.shape[:-1], *y.shape[1:])))
        hold = self._rows.hold(flat)
        self.small.prepare(lambda: self._rows.trace(flat), x, y, hold)
        return y
