"""The command: what it prints and writes, and one line for every mistake."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import golden_cases
import numpy as np
import pytest
from interrupted import as_process, interrupt, ran_after, room_for, sparse
from labels import label

import xpnn
from xpnn import models
from xpnn._arrays.digest import digest

pytest.importorskip("typer")
pytest.importorskip("rich")

from rich.console import Console
from typer.testing import CliRunner

from xpnn.cli._app import app
from xpnn.cli._job import Job
from xpnn.cli._receipt import Blocks
from xpnn.cli._show import show

X, LABELS = models.sample("digits")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run("predict", ...): the command's result, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


@pytest.fixture
def fails(run):
    """fails("predict", ...): its one line of error."""

    def call(*arguments):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stderr.count("\n") == 1
        assert "Traceback" not in result.stderr
        return result.stderr

    return call


def process(*arguments, **options):
    command = [sys.executable, "-m", "xpnn.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_no_arguments_shows_digits(run):
    text = run("predict").stdout
    assert "195 of 200 right (97.5%)" in text
    assert text.count("label") == 3


def test_classes_are_the_same_on_every_backend(run, backend):
    if backend.name == "array-api-strict" and backend.device is not None:
        pytest.skip("the command names devices by text")
    result = run("predict", "--classes", "--backend", backend.name)
    assert result.exit_code == 0, result.output
    got = np.asarray(result.stdout.split(), int)
    np.testing.assert_array_equal(got, xpnn.load("digits").classify(X))
    assert (got == LABELS).sum() == 195


@pytest.mark.parametrize("batch", [1, 7, 200, 5000])
def test_batch_size_changes_no_class(batch, run):
    np.save("x.npy", X)
    result = run("predict", "digits", "x.npy", "-o", "y.npy", "--classes", "--batch-size", batch)
    assert result.exit_code == 0, result.output
    got = np.load("y.npy", mmap_mode="r")
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, xpnn.load("digits").classify(X))


@pytest.mark.parametrize(
    ("option", "method"),
    [
        (None, "__call__"),
        ("--proba", "__call__"),
        ("--logits", "logits"),
        ("--classes", "classify"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_outputs(option, method, suffix, run):
    np.save("x.npy", X)
    options = [option] if option else []
    assert run("predict", "digits", "x.npy", "-o", f"y{suffix}", *options).exit_code == 0
    got = np.load("y.npy") if suffix == ".npy" else np.loadtxt("y.csv", delimiter=",")
    desired = getattr(xpnn.load("digits"), method)(X)
    assert got.shape == desired.shape
    np.testing.assert_allclose(got, desired, rtol=1e-6)
    assert {p.name for p in Path().iterdir()} == {"x.npy", f"y{suffix}"}


def test_standard_output_is_csv(run):
    rows = [line.split(",") for line in run("predict", "--proba").stdout.splitlines()]
    np.testing.assert_allclose(np.asarray(rows, "f8").sum(1), 1, rtol=1e-6)


def test_out_is_not_replaced_without_force(run, fails):
    np.save("y.npy", np.arange(3))
    assert "--force" in fails("predict", "-o", "y.npy", "--classes")
    np.testing.assert_array_equal(np.load("y.npy"), np.arange(3))
    assert run("predict", "-o", "y.npy", "--classes", "--force").exit_code == 0
    assert np.load("y.npy").shape == (200,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "got 'nothing', which is not there"),
        (["x.npy"], "xpnn predict digits x.npy"),
        (["digits", "gone.npy"], "gone.npy"),
        (["digits", "x.txt"], ".npy, .npz, .safetensors, .csv, .parquet, .zarr"),
        (["digits", "x.npy", "-o", "y.txt"], ".npy, .csv, .parquet or .zarr"),
        (["digits", "x.npy", "-o", "no/such/place/y.npy"], "cannot be written"),
        (["digits", "x.npy", "-o", "folder.npy"], "something else"),
        (["digits", "narrow.npy"], "expected rows of 784 numbers"),
        (["digits", "x.npy", "--backend", "tensorflow"], "expected a backend of numpy"),
        (["digits", "x.npy", "--device", "cuda:3"], "no device 'cuda:3'"),
        (["line.safetensors"], "expected INPUT after MODEL"),
        (["line.safetensors", "two.npy", "--classes"], "a regression, .* leave --classes out"),
        (["line.safetensors", "two.npy", "--proba"], "a regression, .* leave --proba out"),
        (["bent.safetensors", "two.npy", "--logits"], "is relu; leave --logits out"),
        (["digits", "folder.npy"], "folder.npy: expected an input file, got a folder"),
        (["digits", "many.npz"], "a, b"),
        (["digits", "many.npz", "--key", "c"], "got 'c'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_mistakes(arguments, words, fails, tmp_path):
    np.save("x.npy", X[:3])
    np.save("narrow.npy", X[:3, :5])
    np.save("two.npy", np.ones((3, 2)))
    np.savez("many.npz", a=X, b=X)
    (tmp_path / "x.txt").touch()
    (tmp_path / "folder.npy").mkdir()
    xpnn.Network([xpnn.Dense(np.ones((2, 1)))]).save("line.safetensors")
    xpnn.Network([xpnn.Dense(np.ones((2, 1)), None, "relu")]).save("bent.safetensors")
    text = fails("predict", *arguments)
    assert words in text or re.search(words, text)
    assert "network(" not in text  # what Python would call
    assert not list(tmp_path.glob("*.part"))


def test_backend_that_is_not_installed(fails, monkeypatch):
    from xpnn._arrays import installed

    monkeypatch.setattr(installed, "_is_installed", lambda _: False)
    assert "pip install 'xpnn[torch]'" in fails("predict", "--backend", "torch")


def test_two_kinds(run):
    result = run("predict", "--proba", "--classes")
    assert result.exit_code == 2
    assert "--proba" in result.stderr


def test_info(run):
    text = run("info").stdout
    for part in ("784 x 50", "sigmoid", "45,360", "MNIST", "961 of 1,000"):
        assert part in text
    xpnn.Network([xpnn.Dense(np.ones((2, 1)))]).save("line.safetensors")
    assert "2 x 1" in run("info", "line.safetensors").stdout


def test_samples_of_several_axes(run, fails, backend):
    """A file holds them with their axes, or as rows of so many numbers."""
    network = xpnn.Network([xpnn.Flatten((28, 28)), *xpnn.load("digits").layers])
    network.save("images.safetensors")
    np.save("images.npy", X[:5].reshape(5, 28, 28))
    np.savetxt("rows.csv", X[:5], delimiter=",")
    for name in ("images.npy", "rows.csv"):
        shown = run("predict", "images.safetensors", name, "--classes", "--backend", backend.name)
        assert shown.stdout.split() == [str(c) for c in xpnn.load("digits").classify(X[:5])]
    np.save("one.npy", X[0].reshape(28, 28))
    assert "expected rows of 784 numbers" in fails("predict", "images.safetensors", "one.npy")
    assert "flatten 28 x 28 -> 784" in run("info", "images.safetensors").stdout
    shown = run("parity", "images.safetensors", "images.npy", "--backend", "numpy")
    assert shown.exit_code == 0, shown.output


def test_backends(run, backend):
    text = run("backends").stdout
    assert backend.name in text
    assert "cupy is not installed: pip install" in text or "cupy" in text


BROKEN = {
    "no driver": (
        """
        from numpy import *
        __version__ = "13.0"
        class Info:
            def devices(self): raise CUDARuntimeError("cudaErrorNoDevice:\\n no device")
            def dtypes(self, **_): return {}
        class CUDARuntimeError(RuntimeError): pass
        def __array_namespace_info__(): return Info()
        """,
        "is installed but has no device: CUDARuntimeError: cudaErrorNoDevice: no device",
    ),
    "no devices": (
        """
        from numpy import *
        class Info:
            def devices(self): return []
            def dtypes(self, **_): return {}
        def __array_namespace_info__(): return Info()
        """,
        "is installed but has no device",
    ),
    "no library": (
        "raise OSError('libcuda.so.1: not found')",
        "is installed but does not load: OSError: libcuda.so.1: not found",
    ),
    "no module": ("import nothing", "is installed but does not load: ModuleNotFoundError"),
}


@pytest.mark.parametrize(("code", "words"), BROKEN.values(), ids=BROKEN)
def test_a_backend_that_cannot_be_used_says_why(code, words, run, fails, monkeypatch, tmp_path):
    from xpnn._arrays import installed

    (tmp_path / "broken_xp.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_xp", raising=False)
    row = installed.TABLE["cupy"]._replace(namespace="broken_xp")
    table = {"numpy": installed.TABLE["numpy"], "cupy": row}
    monkeypatch.setattr(installed, "TABLE", table)
    library = installed.library_of_namespace
    monkeypatch.setattr(
        installed,
        "library_of_namespace",
        lambda xp: (
            SimpleNamespace(xp=xp, native=xp, name="cupy")
            if xp.__name__ == "broken_xp"
            else library(xp)
        ),
    )
    numpy, cupy = xpnn.backends()
    assert numpy.why is None
    assert cupy.why.startswith(words)
    assert (cupy.devices, cupy.dtypes) == ((), ())
    assert f"cupy {words}" in run("backends").stdout
    result = run("parity", "--rows", 5)
    assert result.exit_code == 0
    assert f"cupy {words}" in result.stdout
    assert words in fails("parity", "--rows", 5, "--backend", "cupy")
    if "load" in words:
        assert words in fails("predict", "--classes", "--backend", "cupy")


def test_version_and_help(run):
    assert run("--version").stdout == f"xpnn {xpnn.__version__}\n"
    assert "predict" in run("--help").stdout


def test_without_its_extra_the_command_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from xpnn.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "xpnn: the command needs typer; get it with: pip install 'xpnn[cli]'\n"


@pytest.mark.slow
def test_truncated_input_is_one_line_in_a_real_process(tmp_path):
    np.save(tmp_path / "x.npy", X)
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[: len(content) // 2])
    done = process("predict", "digits", "x.npy", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("xpnn: x.npy: ")
    assert done.stderr.count("\n") == 1


def test_a_closed_pipe_ends_quietly():
    command = f"'{sys.executable}' -m xpnn.cli predict --proba --batch-size 1 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def shell(line):
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602


VERDICTS = {
    "--help": 0,
    "--version": 0,
    "predict": 0,
    "predict digits x.npy --reproducible -o z.npy": 0,
    "verify other.json digits x.npy": 1,
    "verify r.json digits x.npy": 0,
    "parity --backend numpy --rows 3": 0,
    "parity --backend numpy --rows 3 --json": 0,
    "info": 0,
    "backends": 0,
    "convert digits c.safetensors --rows 3": 0,
}
"""Each command that prints words, and its exit status."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "reader"),
    [
        *itertools.product(VERDICTS, ["true"]),
        *itertools.product(list(VERDICTS)[-3:], ["head -n 1"]),
    ],
)
def test_a_reader_who_leaves_changes_no_verdict(command, reader, receipt):
    content = json.loads(receipt.read_text())
    content["output"]["sha256"] = "0" * 64
    Path("other.json").write_text(json.dumps(content))
    xpnn = f"'{sys.executable}' -m xpnn {command}"
    done = shell(f"exec 3>&1; {{ {xpnn}; echo $? >&3; }} | {reader} > /dev/null")
    assert (int(done.stdout), done.stderr) == (VERDICTS[command], "")
    assert Path("c.safetensors").exists() == command.startswith("convert")
    assert Path("z.npy").exists() == ("z.npy" in command)


