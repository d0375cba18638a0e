"""Rows of numbers written in pieces: to files and folders, there whole or not at all, and to pipes."""

import errno
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from xpnn._files.folders import replacing_folder
from xpnn._files.formats import FORMATS, WRITTEN, Format, Writer
from xpnn._files.model_file import replacing
from xpnn._files.pieces import Names, Numbers
from xpnn._files.streams import is_standard, is_stream
from xpnn._files.zarr_rows import is_zarr
from xpnn.errors import XpnnValueError

T = TypeVar("T")


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


_CHOICE = _either(WRITTEN)


def output_format(path: Path, wanted: str | None) -> str:
    """Return the format to write: the wanted one, or by name; ValueError if unclear."""
    if wanted is not None and wanted not in WRITTEN:
        raise XpnnValueError(f"expected --format {_CHOICE}, got {wanted!r}")
    by_name = path.suffix.lower().removeprefix(".")
    if by_name in WRITTEN and wanted not in {None, by_name}:
        raise XpnnValueError(f"{path}: expected a name that ends in .{wanted}, got {path.suffix!r}")
    if wanted is None and by_name not in WRITTEN:
        if is_standard(path):
            return "csv"
        raise XpnnValueError(
            f"{path}: expected an output file named {_either([f'.{name}' for name in WRITTEN])}, got "
            f"{path.suffix!r}; or say --format {_CHOICE}"
        )
    return wanted or by_name


def _numbered(count: int) -> list[str]:
    return [f"output_{i}" for i in range(count)]


def write_rows(
    path: Path, *, force: bool, as_: str | None = None, names: Names = _numbered
) -> AbstractContextManager[Callable[[Numbers], None]]:
    """Give a function that appends rows to a new file or folder, there whole at the end.

    A pipe gets them as they come; `-` is standard output.
    """
    kind = output_format(path, as_)
    format_ = FORMATS[kind]
    if is_stream(path):
        if format_.stream is None:
            raise XpnnValueError(f"{path}: expected a name for .{kind}, got a pipe or a device")
        name = "standard output" if is_standard(path) else str(path)
        return saying(name, _piped(path, format_.stream, names))
    if path.exists() and not (is_zarr(path) if format_.is_folder else path.is_file()):
        thing = "a Zarr store" if format_.is_folder else "a file"
        raise XpnnValueError(f"{path}: expected {thing} to write, which is something else")
    return saying(str(path), _placed(path, format_, names, force=force), "; nothing was left")


@contextmanager
def _placed(
    path: Path, format_: Format, names: Names, *, force: bool
) -> Iterator[Callable[[Numbers], None]]:
    write_to: Any = format_.write
    replaced: Any = replacing_folder if format_.is_folder else replacing

    def check_free() -> None:
        if path.exists() and not force:
            raise XpnnValueError(f"{path}: is there already; replace it with --force")

    check_free()
    with replaced(path, force=force) as place, write_to(place, names) as write:
        yield write
        check_free()  # someone else may have written it meanwhile


class _Whole:
    """A stream without a buffer, which may write a part of what it is given."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def write(self, content: bytes) -> int:
        """Write all of it."""
        rest = memoryview(content)
        while rest:
            count = self._raw.write(rest)
            if count is None:
                raise BlockingIOError(errno.EAGAIN, "the stream takes no more just now")
            rest = rest[count:]
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


@contextmanager
def _piped(
    path: Path, write_to: Callable[[IO[bytes], Names], Writer], names: Names
) -> Iterator[Callable[[Numbers], None]]:
    standard = is_standard(path)
    if standard:
        sys.stdout.flush()
    file: Any = sys.stdout.buffer if standard else path.open("wb")
    if isinstance(file, io.RawIOBase):  # as Python's option -u gives it
        file = _Whole(file)
    try:
        with write_to(file, names) as write:
            yield write
        file.flush()
    finally:
        if not standard:
            with suppress(OSError):  # or it would take the place of what went wrong before
                file.close()


@contextmanager
def saying(
    name: str, writer: AbstractContextManager[Callable[[T], None]], end: str = ""
) -> Iterator[Callable[[T], None]]:
    """Give the function that a context gives to write with; say of what its errors are, and of no others."""
    with ExitStack() as stack:
        with said(name, end):
            append = stack.enter_context(writer)

        def write(content: T) -> None:
            with said(name, end):
                append(content)

        yield write
        with said(name, end):
            stack.close()


@contextmanager
def said(name: str, end: str = "") -> Iterator[None]:
    """Say of what is written that it cannot be; that a reader has left is no mistake."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise XpnnValueError(f"{name}: cannot be written: {reason}{end}") from None
