"""The commands, their options, and the one place where an error becomes a line of text."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer
from rich.console import Console

import xpnn
from xpnn.cli import _completion, _help
from xpnn.cli._text import one_line
from xpnn.cli._words import Words, drop
from xpnn.errors import XpnnError

app = typer.Typer(
    cls=_help.Group,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut words on narrow terminals
    context_settings={"help_option_names": ["-h", "--help"]},
    help="One neural-network forward pass for every array library: run a network on NumPy, PyTorch, JAX "
    "and others, and prove that they agree.",
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model file of xpnn or of others, or a shipped network: digits.",
        autocompletion=_completion.model,
    ),
]

Input = Annotated[
    Path | None,
    typer.Argument(
        metavar="INPUT",
        help="A .npy, .npz, .safetensors, .csv or .parquet file, a .zarr store, a folder of Parquet files, "
        "or - for .npy or CSV from standard input; default the sample shipped with the network.",
        show_default=False,
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--output-name",
        metavar="NAME",
        help="Which output of a MODEL that has several; default the only one.",
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(help="Which array of a .npz, .safetensors or .zarr INPUT; default the only one."),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a .csv INPUT is a header. By default it is one if each of its "
        "cells begins with a letter; 0,1,2,... is refused, as it may be either.",
        show_default=False,
    ),
]
Backend = Annotated[
    str, typer.Option(help="numpy, torch, jax, ...", autocompletion=_completion.backend)
]
Device = Annotated[
    str | None,
    typer.Option(help="A device of the backend, such as cpu or cuda:0; default its own choice."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Rows in memory at a time.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute on the workers of the Dask scheduler there, such as tcp://host:8786.",
        show_default=False,
    ),
]

# What typer raises for a wrong option or argument; it has no public name for it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run() -> None:
    """Run the command line."""
    sys.stdout = cast("TextIO", Words(sys.stdout))
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status)
    except XpnnError as error:  # of --help and --version, that nothing takes
        _say(str(error))
        sys.exit(2)
    except typer.Abort:
        sys.exit(128 + signal.SIGINT)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "xpnn"  # type: ignore[attr-defined]
        text = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        _say(f"{text}; see {command} --help")
        sys.exit(2)


def _say(text: str) -> None:
    print("xpnn:", one_line(text), file=sys.stderr)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn an error that the user can mend into one line and exit status 2."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the rows has had enough
        drop(sys.stdout)
        raise typer.Exit(0) from None
    except (XpnnError, OSError, MemoryError, UnicodeError) as error:
        _say(_said(error))
        drop(sys.stdout)
        raise typer.Exit(2) from None


def _said(error: BaseException) -> str:
    """Return what is wrong; of what the system says, the file and the reason without its number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _version(value: bool) -> None:
    if value:
        print(f"xpnn {xpnn.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _check_input(input_: Path | None, key: str | None, header: bool | None) -> None:
    """Refuse what would say nothing of the sample."""
    if input_ is None and (key is not None or header is not None):
        raise typer.BadParameter(f"expected INPUT with {'--header' if key is None else '--key'}")


@app.command(cls=_help.Command)
def predict(
    model: Model = "digits",
    input_: Input = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A .npy, .csv, .parquet or .zarr to write, or a pipe; default -, standard output.",
        ),
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="npy, csv, parquet or zarr; default by OUT's name, csv on standard output.",
            autocompletion=_completion.written,
        ),
    ] = None,
    part: Part = None,
    key: Key = None,
    header: Header = None,
    backend: Backend = "numpy",
    device: Device = None,
    proba: Annotated[bool, typer.Option("--proba", help="Write probabilities.")] = False,
    classes: Annotated[
        bool,
        typer.Option(
            "--classes",
            help="Write the class of each row; an empty name, in .npy and .zarr -1, where the output is NaN.",
        ),
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Write the output without its softmax or sigmoid.")
    ] = False,
    batch_size: BatchSize = 8192,
    scheduler: Scheduler = None,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible",
            help="The same bits on every backend; prints the digest of the values.",
        ),
    ] = False,
    receipt: Annotated[
        Path | None,
        typer.Option(help="With --reproducible: a JSON file for `xpnn verify`.", metavar="FILE"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace OUT and the receipt if they are there.")
    ] = False,
) -> None:
    """Run a network on the rows of a file; by default, show it on handwritten digits.

    What is written is the network's output, probabilities or values, unless --classes or --logits says
    otherwise. Rows are read and written in pieces, so that memory stays flat. A file is written whole or
    not at all; none is replaced without --force, and what is read never is.
    """
    from xpnn.cli import _predict, _show
    from xpnn.cli._job import Job

    kinds = [
        name
        for name, wanted in (("proba", proba), ("classes", classes), ("logits", logits))
        if wanted
    ]
    if len(kinds) > 1:
        raise typer.BadParameter(f"expected one of --{' and --'.join(kinds)}, got both")
    if receipt is not None and not reproducible:
        raise typer.BadParameter("expected --reproducible with --receipt")
    if force and out is None and receipt is None:
        raise typer.BadParameter("expected --out or --receipt with --force")
    _check_input(input_, key, header)
    kind = kinds[0] if kinds else None
    with _one_line():
        way = (backend, device, kind, reproducible, part, scheduler)
        job = Job(model, input_, key, header, *way)
        if all(option is None for option in (input_, out, as_, receipt, kind)):
            _show.show(job, Console(), batch_size)
        else:
            target = _predict.Target(out or Path("-"), as_, receipt, force)
            _predict.predict(job, target, batch_size)


