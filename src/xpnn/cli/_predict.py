"""predict: rows in, in pieces; results out, in pieces; memory stays flat."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xpnn import models
from xpnn._arrays import library
from xpnn._backends import open_backend
from xpnn._load import find, load
from xpnn._network import Network
from xpnn._reproducible import GUARANTEE, reproducible
from xpnn._rows import Numbers, Rows, read_rows, rows_of, text_of, write_rows
from xpnn._transfer import to_numpy
from xpnn._types import Array, Namespace
from xpnn.cli import _files, _receipt
from xpnn.cli._text import one_line
from xpnn.errors import XpnnValueError


class Job(NamedTuple):
    """What to predict, of what, and with what."""

    model: str
    input: Path | None
    key: str | None
    backend: str
    device: str | None
    kind: str | None
    """proba, classes, logits, or None for the network's output."""
    reproducible: bool = False

    def network(self) -> Network:
        """Read the network."""
        try:
            return load(self.model)
        except (XpnnValueError, FileNotFoundError) as error:
            if self.input is None and Path(self.model).suffix in {".npy", ".npz", ".csv"}:
                raise XpnnValueError(
                    f"{error}; the first argument is MODEL: xpnn predict digits {self.model}"
                ) from None
            raise

    def rows(self) -> Rows:
        """Open the input, or the sample that comes with a shipped network."""
        if self.input is not None:
            return read_rows(self.input, key=self.key)
        if self.model not in models.names():
            raise XpnnValueError(
                f"expected INPUT after MODEL, a .npy, .npz, .safetensors or .csv file: only "
                f"{', '.join(models.names())} comes with a sample"
            )
        return rows_of(models.sample(self.model)[0], f"sample of {self.model}")

    def runner(self, network: Network) -> Callable[[Numbers], Numbers]:
        """Return the function from rows to results, run by the backend on the device."""
        found, device = open_backend(self.backend, self.device)
        method = _METHODS[self.kind]
        xp = reproducible(found.xp) if self.reproducible else None

        def run(x: Numbers) -> Numbers:
            if x.dtype.kind in "iu":  # some backends lack some integers; the result is the same
                x = x.astype(network.layers[0].weight.dtype)
            elif not hasattr(found.xp, x.dtype.name):  # float16, which the standard lacks
                x = x.astype(np.float32)
            # A copy, as the rows may be a read-only map of a file, in another byte order.
            x = np.array(x, dtype=x.dtype.newbyteorder("="))
            try:
                return to_numpy(method(network, found.xp.asarray(x, device=device), xp=xp))
            except (RuntimeError, MemoryError) as error:  # what torch and JAX say without memory
                raise XpnnValueError(
                    f"backend {self.backend} failed on {len(x):,} rows ({error}); if memory is "
                    "short, give a smaller --batch-size"
                ) from None

        return run


def _proba(network: Network, x: Array, *, xp: Namespace | None) -> Array:
    if network.output in {"softmax", "sigmoid"}:
        return network(x, xp=xp)
    log_p = network.log_proba(x, xp=xp)
    return (xp or library(x).xp).exp(log_p)


_METHODS: dict[str | None, Callable[..., Array]] = {
    None: Network.__call__,
    "proba": _proba,
    "classes": Network.classify,
    "logits": Network.logits,
}


def predict(
    job: Job, out: Path | None, batch_size: int, *, force: bool, receipt: Path | None = None
) -> None:
    """Write the results to `out`, or as CSV to standard output; say their digest if reproducible."""
    if receipt is not None:
        _files.check_free(receipt, force=force)
    network, rows = job.network(), job.rows()
    record = _receipt.Record()
    with _sink(out, network, force=force) as write:
        for x, y in results(job, network, rows, batch_size, quiet=out is None):
            write(y)
            if job.reproducible:
                record.update(x, y)
    if job.reproducible:
        print(f"sha256 {record.output.hexdigest()}", file=sys.stderr if out is None else sys.stdout)
    if receipt is not None:
        content = json.dumps(summary(job, record), indent=2) + "\n"
        _files.write(receipt, content, force=force)


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
    if job.kind not in _METHODS:
        raise XpnnValueError(f"{receipt}: expected an output of xpnn predict, got {kind!r}")
    record = _receipt.Record()
    network, rows = job.network(), job.rows()
    for x, y in results(job, network, rows, batch_size, quiet=False):
        record.update(x, y)
    now = summary(job, record)
    different = list(_receipt.differences(then, now))
    ran = f"{then['ran on']['backend']} then, {now['ran on']['backend']} now"
    for line in different:
        print(f"different: {one_line(line)}")  # noqa: T201
    if not different:
        print(f"same: sha256 {now['output']['sha256']} ({one_line(ran)})")  # noqa: T201
    return not different


def results(
    job: Job, network: Network, rows: Rows, batch_size: int, *, quiet: bool
) -> Iterator[tuple[Numbers, Numbers]]:
    """Give rows and results, piece by piece."""
    width = network.layers[0].weight.shape[0]
    if rows.width != width:
        raise XpnnValueError(
            f"{rows.source}: expected rows of {width} numbers for the network {job.model}, "
            f"got {rows.width}"
        )
    run = job.runner(network)
    # Rows that appear on the terminal are progress enough.
    watched = sys.stderr.isatty() and not (quiet and sys.stdout.isatty())
    with _progress(rows) if watched else contextlib.nullcontext(lambda _: None) as advance:
        for x in rows.pieces(batch_size):
            yield x, run(x)
            advance(len(x))


@contextlib.contextmanager
def _sink(
    out: Path | None, network: Network, *, force: bool
) -> Iterator[Callable[[Numbers], None]]:
    names = None if network.classes is None else np.asarray(network.classes)

    def text(y: Numbers) -> Numbers:
        named = names is not None and y.dtype.kind == "i" and y.ndim == 1
        return names[y] if named else y  # type: ignore[index]

    if out is None:
        yield lambda y: _print(text_of(text(y)))
        return
    with write_rows(out, force=force) as write:
        yield (lambda y: write(text(y))) if out.suffix.lower() == ".csv" else write


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
