"""Dask: arrays in chunks, computed when they are asked for, by whatever scheduler."""

from collections.abc import Collection
from functools import partial
from typing import Any, ClassVar

import array_api_compat
import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.base import normalize_token, tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from xpnn._arrays.backends.protocol import Array, Axes, Function
from xpnn._arrays.backends.standard import Standard

FAR = 1000
"""More axes than arrays have."""


def normalized(*parts: Any) -> Any:
    """Return what `__dask_tokenize__` gives of an object that has these parts."""
    return normalize_token(parts)


class Dask(Standard):
    """Arrays of Dask, whose chunks are arrays of another library."""

    in_chunks: ClassVar[bool] = True

    def is_cut(self, x: Array, axes: Collection[int]) -> bool:
        """Whether there are several chunks along one of the axes."""
        return any(x.numblocks[axis] > 1 for axis in axes)

    def is_full(self, x: Array) -> bool:
        """Whether it is known of every chunk how long it is, and that it is not empty."""
        return all(n > 0 for chunks in x.chunks for n in chunks)

    def _in_one_piece(self, x: Array) -> Array:
        """Return an array that has one chunk along axes of length 1 and 0, of which Dask makes fewer itself."""
        short = [i for i, n in enumerate(x.shape) if n in {0, 1}]
        return x.rechunk(dict.fromkeys(short, -1)) if self.is_cut(x, short) else x

    def by_chunks(
        self,
        f: Function,
        result: Axes,
        *given: tuple[Array, Axes],
        whole: Collection[int] = (),
        exact: bool = False,
        name: str = "xpnn",
        shared: Any = None,
    ) -> Any:
        """Return f of each chunk, lazily: a task for a chunk, and one for what they share.

        Chunks along an axis that is to be whole are put together in the task that needs them.
        """
        given = tuple((self._in_one_piece(a), axes) for a, axes in given)
        cut = {
            axis: n
            for a, axes in given
            for axis, n, count in zip(axes, a.shape, a.numblocks, strict=True)
            if count > 1 and axis in whole
        }
        trial: list[Any] = [_trial(a, axes, whole if exact else ()) for a, axes in given]
        pairs: list[Any] = []
        for a, axes in given:
            pairs += [a, _names(a, axes, cut)]
        key = f"{name}-{tokenize(f, result, shared, [(a.name, axes) for a, axes in given])}"
        if shared is not None:
            trial, pairs = [shared, *trial], [_once(shared), None, *pairs]
        tried = f(*trial)
        of_chunks = partial(_blockwise, result=result, lengths=cut)
        if not isinstance(tried, tuple):
            return of_chunks(f, tried, pairs, name=key)
        # Tuples are no arrays: one task makes them, and others take them apart.
        like = np.empty(tried[0].shape[: len(result)], object)
        together = [of_chunks(f, like, pairs, name=f"{key}-all"), result]
        return tuple(
            of_chunks(partial(_part, i), y, together, name=f"{key}-{i}")
            for i, y in enumerate(tried)
        )


def _names(x: Array, axes: Axes, cut: Collection[int]) -> tuple[int, ...]:
    """Return the axes, beyond `FAR` those whose chunks a task puts together: apart, if of length 1."""
    pairs = zip(axes, x.shape, strict=True)
    return tuple(axis if axis not in cut else axis + FAR * (1 + (n == 1)) for axis, n in pairs)


def _trial(x: Array, axes: Axes, exact: Collection[int]) -> Array:
    """Return zeros like a chunk of an array, and none of them where that tells as much."""
    lengths = [n if axis in exact or n == 1 else 0 for n, axis in zip(x.shape, axes, strict=True)]
    like = meta_from_array(x)
    if hasattr(like, "__array_function__"):
        return np.zeros_like(like, shape=tuple(lengths))
    return array_api_compat.array_namespace(like).zeros(tuple(lengths), dtype=like.dtype)


def _once(shared: Any) -> Delayed:
    """Return what a worker gets once, whatever the number of its tasks."""
    key = f"{type(shared).__name__.lower()}-{tokenize(shared)}"
    return Delayed(key, HighLevelGraph.from_collections(key, {key: shared}))


def _blockwise(
    f: Function, tried: Any, pairs: list[Any], *, name: str, result: Axes, lengths: dict[int, int]
) -> Array:
    """Return f of chunks, whose result is like `tried` but for `lengths`; other new axes are as there."""
    out = (*result, *range(3 * FAR, 3 * FAR + tried.ndim - len(result)))
    known = {axis for axes in pairs[1::2] for axis in axes or ()}
    new = {axis: n for axis, n in zip(out, tried.shape, strict=True) if axis not in known}
    return da.blockwise(
        partial(_alone, f),
        out,
        *pairs,
        name=name,
        new_axes={axis: lengths.get(axis, n) for axis, n in new.items()},
        concatenate=True if lengths else None,
        meta=meta_from_array(tried, tried.ndim),
    )


def _alone(f: Function, *given: Any) -> Any:
    """Return f of chunks, of which Dask makes lists of one where the result lacks an axis."""

    def chunk(a: Any) -> Any:
        return chunk(a[0]) if isinstance(a, list) else a

    return f(*map(chunk, given))


def _part(i: int, results: tuple[Any, ...]) -> Any:
    return results[i]
