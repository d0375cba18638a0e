"""convert: a network in another format, proved to be the same before anything is written."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from xpnn import models
from xpnn._convert.extras import needing
from xpnn._convert.parts import Parts
from xpnn._convert.runners import RUNNERS, Runner
from xpnn._files.written_rows import said
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.layer import as_samples, taken_by
from xpnn._network.load import find, load, metadata_of
from xpnn._network.network import Network
from xpnn._parity.causes import REST
from xpnn._parity.parity import explain
from xpnn._reproducible import reproducible
from xpnn.cli import _files
from xpnn.cli._job import Job
from xpnn.cli._text import print_line, print_table
from xpnn.errors import XpnnError, XpnnValueError

Numbers = np.ndarray[Any, Any]

_SEED = 0


def _save(network: Network, path: Path, notes: dict[str, str]) -> None:
    network.save(path, metadata=notes)


def _program(network: Network, path: Path, _: dict[str, str]) -> None:
    parts = Parts(network.layers, network.classes, network.inputs, network.outputs)
    needing("torch_modules").save(parts, path)


WRITERS: dict[str, Callable[[Network, Path, dict[str, str]], None]] = {
    ".safetensors": _save,
    ".onnx": lambda network, path, _: network.to_onnx(path),
    ".pt2": _program,
}
"""What writes each format, by the ending of a file's name."""


class _Verdict(NamedTuple):
    """Whether one program's results of one file are right."""

    who: str
    passed: bool
    of_bound: float
    words: str


def convert(job: Job, target: Path, rows: int, console: Console, *, force: bool) -> bool:
    """Write a network in another format, if a proof on so many rows says that it is the same."""
    kind = target.suffix.lower()
    if kind not in WRITERS:
        raise XpnnValueError(
            f"{target}: expected DST to be named {', '.join(WRITERS)}, got {target.suffix!r}"
        )
    source = find(job.model)
    _files.check_apart({"DST": target}, {"SRC": source, "INPUT": job.input})
    _files.check_free(target, force=force)
    network = job.network()
    notes = metadata_of(source)
    with contextlib.ExitStack() as stack:
        with said(str(target)):  # not what is temporary
            folder = tempfile.TemporaryDirectory(prefix=".xpnn-", dir=target.parent)
            made = Path(stack.enter_context(folder)) / target.name
            WRITERS[kind](network, made, notes)
        if rows:
            x, what = _input(job, network, rows)
            print_line(console, f"held to the exact values on {what}:")
            verdicts = list(_verdicts(job, network, made, x))
            _show(verdicts, console)
            if not all(verdict.passed for verdict in verdicts):
                print_line(console, f"not the same; {target} was not written")
                return False
        content = made.read_bytes()
    _files.write(target, content, force=force)
    print_line(console, f"wrote {target}, {len(content):,} bytes")
    return True


def _input(job: Job, network: Network, count: int) -> tuple[Numbers, str]:
    """Return rows to prove it on, and what they are."""
    first = next((a for layer in network.layers for a in layer.arrays.values()), None)
    dtype = np.dtype("float32" if first is None else first.dtype)
    if job.input is not None or job.model in models.names():
        opened = job.rows(network)
        job.check_width(network, opened)
        x, what = next(opened.pieces(count)), opened.source
    else:
        shape = taken_by(network.layers) or (len(network.inputs or ()) or 5,)
        x, what = np.random.default_rng(_SEED).normal(size=(count, *shape)), "drawn"
        x = _as_scaled(network, x)
    x = as_samples(network.layers, np.asarray(x).astype(dtype))
    return x, f"{len(x)} rows, {what}" + (" from a normal distribution" if what == "drawn" else "")


def _as_scaled(network: Network, x: Numbers) -> Numbers:
    """Return rows that the scalers at the beginning of a network make these of, as those of a training are."""
    scalers = itertools.takewhile(
        lambda la: isinstance(la, Affine) and la.activate.name == "identity", network.layers
    )
    for layer in reversed(list(scalers)):
        shift, scale = (layer.arrays.get(name) for name in ("shift", "scale"))
        x = x if shift is None else x - shift
        x = x if scale is None else np.divide(x, scale, out=np.zeros_like(x), where=scale != 0)
    return x


def _verdicts(job: Job, network: Network, made: Path, x: Numbers) -> Iterator[_Verdict]:
    """Yield what is found, file by file and program by program."""
    source, result = find(job.model), load(made)
    yield _held("xpnn", source, network, x, network(x))
    yield from _others(source, job.part, network, x)
    yield _held("xpnn", made, network, x, result(x))
    xp = reproducible(np)
    same = network(x, xp=xp).tobytes() == result(x, xp=xp).tobytes()
    yield _Verdict(
        f"{made.name} and {source.name}, reproducible",
        same,
        0.0,
        "same bits" if same else "DIFFERENT",
    )
    yield from _others(made, None, network, x, own=True)


def _others(
    path: Path, part: str | None, network: Network, x: Numbers, *, own: bool = False
) -> Iterator[_Verdict]:
    """Yield what the library says that a format belongs to, where it is installed."""
    runner: Runner | None = RUNNERS.get(path.suffix.lower())
    if runner is None or not (own or runner.runs_no_code):
        return
    try:
        y = runner.run(path, x, part)
    except ModuleNotFoundError:
        yield _Verdict(
            f"{runner.name}, {path.name}", passed=True, of_bound=0.0, words="not installed"
        )
    except XpnnError as error:
        yield _Verdict(
            f"{runner.name}, {path.name}",
            passed=True,
            of_bound=0.0,
            words=f"cannot run it: {error}",
        )
    else:
        yield _held(runner.name, path, network, x, y)


def _held(who: str, path: Path, network: Network, x: Numbers, y: Numbers) -> _Verdict:
    """Hold results to the exact ones."""
    found = explain(network, x, y)
    passed, words = found.passed, "ok" if found.passed else f"FAILED: {found.cause}"
    if not found.comparison.held:  # the same bits are all that can be asked for
        passed, words = True, "no row stays finite, so that nothing is known"
    if (found.cause or "").startswith(REST):
        passed, words = True, f"ok, but for {REST}"
    return _Verdict(f"{who}, {path.name}", passed, found.comparison.of_bound, words)


def _show(verdicts: list[_Verdict], console: Console) -> None:
    table = Table(
        *("program, file", "/bound", ""), box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for one in verdicts:
        ratio = f"{one.of_bound:.2g}" if one.words.startswith(("ok", "FAILED")) else ""
        table.add_row(one.who, ratio, one.words, style=None if one.passed else "bold red")
    print_table(console, table)
