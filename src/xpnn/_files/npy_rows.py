"""Rows of arrays in NumPy's format: in a file, a pipe or an archive, read and written in pieces."""

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, cast

import numpy as np

from xpnn._files.npy_array import HEADERS
from xpnn._files.pieces import Input, Names, Numbers, Ranges, Rows, choose, rows_in, width_of
from xpnn._files.streams import Source
from xpnn.errors import XpnnValueError

_CHUNK = 2**20
"""Bytes that are read at a time into a piece."""
_LARGEST_COPY = 2**32
"""Bytes on the disk that an array in columns may take, where it is not in a file of its own."""


class _Head(NamedTuple):
    """What the head of an array in NumPy's format says of the bytes behind it."""

    source: str
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]

    @staticmethod
    def read(file: IO[bytes], source: str, size: int | None) -> "_Head":
        """Read it; `size` is how many bytes the file has, None where that is not known."""
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise XpnnValueError(f"{source}: expected version 1 or 2 of .npy, got {version}")
        shape, fortran, dtype = HEADERS[version](file)
        head = _Head(source, shape, fortran and len(shape) > 1, dtype)
        width_of(shape, dtype, source)
        if size is not None and size != file.tell() + head.nbytes:
            raise XpnnValueError(
                f"{source}: expected {head.nbytes:,} bytes of numbers for its shape {shape}, got "
                f"{size - file.tell():,}: truncated, or no readable .npy file"
            )
        return head

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def width(self) -> int:
        return width_of(self.shape, self.dtype, self.source)

    @property
    def total(self) -> int:
        return rows_in(self.shape)

    def rows(self, pieces: Callable[[int], Iterator[Numbers]]) -> Rows:
        return Rows(self.source, self.width, self.total, pieces)

    def pieces(
        self, file: IO[bytes], n: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Numbers]:
        """Read the next rows, where rows are one after the other: all, or those to another."""
        stop = self.total if stop is None else stop
        for first in range(start, stop, n):
            piece = np.empty((min(n, stop - first), self.width), self.dtype)
            self._fill(piece.reshape(-1), file)
            yield piece
        if stop == self.total:
            self._check_end(file)

    def _fill(self, numbers: Numbers, file: IO[bytes]) -> None:
        view, at = numbers.view(np.uint8).data, 0
        for part in self._parts(file, len(view)):
            view[at : at + len(part)] = part
            at += len(part)

    def _parts(self, file: IO[bytes], count: int) -> Iterator[bytes]:
        """Give the next bytes, few at a time; ValueError if there are not so many."""
        while count:
            part = file.read(min(_CHUNK, count))
            if not part:
                raise XpnnValueError(
                    f"{self.source}: expected {self.nbytes:,} bytes of numbers for its shape "
                    f"{self.shape}, got fewer: truncated"
                )
            yield part
            count -= len(part)

    def _check_end(self, file: IO[bytes]) -> None:
        if file.read(1):
            raise XpnnValueError(
                f"{self.source}: expected {self.nbytes:,} bytes of numbers for its shape "
                f"{self.shape}, got more"
            )

    def turned(
        self, file: IO[bytes], offset: int, n: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Numbers]:
        """Read rows from columns that lie one after the other in a file on the disk."""
        total, *rest = self.shape
        stop = total if stop is None else stop
        for first in range(start, stop, n):
            columns = np.empty((math.prod(rest), min(n, stop - first)), self.dtype)
            for i, column in enumerate(columns):
                file.seek(offset + (i * total + first) * self.dtype.itemsize)
                self._fill(column, file)
            piece = columns.reshape(-1).reshape((-1, *rest), order="F")
            yield np.ascontiguousarray(piece).reshape(len(piece), -1)

    def copied(self, file: IO[bytes], n: int) -> Iterator[Numbers]:
        """Read columns from where they can only be read in turn, by way of a file on the disk."""
        if self.nbytes > _LARGEST_COPY:
            raise XpnnValueError(
                f"{self.source}: expected rows one after the other, got an array in Fortran order "
                f"of {self.nbytes:,} bytes; save np.ascontiguousarray of it, or as .npy"
            )
        with tempfile.TemporaryFile() as copy:
            copy.writelines(self._parts(file, self.nbytes))
            self._check_end(file)
            copy.flush()
            yield from self.turned(copy, 0, n)


