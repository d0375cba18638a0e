"""Text for a terminal or a pipe: lines from files and errors, and tables that lose nothing."""

import os
from collections.abc import Callable
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from xpnn._files.written_rows import unwritten
from xpnn.errors import XpnnValueError


def one_line(text: str) -> str:
    """Return the text on one line, without characters that would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def print_line(console: Console, text: str) -> None:
    """Print a line as it is, which the terminal breaks where it is too long."""
    console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def plain_table(*heads: str, gap: int) -> Table:
    """Return a table without a frame, with so much between its columns beside the space of its line."""
    table = Table(*heads, box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), show_edge=False)
    table.pad_edge = False
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as it is: a number of which digits are cut is another number."""
    options = console.options.update(max_width=10**6)
    table.width = Measurement.get(console, options, table).maximum
    console.print(table, soft_wrap=True)


class Words:
    """Standard output for words: a reader who leaves, as `head` does, ends no work and changes no verdict.

    Rows are another matter; they go to its `buffer`, whose error says that nobody wants more of them.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, to nowhere once the reader has left."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._do(self._stream.flush)

    def _do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BrokenPipeError:
            drop(self._stream)
        except OSError as error:
            drop(self._stream)
            raise unwritten(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def drop(stream: TextIO) -> None:
    """Send what cannot be written to nowhere, or Python tries once more at the end."""
    try:
        stream.flush()
    except (OSError, XpnnValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
