"""Zip archives, and every way in which one can be wrong."""

import io
import re
import warnings
import zipfile

import pytest

import xpnn
from xpnn._files import archive as module
from xpnn._files.archive import archive

STORED = zipfile.ZIP_STORED


def packed(*entries, method=STORED):
    """Return an archive of these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two entries of one name
        for name, content in entries:
            zipped.writestr(name, content)
    return file.getvalue()


ONE = packed(("one", b"0123456789"))
HEAD = ONE.index(b"PK\1\2")  # of the list of entries at the end


def changed(content, place, new):
    return content[:place] + new + content[place + len(new) :]


@pytest.mark.parametrize("method", [STORED, zipfile.ZIP_DEFLATED])
def test_entries_are_read(method, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(packed(("a/../../one", b"1" * 5000), ("two", b""), method=method))
    with archive(path) as files:
        assert files.names == ["a/../../one", "two"]
        assert files.read("a/../../one", 5000) == b"1" * 5000
        assert files.read("two") == b""
    assert list(tmp_path.iterdir()) == [path]


BAD = {
    "expected a zip archive, got something else": b"no archive",
    "expected a zip archive, got something else (File": b"",
    "expected each entry once, got two named 'one'": packed(("one", b"1"), ("one", b"2")),
    "expected an entry 'one', which is missing": packed(("two", b"1")),
    "entry 'one': expected at most 16 bytes, got 17": packed(("one", b"1" * 17)),
    "entry 'one': expected at most 16 bytes, got 1,000,000": packed(
        ("one", b"1" * 10**6), method=zipfile.ZIP_DEFLATED
    ),
    "entry 'one': expected it stored or deflated, and not encrypted": packed(
        ("one", b"1"), method=zipfile.ZIP_BZIP2
    ),
    "entry 'one': expected it stored or deflated, and": changed(ONE, HEAD + 8, b"\1"),
    "entry 'one': it cannot be read (Bad CRC-32 for file 'one')": ONE.replace(b"345", b"354"),
    "entry 'one': it cannot be read (File name in directory": changed(ONE, 30, b"eno"),
    "entry 'one': it cannot be read": changed(ONE, HEAD + 10, b"\x08"),  # no deflated data
    "entry 'one': expected 16 bytes, got 10": changed(ONE, HEAD + 24, b"\x10"),
    "expected a zip archive, got": ONE[: HEAD + 10],
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(BAD[words])
    with pytest.raises(xpnn.XpnnValueError, match=re.escape(words)), archive(path) as files:
        files.read("one", 16)


def test_all_that_is_read_together_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 25)
    path = tmp_path / "a.zip"
    path.write_bytes(packed(("one", b"1" * 1000), method=zipfile.ZIP_DEFLATED))
    with archive(path) as files, pytest.raises(xpnn.XpnnValueError, match="got 1,000"):
        files.read("one")
    path.write_bytes(packed(("one", b"1" * 100)))
    with archive(path) as files:
        once = path.stat().st_size // 100
        for _ in range(once):
            files.read("one")
        with pytest.raises(xpnn.XpnnValueError, match=f"at most {path.stat().st_size % 100} bytes"):
            files.read("one")


def test_entries_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ENTRIES", 2)
    path = tmp_path / "a.zip"
    path.write_bytes(packed(*((str(i), b"") for i in range(3))))
    with pytest.raises(xpnn.XpnnValueError, match="at most 2 entries, got 3"), archive(path):
        pass


@pytest.mark.parametrize("length", range(0, len(ONE), 7))
def test_cut_off(length, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(ONE[:length])
    with pytest.raises(xpnn.XpnnValueError), archive(path) as files:
        files.read("one")


def test_any_byte_may_be_wrong(tmp_path):
    """It ends as an error of xpnn, or as the entry."""
    path = tmp_path / "a.zip"
    for place in range(len(ONE)):
        for byte in (0, 1, 127, 255):
            path.write_bytes(changed(ONE, place, bytes([byte])))
            try:
                with archive(path) as files:
                    for name in files.names:
                        files.read(name)
            except xpnn.XpnnValueError:
                pass
