"""Names of columns: what a network keeps of them, and tables that are taken by them."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import xpnn
from xpnn._arrays.dtypes import dtype_name
from xpnn._files.rows import read_rows

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


@pytest.mark.parametrize("kind", ["int8", "int32", "bfloat16", "float16", "float32"])
def test_bfloat16_is_a_dtype_of_numbers(kind, backend):
    if not (hasattr(backend.xp, "bfloat16") and hasattr(backend.xp, kind)):
        pytest.skip("no bfloat16")
    columns = {
        name: backend.xp.asarray([1.5], dtype=getattr(backend.xp, dtype), device=backend.device)
        for name, dtype in (("high", "bfloat16"), ("low", kind))
    }
    rows = network().table(columns)
    assert dtype_name(rows.dtype) == ("float32" if kind.startswith("float") else "bfloat16")
    assert [float(v) for v in rows[0]] == [1.5, 1 if "int" in kind else 1.5]


def test_bfloat16_of_numpy():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    rows = network().table({"high": np.ones(2, bfloat16), "low": np.ones(2, "int32")})
    assert rows.dtype == bfloat16


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
NO_NUMBERS = "expected numbers in the column 'high', got dtype"
BAD = {
    "'high' is missing: expected the columns 'high', 'low', got 'low'": {"low": [1]},
    "'high', 'low' are missing": {},
    "expected numbers in the column 'high', got dtype <U1": {**NUMBERS, "high": ["a", "b", "c"]},
    "expected numbers in the column 'low', got dtype bool": {**NUMBERS, "low": [True] * 3},
    r"one length each, got 'high' of shape \(3,\), 'low' of shape \(2,\)": {
        **NUMBERS,
        "low": np.ones(2),
    },
    f"{NO_NUMBERS} object; convert it to numbers, NaN where one is missing$": {
        **NUMBERS,
        "high": [1, None, 2],
    },
    f"{NO_NUMBERS} list; convert it to numbers$": {**NUMBERS, "high": [[1], [1, 2], [3]]},
    f"{NO_NUMBERS} complex128; convert it to numbers$": {**NUMBERS, "high": np.ones(3) * 1j},
    r"table\['high'\] is a numpy.MaskedArray, whose mask .*: table\['high'\].filled\(...\)$": {
        **NUMBERS,
        "high": np.ma.masked_less([1.0, 2.0, 3.0], 1.5),
    },
    "expected a mapping of names to columns, .* got builtins.int": 5,
    "expected a mapping of names to columns, .* got numpy.ndarray": np.ones((3, 2)),
}


@pytest.mark.parametrize("words", BAD)
def test_tables_that_do_not_fit(words):
    with pytest.raises((xpnn.XpnnValueError, xpnn.XpnnTypeError), match=words):
        network().table(BAD[words])


KINDS = {
    **{name: (name, [1, 2, 3, min(2**24 + 1, np.iinfo(name).max)]) for name in
       ("int8", "uint8", "int16", "int32", "int64", "uint64")},
    **{name: (name, [0.5, 1, 1.5, 2]) for name in ("float16", "float32", "float64")},
}  # fmt: skip
KINDS |= {f"{name}, one missing": (t, [*v[:3], None]) for name, (t, v) in KINDS.items()}
KINDS["null"] = ("null", [None] * 4)
"""Columns: the type, by the name of NumPy's, and the values."""


def arrow(kind):
    pa, (dtype, values) = pytest.importorskip("pyarrow"), KINDS[kind]
    values = [v if v is None or "int" in dtype else getattr(np, dtype)(v) for v in values]
    return pa.array(values, pa.null() if dtype == "null" else pa.from_numpy_dtype(dtype))


def frame(table, types=None):
    return table.to_pandas(types_mapper=types)


def nullable(kind):
    pd = pytest.importorskip("pandas")
    known = [
        *(f"{u}Int{bits}" for u in ("", "U") for bits in (8, 16, 32, 64)),
        "Float32",
        "Float64",
    ]
    types = {"double": "Float64", "float": "Float32"} | {name.lower(): name for name in known[:8]}
    return pd.array([], types[str(kind)]).dtype if str(kind) in types else None


def partitions(table, types=None):
    dd = pytest.importorskip("dask.dataframe")
    return dd.from_pandas(frame(table, types), npartitions=2)


def folder(table, path):
    pq = pytest.importorskip("pyarrow.parquet")
    path.mkdir()
    for i in (0, 2):
        pq.write_table(table.slice(i, 2), path / f"{i}.parquet")
    return path


FRAMES = {
    "pyarrow": lambda t, path: t,
    "pyarrow in chunks": lambda t, path: __import__("pyarrow").concat_tables([t[:2], t[2:]]),
    "pyarrow batch": lambda t, path: t.to_batches()[0],
    "polars": lambda t, path: pytest.importorskip("polars").from_arrow(t),
    "pandas": lambda t, path: frame(t),
    "pandas nullable": lambda t, path: frame(t, nullable),
    "pandas arrow": lambda t, path: frame(t, pytest.importorskip("pandas").ArrowDtype),
    "dask": lambda t, path: partitions(t),
    "dask nullable": lambda t, path: partitions(t, nullable),
    "dask arrow": lambda t, path: partitions(t, pytest.importorskip("pandas").ArrowDtype),
    "dask files": lambda t, path: pytest.importorskip("dask.dataframe").read_parquet(
        folder(t, path)
    ),
    "command": folder,
}