def test_no_receipt_of_rows_that_nobody_took(tmp_path):
    command = f"predict --batch-size 1 --proba --reproducible --receipt '{tmp_path}/r.json'"
    done = shell(f"'{sys.executable}' -m xpnn {command} | head -n 1")
    assert "got one who left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@FULL
@pytest.mark.parametrize("command", ["--version", "info", "predict", "predict --proba"])
def test_a_full_standard_output_is_named(command):
    done = shell(f"'{sys.executable}' -m xpnn {command} > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "xpnn: standard output: cannot be written: No space left on device\n"


STATUSES = {
    "parity nope.safetensors": 2,
    "parity --bogus": 2,
    "verify nope.json": 2,
    "info > /dev/full": 2,
    "info >&-": 2,
    "predict digits nan.npy --classes -o y.csv": 0,
    "predict digits nan.npy --reproducible > /dev/null": 0,
}
"""Each way to write to standard error, and its exit status."""


def nobody():
    """The end of a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full():
    return os.open("/dev/full", os.O_WRONLY)


@FULL
@pytest.mark.parametrize("aside", [full, nobody, None])
@pytest.mark.parametrize("command", STATUSES)
def test_who_does_not_take_standard_error_changes_no_status(command, aside, tmp_path):
    np.save(tmp_path / "nan.npy", X[:3] * np.float32([[1], [np.nan], [1]]))
    line = f"{'' if aside else 'exec 2>&-;'} '{sys.executable}' -m xpnn {command}; echo $?"
    stderr = aside() if aside else None
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )
    if aside:
        os.close(stderr)
    assert done.stdout == f"{STATUSES[command]}\n"
    if "y.csv" in command:
        assert (tmp_path / "y.csv").read_text().count("\n") == 3


@FULL
def test_without_its_extra_no_status_is_a_verdict():
    code = "import sys; sys.modules['typer'] = None; from xpnn.cli import main; main()"
    assert shell(f"'{sys.executable}' -c \"{code}\" 2> /dev/full; echo $?").stdout == "2\n"


@pytest.mark.skipif(
    sys.platform != "linux", reason="a terminal that is gone is another's elsewhere"
)
def test_a_terminal_that_is_gone_ends_no_work(tmp_path):
    sparse(tmp_path / "x.npy", 100_000)
    command = [sys.executable, "-m", "xpnn.cli", "predict", "digits", "x.npy", "-o", "y.npy"]
    leader, follower = os.openpty()
    with subprocess.Popen(command, cwd=tmp_path, stderr=follower) as running:
        os.close(follower)
        os.read(leader, 1)  # it has begun to show how far it is
        os.close(leader)
        assert running.wait() == 0
    assert len(np.load(tmp_path / "y.npy", mmap_mode="r")) == 100_000


def taken_by(open_, tmp_path, *arguments, to_stdout):
    """Run a command whose results go to what is opened so: to standard output, or to OUT."""
    handle = open_()
    out = [] if to_stdout else ["-o", f"/dev/fd/{handle}"]
    command = [sys.executable, "-m", "xpnn", "predict", *arguments, *out]
    stdout = handle if to_stdout else subprocess.DEVNULL
    options = {"stdout": stdout, "stderr": subprocess.PIPE, "pass_fds": [handle], "text": True}
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, cwd=tmp_path, check=False, env=buffered, **options)
    os.close(handle)
    return done


@FULL
@pytest.mark.parametrize("to_stdout", [True, False])
@pytest.mark.parametrize("open_", [full, nobody])
@pytest.mark.parametrize("kind", ["csv", "npy"])
@pytest.mark.parametrize("rows", [3, 200])
def test_a_receipt_is_not_blamed_for_its_results(rows, kind, open_, to_stdout, tmp_path):
    """Whether they are lost at once, or wait until the end."""
    np.save(tmp_path / "x.npy", X[:rows])
    command = ["digits", "x.npy", "--reproducible", "--receipt", "r.json", "--format", kind]
    done = taken_by(open_, tmp_path, *command, to_stdout=to_stdout)
    assert done.returncode == 2
    if open_ is full:
        assert "r.json" not in done.stderr
        assert done.stderr.startswith("xpnn: standard output: " if to_stdout else "xpnn: /dev/fd/")
        assert done.stderr.endswith(": cannot be written: No space left on device\n")
    else:
        assert "of all rows for a receipt of them, got one who left; r.json was not" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("out", ["y.npy", "y.csv", "-"])
def test_what_goes_wrong_between_is_blamed_on_no_file(out, fails, monkeypatch, tmp_path):
    def unreadable(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("xpnn.cli._receipt.file_digest", unreadable)
    text = fails("predict", "digits", "-o", out, "--reproducible", "--receipt", "r.json")
    assert text == f"xpnn: {models.path('digits')}: Permission denied\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to_stdout", [True, False])
def test_a_reader_who_left_hides_no_error(to_stdout, tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3,4\n5,a\n")
    xpnn.Network([xpnn.Dense(np.eye(2))]).save(tmp_path / "m.safetensors")
    command = ["m.safetensors", "x.csv", "--batch-size", 1, "--format", "csv"]
    done = taken_by(nobody, tmp_path, *map(str, command), to_stdout=to_stdout)
    assert done.returncode == 2
    assert done.stderr == "xpnn: x.csv, line 3: expected a number, got 'a'\n"


@pytest.mark.parametrize(
    ("closed", "words"),
    [("- <&-", "standard input: expected"), (">&-", "expected a standard output")],
)
def test_a_closed_stream_is_an_error(closed, words):
    command = f"'{sys.executable}' -m xpnn.cli predict digits {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(number, tmp_path):
    sparse(tmp_path / "x.npy", 3_000_000)
    predict = as_process("predict", "digits", "x.npy", "-o", "y.npy")
    interrupt(predict, tmp_path, number, lambda part: part.exists())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_the_garbage_collector_calls_back(number):
    """Python only prints what is raised there, as in the callback that JAX has."""
    code = (
        "import gc, signal, sys\n"
        f"number, own = {int(number)}, (signal.SIG_DFL, signal.default_int_handler)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def collected(*_, raised=[]):\n"
        "    if not raised and signal.getsignal(number) not in own:\n"
        "        raised.append(number)\n"
        "        signal.raise_signal(number)\n"
        "gc.callbacks.append(collected)\n"
        "gc.set_threshold(100)\n"
        "sys.argv = ['xpnn', 'parity', 'digits', '--backend', 'numpy']\n"
        "from xpnn.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr


MOMENTS = {
    # As that of importlib, where a module of C may lose errors.
    "a module of C is imported": """
class ExtensionFileLoader:
    def exec_module(self):
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)

