"""Parquet: columns of numbers in a file or a folder of files, read and written in groups of rows."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate, groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from xpnn._files.columns import holding, places
from xpnn._files.extras import needing
from xpnn._files.pieces import Gathered, Input, Names, Numbers, Ranges, Rows, grouped
from xpnn._files.streams import Source, is_stream, readable
from xpnn.errors import XpnnValueError

_BUFFER = 2**20
"""Bytes of a column that are read at a time."""
_GROUP = 2**24
"""Bytes of numbers in a group of rows that is written."""
_NUMBERS = r"u?int(8|16|32|64)|halffloat|float|double|null"
"""How pyarrow calls the types of real numbers, and that of a column of nothing but null."""


class _Unit(NamedTuple):
    """A group of rows: of which file, and which of its groups."""

    path: Path
    group: int


def read_parquet(found: Source, wanted: Input) -> Rows:
    """Open a .parquet file, or all that a folder has, in the order of their names."""
    pq = needing("pyarrow.parquet", "tables")
    paths = files_of(found.path) if found.path.is_dir() else [found.path]
    units, counts, names = list[_Unit](), list[int](), list[str]()
    dtypes: dict[str, list[np.dtype[Any]]] = {}
    for path in paths:
        with _opened(pq, path) as file:
            names = _taken(file.schema_arrow, wanted, path, names)
            for name, dtype in zip(names, _dtypes(file, names), strict=True):
                dtypes.setdefault(name, []).append(dtype)
            for group in range(file.metadata.num_row_groups):
                if count := file.metadata.row_group(group).num_rows:
                    units.append(_Unit(path, group))
                    counts.append(count)
    if not units or not names:
        raise XpnnValueError(f"{found.name}: expected at least one row of numbers, got none")
    ends, common = list(accumulate(counts)), _common(list(dtypes.values()))

    def arrays(start: int, stop: int, n: int) -> Iterator[Numbers]:
        inside = units[bisect_right(ends, start) : bisect_right(ends, stop)]
        for path, some in groupby(inside, key=lambda unit: unit.path):
            groups = [unit.group for unit in some]
            with _opened(pq, path, buffer_size=_BUFFER, pre_buffer=False) as file:
                for batch in file.iter_batches(n, row_groups=groups, columns=names):
                    yield np.stack([_numbers(batch, name, common, path) for name in names], axis=-1)

    def read(start: int, stop: int, n: int) -> Iterator[Numbers]:
        for first, end in ranges.cuts(n, start, stop):
            gathered = Gathered(n)
            for rows in arrays(first, end, n):
                yield from gathered.add(rows)
            yield from gathered.rest()

    ranges = Ranges(ends[-1], ends, read)
    return Rows.of_ranges(found.name, len(names), ranges)


@contextmanager
def _opened(pq: Any, path: Path, **options: Any) -> Iterator[Any]:
    """Open a file; what is wrong with it, while it is read too, is said of it, in whichever folder it is."""
    with readable(str(path), "parquet"), pq.ParquetFile(path, **options) as file:
        yield file


def files_of(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder in the order of their names, 2 before 10."""
    paths = sorted((p for p in folder.iterdir() if p.name[0] not in "._"), key=_in_order)
    for path in paths:
        if path.suffix.lower() != ".parquet" or path.is_dir() or is_stream(path):
            kind = "a folder" if path.is_dir() else "a file" if path.is_file() else "no file"
            raise XpnnValueError(
                f"{folder}: expected files named .parquet alone, got {kind}: {path.name}; what is no data "
                "may begin with . or _"
            )
    if not paths:
        raise XpnnValueError(f"{folder}: expected files named .parquet in this folder, got none")
    return paths


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return what sorts numbers in names by their values."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _taken(schema: Any, wanted: Input, path: Path, before: list[str]) -> list[str]:
    """Return the names of the columns to read; ValueError if they are not there, or no numbers."""
    names = list(schema.names)
    if wanted.columns is None:
        taken = names
        if before and taken != before:
            raise XpnnValueError(f"{path}: expected the columns of the files before, got others")
    else:
        taken = list(wanted.columns)
    places(str(path), taken, names)
    for name in taken:
        kind = str(schema.field(name).type)
        if not re.fullmatch(_NUMBERS, kind):
            raise XpnnValueError(
                f"{path}: expected numbers in the column {name!r}, got {kind}; convert it, or name "
                "the columns to read as the inputs of the network"
            )
    return taken


def _dtypes(file: Any, names: list[str]) -> Iterator[np.dtype[Any]]:
    """Give the dtypes of columns: of integers of which one is missing, and of nulls, that of NaN."""
    # A column of numbers has one name; the fields of others have several, joined by dots.
    columns = enumerate(map(file.schema.column, range(len(file.schema))))
    places = {c.name: place for place, c in columns if c.path == c.name}
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    for name in names:
        dtype = np.dtype(file.schema_arrow.field(name).type.to_pandas_dtype())
        known = [group.column(places[name]).statistics for group in groups]
        whole = all(k is not None and k.has_null_count and not k.null_count for k in known)
        yield dtype if dtype.kind == "f" or (dtype.kind != "O" and whole) else np.dtype("f8")


def _numbers(batch: Any, name: str, dtype: np.dtype[Any], path: Path) -> Numbers:
    """Return a column of some rows, NaN where nothing is."""
    column: Numbers = batch.column(name).to_numpy(zero_copy_only=False)
    if column.dtype.kind == "f" and dtype.kind != "f":
        raise XpnnValueError(
            f"{path}: expected numbers alone in the column {name!r}, as its statistics say, got nulls"
        )
    return column.astype(dtype, copy=False)


def _common(columns: list[list[np.dtype[Any]]]) -> np.dtype[Any]:
    """Return the dtype of rows: that of the columns of floats, where there are any."""
    dtypes = [np.result_type(*files) for files in columns]
    common = np.result_type(*([d for d in dtypes if d.kind == "f"] or dtypes))
    return np.dtype(holding(common.name, (d.name for d in dtypes)))


@contextmanager
def write_parquet(file: IO[bytes], names: Names) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a file of named columns; what is masked is null."""
    pa, pq = needing("pyarrow", "tables"), needing("pyarrow.parquet", "tables")
    writer: Any = None

    def put(rows: Numbers) -> None:
        nonlocal writer
        columns = rows.reshape(len(rows), -1).T
        arrays = [pa.array(column.copy()) for column in columns]
        group = pa.Table.from_arrays(arrays, names=list(names(len(arrays))))
        if writer is None:
            writer = pq.ParquetWriter(file, group.schema)
        writer.write_table(group, row_group_size=len(rows))

    try:
        with grouped(put, _GROUP) as write:
            yield write
        if writer is not None:
            writer.close()
    finally:
        if writer is not None:
            writer.is_open = False  # or it writes the end of a file that is closed
