"""DTensor, of which each process of torch.distributed has a part: what is computed of parts has parts."""

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Replicate, Shard

from xpnn._arrays.backends.protocol import Array, Function


def of_parts(
    f: Function,
    axes: tuple[int, ...],
    refuse: Callable[[str], Exception],
    alike: bool,
    x: DTensor,
    *others: Array | None,
) -> Any:
    """Return f of this process's part of x and others, as a tensor parted as x is."""
    axes = tuple(axis % x.ndim for axis in axes)
    _check_whole(x, axes, refuse)
    placements = x.placements if alike else (Replicate(),) * x.device_mesh.ndim

    def own(a: Array | None) -> Array | None:
        if a is None or a.ndim == 0 or not (alike or isinstance(a, DTensor)):
            return a
        placed, shape = getattr(a, "placements", None), x.shape if alike else a.shape
        if placed != placements or a.shape != shape:
            raise refuse(
                f"expected an array beside x with placements {placements} and shape {tuple(shape)}, got "
                f"placements {placed} and shape {tuple(a.shape)}; distribute_tensor or redistribute it"
            )
        return a.to_local()

    y = f(x.to_local(), *map(own, others))
    return _mapped(lambda part: _parted_as(x, axes, part), y)


def _mapped(f: Function, y: Any) -> Any:
    """Return a tree of tuples and lists with f of each tensor."""
    return type(y)(_mapped(f, part) for part in y) if isinstance(y, tuple | list) else f(y)


def _check_whole(x: DTensor, axes: tuple[int, ...], refuse: Callable[[str], Exception]) -> None:
    """Raise an error unless each process has whole slices along some axes."""
    fits = [p == Replicate() or (type(p) is Shard and p.dim not in axes) for p in x.placements]
    if all(fits):
        return
    free = next((Shard(i) for i in range(x.ndim) if i not in axes), Replicate())
    mended = [p if good else free for p, good in zip(x.placements, fits, strict=True)]
    raise refuse(
        f"expected x whole along axes {axes} in each process, got a DTensor with placements "
        f"{x.placements}; x.redistribute(placements={mended}) is"
    )


def _parted_as(x: DTensor, axes: tuple[int, ...], y: Array) -> DTensor:
    """Return the parts of a result, which may have lost axes of x."""
    left = [i for i in range(x.ndim) if y.ndim == x.ndim or i not in axes]
    placements = [Shard(left.index(p.dim)) if type(p) is Shard else p for p in x.placements]
    shape = list(y.shape)
    for p in x.placements:
        if type(p) is Shard:
            shape[left.index(p.dim)] = x.shape[p.dim]
    whole = torch.empty(shape, device="meta")
    return DTensor.from_local(
        y.contiguous(), x.device_mesh, placements, shape=whole.shape, stride=whole.stride()
    )
