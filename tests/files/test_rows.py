"""Files of rows: every format, in pieces, and what is no such file."""

import errno
import gzip
import io
import json
import math
import os
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from xpnn._files.csv_rows import text_of
from xpnn._files.folders import replacing_folder
from xpnn._files.model_file import replacing
from xpnn._files.pieces import Ranges, rows_of
from xpnn._files.rows import read_rows
from xpnn._files.written_rows import write_rows

VALUES = np.arange(12, dtype="float32").reshape(4, 3) / 8


def pieces(path, n=3, **options):
    rows = read_rows(path, **options)
    return rows, np.concatenate(list(rows.pieces(n)))


ARRAYS = {
    "C": VALUES,
    "Fortran": np.asfortranarray(VALUES),
    "big-endian": VALUES.astype(">f8"),
    "float16": VALUES.astype("f2"),
    "uint8": (VALUES * 8).astype("u1"),
    "3-D": VALUES.reshape(2, 2, 3),
    "3-D Fortran": np.asfortranarray(VALUES.reshape(2, 2, 3)),
    "1-D": VALUES[0],
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("n", [1, 3, 100])
def test_npy(array, n, tmp_path):
    np.save(tmp_path / "x.npy", array)
    rows, got = pieces(tmp_path / "x.npy", n)
    desired = array.reshape(1 if array.ndim == 1 else len(array), -1)
    np.testing.assert_array_equal(got, desired)
    assert got.dtype.name == array.dtype.name
    assert rows.width == desired.shape[1]
    assert rows.total == len(desired)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("n", [1, 3, 100])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(array, n, save, tmp_path):
    save(tmp_path / "x.npz", x=array, y=array + 1)
    rows, got = pieces(tmp_path / "x.npz", n, key="y")
    desired = (array + 1).reshape(1 if array.ndim == 1 else len(array), -1)
    np.testing.assert_array_equal(got, desired)
    assert got.dtype == array.dtype.newbyteorder("=") or got.dtype == array.dtype
    assert (rows.width, rows.total) == (desired.shape[1], len(desired))


def test_npz_of_one_array_needs_no_key(tmp_path):
    np.savez(tmp_path / "one.npz", x=VALUES)
    np.testing.assert_array_equal(pieces(tmp_path / "one.npz")[1], VALUES)


@pytest.mark.parametrize("zip64", [True, False])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_npz_of_other_programs(zip64, method, tmp_path):
    content = io.BytesIO()
    np.save(content, VALUES)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.writestr("notes.txt", "none")
        with archive.open("far/x.npy", "w", force_zip64=zip64) as file:
            file.write(content.getvalue())
    np.testing.assert_array_equal(pieces(tmp_path / "x.npz", key="far/x")[1], VALUES)


CUTS = {
    "rows": (range(1, 11), 4, [(0, 4), (4, 8), (8, 10)]),
    "chunks": (range(4, 13, 4), 3, [(0, 4), (4, 8), (8, 10)]),
    "small chunks": (range(2, 11, 2), 5, [(0, 4), (4, 8), (8, 10)]),
    "groups": ([3, 6, 9, 10], 7, [(0, 6), (6, 10)]),
    "a large group": ([3, 8, 10], 4, [(0, 3), (3, 8), (8, 10)]),
    "one": ([10], 4, [(0, 10)]),
}


@pytest.mark.parametrize(("ends", "n", "cuts"), CUTS.values(), ids=CUTS)
def test_rows_are_cut_between_units(ends, n, cuts):
    ranges = Ranges(10, ends, lambda *_: iter(()))
    assert [*ranges.cuts(n)] == cuts
    assert [*ranges.cuts(n, *cuts[-1])] == cuts[-1:]
    assert [*ranges.tiles(n, 10)] == [(0, 10)]
    assert [*ranges.tiles(n, 1)] == cuts


def npy_content(array=VALUES, **changes):
    head = {"descr": "<f4", "fortran_order": False, "shape": array.shape} | changes
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, head)
    return content.getvalue() + array.tobytes()


def zipped(content, method=zipfile.ZIP_DEFLATED, names=("x.npy",)):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


