"""Zarr: an array in a folder, of which chunks are read and written."""

import json
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xpnn._files.extras import needing
from xpnn._files.pieces import (
    Input,
    Names,
    Numbers,
    Ranges,
    Rows,
    choose,
    grouped,
    rows_in,
    width_of,
)
from xpnn._files.streams import Source
from xpnn.errors import XpnnValueError

_CHUNK = 2**22
"""Bytes of numbers in a chunk that is written."""
_HEADS = ("zarr.json", ".zarray", ".zgroup")
"""A file that each Zarr store has one of."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((path / head).is_file() for head in _HEADS)


def read_zarr(found: Source, wanted: Input) -> Rows:
    """Open an array of a .zarr folder."""
    zarr = needing("zarr", "zarr")
    if not is_zarr(found.path):
        raise XpnnValueError(
            f"{found.name}: expected a Zarr store, a folder with {' or '.join(_HEADS)} in it"
        )
    array, label = zarr.open(store=str(found.path), mode="r"), found.name
    if isinstance(array, zarr.Group):
        # zarr warns of what lies in the folder and is no part of the store.
        with warnings.catch_warnings(action="ignore"):
            members = array.members(max_depth=None)
        arrays = {name: member for name, member in members if isinstance(member, zarr.Array)}
        name = choose(sorted(arrays), wanted.key, found.path)
        array, label = arrays[name], f"{found.name}, {name}"
    elif wanted.key is not None:
        raise XpnnValueError(f"{found.name}: expected no --key for a store of one array")
    check_codecs(array.metadata.to_dict(), label)
    width, total = width_of(array.shape, array.dtype, label), rows_in(array.shape)
    unit = array.chunks[0] if len(array.shape) > 1 else total

    def read(start: int, stop: int, n: int) -> Iterator[Numbers]:
        for first, end in ranges.cuts(n, start, stop):
            rows = np.asarray(array[first:end] if len(array.shape) > 1 else array[:])
            rows = rows.reshape(-1, width)
            for i in range(0, len(rows), n):
                yield rows[i : i + n]

    ranges = Ranges(total, range(unit, total + unit, unit), read)
    return Rows.of_ranges(label, width, ranges)


def check_codecs(metadata: dict[str, Any], label: str) -> None:
    """Raise ValueError for what runs code to give numbers, which some versions of zarr would do."""
    codecs = [metadata.get(name) for name in ("codecs", "filters", "compressor")]
    if "pickle" in json.dumps(codecs, default=str).lower():
        raise XpnnValueError(f"{label}: expected numbers, got pickles, which may run code")


@contextmanager
def write_zarr(folder: Path, _: Names) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to an array in a folder."""
    zarr = needing("zarr", "zarr")
    array: Any = None

    def append(rows: Numbers) -> None:
        nonlocal array
        shape = rows.shape[1:]
        if array is None:
            options = {"shape": (0, *shape), "chunks": rows.shape, "dtype": rows.dtype}
            array = zarr.create_array(store=str(folder), **options)
        start = array.shape[0]
        array.resize((start + len(rows), *shape))
        array[start:] = rows

    # In a thread of its own: who interrupts this one waits until what was begun is written.
    with (
        ThreadPoolExecutor(1) as pool,
        grouped(lambda rows: pool.submit(append, rows).result(), _CHUNK) as write,
    ):
        yield write