_signals.catch()
ExtensionFileLoader().exec_module()
time.sleep(60)
""",
    "the command is imported": """
class Finder:
    def find_spec(self, name, *_):
        if name == "xpnn.cli._app":
            signal.raise_signal(number)

sys.meta_path.insert(0, Finder())
cli.main()
""",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_is_heard_while(moment, number):
    code = f"""
import contextlib, signal, sys, time
from xpnn import cli
from xpnn.cli import _signals
signal.signal(signal.SIGINT, signal.default_int_handler)
number = {int(number)}
{MOMENTS[moment]}"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode in {128 + number, -number}, done.stderr
    assert moment != "the command is imported" or "Traceback" not in done.stderr


@pytest.mark.parametrize("format_", ["csv", "npy"])
def test_no_row_is_lost_where_output_is_unbuffered(format_, tmp_path):
    """Files of `python -u` take a part of what is written, where there is no more room."""
    np.save(tmp_path / "x.npy", np.zeros((300, 784), "float32"))
    arguments = ("predict", "digits", "x.npy", "--format", format_)
    with (tmp_path / "y").open("wb") as out:
        done = ran_after(room_for(8192), *arguments, folder=tmp_path, options=["-u"], stdout=out)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: File too large" in done.stderr


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(tmp_path):
    sparse(tmp_path / "x.npy", 100_000)

    arguments = ("predict", "digits", "x.npy", "-o", "y.npy")
    done = ran_after(room_for(100_000), *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "y.npy: cannot be written: File too large; nothing was left" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]