def damaged(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


BAD_NPY = {
    "short": (npy_content()[:-1], "expected 48 bytes of numbers .*truncated"),
    "long": (npy_content() + b"0", "expected 48 bytes of numbers"),
    "more rows": (npy_content(shape=(5, 3)), "expected 60 bytes of numbers"),
    "1e18 rows": (npy_content(shape=(10**18, 3)), "bytes of numbers"),
    "negative": (npy_content(shape=(-4, -3)), "at least one row"),
    "no rows": (npy_content(shape=(0, 3)), "at least one row"),
    "columns": (npy_content(fortran_order=True)[:-1], "expected 48 bytes of numbers"),
    "objects": (npy_content(descr="|O"), "real numbers .* dtype object"),
    "fields": (npy_content(descr=[("a", "<f4")]), "real numbers"),
    "version": (b"\x93NUMPY\x09\x00" + npy_content()[8:], "version 1 or 2|readable"),
    "no shape": (npy_content().replace(b"'shape'", b"'shade'"), "readable"),
}


@pytest.mark.parametrize(("content", "words"), BAD_NPY.values(), ids=BAD_NPY)
@pytest.mark.parametrize("kind", ["npy", "stored", "deflated", "pipe"])
def test_bad_arrays_of_numpy(content, words, kind, tmp_path, monkeypatch):
    path = tmp_path / ("x.npy" if kind == "npy" else "x.npz")
    if kind == "pipe":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        path = Path("-")
    elif kind == "npy":
        path.write_bytes(content)
    else:
        method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
        path.write_bytes(zipped(content, method))
    with pytest.raises(ValueError, match=words):
        pieces(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(npy_content(), names=["x.npy", "x.npy"]), "got 2 of the name 'x'"),
        (zipped(npy_content(), names=["x.txt"]), "at least one array in it, got none"),
        (zipped(npy_content(), zipfile.ZIP_LZMA), "stored or deflated, got method 14"),
        (zipped(npy_content(), zipfile.ZIP_BZIP2), "stored or deflated, got method 12"),
        (damaged(zipped(npy_content(), zipfile.ZIP_STORED), 200), "readable .npz.*CRC"),
        (damaged(zipped(npy_content()), 60), "x.npz"),
        (zipped(npy_content())[:-30], "truncated or no zip"),
    ],
    ids=["twice", "none", "lzma", "bzip2", "damaged", "damaged, deflated", "cut"],
)
def test_bad_archives(content, words, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        pieces(tmp_path / "x.npz", key="x")


def zeros(path, shape, order):
    """Write a file of zeros that takes little room on the disk."""
    if path.suffix == ".npz":
        content = zeros(path.with_suffix(".npy"), shape, order).read_bytes()
        path.write_bytes(zipped(content, names=["x.npy"]))
    elif path.suffix == ".safetensors":
        text = json.dumps(
            {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]}}
        ).encode()
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(file.tell() + 4 * math.prod(shape))
    else:
        head = {"descr": "<f4", "fortran_order": order == "F", "shape": shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, head)
            file.truncate(file.tell() + 4 * math.prod(shape))
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is Linux's to say")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_memory_is_that_of_a_piece(suffix, order, tmp_path):
    """Of 80 MB of numbers, 1 MB a piece: 25 MB are room for the buffers, and far from the whole."""
    if (suffix, order) == (".safetensors", "F"):
        order = "C"  # it has no other
    zeros(tmp_path / f"x{suffix}", (20_000, 1000), order)
    code = (
        "import re, sys; from pathlib import Path; from xpnn._files.rows import read_rows\n"
        "def peak():\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) / 1024\n"
        "before, count = peak(), 0\n"
        "for piece in read_rows(Path(sys.argv[1])).pieces(250): count += len(piece)\n"
        "print(count, peak() - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / f"x{suffix}")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, grown = done.stdout.split()
    assert int(count) == 20_000
    assert float(grown) < 25


@pytest.mark.parametrize("array", [VALUES, VALUES.reshape(2, 2, 3), VALUES[0]], ids=str)
def test_safetensors(array, tmp_path):
    save_file({"x": array, "y": array + 1}, tmp_path / "x.safetensors")
    _, got = pieces(tmp_path / "x.safetensors", key="y")
    desired = array.reshape(1 if array.ndim == 1 else len(array), -1) + 1
    np.testing.assert_array_equal(got, desired)


def csv_rows(text, folder, **options):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "x.csv").write_bytes(content)
    return pieces(folder / "x.csv", **options)[1]


