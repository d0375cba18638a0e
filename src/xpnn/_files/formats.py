"""The formats of rows, by the endings of files' names: what reads each, and what writes it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

from xpnn._files.csv_rows import read_csv, write_csv
from xpnn._files.npy_rows import read_npy, read_npz, stream_npy, write_npy
from xpnn._files.parquet_rows import read_parquet, write_parquet
from xpnn._files.pieces import Input, Names, Numbers, Rows
from xpnn._files.safetensors_rows import read_safetensors
from xpnn._files.streams import Source
from xpnn._files.zarr_rows import is_zarr, read_zarr, write_zarr

Writer = AbstractContextManager[Callable[[Numbers], None]]


class Format(NamedTuple):
    """What can be done with a format; None for what cannot."""

    read: Callable[[Source, Input], Rows]
    write: Callable[[Any, Names], Writer] | None = None
    """Write to a file, or to a folder where the format is one."""
    stream: Callable[[IO[bytes], Names], Writer] | None = None
    """Write to a pipe, which knows no way back."""
    piped: bool = False
    """Whether it is read from pipes."""
    keyed: bool = False
    """Whether there may be several arrays, each of a name."""
    in_folders: bool = False
    """Whether a folder is read."""
    is_folder: bool = False
    """Whether a folder is written."""
    named: bool = False
    """Whether classes are written by their names, and what is missing is left out."""


FORMATS = {
    "npy": Format(read_npy, write_npy, stream_npy, piped=True),
    "npz": Format(read_npz, keyed=True),
    "safetensors": Format(read_safetensors, keyed=True),
    "csv": Format(read_csv, write_csv, write_csv, piped=True, named=True),
    "parquet": Format(read_parquet, write_parquet, write_parquet, in_folders=True, named=True),
    "zarr": Format(read_zarr, write_zarr, keyed=True, in_folders=True, is_folder=True),
}
READ = [f".{name}" for name in FORMATS]
WRITTEN = [name for name, format_ in FORMATS.items() if format_.write is not None]


def by_name(path: Path) -> str:
    """Return the ending of a file's name; a folder without a known one is of what lies in it."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS and path.is_dir():
        return "zarr" if is_zarr(path) else "parquet"
    return name