def read_npy(found: Source, _: Input) -> Rows:
    """Open a .npy file or pipe."""
    if found.stream is not None:
        return _read_stream(found)
    size = found.path.stat().st_size
    with found.head() as file:
        head = _Head.read(file, found.name, size)

    def read(start: int, stop: int, n: int) -> Iterator[Numbers]:
        with found.open() as file:
            head = _Head.read(file, found.name, None)
            if head.by_columns:
                yield from head.turned(file, file.tell(), n, start, stop)
            else:
                file.seek(start * head.width * head.dtype.itemsize, os.SEEK_CUR)
                yield from head.pieces(file, n, start, stop)

    return Rows.of_ranges(
        found.name, head.width, Ranges(head.total, range(1, head.total + 1), read)
    )


def _read_stream(found: Source) -> Rows:
    with found.head() as file:
        head = _Head.read(file, found.name, None)

    def pieces(n: int) -> Iterator[Numbers]:
        with found.open() as file:
            head = _Head.read(file, found.name, None)
            yield from head.copied(file, n) if head.by_columns else head.pieces(file, n)

    return head.rows(pieces)


def read_npz(found: Source, wanted: Input) -> Rows:
    """Open an array of a .npz file."""
    path, key = found.path, wanted.key
    if not zipfile.is_zipfile(path):
        raise XpnnValueError(f"{path}: expected a .npz file, got one that is truncated or no zip")

    @contextmanager
    def opened() -> Iterator[tuple[IO[bytes], _Head]]:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename: m for m in archive.infolist() if m.filename.endswith(".npy")}
            names = [n.removesuffix(".npy") for n in archive.namelist() if n in members]
            name = choose(names, key, path)
            member = members[f"{name}.npy"]
            # What else zip files may have takes memory without bound, and NumPy never writes it.
            if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise XpnnValueError(
                    f"{path}, {name}: expected an array that is stored or deflated, got method "
                    f"{member.compress_type} of compression"
                )
            with archive.open(member) as file:
                yield file, _Head.read(file, f"{path}, {name}", member.file_size)

    def pieces(n: int) -> Iterator[Numbers]:
        with opened() as (file, head):
            yield from head.copied(file, n) if head.by_columns else head.pieces(file, n)

    with opened() as (_, head):
        return head.rows(pieces)


@contextmanager
def write_npy(file: IO[bytes], _: Names) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a file in NumPy's format."""
    count = 0
    kind: tuple[Any, tuple[int, ...]] | None = None

    def header(rows: int) -> None:
        assert kind is not None  # noqa: S101
        descr, shape = kind
        content = {"descr": descr, "fortran_order": False, "shape": (rows, *shape)}
        # NumPy leaves room in it for the first axis to grow.
        np.lib.format.write_array_header_1_0(file, content)

    def write(values: Numbers) -> None:
        nonlocal count, kind
        if kind is None:
            kind = np.lib.format.dtype_to_descr(values.dtype), values.shape[1:]
            header(0)
        file.write(np.ascontiguousarray(values).data)
        count += len(values)

    yield write
    if kind is not None:
        file.seek(0)
        header(count)
        file.seek(0, os.SEEK_END)


@contextmanager
def stream_npy(file: IO[bytes], names: Names) -> Iterator[Callable[[Numbers], None]]:
    """Write to a copy first: the head of the file says how many rows there are."""
    with tempfile.TemporaryFile() as temporary:
        copy = cast("IO[bytes]", temporary)
        with write_npy(copy, names) as write:
            yield write
        copy.seek(0)
        shutil.copyfileobj(copy, file)
