"""Rows of numbers in files and pipes, opened by format, and read in pieces, so that any number fits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import safe_open

from xpnn._files.columns import places
from xpnn._files.csv_rows import is_header, lines_of, numbers
from xpnn._files.npy_rows import Numbers, Rows, choose, read_npy, read_npz, width_of
from xpnn._files.streams import Source, is_stream, source
from xpnn.errors import XpnnValueError


def read_rows(
    path: Path,
    *,
    key: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Open a .npy, .npz, .safetensors or .csv file, or a pipe of .npy or .csv.

    `key` names one of several arrays, which .npz and .safetensors have; `header` says of .csv
    whether its first line is one. ValueError if they are given where they mean nothing. Where .csv
    names its columns, those called `columns` are taken, in this order.
    """
    readers: dict[str, Callable[[Source], Rows]] = {
        ".npy": read_npy,
        ".npz": lambda found: read_npz(found, key),
        ".safetensors": lambda found: _read_safetensors(found, key),
        ".csv": lambda found: _read_csv(found, header, columns),
    }
    kind = path.suffix.lower()
    if kind not in readers and not is_stream(path):
        raise XpnnValueError(
            f"{path}: expected an input file named {', '.join(readers)}, got {path.suffix!r}"
        )
    with _readable(str(path), kind):
        found = source(path)
        try:
            kind = kind if kind in readers else _kind_of(found)
            _check_options(found, kind, key, header)
            rows = readers[kind](found)
        except BaseException:
            found.close()
            raise

    def pieces(n: int) -> Iterator[Numbers]:
        with _readable(found.name, kind):
            yield from rows.pieces(n)

    return rows._replace(pieces=pieces)


def _kind_of(found: Source) -> str:
    """Return the format of a pipe, told by its first bytes, which are no text but in CSV."""
    with found.head() as file:
        first = file.read(6)
    if first == b"\x93NUMPY":
        return ".npy"
    return ".npz" if first.startswith(b"PK\x03\x04") else ".csv"


def _check_options(found: Source, kind: str, key: str | None, header: bool | None) -> None:
    name = found.name
    if found.stream is not None and kind not in {".npy", ".csv"}:
        raise XpnnValueError(f"{name}: expected .npy or .csv from a pipe, got {kind}")
    if key is not None and kind not in {".npz", ".safetensors"}:
        raise XpnnValueError(f"{name}: --key is for .npz and .safetensors, got {kind}")
    if header is not None and kind != ".csv":
        raise XpnnValueError(f"{name}: --header and --no-header are for .csv, got {kind}")


@contextmanager
def _readable(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except XpnnValueError:
        raise
    except Exception as error:  # noqa: BLE001 -- OSError, SafetensorError, BadZipFile, csv.Error
        raise XpnnValueError(
            f"{name}: expected a readable {kind} file, got {type(error).__name__}: {error}"
        ) from None


def _read_safetensors(found: Source, key: str | None) -> Rows:
    path = found.path
    with safe_open(path, framework="numpy") as file:
        name = choose(list(file.keys()), key, path)
        part = file.get_slice(name)
        shape = tuple(part.get_shape())
        label = f"{path}, {name}"
        if part.get_dtype() == "BF16":
            raise XpnnValueError(f"{label}: expected a dtype that NumPy has, got bfloat16")
        dtype = part[:0].dtype if shape else np.dtype("f8")
    width = width_of(shape, dtype, label)
    total = shape[0] if len(shape) > 1 else 1

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, total, n):
            # Opened anew for each piece: the file is mapped, and what was read is given back.
            with safe_open(path, framework="numpy") as file:
                part = file.get_slice(name)
                piece = part[:] if len(shape) == 1 else part[start : min(start + n, total)]
            yield piece.reshape(-1, width)

    return Rows(label, width, total, pieces)


def _read_csv(found: Source, header: bool | None, columns: Sequence[str] | None) -> Rows:
    none = f"{found.name}: expected at least one row of numbers, with commas between, got none"
    with found.head() as file, lines_of(file, found.name) as lines:
        first = next(lines, None)
        if first is None:
            raise XpnnValueError(none)
        skips = is_header(first, header, found.name, taken=columns is not None)
        if skips and next(lines, None) is None:
            raise XpnnValueError(none)
    width, taken = len(first[1]), None
    if skips and columns is not None:
        taken = places(found.name, columns, [cell.strip() for cell in first[1]])

    def pieces(n: int) -> Iterator[Numbers]:
        with found.open() as file, lines_of(file, found.name) as lines:
            if skips:
                next(lines)
            rows: list[list[float]] = []
            for line in lines:
                rows.append(numbers(line, width, found.name, taken))
                if len(rows) == n:
                    yield np.asarray(rows)
                    rows = []
            if rows:
                yield np.asarray(rows)

    return Rows(found.name, width if taken is None else len(taken), None, pieces)