def peak_memory(rows, folder):
    """Peak resident set of a prediction, in MiB."""
    sparse(folder / "x.npy", rows)
    code = (
        "import resource, sys; sys.argv = ['xpnn', 'predict', 'digits', 'x.npy', '-o', 'y.npy',"
        " '--force', '--batch-size', '4096']; import atexit; atexit.register(lambda: print("
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); from xpnn.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) / 1024


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    small, large = peak_memory(20_000, tmp_path), peak_memory(600_000, tmp_path)  # 470 MB
    assert np.load(tmp_path / "y.npy", mmap_mode="r").shape == (600_000, 10)
    assert large < small + 60


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_only_on_a_terminal(terminal, tmp_path):
    sparse(tmp_path / "x.npy", 100_000)
    command = [sys.executable, "-m", "xpnn.cli", "predict", "digits", "x.npy", "-o", "y.npy"]
    if not terminal:
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (done.stdout, done.stderr) == (b"", b"")
        return
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=follower, env=environment) as running:
        os.close(follower)
        seen = b""
        try:
            while part := os.read(leader, 4096):
                seen += part
        except OSError:  # the other end is closed
            pass
        assert running.wait() == 0
    os.close(leader)
    assert b"rows" in seen


# Files that are one, and options that mean nothing


def same(kind, path):
    """Return another path to the file at `path`."""
    other = path.with_name(f"other{path.suffix}")
    if kind == "hard link":
        other.hardlink_to(path)
    elif kind == "symbolic link":
        other.symlink_to(path.name)
    return {
        "name": path,
        "relative": Path("..", path.parent.name, path.name),
        "absolute": path.absolute(),
    }.get(kind, other)