@app.command(cls=_help.Command)
def verify(
    receipt: Annotated[Path, typer.Argument(metavar="FILE", help="What --receipt wrote.")],
    model: Model = "digits",
    input_: Input = None,
    *,
    part: Part = None,
    key: Key = None,
    header: Header = None,
    backend: Backend = "numpy",
    device: Device = None,
    batch_size: BatchSize = 8192,
    scheduler: Scheduler = None,
) -> None:
    """Run a reproducible prediction again; say whether it is the same, to the last bit.

    MODEL and INPUT must be those of the receipt; backend, device and batch size may be others.
    """
    from xpnn.cli import _predict
    from xpnn.cli._job import Job

    _check_input(input_, key, header)
    with _one_line():
        way = (backend, device, None, True, part, scheduler)
        job = Job(model, input_, key, header, *way)
        same = _predict.verify(job, receipt, batch_size)
    raise typer.Exit(0 if same else 1)


@app.command(cls=_help.Command)
def parity(
    model: Model = "digits",
    input_: Input = None,
    *,
    part: Part = None,
    key: Key = None,
    header: Header = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="numpy, torch, jax, ...; may be given several times; default all.",
            autocompletion=_completion.backend,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="cpu, cuda:0, ...; may be given several times; default one of a kind."),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="float32, ...; may be given several times; default that of the result.",
            autocompletion=_completion.dtype,
        ),
    ] = None,
    of: Annotated[
        str,
        typer.Option(
            help="What to compare: output, logits or log_proba.", autocompletion=_completion.of
        ),
    ] = "output",
    rows: Annotated[int, typer.Option(min=1, help="Take the first rows only, so many.")] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON in place of the table.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a page, with the errors drawn."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> None:
    """Hold all backends to the exact results, inside a computed bound.

    No error may exceed a bound that is proved for this network and input, nor be far above what rounding
    is expected to do. What is wrong is named: a product rounded to TF32, a missing bias, a wrong activation.
    """
    from xpnn.cli import _files, _parity
    from xpnn.cli._job import Job

    if force and html is None:
        raise typer.BadParameter("expected --html with --force")
    _check_input(input_, key, header)
    with _one_line():
        job = Job(model, input_, key, header, "numpy", None, None, part=part)
        if html is not None:
            _parity.check_plots()
            _files.check_apart({"--html": html}, job.files)
            _files.check_free(html, force=force)
        question = _parity.Question(rows, of, backend, device, dtype)
        network = job.network()
        opened = job.rows(network)
        job.check_width(network, opened)
        report = _parity.report_on(network, opened, question)
        if html is not None:
            _files.write(html, _parity.page(report).encode(), force=force)
        if as_json:
            print(_parity.as_json(report))
        else:
            _parity.show(report, Console())
    raise typer.Exit(0 if report.passed else 1)


@app.command(cls=_help.Command)
def info(model: Model = "digits", *, part: Part = None) -> None:
    """Show a model file: layers, shapes, activations, parameters, bytes, metadata.

    Nothing in the file runs, whoever wrote it.
    """
    from xpnn.cli import _info

    with _one_line():
        _info.show_model(model, part, Console())


@app.command(cls=_help.Command)
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A model file of xpnn or of others, or a shipped network.",
            autocompletion=_completion.model,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", help="A .safetensors, .onnx or .pt2 file to write.")
    ],
    input_: Input = None,
    *,
    part: Part = None,
    key: Key = None,
    header: Header = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Prove it on the first rows only, so many.")
    ] = 50,
    proof: Annotated[
        bool, typer.Option("--proof/--no-proof", help="Hold SRC and DST to the exact values.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace DST if it is there.")] = False,
) -> None:
    """Write a network in another format, and prove that it is the same; nothing is written if not.

    The proof runs SRC and DST on INPUT, the sample of a shipped network, or rows that are drawn: by
    xpnn, and by the library that a format belongs to where it is installed.
    """
    from xpnn.cli import _conversion
    from xpnn.cli._job import Job

    _check_input(input_, key, header)
    with _one_line():
        job = Job(source, input_, key, header, "numpy", None, None, part=part)
        passed = _conversion.convert(job, target, rows if proof else 0, Console(), force=force)
    raise typer.Exit(0 if passed else 1)


@app.command(cls=_help.Command)
def backends() -> None:
    """Show the array libraries of this machine, and what installs the missing ones.

    Devices and dtypes of each, and why one that is installed cannot be used.
    """
    from xpnn.cli import _info

    with _one_line():
        _info.show_backends(Console())
