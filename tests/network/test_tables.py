"""Names of columns: what a network keeps of them, and tables that are taken by them."""

import copy
import pickle

import numpy as np
import pytest

import xpnn
from xpnn._arrays.dtypes import dtype_name

COLUMNS = {"low": [1, 2, 3], "name": ["a", "b", "c"], "high": [0.5, 1.5, 2.5]}
EXPECTED = [[0.5, 1], [1.5, 2], [2.5, 3]]


def network(**names):
    names = names or {"inputs": ["high", "low"], "outputs": ["gap"]}
    return xpnn.Network([xpnn.Dense(np.float32([[1], [-1]]))], **names)


@pytest.mark.libraries
@pytest.mark.parametrize("package", ["", "pandas", "polars", "pyarrow"])
def test_tables_of_others(package):
    table = {name: np.asarray(c) for name, c in COLUMNS.items()}
    if package:
        module = pytest.importorskip(package)
        table = module.table(table) if package == "pyarrow" else module.DataFrame(table)
    rows = network().table(table)
    assert rows.tolist() == EXPECTED
    assert rows.dtype == np.float64


def test_columns_of_every_library(backend):
    table = {"low": backend.asarray([1, 2, 3]), "high": backend.asarray([0.5, 1.5, 2.5], "float32")}
    rows = backend.numpy(network().table(table), shape=(3, 2), dtype="float32")
    assert rows.tolist() == EXPECTED


def test_what_is_missing_is_nan():
    pandas = pytest.importorskip("pandas")
    rows = network().table(pandas.DataFrame({"low": [1, None], "high": [1.0, 2.0]}))
    np.testing.assert_array_equal(rows, [[1, 1], [2, np.nan]])


def test_integers_beside_float16_stay_finite(backend):
    if not hasattr(backend.xp, "float16"):
        pytest.skip("no float16")
    network = xpnn.Network([xpnn.Dense(np.ones((2, 1)))], inputs=["a", "b"])
    half = backend.xp.asarray([1.5], dtype=backend.xp.float16, device=backend.device)
    for dtype, value, expected in (("int32", 70_000, "float32"), ("int8", 7, "float16")):
        count = backend.xp.asarray([value], dtype=getattr(backend.xp, dtype), device=backend.device)
        rows = network.table({"a": half, "b": count})
        assert dtype_name(rows.dtype) == expected
        assert [float(v) for v in rows[0]] == [1.5, value]


def test_one_sample():
    """A row of numbers by name, of a table or by hand."""
    assert network().table({"low": 1, "high": 0.5}).tolist() == [0.5, 1]
    pandas = pytest.importorskip("pandas")
    assert network().table(pandas.DataFrame(COLUMNS).iloc[1]).tolist() == [1.5, 2]
    with pytest.raises(xpnn.XpnnTypeError, match=r"pass network.table\(x\)"):
        network()(pandas.DataFrame(COLUMNS))


def test_one_name_for_all_columns():
    one = network(inputs=["x"])
    assert one.table({"x": np.ones((3, 2)), "y": np.ones(3)}).shape == (3, 2)
    with pytest.raises(xpnn.XpnnValueError, match="columns of one length each"):
        one.table({"x": np.ones((3, 2, 1))})
    assert one.table({"x": np.ones(2)}).shape == (2,)


NUMBERS = {"low": np.ones(3), "high": np.ones(3)}
BAD = {
    "'high' is missing: expected the columns 'high', 'low', got 'low'": {"low": [1]},
    "'high', 'low' are missing": {},
    "expected numbers in the column 'high', got dtype <U1": {**NUMBERS, "high": ["a", "b", "c"]},
    "expected numbers in the column 'low', got dtype bool": {**NUMBERS, "low": [True] * 3},
    r"one length each, got 'high' of shape \(3,\), 'low' of shape \(2,\)": {
        **NUMBERS,
        "low": np.ones(2),
    },
    "expected a mapping of names to columns, .* got builtins.int": 5,
    "expected a mapping of names to columns, .* got numpy.ndarray": np.ones((3, 2)),
}


@pytest.mark.parametrize("words", BAD)
def test_tables_that_do_not_fit(words):
    with pytest.raises((xpnn.XpnnValueError, xpnn.XpnnTypeError), match=words):
        network().table(BAD[words])


def test_doubled_columns():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(xpnn.XpnnValueError, match="'low' is there more than once"):
        network().table(pandas.DataFrame(np.ones((2, 3)), columns=["low", "high", "low"]))


def test_a_network_without_names():
    with pytest.raises(xpnn.XpnnValueError, match=r"got one with no names; .*table.to_numpy"):
        xpnn.Network(network().layers).table(COLUMNS)


def test_names_stay_with_a_network(tmp_path):
    one = network()
    path = tmp_path / "named.safetensors"
    one.save(path)
    assert b'\\"format_version\\": 2' in path.read_bytes()
    for other in (
        xpnn.load(path),
        one.fold(),
        one.to(np, dtype="float64"),
        pickle.loads(pickle.dumps(one)),
        copy.deepcopy(one),
    ):
        assert (other.inputs, other.outputs) == (("high", "low"), ("gap",))
    assert repr(one).splitlines()[-2:] == ["  inputs high, low", "  outputs gap"]


def test_many_names_are_cut():
    wide = xpnn.Network([xpnn.Dense(np.ones((30, 1)))], inputs=[f"c{i}" for i in range(30)])
    assert repr(wide).splitlines()[-1].endswith("c19, ... (30)")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"inputs": "xy"}, "expected a sequence of inputs, got the text 'xy'"),
        ({"inputs": ["a", 2]}, "expected inputs of str, got"),
        ({"inputs": ["a", "a"]}, "expected each of inputs once, got 'a' twice"),
        ({"inputs": ["a", "b", "c"]}, "for each of 2 columns, or one for all of them, got 3"),
        ({"outputs": ["a", "b"]}, "expected one of outputs for each of 1 columns"),
    ],
)
def test_names_that_do_not_fit(names, words):
    with pytest.raises((xpnn.XpnnValueError, xpnn.XpnnTypeError), match=words):
        network(**names)
