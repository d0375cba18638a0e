"""predict with Parquet and Zarr: what is read, what is written, and what is refused."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from interrupted import as_process, interrupt, ran_after, room_for, sparse

import xpnn
from xpnn import models
from xpnn._files.folders import replacing_folder
from xpnn._files.rows import read_rows
from xpnn._files.written_rows import write_rows
from xpnn._files.zarr_rows import check_codecs

pytestmark = pytest.mark.libraries

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")
pytest.importorskip("typer")

from typer.testing import CliRunner

from xpnn.cli._app import app

X, _ = models.sample("digits")
ROWS = 1000
RNG = np.random.default_rng(17)
COLUMNS = {
    "name": [f"r{i}" for i in range(ROWS)],
    "charge": RNG.integers(-1, 2, ROWS),
    "mass": RNG.normal(size=ROWS),
    "spin": pa.array(RNG.normal(size=ROWS).astype("f4"), mask=RNG.random(ROWS) < 0.1),
    "count": pa.array(RNG.integers(0, 9, ROWS), mask=RNG.random(ROWS) < 0.1),
}
TABLE = pa.table(COLUMNS)
NAMES = ["mass", "count", "charge", "spin"]


def network_of(**names):
    weights = [RNG.normal(size=(4, 5)), RNG.normal(size=(5, 2))]
    layers = xpnn.Network.from_weights(weights, None, output="softmax").layers
    return xpnn.Network(layers, **names)


NETWORK = network_of(inputs=NAMES, classes=["no", "yes"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run("predict", ...): the command's result, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    NETWORK.save("m.safetensors")

    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        assert not list(tmp_path.glob(".xpnn-*"))
        return result

    return call


def saved(path, table=TABLE, files=1, **options):
    """Write a table to a Parquet file, or in parts to a folder."""
    options = {"row_group_size": 130} | options
    if files == 1:
        pq.write_table(table, path, **options)
        return
    path.mkdir()
    (path / "_SUCCESS").touch()
    step = -(-len(table) // files)
    for i in range(files):
        pq.write_table(table.slice(i * step, step), path / f"part.{i}.parquet", **options)


def read_back(path):
    """Return what a written file or folder has, as an array, and the names of its columns."""
    if path.suffix == ".zarr":
        return zarr.open(store=str(path), mode="r")[:], None
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return np.stack([c.to_numpy() for c in table.columns], -1), table.column_names
    return (np.load(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",")), None


# Reading


@pytest.mark.parametrize("files", [1, 12])
@pytest.mark.parametrize(
    ("group", "n"), [(1, 50), *itertools.product([7, 130, 5000], [1, 50, 333, 5000])]
)
def test_parquet_is_read_as_a_table_is(files, group, n, tmp_path):
    path = tmp_path / "x.parquet"
    saved(path, files=files, row_group_size=group)
    rows = read_rows(path, columns=NAMES)
    desired = NETWORK.table(TABLE)
    pieces = list(rows.pieces(n))
    got = np.concatenate(pieces)
    np.testing.assert_array_equal(got, desired)
    assert got.dtype == desired.dtype
    assert (rows.width, rows.total) == (4, ROWS)
    assert max(map(len, pieces)) <= n
    tiles = [*rows.ranges.tiles(n, 3 * n)]
    assert len(tiles) > 1 or n > 333 or (files, group) == (1, 5000)
    parts = [part for tile in tiles for part in rows.ranges.read(*tile, n)]
    for part, piece in zip(parts, pieces, strict=True):
        np.testing.assert_array_equal(part, piece)


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": np.arange(3, dtype="u1"), "b": np.arange(3, dtype="i2")}, "int16"),
        ({"a": np.arange(3, dtype="f2"), "b": np.arange(3)}, "float32"),
        ({"a": np.arange(3, dtype="f2"), "b": np.arange(3, dtype="u1")}, "float16"),
        ({"a": np.arange(3, dtype="f4"), "b": np.arange(3)}, "float32"),
        ({"a": np.arange(3, dtype="f4"), "b": pa.array([1, None, 3])}, "float64"),
        ({"a": pa.array([1, None, 3])}, "float64"),
        ({"a": np.arange(3, dtype="f4"), "b": pa.nulls(3)}, "float64"),
        ({"a": np.arange(3, dtype="i2"), "b": pa.nulls(3)}, "float64"),
        ({"a": pa.nulls(3)}, "float64"),
    ],
)
def test_dtype_of_columns(columns, dtype, tmp_path):
    table = pa.table(columns)
    saved(tmp_path / "x.parquet", table)
    (got,) = read_rows(tmp_path / "x.parquet").pieces(9)
    assert got.dtype == dtype
    weight = np.ones((len(columns), 1))
    desired = xpnn.Network([xpnn.Dense(weight)], inputs=list(columns)).table(table)
    np.testing.assert_array_equal(got, desired)
    assert got.dtype == desired.dtype


def test_a_column_of_nothing_in_one_file_of_a_folder(tmp_path):
    (tmp_path / "x").mkdir()
    for i, column in enumerate([pa.nulls(2), pa.array([2**24 + 1, 3])]):
        saved(tmp_path / "x" / f"{i}.parquet", pa.table({"a": column}))
    got = np.concatenate(list(read_rows(tmp_path / "x").pieces(9)))
    np.testing.assert_array_equal(got, [[np.nan], [np.nan], [2**24 + 1], [3]])
    assert got.dtype == np.float64


def test_without_statistics_an_integer_may_be_missing(tmp_path):
    saved(tmp_path / "x.parquet", pa.table({"a": [1, 2]}), write_statistics=False)
    (got,) = read_rows(tmp_path / "x.parquet").pieces(9)
    assert got.dtype == np.float64


ZARRS = {
    "one chunk": {"chunks": (40, 6)},
    "few rows": {"chunks": (3, 6)},
    "columns": {"chunks": (7, 2)},
    "shards": {"chunks": (4, 6), "shards": (12, 6)},
    "version 2": {"chunks": (7, 6), "zarr_format": 2},
}


@pytest.mark.parametrize("options", ZARRS.values(), ids=ZARRS)
@pytest.mark.parametrize("dtype", ["float32", "uint8", ">f8"])
@pytest.mark.parametrize("n", [1, 5, 100])
def test_zarr_is_read(options, dtype, n, tmp_path):
    values = np.arange(240).reshape(40, 6).astype(dtype)
    array = zarr.create_array(store=str(tmp_path / "x.zarr"), shape=(40, 6), dtype=dtype, **options)
    array[:] = values
    rows = read_rows(tmp_path / "x.zarr")
    pieces = list(rows.pieces(n))
    np.testing.assert_array_equal(np.concatenate(pieces), values)
    assert max(map(len, pieces)) <= n
    assert (rows.width, rows.total) == (6, 40)
    parts = [p for tile in rows.ranges.tiles(n, 8) for p in rows.ranges.read(*tile, n)]
    for part, piece in zip(parts, pieces, strict=True):
        np.testing.assert_array_equal(part, piece)


def test_arrays_of_a_zarr_group(tmp_path, run):
    group = zarr.create_group(store=str(tmp_path / "x.zarr"))
    for name, place in (("a", group), ("b", group), ("c", group.create_group("deep"))):
        place.create_array(name, shape=(3, 28, 28), dtype="u1")[:] = X[:3].reshape(3, 28, 28)
    for key in ("b", "deep/c"):
        shown = run("predict", "digits", "x.zarr", "--key", key, "--classes").stdout
        assert shown.split() == [str(c) for c in xpnn.load("digits").classify(X[:3])]
    named = "expected the name of one of its arrays (a, b, deep/c)"
    assert f"{named}, none was named" in run("predict", "digits", "x.zarr", code=2).stderr
    for key in ("d/e", "deep", "deep/", "deep/./c", "./a", "../a", "a/../b", "/a", ""):
        error = run("predict", "digits", "x.zarr", "--key", key, code=2).stderr
        assert f"{named}, got '{key}'" in error


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["deep/c"], None),
        (["far/deep/c"], None),
        (["a", "deep/c"], r"of its arrays \(a, deep/c\), none was named"),
        (["deep/b", "deep/c"], r"of its arrays \(deep/b, deep/c\), none was named"),
        ([], "expected at least one array in it, got none"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_arrays_further_down_count(names, words, version, tmp_path):
    group = zarr.create_group(store=str(tmp_path / "x.zarr"), zarr_format=version)
    for name in names:
        group.create_array(name, data=np.arange(6.0).reshape(2, 3))
    (tmp_path / "x.zarr" / "notes.txt").touch()
    if words is None:
        rows = read_rows(tmp_path / "x.zarr")
        assert rows.source == f"{tmp_path / 'x.zarr'}, {names[0]}"
        np.testing.assert_array_equal(next(rows.pieces(9)), [[0, 1, 2], [3, 4, 5]])
    else:
        with pytest.raises(ValueError, match=words):
            read_rows(tmp_path / "x.zarr")


PICKLES = {"filters": ({"id": "zlib"}, {"id": "pickle"}), "compressor": {"id": "pickle"}}


@pytest.mark.parametrize("place", PICKLES)
def test_pickles_in_zarr_are_not_opened(place, tmp_path):
    """Codecs of numbers may be pickles, which run code; newer versions of zarr refuse them, too."""
    (tmp_path / "x.zarr").mkdir()
    head = {"zarr_format": 2, "shape": [2, 3], "chunks": [2, 3], "dtype": "<f8", "order": "C"}
    head |= {"compressor": None, "filters": None, "fill_value": 0} | {place: PICKLES[place]}
    (tmp_path / "x.zarr" / ".zarray").write_text(json.dumps(head))
    with pytest.raises(ValueError, match="pickle"):
        read_rows(tmp_path / "x.zarr")
    with pytest.raises(ValueError, match="x.zarr: expected numbers, got pickles"):
        check_codecs(head, "x.zarr")


def test_1_d_zarr_is_a_row(tmp_path):
    zarr.create_array(store=str(tmp_path / "x.zarr"), data=np.arange(5.0), chunks=(2,))
    (got,) = read_rows(tmp_path / "x.zarr").pieces(9)
    np.testing.assert_array_equal(got, [np.arange(5.0)])


def other(**columns):
    return pa.table({name: [1.0, 2.0] for name in NAMES} | columns)


BAD = {
    "text": (other(mass=["a", "b"]), "numbers in the column 'mass', got string"),
    "truth": (other(mass=[True, False]), "numbers in the column 'mass', got bool"),
    "date": (other(spin=pa.array([1, 2], "date32")), "numbers in the column 'spin', got date32"),
    "decimal": (
        other(spin=pa.array([1, 2], pa.decimal128(9))),
        "numbers in the column 'spin', got decimal",
    ),
    "list": (other(spin=[[1.0], [2.0]]), "numbers in the column 'spin', got list"),
    "missing": (pa.table({"mass": [1.0], "spin": [1.0]}), "'count', 'charge' are missing"),
    "empty": (TABLE.slice(0, 0), "at least one row of numbers, got none"),
}


@pytest.mark.parametrize(("table", "words"), BAD.values(), ids=BAD)
def test_columns_that_are_no_numbers(table, words, run):
    saved(Path("x.parquet"), table)
    error = run("predict", "m.safetensors", "x.parquet", code=2).stderr
    assert error.startswith("xpnn: x.parquet: ")
    assert words in error


def test_without_names_all_columns_are_taken(run):
    network_of().save("unnamed.safetensors")
    saved(Path("x.parquet"), TABLE.select(NAMES))
    got = run("predict", "unnamed.safetensors", "x.parquet", "-o", "y.npy")
    saved(Path("wide.parquet"), TABLE)
    error = run("predict", "unnamed.safetensors", "wide.parquet", code=2).stderr
    assert "numbers in the column 'name', got string" in error
    assert got.stdout == ""
    two = pa.Table.from_arrays([pa.array([1.0])] * 4, names=["a", "a", "b", "c"])
    saved(Path("two.parquet"), two)
    error = run("predict", "unnamed.safetensors", "two.parquet", code=2).stderr
    assert "'a' is there more than once" in error or "'a', 'a' are there more than once" in error


def test_a_network_of_one_column_takes_it_by_its_name(run):
    one = xpnn.Network([xpnn.Dense(np.asarray([[2.0]]))], inputs=["mass"])
    one.save("one.safetensors")
    saved(Path("x.parquet"))
    Path("x.csv").write_text("id,mass\n1,5\n2,7\n")
    run("predict", "one.safetensors", "x.parquet", "-o", "y.parquet")
    got, names = read_back(Path("y.parquet"))
    np.testing.assert_array_equal(got[:, 0], COLUMNS["mass"] * 2)
    assert names == ["output"]
    assert run("predict", "one.safetensors", "x.csv").stdout == "10.0\n14.0\n"


def test_integers_beside_half_floats_and_names_with_dots(run):
    network = xpnn.Network([xpnn.Dense(np.eye(2))], inputs=["a", "c.d"])
    network.save("two.safetensors")
    inner = pa.array([{"d": 100}, {"d": 200}])
    for first in (True, False):
        columns = {"a": pa.array(np.ones(2, "float16")), "c.d": pa.array([70_000, None])}
        columns = {"c": inner, **columns} if first else {**columns, "c": inner}
        saved(Path("x.parquet"), pa.table(columns))
        run("predict", "two.safetensors", "x.parquet", "-o", "y.npy", "--force")
        np.testing.assert_array_equal(np.load("y.npy"), [[1, 70_000], [np.nan] * 2])


def test_folders_that_are_none(run, tmp_path):
    for name in ("none", "deep", "mixed", "not.zarr", "other", "pipe"):
        (tmp_path / name).mkdir()
    for name in ("other", "pipe"):
        saved(tmp_path / name / "1.parquet", TABLE.select(NAMES))
        (tmp_path / name / "_SUCCESS").touch()
    saved(tmp_path / "other" / "2.pq", TABLE.select(NAMES))
    os.mkfifo(tmp_path / "pipe" / "2.parquet")
    (tmp_path / "deep" / "year=1").mkdir()
    saved(tmp_path / "mixed" / "1.parquet", TABLE.select(NAMES))
    saved(tmp_path / "mixed" / "2.parquet", TABLE.select(NAMES[::-1]))
    (tmp_path / "file.zarr").touch()
    network_of().save("unnamed.safetensors")
    for name, words in {
        "none": "expected files named .parquet in this folder, got none",
        "deep": "expected files named .parquet alone, got a folder: year=1",
        "other": "expected files named .parquet alone, got a file: 2.pq; what is no data",
        "pipe": "expected files named .parquet alone, got no file: 2.parquet",
        "mixed": "the columns of the files before",
        "not.zarr": "expected a Zarr store",
        "file.zarr": "expected a Zarr store",
        "gone.zarr": "expected an input file, which is not there",
    }.items():
        assert words in run("predict", "unnamed.safetensors", name, code=2).stderr


def test_damaged_parquet_is_one_line(run):
    saved(Path("x.parquet"))
    content = Path("x.parquet").read_bytes()
    Path("x.parquet").write_bytes(content[: len(content) // 2])
    error = run("predict", "m.safetensors", "x.parquet", code=2).stderr
    assert error.startswith("xpnn: x.parquet: expected a readable .parquet file")
    assert error.count("\n") == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "head", "rows"])
def test_which_file_of_a_folder_is_damaged(damage, run):
    network_of().save("unnamed.safetensors")
    saved(Path("t"), TABLE.select(NAMES), files=3)
    path = Path("t/part.1.parquet")
    content = path.read_bytes()
    broken = {"empty": b"", "cut": content[: len(content) // 2], "head": b"\xff" * 99}
    path.write_bytes(broken.get(damage, content[:4] + b"\xff" * 999 + content[1003:]))
    error = run("predict", "unnamed.safetensors", "t", code=2).stderr
    assert error.startswith("xpnn: t/part.1.parquet: expected a readable .parquet file")


def test_an_empty_file_of_a_folder_adds_no_rows(run):
    saved(Path("t"), files=3)
    saved(Path("t/part.1.parquet"), TABLE.slice(0, 0))
    run("predict", "m.safetensors", "t", "-o", "y.npy")
    assert len(np.load("y.npy")) == ROWS - len(TABLE) // 3 - 1


# Writing


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet", ".zarr"])
@pytest.mark.parametrize("source", ["x.parquet", "folder", "x.zarr"])
@pytest.mark.parametrize("option", [None, "--logits"])
def test_all_formats_hold_the_same(suffix, source, option, run, tmp_path):
    x = NETWORK.table(TABLE)
    if source == "x.zarr":
        zarr.create_array(store=source, data=x, chunks=(70, 4))
    else:
        saved(tmp_path / source, files=1 if source == "x.parquet" else 3)
    options = [option] if option else []
    run("predict", "m.safetensors", source, "-o", f"y{suffix}", "--batch-size", 64, *options)
    got, names = read_back(tmp_path / f"y{suffix}")
    desired = NETWORK.logits(x) if option else NETWORK(x)
    np.testing.assert_allclose(got, desired, rtol=1e-12)
    assert names in (None, ["no", "yes"])


NAMED = {
    "outputs": (network_of(outputs=["u", "v"], classes=["a", "b"]), None, ["u", "v"]),
    "one for all": (network_of(outputs=["u"]), None, ["u_0", "u_1"]),
    "none": (network_of(), None, ["output_0", "output_1"]),
    "numbers": (network_of(classes=[3, 5]), None, ["3", "5"]),
    "classes": (network_of(classes=["a", "b"]), "--classes", ["class"]),
    "numbers of classes": (network_of(), "--classes", ["class"]),
}


@pytest.mark.parametrize(("network", "option", "desired"), NAMED.values(), ids=NAMED)
def test_names_of_columns(network, option, desired, run, tmp_path):
    network.save("n.safetensors")
    np.save("x.npy", NETWORK.table(TABLE)[:9])
    run("predict", "n.safetensors", "x.npy", "-o", "y.parquet", *([option] if option else []))
    assert read_back(tmp_path / "y.parquet")[1] == desired


def test_classes_of_rows_that_have_none_are_null(run, tmp_path):
    saved(tmp_path / "x.parquet")
    result = run("predict", "m.safetensors", "x.parquet", "--classes", "-o", "y.parquet")
    column = pq.read_table("y.parquet").column("class")
    x = NETWORK.table(TABLE)
    nan = np.isnan(x).any(-1)
    assert column.null_count == nan.sum() > 100
    assert f"their output is NaN: {nan.sum()}\n" in result.stderr
    names = np.asarray(["no", "yes"])[NETWORK.classify(x)]
    desired = [None if missing else name for missing, name in zip(nan, names, strict=True)]
    assert column.to_pylist() == desired
    run("predict", "m.safetensors", "x.parquet", "--classes", "-o", "y.zarr")
    got = zarr.open(store="y.zarr", mode="r")[:]
    np.testing.assert_array_equal(got, np.where(nan, -1, NETWORK.classify(x)))
    lines = run("predict", "m.safetensors", "x.parquet", "--classes").stdout.splitlines()
    assert lines == [name or '""' for name in desired]


@pytest.mark.parametrize("suffix", [".parquet", ".zarr"])
def test_groups_of_rows_do_not_depend_on_pieces(suffix, tmp_path, monkeypatch):
    """Whoever computes in other pieces writes the same bytes."""
    monkeypatch.setattr("xpnn._files.parquet_rows._GROUP", 1000)
    monkeypatch.setattr("xpnn._files.zarr_rows._CHUNK", 1000)
    values = RNG.normal(size=(300, 3))
    for name, step in (("a", 1), ("b", 300), ("c", 77)):
        with write_rows(tmp_path / f"{name}{suffix}", force=False) as write:
            for start in range(0, 300, step):
                write(values[start : start + step])
    first, *others = (
        {p.name: p.read_bytes() for p in (tmp_path / f"{n}{suffix}").rglob("*") if p.is_file()}
        if suffix == ".zarr"
        else (tmp_path / f"{n}{suffix}").read_bytes()
        for n in "abc"
    )
    assert all(first == other for other in others)
    np.testing.assert_array_equal(read_back(tmp_path / f"a{suffix}")[0], values)
    if suffix == ".zarr":
        assert zarr.open(store=str(tmp_path / "a.zarr"), mode="r").chunks == (41, 3)
    else:
        assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 8


@pytest.mark.parametrize("out", ["y.parquet", "y.zarr"])
def test_force_and_what_is_not_replaced(out, run, tmp_path):
    run("predict", "--classes", "-o", out)
    before = read_back(tmp_path / out)[0]
    assert "replace it with --force" in run("predict", "--proba", "-o", out, code=2).stderr
    np.testing.assert_array_equal(read_back(tmp_path / out)[0], before)
    run("predict", "--proba", "-o", out, "--force")
    assert read_back(tmp_path / out)[0].shape == (200, 10)
    assert {p.name for p in tmp_path.iterdir()} == {"m.safetensors", out}
    for kind in ("folder", "file"):
        place = tmp_path / kind / out
        place.mkdir(parents=True) if kind == "folder" else place.parent.mkdir()
        if kind == "folder":
            (place / "work").touch()
        elif out == "y.zarr":
            place.touch()
        else:
            continue
        error = run("predict", "-o", place, "--force", code=2).stderr
        assert "which is something else" in error
        assert place.is_dir() == (kind == "folder")


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("t", "t/y.parquet"),
        ("t", "t/deep/y.npy"),
        ("t", "linked/y.npy"),
        ("t", "elsewhere.parquet"),
        ("x.zarr", "x.zarr"),
        ("x.zarr", "other.zarr"),
        ("x.zarr", "x.zarr/y.zarr"),
        ("x.zarr/inner.zarr", "x.zarr"),
    ],
)
def test_what_is_read_is_not_written(source, out, run, tmp_path):
    saved(tmp_path / "elsewhere.parquet")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "deep").mkdir()
    (tmp_path / "t" / "1.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    (tmp_path / "linked").symlink_to(tmp_path / "t")
    for name in ("x.zarr", "x.zarr/inner.zarr"):
        zarr.create_array(store=name, data=NETWORK.table(TABLE))
    (tmp_path / "other.zarr").symlink_to(tmp_path / "x.zarr")
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    error = run("predict", "m.safetensors", source, "-o", out, "--force", code=2).stderr
    assert "to be two files, got one" in error or "got one in the folder of the other" in error
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_a_model_in_the_folder_that_is_replaced(run, tmp_path):
    run("predict", "--proba", "-o", "y.zarr")
    NETWORK.save("y.zarr/m.safetensors")
    saved(tmp_path / "x.parquet")
    error = run("predict", "y.zarr/m.safetensors", "x.parquet", "-o", "y.zarr", "--force", code=2)
    assert "expected OUT and MODEL apart" in error.stderr
    assert (tmp_path / "y.zarr" / "m.safetensors").exists()


def test_parquet_goes_to_pipes_and_zarr_does_not(run, tmp_path):
    error = run("predict", "--format", "zarr", code=2).stderr
    assert "expected a name for .zarr, got a pipe or a device" in error
    with (tmp_path / "y").open("wb") as out:
        command = [sys.executable, "-m", "xpnn.cli", "predict", "--proba", "--format", "parquet"]
        subprocess.run(command, stdout=out, check=True)
    assert pq.read_table(tmp_path / "y").shape == (200, 10)


@pytest.mark.parametrize("module", ["pyarrow", "zarr"])
@pytest.mark.parametrize("way", ["read", "write"])
def test_without_its_extra(module, way, run, monkeypatch, tmp_path):
    extra, name = {"pyarrow": ("tables", "x.parquet"), "zarr": ("zarr", "x.zarr")}[module]
    saved(tmp_path / "x.parquet")
    zarr.create_array(store="x.zarr", data=np.ones((3, 4)))
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] == module:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    command = ["m.safetensors", name] if way == "read" else ["digits", "-o", f"y{name[1:]}"]
    assert f"pip install 'xpnn[{extra}]'" in run("predict", *command, code=2).stderr
    assert not list(tmp_path.glob("y.*"))


@pytest.mark.parametrize("out", ["y.parquet", "y.zarr"])
def test_receipts(out, run, tmp_path):
    saved(tmp_path / "t", files=3)
    command = ["m.safetensors", "t"]
    run("predict", *command, "--reproducible", "-o", out, "--receipt", "r.json")
    assert run("verify", "r.json", *command).stdout.startswith("same: sha256 ")
    x = np.concatenate([*read_rows(tmp_path / "t", columns=NAMES).pieces(100)])
    np.save("x.npy", x)  # the same rows in another format
    assert run("verify", "r.json", "m.safetensors", "x.npy").stdout.startswith("same: sha256 ")
    table = pq.read_table("t/part.1.parquet")
    changed = table.set_column(1, "charge", pa.array(table["charge"].to_numpy() + 1))
    pq.write_table(changed, "t/part.1.parquet", row_group_size=130)
    assert "different: the input" in run("verify", "r.json", *command, code=1).stdout


# Interrupted


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "y.zarr").mkdir()
    (tmp_path / "y.zarr" / "old").touch()
    rename = Path.rename

    def failing(self, target):
        if self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space"), replacing_folder(tmp_path / "y.zarr"):
        pass
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "y.zarr",
        "y.zarr/old",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("out", ["y.parquet", "y.zarr"])
def test_a_full_disk_leaves_nothing(out, tmp_path):
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (4000, 784), "u1"))
    arguments = ("predict", "digits", "x.npy", "-o", out, "--logits")
    done = ran_after(room_for(100_000), *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert f"xpnn: {out}: cannot be written: File too large; nothing was left\n" == done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "number"),
    [("y.parquet", signal.SIGINT), ("y.zarr", signal.SIGINT), ("y.zarr", signal.SIGTERM)],
)
def test_an_interrupted_run_leaves_nothing(out, number, tmp_path):
    sparse(tmp_path / "x.npy", 2_000_000)
    predict = as_process("predict", "digits", "x.npy", "-o", out, "--logits")
    begun = lambda part: out != "y.zarr" or (part / "c").exists()
    interrupt(predict, tmp_path, number, begun)


def peak(folder, rows):
    """Peak resident set of a prediction from Parquet to Zarr, in MiB."""
    rng, group = np.random.default_rng(1), 100_000
    schema = pa.schema([(f"x{i}", pa.float64()) for i in range(4)])
    with pq.ParquetWriter(folder / "x.parquet", schema) as writer:
        for _ in range(rows // group):
            writer.write_table(pa.table(list(rng.normal(size=(4, group))), schema=schema), group)
    network_of().save(folder / "m.safetensors")
    code = (
        "import resource, sys; sys.argv = ['xpnn', 'predict', 'm.safetensors', 'x.parquet', '-o', "
        "'y.zarr', '--force']; import atexit; atexit.register(lambda: print("
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); from xpnn.cli import main; main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    small, large = peak(tmp_path, 200_000), peak(tmp_path, 3_000_000)  # 6 and 96 MB
    assert zarr.open(store=str(tmp_path / "y.zarr"), mode="r").shape == (3_000_000, 2)
    assert large < small + 60
