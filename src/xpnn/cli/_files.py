"""Files that commands write beside their results: whole or not at all, and never over another."""

from pathlib import Path

from xpnn._model_file import replacing
from xpnn.errors import XpnnValueError


def write(path: Path, text: str, *, force: bool) -> None:
    """Write a file of text."""
    check_free(path, force=force)
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise XpnnValueError(f"{path}: cannot be written: {error.strerror or error}") from None


def check_free(path: Path, *, force: bool) -> None:
    """Raise ValueError if there is something already, or no folder for it."""
    if not path.parent.is_dir():
        raise XpnnValueError(f"{path}: cannot be written: there is no folder {path.parent}")
    if path.exists() and not (force and path.is_file()):
        raise XpnnValueError(f"{path}: is there already; replace it with --force")
