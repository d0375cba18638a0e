"""Folders that are written: there whole or not at all, as files are."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpnn._files.model_file import sync


@contextmanager
def replacing_folder(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Give a folder that takes the place of `path` when the block ends well, and vanishes if not.

    A symbolic link stays: what it points to is replaced. PermissionError if nobody may write to that;
    OSError if there is something and it is not to be replaced, by `force`.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not (place.stat().st_mode & 0o222 and os.access(place, os.W_OK)):
        raise PermissionError(errno.EACCES, "it is read-only", str(path))
    name = f".xpnn-{secrets.token_hex(8)}"
    part, old = place.with_name(f"{name}.part"), place.with_name(f"{name}.old")
    try:
        part.mkdir()
        yield part
        for folder, _, files in os.walk(part):
            for file in files:
                sync(Path(folder, file))
            sync(Path(folder))
        if force and place.exists():
            part.chmod(place.stat().st_mode & 0o777)
            place.rename(old)
        part.rename(place)
        sync(place.parent)
    finally:
        # Wherever it was left, by a signal between two renames, too: what was there is not lost.
        if old.exists() and not place.exists():
            old.rename(place)
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
