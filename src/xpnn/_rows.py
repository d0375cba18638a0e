"""Rows of numbers in files: read in pieces, and written in pieces, so that any number fits."""

import csv
import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import safe_open

from xpnn._model_file import replacing
from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]


class Rows(NamedTuple):
    """Rows of a file, each flat; `pieces(n)` gives them as arrays of at most n rows."""

    source: str
    width: int
    total: int | None
    """None where it is not known before the end."""
    pieces: Callable[[int], Iterator[Numbers]]


def read_rows(path: Path, *, key: str | None = None) -> Rows:
    """Open a .npy, .npz, .safetensors or .csv file; `key` names one of several arrays."""
    readers = {
        ".npy": _read_npy,
        ".npz": lambda p: _read_npz(p, key),
        ".safetensors": lambda p: _read_safetensors(p, key),
        ".csv": _read_csv,
    }
    if path.suffix.lower() not in readers:
        raise XpnnValueError(
            f"{path}: expected an input file named {', '.join(readers)}, got {path.suffix!r}"
        )
    if not path.is_file():
        raise XpnnValueError(f"{path}: expected an input file, which is not there")
    with _readable(path):
        rows = readers[path.suffix.lower()](path)

    def pieces(n: int) -> Iterator[Numbers]:
        with _readable(path):
            yield from rows.pieces(n)

    return rows._replace(pieces=pieces)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except XpnnValueError:
        raise
    except Exception as error:  # noqa: BLE001 -- OSError, SafetensorError, BadZipFile, csv.Error
        raise XpnnValueError(
            f"{path}: expected a readable {path.suffix} file, got {type(error).__name__}: {error}"
        ) from None


def rows_of(array: Numbers, source: str) -> Rows:
    """Rows of an array in memory."""
    width = _width(array.shape, array.dtype, source)
    flat = array.reshape(-1, width)

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, len(flat), n):
            yield flat[start : start + n]

    return Rows(source, width, len(flat), pieces)


def _width(shape: tuple[int, ...], dtype: np.dtype[Any], source: str) -> int:
    """Width of a row: all axes but the first, or the only one, together."""
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise XpnnValueError(
            f"{source}: expected real numbers of up to 64 bits, got values of dtype {dtype}"
        )
    if len(shape) == 0 or math.prod(shape) == 0:
        raise XpnnValueError(f"{source}: expected at least one row, got shape {shape}")
    return shape[0] if len(shape) == 1 else math.prod(shape[1:])


def _read_npy(path: Path) -> Rows:
    def mapped() -> Numbers:
        whole = np.lib.format.open_memmap(path, mode="r")
        return whole[np.newaxis] if whole.ndim == 1 else whole

    whole = mapped()
    width = _width(whole.shape, whole.dtype, str(path))
    count = len(whole)
    del whole

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, count, n):
            # A map of its own for each piece: what was read is given back, and memory stays flat.
            piece = mapped()[start : start + n]
            yield piece.reshape(len(piece), width)

    return Rows(str(path), width, count, pieces)


def _choose(names: list[str], key: str | None, path: Path) -> str:
    if not names:
        raise XpnnValueError(f"{path}: expected at least one array in it, got none")
    if key is None and len(names) == 1:
        return names[0]
    if key is None or key not in names:
        got = "none was named" if key is None else f"got {key!r}"
        raise XpnnValueError(
            f"{path}: expected the name of one of its arrays ({', '.join(names)}), {got}; "
            "give it with --key"
        )
    return key


def _read_npz(path: Path, key: str | None) -> Rows:
    if not zipfile.is_zipfile(path):
        raise XpnnValueError(f"{path}: expected a .npz file, got one that is truncated or no zip")
    with np.load(path, allow_pickle=False) as file:
        name = _choose(list(file.files), key, path)
        return rows_of(file[name], f"{path}, {name}")


def _read_safetensors(path: Path, key: str | None) -> Rows:
    with safe_open(path, framework="numpy") as file:
        name = _choose(list(file.keys()), key, path)
        part = file.get_slice(name)
        shape = tuple(part.get_shape())
        source = f"{path}, {name}"
        dtype = file.get_tensor(name).dtype if len(shape) < 2 else part[:0].dtype
    width = _width(shape, dtype, source)

    def pieces(n: int) -> Iterator[Numbers]:
        with safe_open(path, framework="numpy") as file:
            if len(shape) == 1:
                yield file.get_tensor(name).reshape(1, width)
                return
            part = file.get_slice(name)
            for start in range(0, shape[0], n):
                yield part[start : min(start + n, shape[0])].reshape(-1, width)

    return Rows(source, width, shape[0] if len(shape) > 1 else 1, pieces)


def _read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(filter(None, csv.reader(file)), [])
    # One cell that is no number among numbers is a mistake in a row, not a header.
    header = not any(_is_number(cell) for cell in first)
    width = len(first)

    def pieces(n: int) -> Iterator[Numbers]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows: list[list[float]] = []
            reader = csv.reader(file)
            lines = filter(None, reader)
            if header:
                next(lines, None)
            for line in lines:
                rows.append(_numbers(line, width, f"{path}, line {reader.line_num}"))
                if len(rows) == n:
                    yield np.asarray(rows)
                    rows = []
            if rows:
                yield np.asarray(rows)

    if next(pieces(1), None) is None:
        raise XpnnValueError(
            f"{path}: expected at least one row of numbers, with commas between, got none"
        )
    return Rows(str(path), width, None, pieces)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(line: list[str], width: int, where: str) -> list[float]:
    if len(line) != width:
        raise XpnnValueError(f"{where}: expected {width} numbers as before, got {len(line)}")
    try:
        return [float(cell) for cell in line]
    except ValueError:
        bad = next(cell for cell in line if not _is_number(cell))
        raise XpnnValueError(f"{where}: expected a number, got {bad[:40]!r}") from None


def text_of(values: Numbers) -> str:
    """Write rows as CSV: each number in the fewest digits that give it back."""
    cells = values.reshape(len(values), -1).astype(str)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells.tolist())
    return text.getvalue()


@contextmanager
def write_rows(path: Path, *, force: bool) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a new .npy or .csv file, there whole at the end."""
    writers = {".npy": _npy_writer, ".csv": _csv_writer}
    if path.suffix.lower() not in writers:
        raise XpnnValueError(
            f"{path}: expected an output file named {' or '.join(writers)}, got {path.suffix!r}"
        )
    if path.exists() and not path.is_file():
        raise XpnnValueError(f"{path}: expected a file to write, which is something else")

    def check_free() -> None:
        if path.exists() and not force:
            raise XpnnValueError(f"{path}: is there already; replace it with --force")

    check_free()
    try:
        with replacing(path) as file, writers[path.suffix.lower()](file) as write:
            yield write
            check_free()  # someone else may have written it meanwhile
    except OSError as error:
        reason = error.strerror or str(error)
        raise XpnnValueError(f"{path}: cannot be written: {reason}; nothing was left") from None


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
