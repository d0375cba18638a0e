"""Functions and networks of arrays that come in chunks: computed chunk by chunk, by what computes one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from xpnn._arrays.axes import slices_of
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.library import (
    check_broadcast,
    common_library,
    common_shape,
    library,
    library_of_namespace,
)
from xpnn._arrays.types import Array, Namespace
from xpnn.errors import XpnnValueError


@dataclass(frozen=True)
class OfChunk:
    """A public function of a chunk, of whatever library that is, in the way that was asked for."""

    function: Callable[..., Any]
    xp: Namespace | None
    """A namespace over the library of the whole array; it is that over the chunk's which counts."""
    options: tuple[tuple[str, Any], ...]
    names: tuple[str, ...] = ()
    """The keywords of the last arrays."""

    def __call__(self, *given: Any) -> Any:
        """Compute it."""
        plain = given[: len(given) - len(self.names)]
        named = zip(self.names, given[len(plain) :], strict=True)
        xp = self.xp
        if xp is not None:
            xp = library_of_namespace(xp).over(library(plain[-1])).xp
        return self.function(*plain, xp=xp, **dict(named), **dict(self.options))


def in_chunks(function: str, x: Array, xp: Namespace | None) -> Library | None:
    """Return the library of an array in chunks, unless its own functions are asked for by `xp`."""
    found = library(x, "x", function)
    if not found.in_chunks or (xp is not None and common_library(function, xp, {"x": x}) is found):
        return None
    return found


def by_chunks(
    function: Callable[..., Any],
    x: Array,
    xp: Namespace | None,
    arrays: Mapping[str, Array | None] = MappingProxyType({}),
    **options: Any,
) -> Any:
    """Return a public function of arrays in chunks; None where it is computed as it is written.

    `arrays` are those that it takes beside x, by its keywords; they broadcast with x. It takes entries
    together along its option `axis`, which its result lacks if it has an option `keepdims`.
    """
    name = function.__name__
    own = library(x, "x", name)
    if not own.raw.in_chunks:
        return None
    if own.raw is not own:
        of_raw = {called: a if a is None else own.to_raw(a) for called, a in arrays.items()}
        y = by_chunks(function, own.to_raw(x), own.xp, of_raw, **options)
        return tuple(map(own.enter, y)) if isinstance(y, tuple) else own.enter(y)
    found = in_chunks(name, x, xp)
    if found is None:
        return None
    others = {called: a for called, a in arrays.items() if a is not None}
    common_library(name, xp, {"x": x, **others})
    if "where" in others:
        check_broadcast(name, "where", others["where"], tuple(x.shape))
    shape = tuple(x.shape)
    for called, a in others.items():
        shape = common_shape(name, shape, called, a.shape)
    along = slices_of(name, options["axis"], shape).axes if "axis" in options else ()
    ndim = len(shape)
    given = [(a, tuple(range(ndim - a.ndim, ndim))) for a in (x, *others.values())]
    cut = any(
        found.is_cut(a, [i for i, axis in enumerate(own) if axis in along]) for a, own in given
    )
    if cut and xp is None and all(found.is_full(a) for a, _ in given):
        return None  # the library's own functions need no task that holds all the chunks
    result = list(range(ndim))
    if "keepdims" in options:
        kept = [i if i not in along else -1 - i for i in result]  # of length 1, so new
        result = kept if options["keepdims"] else [i for i in kept if i >= 0]
    f = OfChunk(function, xp, tuple(options.items()), tuple(others))
    return found.by_chunks(f, tuple(result), *given, whole=along, name=name)


def check_lengths(function: str, x: Array, axes: Iterable[int]) -> None:
    """Raise ValueError unless the lengths of the axes are known."""
    unknown = [axis for axis in axes if x.shape[axis] != x.shape[axis]]
    if unknown:
        raise XpnnValueError(
            f"{function}: expected x of a known length along axis {unknown[0]}, got shape "
            f"{tuple(x.shape)}; x.compute_chunk_sizes() finds it"
        )
