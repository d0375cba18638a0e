"""Where bytes come from: files, and pipes, which can be read only once."""

import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from xpnn.errors import XpnnError, XpnnValueError


class _Rewound(io.RawIOBase):
    """A stream that starts again from its first byte, as long as it remembers what was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._seen, self._at = stream, bytearray(), 0
        self.remembers = True

    def rewind(self) -> None:
        self._at = 0

    def close_all(self) -> None:
        self._stream.close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part: Any = self._seen[self._at : self._at + len(buffer)]
        if not part:
            part = self._stream.read1(len(buffer))  # type: ignore[attr-defined]
            if self.remembers:
                self._seen += part
        self._at += len(part)
        buffer[: len(part)] = part
        return len(part)


class Source(NamedTuple):
    """Bytes to read from their start: their head several times, all of them once."""

    name: str
    path: Path
    stream: _Rewound | None
    """None for a file, which is opened again each time."""

    @contextmanager
    def head(self) -> Iterator[io.BufferedReader]:
        """Open it to look at its first bytes."""
        if self.stream is None:
            with self.path.open("rb") as file:
                yield file
            return
        self.stream.rewind()
        file = io.BufferedReader(self.stream)
        try:
            yield file
        finally:
            file.detach()

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Open it to read all of it."""
        if self.stream is not None:
            self.stream.remembers = False
        try:
            with self.head() as file:
                yield file
        finally:
            self.close()

    def close(self) -> None:
        """Close a pipe that was opened for this."""
        if self.stream is not None and not is_standard(self.path):
            self.stream.close_all()


def is_standard(path: Path) -> bool:
    """Whether the path means the stream that the process was started with."""
    return str(path) in {"-", "/dev/stdin", "/dev/stdout"}


def is_stream(path: Path) -> bool:
    """Whether the path is a pipe or device, which is read and written from one end to the other."""
    if is_standard(path):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def source(path: Path, *, folders: bool = False) -> Source:
    """Return what to read at a path, which may be a folder where that is asked for; `-` is standard input."""
    if is_standard(path):
        if sys.stdin is None:
            raise XpnnValueError("standard input: expected something to read, but it is closed")
        return Source("standard input", path, _Rewound(sys.stdin.buffer))
    if is_stream(path):
        return Source(str(path), path, _Rewound(path.open("rb")))
    if path.is_dir() and not folders:
        raise XpnnValueError(f"{path}: expected an input file, got a folder")
    if not path.exists():
        raise XpnnValueError(f"{path}: expected an input file, which is not there")
    if path.is_file():
        path.open("rb").close()  # some libraries that read it would not say that they may not
    return Source(str(path), path, None)


@contextmanager
def readable(name: str, kind: str) -> Iterator[None]:
    """Raise XpnnValueError where the system or a library says that a file cannot be read."""
    try:
        yield
    except XpnnError:
        raise
    except Exception as error:  # noqa: BLE001 -- OSError, SafetensorError, BadZipFile, csv.Error
        number = getattr(error, "errno", None)
        if number is not None:
            raise XpnnValueError(f"{name}: cannot be read: {os.strerror(number)}") from None
        raise XpnnValueError(
            f"{name}: expected a readable .{kind} file, got {type(error).__name__}: {error}"
        ) from None
