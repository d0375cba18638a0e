"""A few cases of each format; `nox -s fuzz` tries many."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xpnn._convert.extras import READERS

ROOT = Path(__file__).parents[1]
NEEDS = {".onnx": "onnx", ".keras": "h5py", ".h5": "h5py"}
pytestmark = pytest.mark.libraries


@pytest.fixture
def fuzz(monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module = importlib.import_module("fuzz")
    monkeypatch.delitem(sys.modules, "fuzz")
    return module


def test_every_format_is_tried(fuzz):
    assert set(fuzz.SEEDS) == {*READERS, ".safetensors"} - {".hdf5"}  # which is .h5
    assert all(fuzz.seeds(kind) for kind in fuzz.SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*READERS, ".safetensors"])
def test_a_few_cases(kind, fuzz, tmp_path):
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    if kind not in fuzz.SEEDS:
        pytest.skip("another name of .h5")
    command = [sys.executable, fuzz.__file__, "--worker", kind, "0", "150", str(tmp_path / "at")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (tmp_path / "at").read_text() + done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert sum(found["counts"].values()) == 150
    assert found["peak"] <= fuzz.MEBIBYTES


def test_a_fault_is_found(fuzz, monkeypatch, tmp_path):
    """An error of another kind, one that never ends, and results that are others."""
    import xpnn

    content = fuzz.seeds(".json")[0].read_bytes()
    monkeypatch.setattr(xpnn, "load", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzz.tried(".json", content, tmp_path)
