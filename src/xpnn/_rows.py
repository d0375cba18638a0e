"""Rows of numbers in files: read in pieces, and written in pieces, so that any number fits."""

import csv
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from xpnn._model_file import replacing
from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]


class Rows(NamedTuple):
    """Rows of a file, each flat; `pieces(n)` gives them as arrays of at most n rows."""

    source: str
    width: int
    count: int | None
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
    try:
        return readers[path.suffix.lower()](path)
    except XpnnValueError:
        raise
    except (OSError, ValueError, EOFError, SafetensorError, KeyError) as error:
        raise XpnnValueError(
            f"{path}: expected a readable {path.suffix} file, got {type(error).__name__}: {error}"
        ) from None
    except Exception as error:  # zipfile.BadZipFile, tokenize errors in a header, ...
        raise XpnnValueError(f"{path}: is no readable {path.suffix} file ({error})") from None


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
    if dtype.kind not in "fiu":
        raise XpnnValueError(f"{source}: expected real numbers, got values of dtype {dtype}")
    if len(shape) == 0 or math.prod(shape) == 0:
        raise XpnnValueError(f"{source}: expected at least one row, got shape {shape}")
    return shape[0] if len(shape) == 1 else math.prod(shape[1:])


def _read_npy(path: Path) -> Rows:
    whole = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(whole, np.memmap) or not whole.flags.c_contiguous:
        return rows_of(whole, str(path))
    width = _width(whole.shape, whole.dtype, str(path))
    count, dtype, offset = whole.size // width, whole.dtype, whole.offset
    del whole

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, count, n):
            # A map of its own for each piece: what was read is given back, and memory stays flat.
            place = offset + start * width * dtype.itemsize
            shape = (min(n, count - start), width)
            yield np.memmap(path, dtype, "r", place, shape)

    return Rows(str(path), width, count, pieces)


def _choose(names: list[str], key: str | None, path: Path) -> str:
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
                yield part[start : start + n].reshape(-1, width)

    return Rows(source, width, shape[0] if len(shape) > 1 else 1, pieces)


def _read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file), [])
    header = bool(first) and not all(_is_number(cell) for cell in first)
    width = len(first)

    def pieces(n: int) -> Iterator[Numbers]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows: list[list[float]] = []
            reader = csv.reader(file)
            for line in reader:
                if not line or (header and reader.line_num == 1):
                    continue
                rows.append(_numbers(line, width, f"{path}, line {reader.line_num}"))
                if len(rows) == n:
                    yield np.asarray(rows)
                    rows = []
            if rows:
                yield np.asarray(rows)

    if next(pieces(1), None) is None:
        raise XpnnValueError(f"{path}: expected at least one row of numbers, got none")
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
        raise XpnnValueError(f"{where}: expected a number, got {bad!r}") from None


def text_of(values: Numbers) -> str:
    """Write rows as CSV: each number in the fewest digits that give it back."""
    cells = values.reshape(len(values), -1).astype(str)
    return "".join(",".join(row) + "\n" for row in cells.tolist())


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
    if path.exists() and not force:
        raise XpnnValueError(f"{path}: is there already; replace it with --force")
    try:
        with replacing(path) as file, writers[path.suffix.lower()](file) as write:
            yield write
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
