"""predict: rows in, in pieces; results out, in pieces; memory stays flat."""

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xpnn._files.csv_rows import text_of
from xpnn._files.formats import FORMATS
from xpnn._files.pieces import Numbers, Rows
from xpnn._files.streams import is_standard
from xpnn._files.written_rows import output_format, write_rows
from xpnn._network.load import find
from xpnn._network.network import Network
from xpnn._reproducible import GUARANTEE
from xpnn.cli import _cluster, _files, _receipt
from xpnn.cli._job import Job
from xpnn.cli._text import one_line
from xpnn.errors import XpnnValueError


class Target(NamedTuple):
    """Where the results go."""

    out: Path
    format: str | None
    receipt: Path | None
    force: bool


def predict(job: Job, target: Target, batch_size: int) -> None:
    """Write the results, and the receipt; say their digest if reproducible."""
    out, receipt = target.out, target.receipt
    _files.check_apart({"OUT": out, "--receipt": receipt}, job.files)
    network = job.network()
    job.check_kind(network, f"leave --{job.kind} out")
    rows = job.rows(network)
    record, unknown = _receipt.Record(), 0
    quiet, keep = is_standard(out), receipt is not None
    pairs = results(job, network, rows, batch_size, quiet=quiet, keep=keep)
    beside = (
        contextlib.nullcontext() if receipt is None else _files.writing(receipt, force=target.force)
    )
    with (
        beside as write_receipt,
        _all_taken(receipt),
        _sink(job, target, network) as write,
        contextlib.closing(pairs),
    ):
        for x, y in pairs:
            write(y)
            if job.kind == "classes":
                unknown += int((y.reshape(len(y), -1) < 0).any(axis=-1).sum())
            if job.reproducible:
                record.update(x, y)
        if write_receipt is not None:  # so that there is neither without the other
            text = json.dumps(summary(job, record), indent=2) + "\n"
            write_receipt(text.encode())
    aside = sys.stderr if is_standard(out) else sys.stdout
    if unknown:
        words = f"xpnn: rows without a class, as their output is NaN: {unknown:,}"
        print(words, file=sys.stderr)
    if job.reproducible:
        print(f"sha256 {record.output.hexdigest()}", file=aside)


@contextlib.contextmanager
def _all_taken(receipt: Path | None) -> Iterator[None]:
    """Raise XpnnValueError if a reader leaves before the last row of what a receipt is of."""
    try:
        yield
    except BrokenPipeError:
        if receipt is None:
            raise
        raise XpnnValueError(
            "expected a reader of all rows for a receipt of them, got one who left; "
            f"{receipt} was not written"
        ) from None


def summary(job: Job, record: _receipt.Record) -> dict[str, Any]:
    """Return the receipt of a run."""
    return {
        "xpnn receipt": _receipt.FORMAT,
        "guarantee": GUARANTEE,
        "model": {"name": Path(job.model).name, "sha256": _receipt.file_digest(find(job.model))},
        "input": {"sha256": record.input.hexdigest()},
        "output": {
            "kind": job.kind or "output",
            "sha256": record.output.hexdigest(),
            "rows": record.blocks.rows,
            "blocks": record.blocks.to_list(),
        },
        "ran on": _cluster.ran_on(job),
    }


def verify(job: Job, receipt: Path, batch_size: int) -> bool:
    """Run a receipt's job again; say whether all is the same."""
    then = _receipt.read(receipt)
    kind = then["output"]["kind"]
    job = job._replace(kind=None if kind == "output" else kind, reproducible=True)
    record = _receipt.Record()
    network = job.network()
    job.check_kind(network, f"{receipt} is of another network")
    rows = job.rows(network)
    for x, y in results(job, network, rows, batch_size, quiet=False):
        record.update(x, y)
    now = summary(job, record)
    different = list(_receipt.differences(then, now))
    ran = f"{then['ran on']['backend']} then, {now['ran on']['backend']} now"
    for line in different:
        print(f"different: {one_line(line)}")
    if not different:
        print(f"same: sha256 {now['output']['sha256']} ({one_line(ran)})")
    return not different


def results(
    job: Job, network: Network, rows: Rows, batch_size: int, *, quiet: bool, keep: bool = True
) -> Generator[tuple[Numbers | None, Numbers]]:
    """Give rows and results, piece by piece; None for rows that workers read, if not to keep them."""
    job.check_width(network, rows)
    # Rows that appear on the terminal are progress enough.
    watched = sys.stderr.isatty() and not (quiet and sys.stdout.isatty())
    compute = _computed_here if job.scheduler is None else _cluster.computed
    with _progress(rows) if watched else contextlib.nullcontext(lambda _: None) as advance:
        for x, y in compute(job, network, rows, batch_size, keep=keep):
            yield x, y
            advance(len(y))


def _computed_here(
    job: Job, network: Network, rows: Rows, batch_size: int, *, keep: bool
) -> Iterator[tuple[Numbers | None, Numbers]]:
    run = job.runner(network)
    try:
        for x in rows.pieces(batch_size):
            yield x if keep else None, run(x)
    except OSError as error:  # or it would be taken for one of writing
        reason = error.strerror or error
        raise XpnnValueError(f"{rows.source}: cannot be read: {reason}") from None


@contextlib.contextmanager
def _sink(job: Job, target: Target, network: Network) -> Iterator[Callable[[Numbers], None]]:
    out, kind = target.out, output_format(target.out, target.format)
    terminal = is_standard(out) and sys.stdout.isatty()
    if terminal and kind != "csv":
        raise XpnnValueError(f"expected --format csv on a terminal, got {kind}, which is no text")
    named = job.kind == "classes" and FORMATS[kind].named

    def text(y: Numbers) -> Numbers:
        return _names(network, y) if named else y

    if terminal:
        yield lambda y: _print(text_of(text(y)))
        return
    names = functools.partial(_columns, network, job.kind)
    with write_rows(out, force=target.force, as_=kind, names=names) as write:
        yield lambda y: write(text(y))


def _names(network: Network, y: Numbers) -> Numbers:
    """Return the names of classes, those of rows without a class masked."""
    names = y if network.classes is None or y.ndim > 1 else np.asarray(network.classes)[y]
    return np.ma.array(names, mask=y < 0)


def _columns(network: Network, kind: str | None, count: int) -> Sequence[str]:
    """Name the columns of results as the outputs or the classes of the network, where one is for each."""
    outputs, classes = network.outputs or ("output",), network.classes or ()
    if kind == "classes" and count == 1:
        return ["class"]
    for names in (outputs, classes):
        if len(names) == count:
            return list(map(str, names))
    first = "class" if kind == "classes" else outputs[0]
    return [f"{first}_{i}" for i in range(count)]


def _print(text: str) -> None:
    sys.stdout.write(text)


@contextlib.contextmanager
def _progress(rows: Rows) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error."""
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output is the results'; rich would print it above the bar.
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
    ) as progress:
        task = progress.add_task("rows", total=rows.total)
        yield lambda n: progress.advance(task, n)
