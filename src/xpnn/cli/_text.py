"""Text for a terminal or a pipe: lines from files and errors, and tables that lose nothing."""

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


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
