"""CSV: what is a number, what is a header, and how rows are read from text and become text."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np

from xpnn._files.columns import places
from xpnn._files.pieces import Input, Names, Numbers, Rows
from xpnn._files.streams import Source
from xpnn.errors import XpnnValueError

Line = tuple[int, list[str]]
"""The number of a line, and its cells."""

_MISSING = frozenset(
    "na n/a n.a. #n/a #na <na> nan null nil none missing -nan 1.#ind -1.#ind 1.#qnan -1.#qnan".split()
)
"""What programs write where a number is missing."""

_NO_NAMES = _MISSING | {"true", "false"}
"""Words that may stand in a row, and so are not taken for the name of a column."""


_GZIP = b"\x1f\x8b"


@contextmanager
def lines_of(file: io.BufferedReader, found: Source) -> Iterator[Iterator[Line]]:
    """Give the lines of a file of UTF-8; empty ones may stand at its end alone."""
    name, packed = found.name, file.peek(2).startswith(_GZIP)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(_limited(text, name), strict=True)

    def lines() -> Iterator[Line]:
        empty = None
        for cells in reader:
            if not cells:
                empty = empty or reader.line_num
            elif empty is not None:
                raise XpnnValueError(f"{name}, line {empty}: expected numbers, got an empty line")
            else:
                yield reader.line_num, cells

    try:
        yield lines()
    except UnicodeDecodeError:
        kinds = "CSV" if found.stream is None else ".npy or CSV"
        got = "what gzip packed; unpack it first, as zcat does" if packed else "other bytes"
        raise XpnnValueError(f"{name}: expected {kinds} in UTF-8, got {got}") from None
    finally:
        text.detach()


_LONGEST = 2**24
"""Characters that a line may have: some million numbers."""


def _limited(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    while line := text.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise XpnnValueError(f"{name}: expected lines of fewer than {_LONGEST:,} characters")
        yield line


def is_header(line: Line, wanted: bool | None, name: str, *, taken: bool = False) -> bool:
    """Whether the first line holds names and no numbers; ValueError where that cannot be told.

    Where columns are taken by their names, the first one needs none: pandas writes an index without.
    """
    _, cells = line
    if wanted is not None:
        return wanted
    where = f"{name}, line {line[0]}"
    if [cell.strip() for cell in cells] == [str(i) for i in range(len(cells))]:
        few = ",".join(cells[:3]) + ("..." if len(cells) > 3 else "")
        raise XpnnValueError(
            f"{where}: {few} may be a row or the numbers of the columns; say which with "
            "--no-header or --header"
        )
    named = cells[1:] if taken and len(cells) > 1 and not cells[0].strip() else cells
    if all(map(_is_name, named)):
        return True
    if any(number(cell) is None for cell in cells):
        bad = next(cell for cell in cells if number(cell) is None)
        raise XpnnValueError(
            f"{where}: expected numbers alone or names alone, {_got(bad)}; if it is a header, say "
            "--header"
        )
    return False


def number(cell: str) -> float | None:
    """Return a cell's number: decimal, ASCII, finite as written, or nan or inf; None for no number."""
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None
    # A number that is too large for binary64 is not infinity.
    return None if value is not None and math.isinf(value) and "n" not in cell.lower() else value


def _is_name(cell: str) -> bool:
    """Whether a cell is the name of a column: what begins otherwise may be a number, oddly written."""
    text = cell.strip().lower()
    return (
        (text[:1].isalpha() or text[:1] == "_") and text not in _NO_NAMES and number(cell) is None
    )


def numbers(line: Line, width: int, name: str, taken: Sequence[int] | None) -> list[float]:
    """Return the numbers of a row, or those that are taken of it.

    ValueError if one is none, or there are not as many cells as before.
    """
    where, cells = f"{name}, line {line[0]}", line[1]
    if len(cells) != width:
        raise XpnnValueError(f"{where}: expected {width} numbers as before, got {len(cells)}")
    if taken is not None:
        cells = [cells[i] for i in taken]
    text = "".join(cells)
    try:
        values = list(map(float, cells)) if text.isascii() and "_" not in text else None
    except ValueError:
        values = None
    if values is None or math.inf in values or -math.inf in values:
        for cell in cells:
            if number(cell) is None:
                raise XpnnValueError(f"{where}: expected a number, {_got(cell)}")
    return values  # type: ignore[return-value]


def _got(cell: str) -> str:
    text = cell.strip()
    if not text:
        return "got an empty cell"
    words = f"got {cell[:40]!r}"
    with suppress(ValueError):
        if text.isascii() and math.isinf(float(text)):
            return f"{words}, which is larger than binary64 holds; infinity is written inf"
    if text.lower() in _MISSING:
        return f"{words}; a number that is missing is written nan"
    if any(c in text for c in ";\t|"):
        return f"{words}; commas go between numbers"
    return words


def text_of(values: Numbers) -> str:
    """Write rows as CSV: each number in the fewest digits that give it back; what is masked is empty."""
    cells = np.ma.filled(values.reshape(len(values), -1).astype(str), "")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells.tolist())
    return text.getvalue()


def read_csv(found: Source, wanted: Input) -> Rows:
    """Open a .csv file or pipe."""
    header, columns = wanted.header, wanted.columns
    none = f"{found.name}: expected at least one row of numbers, with commas between, got none"
    with found.head() as file, lines_of(file, found) as lines:
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
        with found.open() as file, lines_of(file, found) as lines:
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


@contextmanager
def write_csv(file: IO[bytes], _: Names) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a file of text."""

    def write(values: Numbers) -> None:
        file.write(text_of(values).encode())

    yield write
