"""Estimators in the files that skops and skl2onnx write: the numbers of scikit-learn, without it."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from estimators import MODELS, file

import xpnn

FOLDER = Path(__file__).parent / "estimators"
EXPECTED = dict(np.load(FOLDER / "expected.npz"))
LABELS = ("barolo", "grignolino", "barbera")


@pytest.mark.parametrize("name", MODELS)
def test_skops(name):
    network, x = xpnn.load(FOLDER / f"{file(name)}.skops"), EXPECTED[f"{name} x"]
    bound = xpnn.error_bound(network, x) + 2.0**-52  # 1 - p has lost what is smaller
    assert np.all(np.abs(network(x) - EXPECTED[f"{name} y"]) <= bound)
    assert (network.inputs is not None) == name.endswith("names")
    if name in {"wine, labels", "wine, names"}:
        assert network.classes == tuple(sorted(LABELS))
    if name == "wine, names":
        assert network.inputs[:2] == ("alcohol", "malic_acid")


def test_nothing_of_others_is_imported():
    code = (
        f"import sys, xpnn; xpnn.load({str(FOLDER / 'wine-labels.skops')!r}); "
        "print(sorted({'sklearn', 'skops', 'scipy', 'joblib'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.onnx")), ids=lambda p: p.stem)
def test_skl2onnx(path):
    """Within what float32 leaves of weights that were rounded to it: the model is another then."""
    pytest.importorskip("onnx")
    network = xpnn.load(path)
    name = next(n for n in sorted(MODELS, key=len, reverse=True) if path.stem.startswith(file(n)))
    x, y = EXPECTED[f"{name} x"].astype("float32"), EXPECTED[f"{name} y"]
    assert np.allclose(network(x), y, rtol=2e-5, atol=2e-5)
    if ".tables" in path.name:
        assert len(network.classes) == y.shape[1]
    if name == "wine, labels":
        assert network.classes == tuple(sorted(LABELS))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path))
    found = session.run(None, {session.get_inputs()[0].name: x})[-1]
    if isinstance(found, list):
        found = np.asarray([list(one.values()) for one in found])
    bound = xpnn.error_bound(network, x) + 2.0**-23 * name.startswith("breast_cancer")
    assert np.all(np.abs(network(x) - found) <= bound)


def changed(folder, change, name="wine"):
    """A file whose schema was changed."""
    path = folder / "changed.skops"
    with zipfile.ZipFile(FOLDER / f"{name}.skops") as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry == "schema.json":
                schema = json.loads(content)
                schema = change(schema) or schema
                content = json.dumps(schema).encode()
            new.writestr(entry, content)
    return path


def steps(schema):
    return schema["content"]["content"]["steps"]["content"]


def doubled(schema):
    """Lists of the same list twice, again and again."""
    node = {"__loader__": "ListNode", "content": [], "__id__": 1}
    for i in range(60):
        same = {"__loader__": "CachedNode", "__id__": i + 1}
        node = {"__loader__": "ListNode", "content": [node, same], "__id__": i + 2}
    schema["content"]["content"]["odd"] = node


HOSTILE = {
    "expected one of MLPClassifier, .*, got SVC": lambda s: s.update(__class__="SVC"),
    "expected one of .*, got system": lambda s: steps(s)[0]["content"][1].update(
        __class__="system", __module__="os"
    ),
    "estimator .KeyError: '__loader__'": lambda s: s.pop("__loader__") and None,
    "estimator .KeyError: 77": lambda s: steps(s)[0].update(__loader__="CachedNode", __id__=77),
    "entry 'nothing.npy', which is missing": lambda s: steps(s)[0]["content"][1]["content"][
        "content"
    ]["mean_"].update(file="nothing.npy"),
    "at most 1,048,576 objects": doubled,
    "schema.json: expected the description": lambda _: [1, 2],
    "not fitted|was fitted": lambda s: (
        steps(s)[1]["content"][1]["content"]["content"].pop("coef_") and None
    ),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_what_is_refused(words, tmp_path):
    path = changed(tmp_path, HOSTILE[words])
    with pytest.raises(xpnn.XpnnValueError, match=words) as error:
        xpnn.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_deep_description(tmp_path):
    path = tmp_path / "deep.skops"
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("schema.json", '{"__loader__": "ListNode", "content": [' * 20_000)
    with pytest.raises(
        xpnn.XpnnValueError, match=r"schema.json: .*(RecursionError|JSONDecodeError)"
    ):
        xpnn.load(path)


def test_arrays_larger_than_their_entry(tmp_path):
    path = tmp_path / "large.skops"
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"
    with zipfile.ZipFile(FOLDER / "wine.skops") as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith(".npy"):
                content = (header % 10**12).ljust(127) + b"\n" + b"\0" * 64
            new.writestr(entry, content)
    with pytest.raises(xpnn.XpnnValueError, match=r"expected 8,000,000,000,000 bytes for shape"):
        xpnn.load(path)


def test_it_is_no_archive(tmp_path):
    path = tmp_path / "none.skops"
    path.write_bytes(b"nothing")
    with pytest.raises(xpnn.XpnnValueError, match="expected a zip archive"):
        xpnn.load(path)
    with pytest.raises(xpnn.XpnnValueError, match="expected no output for an estimator"):
        xpnn.load(FOLDER / "wine.skops", output="y")