@pytest.mark.libraries
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Dask's, of pandas
@pytest.mark.parametrize("beside", ["float32", "float16", "int8", "int64, one missing"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", FRAMES)
def test_every_kind_of_column_of_every_table(made, kind, beside, tmp_path):
    """One rule of dtypes: only a Dask frame does not know of integers that all are there."""
    pa = pytest.importorskip("pyarrow")
    if made.startswith("dask"):
        pytest.importorskip("dask.dataframe")
    kinds = [kind, beside]
    table = FRAMES[made](pa.table(dict(zip("ab", map(arrow, kinds), strict=True))), tmp_path / "x")
    network = xpnn.Network([xpnn.Dense(np.ones((2, 1)))], inputs=["a", "b"])
    if kind == "null" and made in {"dask", "dask nullable", "dask files"}:
        with pytest.raises(xpnn.XpnnTypeError, match="expected numbers in the column 'a'"):
            network.table(table)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if made == "command":
            rows = np.concatenate(list(read_rows(table, columns=["a", "b"]).pieces(9)))
        else:
            rows = network.table(table)
    unsure = made.startswith("dask") or None
    dtypes = [
        np.dtype("f8" if "float" not in dtype and (unsure or None in values) else dtype)
        for dtype, values in (KINDS[k] for k in kinds)
    ]
    expected = np.result_type(*([d for d in dtypes if d.kind == "f"] or dtypes))
    if expected == np.float16 and any(d.kind in "iu" and d.itemsize > 1 for d in dtypes):
        expected = np.dtype("f4")
    assert rows.dtype == expected
    rows = np.asarray(rows)
    assert rows.dtype == expected
    values = [np.asarray([np.nan if v is None else v for v in KINDS[k][1]]) for k in kinds]
    np.testing.assert_array_equal(rows, np.stack([v.astype(expected) for v in values], axis=-1))


CODED = {
    "pyarrow": lambda t: t,
    "pyarrow batch": lambda t: t.to_batches()[0],
    "polars": lambda t: pytest.importorskip("polars").from_arrow(t),
    "pandas": frame,
    "dask": partitions,
}


@pytest.mark.libraries
@pytest.mark.parametrize("last", [2, None])
@pytest.mark.parametrize("made", CODED)
def test_categories_of_numbers(made, last):
    pa = pytest.importorskip("pyarrow")
    columns = {"low": pa.array([1, 2, last]).dictionary_encode(), "high": pa.array([1, 1, 1])}
    rows = network().table(CODED[made](pa.table(columns)))
    np.testing.assert_array_equal(rows, [[1, 1], [1, 2], [1, last or np.nan]])
    assert rows.dtype == (np.int64 if last and made != "dask" else np.float64)


@pytest.mark.libraries
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_sparse_columns(dtype):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    column = pd.arrays.SparseArray(np.asarray([0, 2, 0], dtype))
    table = pd.DataFrame({"low": column, "high": column})
    rows = network().table(table)
    assert rows.dtype == dtype
    lazy = network().table(dd.from_pandas(table, npartitions=2))
    assert lazy.dtype == np.asarray(lazy).dtype == ("float64" if dtype == "int64" else dtype)
    for y in (rows, lazy):
        np.testing.assert_array_equal(y, [[0, 0], [2, 2], [0, 0]])


OTHERS = {
    "bool": [True, False],
    "string": ["a", "b"],
    "date32": [0, 1],
    "timestamp[us]": [0, 1],
    "decimal": [1, 2],
    "list": [[1], [2]],
}


@pytest.mark.libraries
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("made", [name for name in FRAMES if name not in {"command", "dask files"}])
def test_columns_of_no_numbers(made, kind, tmp_path):
    pa = pytest.importorskip("pyarrow")
    types = {"decimal": pa.decimal128(9), "list": pa.list_(pa.int64())}
    for missing in (False, True):
        values = [*OTHERS[kind], None] if missing else OTHERS[kind]
        column = pa.array(values, types.get(kind) or pa.type_for_alias(kind))
        table = FRAMES[made](pa.table({"high": column, "low": column}), tmp_path)
        with pytest.raises(xpnn.XpnnTypeError, match=f"{NO_NUMBERS} .*; convert it to number") as e:
            network().table(table)
        assert missing or "missing" not in str(e.value)


def test_intervals():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    table = pd.DataFrame({"high": pd.interval_range(0, 3), "low": [1, 2, 3]})
    for one in (table, dd.from_pandas(table, npartitions=2)):
        with pytest.raises(xpnn.XpnnTypeError, match=rf"{NO_NUMBERS} interval\[int64"):
            network().table(one)


@pytest.mark.parametrize("how", [[None] * 2, np.asarray([None] * 2), "pandas.NA", "pandas.None"])
def test_a_column_of_nothing_is_nan(how):
    if isinstance(how, str):
        pd = pytest.importorskip("pandas")
        how = pd.Series([{"pandas.NA": pd.NA}.get(how)] * 2, dtype=object)
    rows = network().table({"low": np.float32([1, 2]), "high": how})
    np.testing.assert_array_equal(rows, [[np.nan, 1], [np.nan, 2]])
    assert rows.dtype == np.float64


def test_lazy_frames_and_wide_integers_of_polars():
    pl = pytest.importorskip("polars")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        words = r"got a lazy one, polars.*LazyFrame; pass table.collect\(\)$"
        with pytest.raises(xpnn.XpnnTypeError, match=words):
            network().table(pl.LazyFrame(COLUMNS))
    for dtype in (pl.Int128, pl.UInt128):
        table = pl.DataFrame({"high": pl.Series([1], dtype=dtype), "low": [1]})
        with pytest.raises(xpnn.XpnnTypeError, match=f"{NO_NUMBERS} U?Int128; convert it"):
            network().table(table)


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
