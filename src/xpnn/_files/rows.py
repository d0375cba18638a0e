"""Rows of numbers in files, folders and pipes, opened by format, and read in pieces, so that any number fits."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from xpnn._files.formats import FORMATS, READ, by_name
from xpnn._files.pieces import Input, Numbers, Rows
from xpnn._files.streams import Source, is_stream, readable, source
from xpnn.errors import XpnnValueError


def read_rows(
    path: Path,
    key: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Open a file or folder of any format, or a pipe of .npy or .csv.

    `key` names one of several arrays, which .npz, .safetensors and .zarr have; `header` says of .csv
    whether its first line is one. ValueError if they are given where they mean nothing. Where columns
    have names, which those of .parquet have and those of .csv may have, the ones called `columns` are
    taken, in this order.
    """
    kind = by_name(path)
    if kind not in FORMATS and not is_stream(path):
        raise XpnnValueError(
            f"{path}: expected an input file named {', '.join(READ)}, got {path.suffix!r}"
        )
    with readable(str(path), kind):
        found = source(path, folders=kind in FORMATS and FORMATS[kind].in_folders)
    try:
        with readable(found.name, kind):
            kind = kind if kind in FORMATS else _kind_of(found)
            _check_options(found, kind, key, header)
        with readable(found.name, kind):
            rows = FORMATS[kind].read(found, Input(path, key, header, columns))
    except BaseException:
        found.close()
        raise

    def checked(read: Callable[..., Iterator[Numbers]]) -> Callable[..., Iterator[Numbers]]:
        def pieces(*where: int) -> Iterator[Numbers]:
            with readable(found.name, kind):
                yield from read(*where)

        return pieces

    ranges = rows.ranges and rows.ranges._replace(read=checked(rows.ranges.read))
    return rows._replace(pieces=checked(rows.pieces), ranges=ranges)


def stamp(path: Path) -> str:
    """Return a digest of what the system says of a file, or of all files below a folder, to know it by."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    known = hashlib.sha256()
    for file in files:
        found = file.stat()
        fact = (file.relative_to(path).as_posix(), found.st_size, found.st_mtime_ns)
        known.update(repr(fact).encode())
    return known.hexdigest()


def _kind_of(found: Source) -> str:
    """Return the format of a pipe, told by its first bytes, which are no text but in CSV."""
    with found.head() as file:
        first = file.read(6)
    if first == b"\x93NUMPY":
        return "npy"
    return "npz" if first.startswith(b"PK\x03\x04") else "csv"


def _check_options(found: Source, kind: str, key: str | None, header: bool | None) -> None:
    name, format_ = found.name, FORMATS[kind]
    if found.stream is not None and not format_.piped:
        raise XpnnValueError(f"{name}: expected .npy or .csv from a pipe, got .{kind}")
    if key is not None and not format_.keyed:
        raise XpnnValueError(f"{name}: --key is for .npz, .safetensors and .zarr, got .{kind}")
    if header is not None and kind != "csv":
        raise XpnnValueError(f"{name}: --header and --no-header are for .csv, got .{kind}")
