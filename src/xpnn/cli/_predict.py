"""predict: rows in, in pieces; results out, in pieces; memory stays flat."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xpnn import models
from xpnn._arrays.installed import open_backend
from xpnn._arrays.library import library
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._files.csv_rows import text_of
from xpnn._files.npy_rows import Numbers, Rows, rows_of
from xpnn._files.rows import read_rows
from xpnn._files.streams import is_standard
from xpnn._files.written_rows import output_format, write_rows
from xpnn._network.layers.layer import as_samples, first_array, taken_by
from xpnn._network.load import find, load
from xpnn._network.network import Network
from xpnn._reproducible import GUARANTEE, reproducible
from xpnn.cli import _files, _receipt
from xpnn.cli._text import one_line
from xpnn.errors import XpnnValueError


class Job(NamedTuple):
    """What to predict, of what, and with what."""

    model: str
    input: Path | None
    key: str | None
    header: bool | None
    backend: str
    device: str | None
    kind: str | None
    """proba, classes, logits, or None for the network's output."""
    reproducible: bool = False
    part: str | None = None
    """Which output of a model that has several."""

    def network(self) -> Network:
        """Read the network."""
        try:
            return load(self.model, output=self.part)
        except (XpnnValueError, FileNotFoundError) as error:
            if self.input is None and Path(self.model).suffix in {".npy", ".npz", ".csv"}:
                raise XpnnValueError(
                    f"{error}; the first argument is MODEL: xpnn predict digits {self.model}"
                ) from None
            raise

    def rows(self, network: Network) -> Rows:
        """Open the input, or the sample that comes with a shipped network.

        Where the input names its columns and the network does, those that it takes.
        """
        if self.input is not None:
            names = network.inputs if network.inputs and len(network.inputs) > 1 else None
            return read_rows(self.input, key=self.key, header=self.header, columns=names)
        if self.model not in models.names():
            raise XpnnValueError(
                f"expected INPUT after MODEL, a .npy, .npz, .safetensors or .csv file: only "
                f"{', '.join(models.names())} comes with a sample"
            )
        return rows_of(models.sample(self.model)[0], f"sample of {self.model}")

    def check_width(self, network: Network, rows: Rows) -> None:
        """Raise ValueError unless the rows are as wide as the network takes them."""
        width = math.prod(taken_by(network.layers) or (rows.width,))
        if rows.width != width:
            raise XpnnValueError(
                f"{rows.source}: expected rows of {width} numbers for the network {self.model}, "
                f"got {rows.width}"
            )

    @property
    def files(self) -> dict[str, Path | None]:
        """What is read, by what the command's help calls it."""
        try:
            return {"MODEL": find(self.model), "INPUT": self.input}
        except (XpnnValueError, FileNotFoundError):  # which network() says better
            return {"INPUT": self.input}

    def runner(self, network: Network) -> Callable[[Numbers], Numbers]:
        """Return the function from rows to results, run by the backend on the device."""
        found, device = open_backend(self.backend, self.device)
        method = _METHODS[self.kind]
        xp = reproducible(found.xp) if self.reproducible else None

        def run(x: Numbers) -> Numbers:
            if x.dtype.kind in "iu":  # some backends lack some integers; the result is the same
                first = first_array(network.layers)
                x = x.astype(np.float64 if first is None else first.dtype)
            elif not hasattr(found.xp, x.dtype.name):  # float16, which the standard lacks
                x = x.astype(np.float32)
            # A copy, as the rows may be a read-only map of a file, in another byte order.
            x = np.array(as_samples(network.layers, x), dtype=x.dtype.newbyteorder("="))
            try:
                return to_numpy(method(network, found.xp.asarray(x, device=device), xp=xp))
            except (RuntimeError, MemoryError) as error:  # what torch and JAX say without memory
                raise XpnnValueError(
                    f"backend {self.backend} failed on {len(x):,} rows ({error}); if memory is "
                    "short, give a smaller --batch-size"
                ) from None

        return run