@pytest.mark.parametrize("kind", ["name", "relative", "absolute", "hard link", "symbolic link"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("predict m.npy.csv x.csv -o", "OUT and MODEL"),
        ("predict m.npy.csv x.csv --reproducible --receipt", "--receipt and MODEL"),
        ("parity m.npy.csv x.csv --html", "--html and MODEL"),
        ("predict m.npy.csv x.csv -o", "OUT and INPUT"),
        ("predict m.npy.csv x.csv --reproducible --receipt", "--receipt and INPUT"),
        ("parity m.npy.csv x.csv --html", "--html and INPUT"),
    ],
)
def test_what_is_read_is_not_written(arguments, words, kind, fails, tmp_path):
    (tmp_path / "in").mkdir()
    os.chdir(tmp_path / "in")
    xpnn.Network([xpnn.Dense(np.ones((2, 1)))]).save("m.npy.csv")
    Path("x.csv").write_text("1,2\n")
    before = {p: p.read_bytes() for p in map(Path, ["m.npy.csv", "x.csv"])}
    read = Path("x.csv" if "INPUT" in words else "m.npy.csv").absolute()
    text = fails(*arguments.split(), same(kind, read), "--force")
    assert f"expected {words} to be two files, got one" in text
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("receipt", ["y.csv", "./y.csv", "Y.CSV", "link", "dangling"])
def test_a_receipt_beside_its_results(receipt, fails, tmp_path):
    (tmp_path / "link").symlink_to("y.csv")
    Path("dangling").symlink_to(tmp_path / "y.csv")
    command = ["predict", "-o", "y.csv", "--reproducible", "--receipt", receipt]
    assert "OUT and --receipt to be two files, got one" in fails(*command)
    assert {p.name for p in tmp_path.iterdir()} == {"link", "dangling"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("predict --force", "expected --out or --receipt with --force"),
        ("parity --force", "expected --html with --force"),
        *((f"{c} --key a", "expected INPUT with --key") for c in ("predict", "parity", "verify r")),
        ("predict --header", "expected INPUT with --header"),
        ("predict --no-header", "expected INPUT with --header"),
        ("predict digits x.npy --key a", "--key is for .npz, .safetensors and .zarr, got .npy"),
        ("parity digits x.csv --key a", "--key is for .npz, .safetensors and .zarr, got .csv"),
        ("predict digits x.npy --no-header", "--header and --no-header are for .csv, got .npy"),
        ("predict -o y.npy --format csv", "expected a name that ends in .csv, got '.npy'"),
        ("predict -o y --format json", "expected --format npy, csv, parquet or zarr, got 'json'"),
        ("predict -o y", "or say --format npy, csv, parquet or zarr"),
        ("predict --reproducible --receipt /dev/null --force", "got a pipe or a device"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments, words, run, tmp_path):
    np.save("x.npy", X[:3])
    np.savetxt("x.csv", X[:3], delimiter=",")
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert words in result.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"x.npy", "x.csv"}


def test_batch_size_of_the_sample(run):
    assert run("predict", "--batch-size", 7).stdout == run("predict").stdout


# Pipes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npy", "csv"])
@pytest.mark.parametrize(
    ("from_", "into"),
    [
        ("-", "- | cat > y"),
        ("/dev/stdin", "/dev/stdout | cat > y"),
        ("<(cat x)", ">(cat > y)"),
        ("- < x", "- > y"),
    ],
)
@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="these are POSIX's")
def test_pipes_in_and_out(kind, into, from_, tmp_path):
    desired = xpnn.load("digits").classify(X[:5])
    if kind == "npy":
        np.save(tmp_path / "x.npy", X[:5])
    else:
        np.savetxt(tmp_path / "x.csv", X[:5], delimiter=",")
    (tmp_path / f"x.{kind}").rename(tmp_path / "x")
    command = (
        f"'{sys.executable}' -m xpnn.cli predict digits {from_} --classes --format {kind} -o {into}"
    )
    subprocess.run(["bash", "-c", f"cat x | {command}"], cwd=tmp_path, check=True)
    for _ in range(100):  # bash does not wait for >(cat)
        if (tmp_path / "y").exists() and (tmp_path / "y").stat().st_size:
            break
        time.sleep(0.05)
    got = np.load(tmp_path / "y") if kind == "npy" else np.loadtxt(tmp_path / "y", dtype=int)
    np.testing.assert_array_equal(got, desired)


# Rows that are not numbers


