"""Rows of numbers written in pieces: to files, there whole or not at all, and to pipes."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from xpnn._files.csv_rows import text_of
from xpnn._files.model_file import replacing
from xpnn._files.npy_rows import Numbers
from xpnn._files.streams import is_standard, is_stream
from xpnn.errors import XpnnValueError

_WRITTEN = ("npy", "csv")


def output_format(path: Path, wanted: str | None) -> str:
    """Return the format to write, npy or csv: the wanted one, or by name; ValueError if unclear."""
    if wanted is not None and wanted not in _WRITTEN:
        raise XpnnValueError(f"expected --format npy or csv, got {wanted!r}")
    by_name = path.suffix.lower().removeprefix(".")
    if by_name in _WRITTEN and wanted not in {None, by_name}:
        raise XpnnValueError(f"{path}: expected a name that ends in .{wanted}, got {path.suffix!r}")
    if wanted is None and by_name not in _WRITTEN:
        if is_standard(path):
            return "csv"
        raise XpnnValueError(
            f"{path}: expected an output file named .npy or .csv, got {path.suffix!r}; or say "
            "--format npy or csv"
        )
    return wanted or by_name


@contextmanager
def write_rows(
    path: Path, *, force: bool, as_: str | None = None
) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a new file of .npy or .csv, there whole at the end.

    A pipe gets them as they come; `-` is standard output.
    """
    kind = output_format(path, as_)
    if is_stream(path):
        with _stream(path) as file, _stream_writers[kind](file) as write:
            yield write
        return
    if path.exists() and not path.is_file():
        raise XpnnValueError(f"{path}: expected a file to write, which is something else")

    def check_free() -> None:
        if path.exists() and not force:
            raise XpnnValueError(f"{path}: is there already; replace it with --force")

    check_free()
    try:
        with replacing(path) as file, _file_writers[kind](file) as write:
            yield write
            check_free()  # someone else may have written it meanwhile
    except OSError as error:
        reason = error.strerror or str(error)
        raise XpnnValueError(f"{path}: cannot be written: {reason}; nothing was left") from None


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    if not is_standard(path):
        with path.open("wb") as file:
            yield file
        return
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _csv_writer(file: IO[bytes]) -> Iterator[Callable[[Numbers], None]]:
    yield lambda values: _write(file, text_of(values).encode())


def _write(file: IO[bytes], content: Any) -> None:
    file.write(content)


@contextmanager
def _npy_writer(file: IO[bytes]) -> Iterator[Callable[[Numbers], None]]:
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
def _npy_streamer(file: IO[bytes]) -> Iterator[Callable[[Numbers], None]]:
    """Write to a copy first: the head of the file says how many rows there are."""
    with tempfile.TemporaryFile() as temporary:
        copy = cast("IO[bytes]", temporary)
        with _npy_writer(copy) as write:
            yield write
        copy.seek(0)
        shutil.copyfileobj(copy, file)


_file_writers = {"npy": _npy_writer, "csv": _csv_writer}
_stream_writers = {"npy": _npy_streamer, "csv": _csv_writer}