def _proba(network: Network, x: Array, *, xp: Namespace | None) -> Array:
    if network.layers[-1].activate.is_probability:
        return network(x, xp=xp)
    log_p = network.log_proba(x, xp=xp)
    return (xp or library(x).xp).exp(log_p)


def _classes(network: Network, x: Array, *, xp: Namespace | None) -> Numbers:
    """Return the class of each row, -1 where a logit is NaN, which says nothing of the class."""
    classes = to_numpy(network.classify(x, xp=xp))
    nan = np.isnan(to_numpy(network.logits(x, xp=xp)))
    # After several sigmoids each has a class of its own.
    return np.where(nan if nan.shape == classes.shape else nan.any(axis=-1), -1, classes)


class Target(NamedTuple):
    """Where the results go."""

    out: Path
    format: str | None
    receipt: Path | None
    force: bool


_METHODS: dict[str | None, Callable[..., Array]] = {
    None: Network.__call__,
    "proba": _proba,
    "classes": _classes,
    "logits": Network.logits,
}


def predict(job: Job, target: Target, batch_size: int) -> None:
    """Write the results, and the receipt; say their digest if reproducible."""
    out, receipt = target.out, target.receipt
    _files.check_apart({"OUT": out, "--receipt": receipt}, job.files)
    if receipt is not None:
        _files.check_free(receipt, force=target.force)
    network = job.network()
    rows = job.rows(network)
    record, unknown = _receipt.Record(), 0
    with _sink(job, target, network) as write:
        for x, y in results(job, network, rows, batch_size, quiet=is_standard(out)):
            write(y)
            if job.kind == "classes":
                unknown += int((y.reshape(len(y), -1) < 0).any(axis=-1).sum())
            if job.reproducible:
                record.update(x, y)
    aside = sys.stderr if is_standard(out) else sys.stdout
    if unknown:
        words = f"xpnn: rows without a class, as their output is NaN: {unknown:,}"
        print(words, file=sys.stderr)
    if job.reproducible:
        print(f"sha256 {record.output.hexdigest()}", file=aside)
    if receipt is not None:
        content = json.dumps(summary(job, record), indent=2) + "\n"
        _files.write(receipt, content, force=target.force)


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
        "ran on": _receipt.ran_on(job.backend, job.device),
    }


def verify(job: Job, receipt: Path, batch_size: int) -> bool:
    """Run a receipt's job again; say whether all is the same."""
    then = _receipt.read(receipt)
    kind = then["output"]["kind"]
    job = job._replace(kind=None if kind == "output" else kind, reproducible=True)
    record = _receipt.Record()
    network = job.network()
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
    job: Job, network: Network, rows: Rows, batch_size: int, *, quiet: bool
) -> Iterator[tuple[Numbers, Numbers]]:
    """Give rows and results, piece by piece."""
    job.check_width(network, rows)
    run = job.runner(network)
    # Rows that appear on the terminal are progress enough.
    watched = sys.stderr.isatty() and not (quiet and sys.stdout.isatty())
    with _progress(rows) if watched else contextlib.nullcontext(lambda _: None) as advance:
        for x in rows.pieces(batch_size):
            yield x, run(x)
            advance(len(x))


@contextlib.contextmanager
def _sink(job: Job, target: Target, network: Network) -> Iterator[Callable[[Numbers], None]]:
    out, kind = target.out, output_format(target.out, target.format)
    terminal = is_standard(out) and sys.stdout.isatty()
    if terminal and kind == "npy":
        raise XpnnValueError("expected --format csv on a terminal, got npy, which is no text")
    named = job.kind == "classes" and kind == "csv"

    def text(y: Numbers) -> Numbers:
        return _names(network, y) if named else y

    if terminal:
        yield lambda y: _print(text_of(text(y)))
        return
    with write_rows(out, force=target.force, as_=kind) as write:
        yield lambda y: write(text(y))


def _names(network: Network, y: Numbers) -> Numbers:
    """Return the names of classes, those of rows without a class empty."""
    if network.classes is None or y.ndim > 1:
        names = y.astype(str)
    else:
        names = np.asarray([*map(str, network.classes), ""])[y]
    return np.where(y < 0, "", names)


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