@pytest.mark.slow
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "several sigmoids"])
@pytest.mark.parametrize("way", [[], ["--reproducible"]])
def test_a_row_of_nan_has_no_class(output, way, run, backend):
    count = {"softmax": 3, "sigmoid": 1, "several sigmoids": 2}[output]
    names = {"softmax": ["a", "b", "c"], "sigmoid": ["no", "yes"]}.get(output)
    # Finite rows that overflow on the way have none, either.
    weights = [np.asarray([[1e308, 0.0], [0.0, 1.0]]), np.ones((2, count)) * [[-1.0], [1.0]]]
    activation = output.split()[-1].removesuffix("s")
    xpnn.Network.from_weights(
        weights, None, hidden="identity", output=activation, classes=names
    ).save("m.safetensors")
    x = np.asarray([[0.0, 1.0], [np.nan, 1.0], [0.0, np.nan], [1e308, np.inf], [0.0, -1.0]])
    np.save("x.npy", x)
    command = ["predict", "m.safetensors", "x.npy", "--classes", *way, "--backend", backend.name]
    assert run(*command, "-o", "y.npy").exit_code == 0
    y = np.load("y.npy").reshape(5, -1)
    assert (y[1:4] == -1).all()
    assert (y[[0, 4]] >= 0).all()
    result = run(*command)
    lines = result.stdout.splitlines()
    empty = '""' if y.shape[1] == 1 else ","
    assert lines[1:4] == [empty] * 3
    assert lines[0] == {"softmax": "a", "sigmoid": "yes"}.get(output, "1,1")
    assert "rows without a class, as their output is NaN: 3\n" in result.stderr


def test_header_of_a_csv_file(run, fails):
    names = [*map(str, range(784))]
    np.savetxt("x.csv", X[:3], "%d", delimiter=",", header=",".join(names), comments="")
    assert "--no-header or --header" in fails("predict", "digits", "x.csv", "--classes")
    assert run("predict", "digits", "x.csv", "--classes", "--header").stdout.count("\n") == 3
    assert run("predict", "digits", "x.csv", "--classes", "--no-header").stdout.count("\n") == 4
    command = ["predict", "digits", "x.csv", "--header", "--reproducible", "--receipt", "r.json"]
    assert run(*command).exit_code == 0
    assert run("verify", "r.json", "digits", "x.csv", "--header").exit_code == 0


# Reproducible


def test_reproducible_prints_the_golden_digest(run, backend):
    golden = json.loads(golden_cases.FILE.read_text(encoding="utf-8"))["digits"]
    result = run("predict", "--reproducible", "--backend", backend.name)
    assert f"sha256 {golden}\n" in result.stdout
    np.save("x.npy", X)
    result = run("predict", "digits", "x.npy", "--reproducible", "--proba", "--batch-size", 7)
    assert "sha256" not in result.stdout
    values = np.loadtxt(result.stdout.splitlines(), delimiter=",", dtype="float32")
    assert result.stderr.strip().removeprefix("sha256 ") == digest(values)


def test_neither_results_nor_receipt_without_the_other(run, monkeypatch, tmp_path):
    def full(job, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xpnn.cli._predict.summary", full)
    command = ["predict", "digits", "-o", "y.npy", "--reproducible", "--receipt", "r.json"]
    assert run(*command).exit_code != 0
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob("*.json"))


@pytest.fixture
def receipt(run):
    np.save("x.npy", X)
    command = ["predict", "digits", "x.npy", "--reproducible", "--classes"]
    assert run(*command, "-o", "y.npy", "--receipt", "r.json").exit_code == 0
    return Path("r.json")


def test_verify_accepts_a_receipt_on_another_backend(receipt, run, backend):
    result = run("verify", receipt, "digits", "x.npy", "--backend", backend.name)
    assert result.exit_code == 0
    assert result.stdout.startswith("same: sha256 " + digest(np.load("y.npy")))


def test_verify_says_what_differs(receipt, run):
    content = json.loads(receipt.read_text())
    other = X.copy()
    other[150, 300] ^= 1
    np.save("other.npy", other)
    result = run("verify", receipt, "digits", "other.npy")
    assert result.exit_code == 1
    assert result.stdout.startswith("different: the input")
    content["output"]["sha256"] = "0" * 64
    content["output"]["blocks"][17] = "0" * 16
    receipt.write_text(json.dumps(content))
    result = run("verify", receipt, "digits", "x.npy")
    assert result.exit_code == 1
    assert "first in row 17" in result.stdout
    content["model"]["sha256"] = "0" * 64
    content["guarantee"] = 0
    receipt.write_text(json.dumps(content))
    text = run("verify", receipt, "digits", "x.npy").stdout
    assert "the guarantee: version 0 then" in text
    assert "the model" in text
    xpnn.Network([xpnn.Dense(np.ones((784, 1)))]).save("line.safetensors")
    result = run("verify", receipt, "line.safetensors", "x.npy")
    assert result.exit_code == 2
    assert "a regression, whose last activation is identity; r.json is of another" in result.stderr


