"""Files that commands write beside their results: whole or not at all, and never over another."""

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from xpnn._files.model_file import replacing
from xpnn._files.streams import is_standard, is_stream
from xpnn._files.written_rows import saying
from xpnn.errors import XpnnValueError


def write(path: Path, content: bytes, *, force: bool) -> None:
    """Write a file."""
    with writing(path, force=force) as append:
        append(content)


def writing(path: Path, *, force: bool) -> AbstractContextManager[Callable[[bytes], None]]:
    """Give a function that writes a file, which is there when the block ends well."""
    check_free(path, force=force)
    return saying(str(path), _replaced(path, force=force))


@contextmanager
def _replaced(path: Path, *, force: bool) -> Iterator[Callable[[bytes], None]]:
    with replacing(path, force=force) as file:

        def append(content: bytes) -> None:
            file.write(content)
            file.flush()

        yield append


def check_free(path: Path, *, force: bool) -> None:
    """Raise ValueError if there is something already, or no folder for it."""
    if is_stream(path):
        raise XpnnValueError(f"{path}: cannot be written: expected a file, got a pipe or a device")
    if not path.parent.is_dir():
        raise XpnnValueError(f"{path}: cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise XpnnValueError(f"{path}: expected a file to write, which is something else")
    if path.exists() and not force:
        raise XpnnValueError(f"{path}: is there already; replace it with --force")


def check_apart(written: dict[str, Path | None], read: dict[str, Path | None]) -> None:
    """Raise ValueError if a file or folder that is written is also read, or written twice, or in another."""
    places = {**written, **read}
    for (one, first), (other, second) in itertools.combinations(places.items(), 2):
        if first is None or second is None or (one in read and other in read):
            continue
        if _same(first, second):
            raise XpnnValueError(f"{first}: expected {one} and {other} to be two files, got one")
        if _holds(first, second) or _holds(second, first):
            raise XpnnValueError(
                f"{first}: expected {one} and {other} apart, got one in the folder of the other"
            )


def _same(first: Path, second: Path) -> bool:
    """Whether two paths mean one file: by links, or by names where case or accents say nothing."""
    if is_standard(first) or is_standard(second):
        return False
    if first.exists() and second.exists():
        return first.samefile(second)
    return not (first.exists() or second.exists()) and _place(first) == _place(second)


def _holds(folder: Path, path: Path) -> bool:
    """Whether a path is in a folder, or a link in the folder is to it."""
    if not folder.is_dir() or is_standard(path):
        return False
    inside = any(_same(folder, above) for above in Path(os.path.realpath(path)).parents)
    return inside or any(_same(file, path) for file in folder.iterdir())


def _place(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