@pytest.mark.parametrize(
    "head",
    ["", "a,b,c\n", "\ufeffa,b,c\n", "_a,a 1,a1x1\n", '"a, b",é,"c ""d"""\n', "x1,X2,y_3\n"],
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n", "\r"], ids=repr)
def test_csv(head, end, tmp_path):
    lines = "\n".join(",".join(map(str, row)) for row in VALUES.tolist())
    text = (head + lines).replace("\n", end.strip("\n") or "\n") + end
    np.testing.assert_array_equal(csv_rows(text, tmp_path), VALUES)


@pytest.mark.parametrize(
    "cell", "1 1. .5 -0.0 +3 1e5 1E-3 007 nan NaN -inf +Infinity 1e-400".split()
)
@pytest.mark.parametrize("form", ["{},2", " {} ,2", '"{}",2', "\t{},2"])
def test_numbers_of_csv(cell, form, tmp_path):
    text = form.format(cell) + "\n"
    np.testing.assert_array_equal(csv_rows(text, tmp_path), [[float(cell), 2]])


NO_NUMBERS = [
    *"1_000 0x10 1e 1e5.0 1,5 --1 1d3 1% $1 1/2 1e999 -1e999 1j true FALSE na NA N/A null None # ? -".split(),
    *(
        "",
        " ",
        "1 2",
        "1;2",
        "1\t2",
        "\u0661\u0662",
        "\uff11",
        "1\xa0",
        "1\0",
        "1\u2009000",
        "\u20191",
    ),
]


@pytest.mark.parametrize("where", ["first", "first alone", "later"])
@pytest.mark.parametrize("cell", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_an_error_and_no_header(cell, where, tmp_path):
    cell = f'"{cell}"'
    text = {
        "first": f"{cell},{cell}\n3,4\n",
        "first alone": f"{cell}\n4\n",
        "later": f"3,4\n{cell},4\n",
    }[where]
    with pytest.raises(ValueError, match=rf"line {2 if where == 'later' else 1}: expected"):
        csv_rows(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,1,2\n3,4,5\n", "line 1: 0,1,2 may be a row or the numbers of the columns"),
        ("0\n3\n", "line 1: 0 may be a row"),
        (",".join(map(str, range(784))) + "\n", "line 1: 0,1,2... may be a row"),
        (",0,1\n0,5,6\n", "line 1: expected numbers alone or names alone, got an empty cell"),
        (",a,b\n0,5,6\n", "line 1: expected numbers alone or names alone, got an empty cell"),
        ("a,b,3\n1,2,3\n", "line 1: expected numbers alone or names alone, got 'a'; .* --header"),
        ("1,2\n3\n", "line 2: expected 2 numbers as before, got 1"),
        ("a,b\n1,2,3\n", "line 2: expected 2 numbers as before, got 3"),
        ("1,2\n3,4,\n", "line 2: expected 2 numbers as before, got 3"),
        ("1,2\n\n3,4\n", "line 2: expected numbers, got an empty line"),
        ("\n1,2\n", "line 1: expected numbers, got an empty line"),
        ("1\n\n\n4\n", "line 2: expected numbers, got an empty line"),
        ("1,2\n ,\n", "line 2: expected a number, got an empty cell"),
        ("1;2;3\n4;5;6\n", "commas go between numbers"),
        ("a;b\n1;2\n", "line 2: .* commas go between numbers"),
        ("1\t2\n", "commas go between numbers"),
        ("1,2\n3,NA\n", "got 'NA'; a number that is missing is written nan"),
        (
            "1,2\n3,-1e400\n",
            "got '-1e400', which is larger than binary64 holds; infinity is written inf",
        ),
        ('1,2\n"3,4\n5,6\n', "readable .csv"),
        ("1,2\n3,4\n".encode("utf-16"), "x.csv: expected CSV in UTF-8, got other bytes"),
        ("1,2\n3,4\n".encode("utf-16-le"), "line 1: expected numbers"),
        ("1,é\n".encode("latin-1"), "x.csv: expected CSV in UTF-8, got other bytes"),
        (gzip.compress(b"1,2\n", mtime=0), "x.csv: expected CSV in UTF-8, got what gzip .* zcat"),
        ("", "at least one row"),
        ("\n\n", "at least one row"),
        ("a,b\n", "at least one row"),
    ],
    ids=repr,
)
def test_bad_csv(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        csv_rows(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "header", "desired"),
    [
        ("0,1\n2,3\n", True, [[2, 3]]),
        ("0,1\n2,3\n", False, [[0, 1], [2, 3]]),
        ("0,1\n2,3\n", None, "--no-header or --header"),
        ("NA,NA\n2,3\n", True, [[2, 3]]),
        ("NA,NA\n2,3\n", False, "line 1: expected a number, got 'NA'"),
        ("a,b\n2,3\n", False, "line 1: expected a number, got 'a'"),
        ("5,6\n2,3\n", True, [[2, 3]]),
        ("5,6\n", True, "at least one row"),
        (",0,1\n4,5,6\n", True, [[4, 5, 6]]),
    ],
)
def test_header_is_what_is_said(text, header, desired, tmp_path):
    if isinstance(desired, str):
        with pytest.raises(ValueError, match=desired):
            csv_rows(text, tmp_path, header=header)
    else:
        np.testing.assert_array_equal(csv_rows(text, tmp_path, header=header), desired)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv"])
@pytest.mark.parametrize("option", [{"key": "x"}, {"header": True}, {"header": False}], ids=str)
def test_options_that_mean_nothing_are_refused(suffix, option, tmp_path):
    path = tmp_path / f"x{suffix}"
    if suffix == ".csv":
        path.write_text("5,6\n7,8\n")
    elif suffix == ".safetensors":
        save_file({"x": VALUES}, path)
    else:
        {".npy": np.save, ".npz": lambda p, x: np.savez(p, x=x)}[suffix](path, VALUES)
    means = suffix == ".csv" if "header" in option else suffix in {".npz", ".safetensors"}
    if means:
        pieces(path, **option)
    else:
        with pytest.raises(ValueError, match=f"are? for .*, got {suffix}|is for"):
            pieces(path, **option)


# Pipes


@pytest.mark.parametrize("n", [1, 3, 100])
@pytest.mark.parametrize("kind", [".csv", *ARRAYS])
@pytest.mark.parametrize("pipe", ["-", "fifo"])
def test_pipes(pipe, kind, n, tmp_path, monkeypatch):
    array = ARRAYS.get(kind, VALUES)
    content = io.BytesIO()
    np.save(content, array)
    content = content.getvalue() if kind != ".csv" else ("a,b,c\n" + text_of(VALUES)).encode()
    path = Path("-")
    if pipe == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    else:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=[content]).start()
    rows, got = pieces(path, n)
    np.testing.assert_array_equal(got, array.reshape(len(got), -1))
    assert rows.total == (None if kind == ".csv" else len(got))


