"""Zip archives that may be hostile: each entry has one name, and its size is checked before it is read."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from xpnn.errors import XpnnValueError

_MOST_ENTRIES = 2**16
_MOST = 2**28
"""Bytes that all that is read of an archive may have together, if the archive itself has no more."""
_KNOWN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Of other ways to compress, zipfile unpacks more than it was asked for."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError),
    *(NotImplementedError, RuntimeError, ValueError),
)
"""How zipfile refuses archives that are cut off, or make no sense."""


class Archive:
    """An archive while it is open: the names of its entries, and what is in each."""

    def __init__(self, file: zipfile.ZipFile, most: int) -> None:
        self._file = file
        self._left = most
        entries = file.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise XpnnValueError(
                f"expected at most {_MOST_ENTRIES:,} entries, got {len(entries):,}"
            )
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            if entry.filename in self._entries:
                raise XpnnValueError(f"expected each entry once, got two named {entry.filename!r}")
            self._entries[entry.filename] = entry

    @property
    def names(self) -> list[str]:
        """The names of the entries, in their order."""
        return list(self._entries)

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return what is in an entry; XpnnValueError if that is more bytes than may be, or cannot be read."""
        entry = self._entries.get(name)
        if entry is None:
            raise XpnnValueError(f"expected an entry {name!r}, which is missing")
        where, size = f"entry {name!r}", entry.file_size
        limit = self._left if most is None else min(most, self._left)
        if size > limit:
            raise XpnnValueError(f"{where}: expected at most {limit:,} bytes, got {size:,}")
        if entry.flag_bits & 1 or entry.compress_type not in _KNOWN:
            raise XpnnValueError(f"{where}: expected it stored or deflated, and not encrypted")
        self._left -= size
        try:
            with self._file.open(entry) as stream:
                content = stream.read(size)
        except _BROKEN as error:
            raise XpnnValueError(f"{where}: it cannot be read ({error})") from None
        if len(content) != size:
            raise XpnnValueError(f"{where}: expected {size:,} bytes, got {len(content):,}")
        return content


@contextmanager
def archive(path: str | PathLike[str]) -> Iterator[Archive]:
    """Open a zip archive; XpnnValueError if it is none. Nothing of it is written anywhere."""
    try:
        file = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise XpnnValueError(f"expected a zip archive, got something else ({error})") from None
    with file:
        yield Archive(file, max(_MOST, Path(path).stat().st_size))
