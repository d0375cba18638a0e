"""xpnn convert: every source to every format, proved; and nothing left behind where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from interrupted import ran_after, room_for

import xpnn
from xpnn._convert.extras import READERS

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner

from xpnn.cli import _conversion
from xpnn.cli._app import app

pytestmark = pytest.mark.libraries
MODELS = Path(__file__).parents[1] / "convert"
SOURCES = {
    ".safetensors": "digits",
    ".onnx": MODELS / "models" / "residual.dynamo.onnx",
    ".skops": MODELS / "estimators" / "wine-names.skops",
    ".npz": "emulator.npz",
    ".json": "lwtnn.json",
    ".pt2": MODELS / "models_pt2" / "residual.pt2",
    ".keras": MODELS / "models_keras" / "wine.keras",
    ".h5": MODELS / "models_keras" / "wine.h5",
}
"""A model of each format."""
NEEDS = {".onnx": ["onnx"], ".pt2": ["torch"], ".keras": ["h5py"], ".h5": ["h5py"]}


def written(name):
    rng = np.random.default_rng(0)
    if name == "lwtnn.json":
        inputs = [{"name": n, "offset": 1, "scale": 2} for n in ("pt", "eta")]
        dense = {"architecture": "dense", "weights": [1.0, 2, 3, 4, 5, 6], "bias": [0.1, 0.2, 0.3]}
        layers = [{**dense, "activation": "softmax"}]
        given = {"inputs": inputs, "layers": layers, "outputs": ["b", "c", "light"]}
        Path(name).write_text(json.dumps(given))
    elif name == "emulator.npz":
        arrays = {"parameters": ["a", "b", "c"], "modes": [2, 3]}
        shapes = {"W_0": (3, 4), "b_0": 4, "alphas_0": 4, "betas_0": 4, "W_1": (4, 2), "b_1": 2}
        arrays |= {n: rng.normal(size=s).astype("float32") for n, s in shapes.items()}
        np.savez(name, **arrays)
    return name


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


def test_every_format_is_a_source():
    assert set(SOURCES) == {*READERS, ".safetensors"} - {".hdf5"}  # which is .h5


@pytest.mark.parametrize("target", _conversion.WRITERS)
@pytest.mark.parametrize("source", SOURCES)
def test_pairs(source, target, run):
    for package in {*NEEDS.get(source, []), *NEEDS.get(target, [])}:
        pytest.importorskip(package)
    path = written(SOURCES[source])
    result = run("convert", path, f"made{target}")
    assert result.exit_code == 0, result.output
    assert f"wrote made{target}" in result.stdout
    assert "same bits" in result.stdout
    assert "FAILED" not in result.stdout
    given, made = xpnn.load(path), xpnn.load(f"made{target}")
    names = given.classes, given.inputs, given.outputs
    assert (made.classes, made.inputs, made.outputs) == names
    assert [p.name for p in Path().glob(".xpnn*")] == []


def test_what_is_not_the_same_is_not_written(run, monkeypatch):
    """Of another activation, the bound is missed."""

    def wrong(network, path, notes):
        first, *rest = network.layers
        xpnn.Network([xpnn.Dense(first.weight, first.bias, "tanh"), *rest]).save(
            path, metadata=notes
        )

    monkeypatch.setitem(_conversion.WRITERS, ".safetensors", wrong)
    result = run("convert", "digits", "made.safetensors")
    assert result.exit_code == 1
    assert "FAILED: another activation in layer 0: tanh in place of sigmoid" in result.stdout
    assert "made.safetensors was not written" in result.stdout
    assert list(Path().iterdir()) == []
    assert run("convert", "digits", "made.safetensors", "--no-proof").exit_code == 0


def test_what_another_program_says_is_held_to_it(run, monkeypatch):
    """A runner of other results fails the conversion; one that cannot run the file does not."""
    from xpnn._convert.runners import RUNNERS, Runner

    pytest.importorskip("onnx")

    def half(path, x, output):
        return xpnn.load(path)(x) / 2

    def cannot(path, x, output):
        raise xpnn.XpnnValueError("no such operator")

    monkeypatch.setitem(RUNNERS, ".onnx", Runner("Other", half, runs_no_code=True))
    result = run("convert", "digits", "made.onnx")
    assert result.exit_code == 1
    assert "Other, made.onnx" in result.stdout
    assert list(Path().iterdir()) == []
    monkeypatch.setitem(RUNNERS, ".onnx", Runner("Other", cannot, runs_no_code=True))
    result = run("convert", "digits", "made.onnx")
    assert result.exit_code == 0
    assert "cannot run it: no such operator" in result.stdout


def test_on_rows_that_are_given(run):
    path = written("lwtnn.json")
    Path("rows.csv").write_text("id,eta,pt\n7,0.5,20\n8,1.5,30\n")
    result = run("convert", path, "made.safetensors", "rows.csv")
    assert result.exit_code == 0, result.output
    assert "2 rows, rows.csv" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits", "made.txt"], "expected DST to be named .safetensors, .onnx"),
        (["digits", "there.onnx"], "is there already; replace it with --force"),
        (["there.onnx", "there.onnx"], "expected DST and SRC to be two files"),
        (["digits", "no/such/made.onnx"], "there is no folder"),
        (["gone.onnx", "made.safetensors"], "which is not there"),
        (
            ["digits", "made.onnx", "--output-name", "y"],
            "expected no --output-name for a model file",
        ),
    ],
)
def test_mistakes(arguments, words, run):
    Path("there.onnx").touch()
    result = run("convert", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert [p.name for p in Path().iterdir()] == ["there.onnx"]


def test_rows_by_name(run):
    """Columns in another order, and others beside them, give the same classes."""
    path = written("lwtnn.json")
    Path("ordered.csv").write_text("20,0.5\n30,1.5\n")
    Path("named.csv").write_text("name,eta,pt\njet,0.5,20\nother,1.5,30\n")
    results = [run("predict", path, f, "--classes").stdout for f in ("ordered.csv", "named.csv")]
    assert results[0] == results[1] != ""
    Path("missing.csv").write_text("eta,p\n0.5,20\n")
    result = run("predict", path, "missing.csv")
    assert result.exit_code == 2
    assert "'pt' is missing: expected the columns 'pt', 'eta', got 'eta', 'p'" in result.stderr
    Path("of_pandas.csv").write_text(",eta,pt\n0,0.5,20\n1,1.5,30\n")
    assert run("predict", path, "of_pandas.csv", "--classes").stdout == results[0]
    Path("long.csv").write_text("1," * 2**23 + "1\n")
    result = run("predict", path, "long.csv")
    assert result.exit_code == 2
    assert "lines of fewer than 16,777,216 characters" in result.stderr
    assert "inputs: pt, eta" in run("info", path).stdout


@pytest.mark.parametrize("target", _conversion.WRITERS)
@pytest.mark.parametrize("way", ["folder", "disk"])
def test_what_cannot_be_written_is_what_was_asked_for(way, target, tmp_path):
    """And not a file for the time being, that stands beside it."""
    for package in NEEDS.get(target, []):
        pytest.importorskip(package)
    fault = {
        "disk": room_for(9_000),
        "folder": "import os; mkdir = os.mkdir\n"
        "def denied(path, *mode):\n"
        "    if '.xpnn-' not in path: return mkdir(path, *mode)\n"
        "    raise PermissionError(13, 'Permission denied', path)\n"
        "os.mkdir = denied",
    }[way]
    arguments = ("convert", "digits", f"y{target}", "--rows", "2")
    done = ran_after(fault, *arguments, folder=tmp_path)
    reason = {"disk": "File too large", "folder": "Permission denied"}[way]
    assert done.stderr == f"xpnn: y{target}: cannot be written: {reason}\n"
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


TWO = {
    "nodes": [
        {"type": "input", "sources": [0]},
        {"type": "feed_forward", "sources": [0], "layer_index": 0},
    ],
    "layers": [{"architecture": "dense", "weights": [1.0], "bias": [0.5]}],
    "inputs": [{"name": "in", "variables": [{"name": "x", "offset": 0, "scale": 1}]}],
    "outputs": {n: {"labels": [n], "node_index": 1} for n in ("flavour", "energy")},
}
"""A model of two outputs."""


@pytest.mark.parametrize("command", ["info", "predict", "parity", "convert"])
def test_several_outputs_are_told_apart_by_the_option(command, run):
    """Python's argument is another."""
    Path("two.json").write_text(json.dumps(TWO))
    Path("x.csv").write_text("5.5\n")
    given = {"convert": ["made.safetensors"], "info": []}.get(command, ["x.csv"])
    for option, got in (([], None), (["--output-name", "mass"], "mass")):
        result = run(command, "two.json", *given, *option)
        assert result.exit_code == 2
        words = f"two.json: expected --output-name to be one of flavour, energy, got {got!r}\n"
        assert result.stderr == f"xpnn: {words}"
    result = run(command, "two.json", *given, "--output-name", "energy")
    assert result.exit_code == 0, result.output
    with pytest.raises(ValueError, match="two.json: expected output to be one of flavour, energy"):
        xpnn.load("two.json")