def test_blocks_find_the_rows_that_differ():
    rows = np.arange(3000.0).reshape(1500, 2)
    whole, pieces = Blocks(), Blocks()
    whole.update(rows)
    for i in range(0, 1500, 7):
        pieces.update(rows[i : i + 7])
    assert whole.to_list() == pieces.to_list()
    assert len(whole.to_list()) <= 256
    rows[1499, 1] += 1
    changed = Blocks()
    changed.update(rows)
    same = [a == b for a, b in zip(changed.to_list(), whole.to_list(), strict=True)]
    assert same == [True] * (len(same) - 1) + [False]


def test_bad_receipts(receipt, run, fails):
    assert "is there already" in fails("predict", "--reproducible", "--receipt", receipt)
    result = run("predict", "--receipt", "s.json")
    assert (result.exit_code, "expected --reproducible" in result.stderr) == (2, True)
    assert "no file of that name" in fails("verify", "s.json")
    Path("s.json").write_text("nothing")
    assert "no JSON" in fails("verify", "s.json")
    Path("s.json").write_text("[]")
    assert "expected a receipt of format 1, got None" in fails("verify", "s.json")
    assert "cannot be written" in fails("predict", "--reproducible", "--receipt", "nowhere/r.json")


NO_SUCH = object()
WRONG = [
    *(("xpnn receipt", v) for v in (2, True, 1.0, "1", NO_SUCH)),
    *(("guarantee", v) for v in (True, 1.5, "1", None, -1, NO_SUCH)),
    *((place, v) for place in ("model", "input", "output", "ran on") for v in ([], "a", NO_SUCH)),
    *(
        (f"{part}/sha256", v)
        for part in ("model", "input", "output")
        for v in (1, "0" * 63, "G" * 64)
    ),
    *(("output/kind", v) for v in ("colours", [], None, NO_SUCH)),
    *(("output/rows", v) for v in (True, 1.0, 0, 3, -1, "1", NO_SUCH)),
    *(("output/blocks", v) for v in ({}, [], ["0" * 15], [0], ["0" * 16] * 257, NO_SUCH)),
    *(("ran on/backend", v) for v in (1, NO_SUCH)),
    *((place, 1) for place in ("note", "model/note", "input/note", "output/note", "ran on/note")),
]


def placed(content, place, value):
    content = json.loads(content)
    *way, last = place.split("/")
    part = content
    for name in way:
        part = part[name]
    if value is NO_SUCH:
        del part[last]
    else:
        part[last] = value
    return json.dumps(content)


@pytest.fixture(scope="module")
def small_receipt(tmp_path_factory):
    """The text of a receipt."""
    folder = tmp_path_factory.mktemp("receipt")
    command = ["predict", "--reproducible", "--classes", "-o", folder / "y.csv"]
    command += ["--receipt", folder / "r.json"]
    assert CliRunner().invoke(app, [str(a) for a in command]).exit_code == 0
    return (folder / "r.json").read_text()


@pytest.mark.parametrize(("place", "value"), WRONG, ids=label)
def test_a_receipt_that_is_wrong_anywhere_takes_one_line(place, value, small_receipt, fails):
    Path("r.json").write_text(placed(small_receipt, place, value))
    text = fails("verify", "r.json")
    assert text.startswith("xpnn: r.json: expected a receipt")
    assert place.replace("/", ".") in text or place == "xpnn receipt"


def test_a_field_that_is_there_twice(small_receipt, fails):
    Path("r.json").write_text(small_receipt.replace("{", '{"guarantee": 0, ', 1))
    assert "one with guarantee twice" in fails("verify", "r.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [("output/rows", 2), ("output/blocks", ["0" * 16] * 200), ("output/blocks", ["0" * 16])],
    ids=repr,
)
def test_receipts_are_compared_whole(place, value, small_receipt, run):
    Path("r.json").write_text(placed(small_receipt, place, value))
    result = run("verify", "r.json")
    assert result.exit_code == 1
    assert result.stdout.startswith("different: the blocks of the output, though not its sha256")


# Terminals


