"""`--help`: a whole page for each command, whose examples run; what the shell completes; `python -m xpnn`."""

import gzip
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import models

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner

from xpnn.cli import _completion, _help
from xpnn.cli._app import app

COMMANDS = [info.name or info.callback.__name__ for info in app.registered_commands]
# What an example needs beside the extra `cli`, by a word of its command.
NEEDS = {"torch": "torch", "jax": "jax", ".onnx": "onnx", ".html": "matplotlib"}


def page_of(command):
    arguments = [] if command == "xpnn" else [command]
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.stdout


def examples_of(command):
    """The commands of a page's examples, out of its text."""
    text = page_of(command).partition("\nExamples:\n")[2].partition("\nExit status:\n")[0]
    return [re.sub(r"\\\n *", "", match) for match in re.findall(r"\$ ((?:.*\\\n)*.*)", text)]


def test_every_command_has_a_page():
    assert set(_help.PAGES) == {"xpnn", *COMMANDS}


@pytest.mark.parametrize("command", _help.PAGES)
def test_a_page_is_whole_and_80_columns_wide(command):
    text = page_of(command)
    parts = ["Usage: ", "Options:", "Examples:", "Exit status:", "See also:"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("Commands:")[2].partition("Examples:")[0]
    assert "\x1b" not in text
    for page in re.findall(r"docs/\S+\.md", text):
        assert (Path(__file__).parents[2] / page).exists(), page


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_what_is_taken_by_default(command):
    """Options that are no switches say their default, or what they stand for when left out."""
    text = " ".join(page_of(command).split())
    for option in re.findall(r" (--[a-z-]+) (?:<|NAME)", text):
        said = text.partition(f" {option} ")[2].partition(" --")[0]
        assert "default" in said, option


@pytest.fixture
def folder(tmp_path):
    """The files that the examples speak of."""
    network = xpnn.load("digits")
    images = models.sample("digits")[0][:12]
    np.save(tmp_path / "images.npy", images)
    with gzip.open(tmp_path / "images.csv.gz", "wt") as file:
        np.savetxt(file, images, fmt="%d", delimiter=",")
    network.save(tmp_path / "mine.safetensors")
    np.save(tmp_path / "rows.npy", images)
    if find_spec("onnx"):
        network.to_onnx(tmp_path / "model.onnx")
    return tmp_path


def shell(command, folder):
    start = f"set -euo pipefail; xpnn() {{ '{sys.executable}' -m xpnn \"$@\"; }}; "
    return subprocess.run(
        ["bash", "-c", start + command], cwd=folder, check=False, capture_output=True, text=True
    )


def test_the_examples_of_the_first_page_are_those_of_others():
    others = {example for command in COMMANDS for example in examples_of(command)}
    assert set(examples_of("xpnn")) < others


@pytest.mark.slow
@pytest.mark.libraries
@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_run(command, folder):
    examples = examples_of(command)
    assert len(examples) == len(_help.PAGES[command].examples)
    assert any(f"xpnn {command}" in example for example in examples)
    missing = [n for word, n in NEEDS.items() if word in "".join(examples) and not find_spec(n)]
    if missing:
        pytest.skip(f"without {', '.join(missing)}")
    if command == "convert":  # writes what the other examples read
        (folder / "mine.safetensors").unlink()
    before = set(folder.iterdir())
    done = shell("\n".join(examples), folder)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in set(folder.iterdir()) - before}
    named = re.findall(r"(?:-o |--receipt |--html |> )(\S+)", "\n".join(examples))
    assert set(named) <= written


def completed(name, words, folder):
    """What a shell is told for the last of these words."""
    environment = {
        **os.environ,
        "_XPNN_COMPLETE": f"complete_{name}",
        "COMP_WORDS": " ".join(words),  # bash
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": " ".join(words),  # zsh and fish
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    code = "import sys; sys.argv = ['xpnn']; from xpnn.cli import main; main()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_complete_commands_models_and_backends(name, tmp_path):
    assert {"predict", "parity"} <= set(
        re.findall(r"\w+", completed(name, ["xpnn", "p"], tmp_path))
    )
    assert "digits" in completed(name, ["xpnn", "info", "di"], tmp_path)
    assert "numpy" in completed(name, ["xpnn", "predict", "--backend", "nu"], tmp_path)
    assert "parquet" in completed(name, ["xpnn", "predict", "--format", "p"], tmp_path)
    assert "bfloat16" in completed(name, ["xpnn", "parity", "--dtype", "b"], tmp_path)
    assert "log_proba" in completed(name, ["xpnn", "parity", "--of", "log_"], tmp_path)


def test_what_is_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("dig.onnx", "dig[1].safetensors", "dig.txt", "other.onnx"):
        Path(file).touch()
    assert _completion.model("dig") == ["digits", "dig.onnx", "dig[1].safetensors"]
    assert _completion.model("dig[") == ["dig[1].safetensors"]
    assert _completion.model("nothing") == []
    assert _completion.backend("num") == ["numpy"]
    assert set(_completion.backend("")) == {b.name for b in xpnn.backends() if b.version}
    assert _completion.written("") == ["npy", "csv", "parquet", "zarr"]
    assert _completion.dtype("float") == ["float16", "float32", "float64"]
    assert _completion.of("log") == ["logits", "log_proba"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(name, tmp_path):
    """The shell that is found is the one that asks; here it is said to be there."""
    code = (
        "import sys, shellingham; sys.argv = ['xpnn', '--install-completion']; "
        f"shellingham.detect_shell = lambda: ('{name}', '/bin/{name}'); "
        "from xpnn.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{name} completion installed" in done.stdout
    text = "".join(path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert "_XPNN_COMPLETE=complete_" in text


def test_python_m_xpnn_is_the_command(tmp_path):
    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("-m", "xpnn", "--version").stdout == f"xpnn {xpnn.__version__}\n"
    start = "import runpy, sys; sys.modules['typer'] = None; runpy.run_module('xpnn', run_name='__main__')"
    missing = run("-c", start)
    assert missing.returncode == 2
    assert missing.stderr == "xpnn: the command needs typer; get it with: pip install 'xpnn[cli]'\n"
