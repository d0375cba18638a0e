"""Rows of arrays in NumPy's format: in a file, a pipe or an archive, read in pieces."""

import math
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from xpnn._files.npy_array import HEADERS
from xpnn._files.streams import Source
from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]

_CHUNK = 2**20
"""Bytes that are read at a time into a piece."""
_LARGEST_COPY = 2**32
"""Bytes on the disk that an array in columns may take, where it is not in a file of its own."""


class Rows(NamedTuple):
    """Rows of a file, each flat; `pieces(n)` gives them, once, as arrays of at most n rows."""

    source: str
    width: int
    total: int | None
    """None where it is not known before the end."""
    pieces: Callable[[int], Iterator[Numbers]]


def rows_of(array: Numbers, source: str) -> Rows:
    """Rows of an array in memory."""
    width = width_of(array.shape, array.dtype, source)
    flat = array.reshape(-1, width)

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, len(flat), n):
            yield flat[start : start + n]

    return Rows(source, width, len(flat), pieces)


def width_of(shape: tuple[int, ...], dtype: np.dtype[Any], source: str) -> int:
    """Width of a row: all axes but the first, or the only one, together."""
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise XpnnValueError(
            f"{source}: expected real numbers of up to 64 bits, got values of dtype {dtype}"
        )
    if min(shape, default=0) < 1:
        raise XpnnValueError(f"{source}: expected at least one row, got shape {shape}")
    return shape[0] if len(shape) == 1 else math.prod(shape[1:])


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

    def rows(self, pieces: Callable[[int], Iterator[Numbers]]) -> Rows:
        width = width_of(self.shape, self.dtype, self.source)
        return Rows(self.source, width, math.prod(self.shape) // width, pieces)

    def pieces(self, file: IO[bytes], n: int) -> Iterator[Numbers]:
        """Read what is behind the head, where rows are one after the other."""
        width = width_of(self.shape, self.dtype, self.source)
        total = math.prod(self.shape) // width
        for start in range(0, total, n):
            piece = np.empty((min(n, total - start), width), self.dtype)
            self._fill(piece.reshape(-1), file)
            yield piece
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

    def turned(self, file: IO[bytes], offset: int, n: int) -> Iterator[Numbers]:
        """Read rows from columns that lie one after the other in a file on the disk."""
        total, *rest = self.shape
        for start in range(0, total, n):
            columns = np.empty((math.prod(rest), min(n, total - start)), self.dtype)
            for i, column in enumerate(columns):
                file.seek(offset + (i * total + start) * self.dtype.itemsize)
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


def read_npy(found: Source) -> Rows:
    """Open a .npy file or pipe."""
    size = found.path.stat().st_size if found.stream is None else None
    with found.head() as file:
        head = _Head.read(file, found.name, size)

    def pieces(n: int) -> Iterator[Numbers]:
        with found.open() as file:
            head = _Head.read(file, found.name, None)
            if not head.by_columns:
                yield from head.pieces(file, n)
            elif found.stream is None:
                yield from head.turned(file, file.tell(), n)
            else:
                yield from head.copied(file, n)

    return head.rows(pieces)


def choose(names: list[str], key: str | None, path: Path) -> str:
    """Return the name of the array that is meant; ValueError if that is not clear."""
    if not names:
        raise XpnnValueError(f"{path}: expected at least one array in it, got none")
    if key is None and len(names) == 1:
        return names[0]
    if key is None or names.count(key) != 1:
        got = "none was named" if key is None else f"got {key!r}"
        if key in names:
            got = f"got {names.count(key)} of the name {key!r}"
        raise XpnnValueError(
            f"{path}: expected the name of one of its arrays ({', '.join(names)}), {got}; "
            "give it with --key"
        )
    return key


def read_npz(found: Source, key: str | None) -> Rows:
    """Open an array of a .npz file."""
    path = found.path
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
