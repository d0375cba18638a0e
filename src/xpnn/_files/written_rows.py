"""Rows of numbers written in pieces: to files and folders, there whole or not at all, and to pipes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xpnn._files.folders import replacing_folder
from xpnn._files.formats import FORMATS, WRITTEN
from xpnn._files.model_file import replacing
from xpnn._files.pieces import Names, Numbers
from xpnn._files.streams import is_standard, is_stream
from xpnn._files.zarr_rows import is_zarr
from xpnn.errors import XpnnValueError


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


@contextmanager
def write_rows(
    path: Path, *, force: bool, as_: str | None = None, names: Names = _numbered
) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that appends rows to a new file or folder, there whole at the end.

    A pipe gets them as they come; `-` is standard output.
    """
    kind = output_format(path, as_)
    format_ = FORMATS[kind]
    if is_stream(path):
        if format_.stream is None:
            raise XpnnValueError(f"{path}: expected a name for .{kind}, got a pipe or a device")
        with _stream(path) as file, format_.stream(file, names) as write:
            yield write
        return
    if path.exists() and not (is_zarr(path) if format_.is_folder else path.is_file()):
        thing = "a Zarr store" if format_.is_folder else "a file"
        raise XpnnValueError(f"{path}: expected {thing} to write, which is something else")
    write_to: Any = format_.write
    replaced: Any = replacing_folder if format_.is_folder else replacing

    def check_free() -> None:
        if path.exists() and not force:
            raise XpnnValueError(f"{path}: is there already; replace it with --force")

    check_free()
    try:
        with replaced(path, force=force) as place, write_to(place, names) as write:
            yield write
            check_free()  # someone else may have written it meanwhile
    except OSError as error:
        reason = error.strerror or str(error)
        raise XpnnValueError(f"{path}: cannot be written: {reason}; nothing was left") from None


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    if not is_standard(path):
        with path.open("wb") as file:
            yield file
        return
    try:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritten(error) from None


def unwritten(error: OSError) -> XpnnValueError:
    """Say why standard output takes no more."""
    return XpnnValueError(f"standard output: cannot be written: {error.strerror or error}")