@pytest.mark.parametrize("columns", [10, 50, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("command", ["parity --backend numpy --rows 5", "info", "predict"])
def test_tables_lose_nothing(command, encoding, columns, run, monkeypatch):
    """On a narrow terminal lines are broken by the terminal, between any two characters."""
    monkeypatch.setenv("COLUMNS", str(columns))
    runner = CliRunner(charset=encoding)
    text = runner.invoke(app, command.split()).stdout
    if command == "info":
        for i, layer in enumerate(xpnn.load("digits").layers):
            n, m = layer.weight.shape
            values = [i, f"{n} x {m}", "yes", layer.activation, "float32", f"{layer.parameters:,}"]
            line = next(line for line in text.splitlines() if f"{n} x {m}" in line)
            cells = [c.strip() for c in line.replace("│", "|").split("|") if c.strip()]
            assert cells == [str(v) for v in values]
    elif command == "predict":
        assert sum(line.count("%") for line in text.splitlines() if "right" not in line) >= 30
        assert text.count("label: ") == 3
    else:
        head, _, *rows = text.replace("|", " ").splitlines()[:4]
        assert head.split() == "backend dtype way ulp /bound /expected classes ms".split()
        network, x = xpnn.load("digits"), X[:5]
        results = xpnn.parity(network, x, backends=["numpy"]).results
        for line, result in zip(rows, results, strict=True):
            cells = list(result.cells)
            del cells[-2]  # the time
            assert [c for c in " ".join(cells).split() if c not in line.split()] == []


@pytest.mark.parametrize("command", ["parity --rows 5", "backends"])
def test_tables_fit_80_columns(command, run, monkeypatch):
    """Whatever is installed: some libraries have long names for their devices."""
    names = [f"array_api_strict.Device('{name}')" for name in ("CPU_DEVICE", "no_float64")]
    some = xpnn.backends()[0]._replace(
        name="array-api-strict", version="2.13.0+cpu", devices=tuple(names)
    )
    monkeypatch.setattr("xpnn.cli._info.backends", lambda: [some])
    table = run(*command.split()).stdout.split("\nnumpy: ")[0].split("\nNetwork")[0]
    assert table.count("\n") >= 3
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize("columns", [20, 50, 200])
def test_help_loses_nothing(columns, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run("predict", "--help").stdout
    for word in ("--reproducible", "--no-header", "--batch-size", ".safetensors", "standard"):
        assert word in text
    assert "…" not in text


@pytest.mark.parametrize("no_color", [True, False])
def test_digits_are_seen_without_colours(no_color):
    written = io.StringIO()
    console = Console(
        file=written, force_terminal=True, color_system="truecolor", no_color=no_color, width=80
    )
    show(Job("digits", None, None, None, "numpy", None, None), console, 8192)
    assert ("▀" in written.getvalue()) is not no_color
    assert ("%" * 3 in written.getvalue()) is no_color


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_console_without_the_characters_gets_others(encoding, tmp_path):
    names = ["ü", "数"]
    network = xpnn.Network([xpnn.Dense(np.eye(2), None, "softmax")], classes=names)
    network.save(tmp_path / "m.safetensors")
    (tmp_path / "x.csv").write_text("1,0\n0,1\n")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = process("info", "m.safetensors", cwd=tmp_path, env=environment, encoding="latin-1")
    assert done.returncode == 0, done.stderr
    assert "classes: ?, ?" in done.stdout or "classes: ü, ?" in done.stdout
    done = process(
        "predict",
        "m.safetensors",
        "x.csv",
        "--classes",
        cwd=tmp_path,
        env=environment,
        encoding="utf-8",
    )
    assert done.stdout == "ü\n数\n"  # a file of CSV is UTF-8, wherever it goes
    done = process("info", "ü", cwd=tmp_path, env=environment, encoding="latin-1")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_parity_passes_on_the_shipped_model(run, backend):
    result = run("parity", "--backend", backend.name, "--rows", 20)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[2].startswith(f"{backend.name} ")
    assert "certain: the classes of 20 rows" in result.stdout
    devices = 2 if backend.is_gpu and backend.name != "cupy" else 1  # the CPU, too
    assert result.stdout.endswith(f"passed: all {2 * devices} results\n")
    result = run("parity", "--json", "--backend", backend.name, "--rows", 20, "--dtype", "float64")
    content = json.loads(result.stdout)
    assert content["passed"] is True
    assert [r["dtype"] for r in content["results"]] == ["float64"] * 2 * devices
    assert content["results"][1]["sha256"]


def test_parity_writes_a_page(run, tmp_path):
    result = run("parity", "--backend", "numpy", "--rows", 20, "--html", "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 3
    assert "data:image/png;base64," in page
    assert "http" not in page  # it needs nothing else
    assert "is there already" in run("parity", "--html", "page.html").stderr
    assert (
        run("parity", "--backend", "numpy", "--rows", 5, "--html", "page.html", "--force").exit_code
        == 0
    )
    assert "no folder" in run("parity", "--html", "nowhere/page.html").stderr


def test_parity_fails_with_status_1(run, monkeypatch):
    import array_api_compat.numpy as xp

    right = xp.matmul

    def matmul(a, b):
        y = right(a, b)
        return y * np.float32(1.01) if y.dtype == np.float32 else y

    monkeypatch.setattr(xp, "matmul", matmul)
    result = run("parity", "--backend", "numpy", "--rows", 20)
    assert result.exit_code == 1
    assert "numpy cpu, float32, fast: layer 0, x @ weight + bias: " in result.stdout
    assert result.stdout.endswith("FAILED: 1 of 2 results\n")


def test_parity_says_what_is_not_there(run, monkeypatch):
    from xpnn._arrays import installed

    monkeypatch.setattr(installed, "_is_installed", lambda module: module == "numpy")
    result = run("parity", "--rows", 5)
    assert result.exit_code == 0
    assert "torch is not installed: pip install 'xpnn[torch]'" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "tensorflow"], "expected a backend of numpy"),
        (["--dtype", "int8"], "expected dtype to be one of"),
        (["--of", "proba"], "of: expected 'output'"),
        (["digits", "wide.npy"], "wide.npy: expected rows of 784 numbers"),
        (["digits", "empty.npy"], "at least one row"),
        (["nothing.safetensors"], "is not there"),
    ],
)
def test_parity_mistakes_take_one_line(fails, tmp_path, arguments, words):
    np.save(tmp_path / "wide.npy", np.ones((2, 785)))
    np.save(tmp_path / "empty.npy", np.ones((0, 784)))
    assert words in fails("parity", *arguments)
