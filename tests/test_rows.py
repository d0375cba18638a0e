"""Files of rows: every format, in pieces, and what is no such file."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from xpnn._rows import read_rows, rows_of, text_of, write_rows

VALUES = np.arange(12, dtype="float32").reshape(4, 3) / 8


def pieces(path, n=3, **options):
    rows = read_rows(path, **options)
    return rows, np.concatenate(list(rows.pieces(n)))


@pytest.mark.parametrize(
    "array",
    [
        VALUES,
        np.asfortranarray(VALUES),
        VALUES.astype(">f8"),
        VALUES.astype("f2"),
        (VALUES * 8).astype("u1"),
        VALUES.reshape(2, 2, 3),
        VALUES[0],
    ],
    ids=["C", "Fortran", "big-endian", "float16", "uint8", "3-D", "1-D"],
)
@pytest.mark.parametrize("n", [1, 3, 100])
def test_npy(array, n, tmp_path):
    np.save(tmp_path / "x.npy", array)
    rows, got = pieces(tmp_path / "x.npy", n)
    desired = array.reshape(1 if array.ndim == 1 else len(array), -1)
    np.testing.assert_array_equal(got, desired)
    assert got.dtype.name == array.dtype.name
    assert rows.width == desired.shape[1]
    assert rows.total == len(desired)


def test_npz(tmp_path):
    np.savez(tmp_path / "one.npz", x=VALUES)
    np.savez(tmp_path / "two.npz", x=VALUES, y=VALUES + 1)
    np.testing.assert_array_equal(pieces(tmp_path / "one.npz")[1], VALUES)
    np.testing.assert_array_equal(pieces(tmp_path / "two.npz", key="y")[1], VALUES + 1)


@pytest.mark.parametrize("array", [VALUES, VALUES.reshape(2, 2, 3), VALUES[0]], ids=str)
def test_safetensors(array, tmp_path):
    save_file({"x": array, "y": array + 1}, tmp_path / "x.safetensors")
    _, got = pieces(tmp_path / "x.safetensors", key="y")
    desired = array.reshape(1 if array.ndim == 1 else len(array), -1) + 1
    np.testing.assert_array_equal(got, desired)


@pytest.mark.parametrize("head", ["", "a,b,c\n", "\ufeffa,b,c\n"], ids=["none", "names", "BOM"])
def test_csv(head, tmp_path):
    text = head + "\n".join(",".join(map(str, row)) for row in VALUES.tolist()) + "\n\n"
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(pieces(tmp_path / "x.csv")[1], VALUES)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"1,2\n3\n", "line 2: expected 2 numbers as before, got 1"),
        ("x.csv", b"1,2\n3,x\n", "line 2: expected a number, got 'x'"),
        ("x.csv", b"", "at least one row"),
        ("x.csv", b"a,b\n", "at least one row"),
        ("x.csv", b"\xff\xfe\x00", "readable .csv"),
        ("x.npy", b"", "readable .npy"),
        ("x.npy", b"no array", "readable .npy"),
        ("x.npz", b"no archive", "truncated or no zip"),
        ("x.safetensors", b"no tensors", "readable .safetensors"),
        ("x.txt", b"1", "named .npy, .npz, .safetensors, .csv"),
    ],
    ids=repr,
)
def test_bad_files(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        pieces(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 3)), r"at least one row, got shape \(0, 3\)"),
        (np.zeros(()), "at least one row"),
        (np.zeros((2, 2), complex), "real numbers .*, got values of dtype complex128"),
        (np.zeros((2, 2), bool), "real numbers .*, got values of dtype bool"),
        (np.asarray(["a"]), "real numbers"),
    ],
    ids=repr,
)
def test_bad_arrays(array, words, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=words):
        read_rows(tmp_path / "x.npy")


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.asarray([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy"):
        read_rows(tmp_path / "x.npy")


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="not there"):
        read_rows(tmp_path / "x.npy")


def test_rows_of_an_array():
    rows = rows_of(VALUES, "here")
    assert [len(p) for p in rows.pieces(3)] == [3, 1]


def test_text_has_the_fewest_digits_that_give_the_number_back():
    text = text_of(np.asarray([[0.1, 1e-30], [np.nan, np.inf]], "float32"))
    assert text == "0.1,1e-30\nnan,inf\n"


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "y.npy"
    np.save(path, VALUES)

    def half():
        with write_rows(path, force=True) as write:
            write(VALUES[:1])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    np.testing.assert_array_equal(np.load(path), VALUES)
    assert [p.name for p in tmp_path.iterdir()] == ["y.npy"]