def test_a_pipe_of_anything_else(monkeypatch):
    content = zipped(npy_content())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(ValueError, match="standard input: expected .npy or .csv from a pipe"):
        read_rows(Path("-"))


NO_TEXT = {
    "gzip": (gzip.compress(b"1,2\n", mtime=0), "what gzip packed; unpack it first, as zcat does"),
    "latin-1": ("1,é\n".encode("latin-1"), "other bytes"),
    "binary": (bytes(range(256)), "other bytes"),
    "later": (b"1,2\n" * 9000 + b"\xff", "other bytes"),
}


@pytest.mark.parametrize(("content", "words"), NO_TEXT.values(), ids=NO_TEXT)
def test_a_pipe_of_no_text(content, words, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(
        ValueError, match=f"^standard input: expected .npy or CSV in UTF-8, got {words}"
    ):
        pieces(Path("-"))


def test_a_broken_array_of_a_pipe_is_said_to_be_one(monkeypatch):
    content = npy_content().replace(b"'shape'", b"'shade'")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(ValueError, match=r"^standard input: expected a readable \.npy file"):
        pieces(Path("-"))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv"])
def test_what_may_not_be_read(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"x{suffix}"
    path.touch()

    def denied(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ValueError, match=f"x{suffix}: cannot be read: Permission denied$"):
        read_rows(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv"])
def test_a_folder_is_called_one(suffix, tmp_path):
    (tmp_path / f"x{suffix}").mkdir()
    with pytest.raises(ValueError, match=f"x{suffix}: expected an input file, got a folder$"):
        read_rows(tmp_path / f"x{suffix}")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
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


@pytest.mark.parametrize("signalled", [".old", "rows.zarr"])
def test_a_signal_between_renames_loses_nothing(tmp_path, monkeypatch, signalled):
    place, rename = tmp_path / "rows.zarr", Path.rename
    place.mkdir()
    (place / "before").touch()

    def interrupted(path, target):
        rename(path, target)
        if str(target).endswith(signalled):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing_folder(place) as part:
        (part / "after").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["rows.zarr"]
    assert [p.name for p in place.iterdir()] == ["before" if signalled == ".old" else "after"]


@pytest.mark.parametrize("links", [True, False])
def test_what_came_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    path = tmp_path / "out.npy"

    def no_links(*_):
        raise PermissionError

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    others = pytest.raises(FileExistsError)
    with others, replacing(path, force=False) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"theirs"]
    with replacing(path) as file:
        file.write(b"mine")
    assert path.read_bytes() == b"mine"
    with replacing(tmp_path / "new.npy", force=False) as file:
        file.write(b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.npy", "out.npy"]
