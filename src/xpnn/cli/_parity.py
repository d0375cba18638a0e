"""parity: the report of `xpnn.parity` as a table on the terminal, JSON, or a page."""

import base64
import html
import io
import json
from typing import NamedTuple

import numpy as np
from rich.console import Console

from xpnn._files.pieces import Rows
from xpnn._network.layers.layer import as_samples
from xpnn._network.network import Network
from xpnn._parity.parity import parity
from xpnn._parity.plot import check as check_plots
from xpnn._parity.report import HEADS, Report
from xpnn.cli._text import plain_table, print_line, print_table

__all__ = ["Question", "as_json", "check_plots", "page", "report_on", "show"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>xpnn parity: {verdict}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: 0.25rem 0.75rem; border-bottom: 1px solid #8888; text-align: left;
  font-variant-numeric: tabular-nums; white-space: nowrap; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>xpnn parity</h1>
{table}
<h2>Every error, beside its bound</h2>
<img alt="The error of each output against its expected error, below the bound" src="data:image/png;base64,{image}">
</body>
</html>
"""


class Question(NamedTuple):
    """What to hold to the exact results; None for whatever there is."""

    rows: int
    of: str
    backends: list[str] | None
    devices: list[str] | None
    dtypes: list[str] | None


def report_on(network: Network, rows: Rows, question: Question) -> Report:
    """Read the first rows, and hold the backends to the exact results."""
    x = next(rows.pieces(question.rows))
    x = np.array(x, dtype=x.dtype.newbyteorder("="))  # not a read-only map in another byte order
    x = as_samples(network.layers, x)
    _, of, backends, devices, dtypes = question
    return parity(network, x, of=of, backends=backends, devices=devices, dtypes=dtypes)


def show(report: Report, console: Console) -> None:
    """Show the table, and below it what else there is to say."""
    table = plain_table(*HEADS, gap=0)
    for result in report.results:
        table.add_row(*result.cells, style=None if result.passed else "bold red")
    print_table(console, table)
    for line in (*report.lines, report.verdict):
        print_line(console, line)


def as_json(report: Report) -> str:
    """Return the report as JSON."""
    return json.dumps(report.to_dict(), indent=2)


def page(report: Report) -> str:
    """Return a page that needs no other file, with the table and the plot."""
    picture = io.BytesIO()
    report.plot().savefig(picture, format="png", dpi=110)
    return _PAGE.format(
        verdict=html.escape(report.verdict),
        table=report._repr_html_(),
        image=base64.b64encode(picture.getvalue()).decode(),
    )
