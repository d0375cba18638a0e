"""The streams for words, which nobody need take: no work ends by that, and no exit status changes."""

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from xpnn._files.written_rows import said
from xpnn.errors import XpnnValueError


class Words:
    """Standard output for words: a reader who leaves, as `head` does, ends no work and changes no verdict.

    Rows are another matter; they go to its `buffer`, whose error says that nobody wants more of them.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):  # ? for a character that it has not
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write the text, to nowhere once the reader has left."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._do(self._stream.flush)

    def _do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            drop(self._stream)
            self._untaken(error)

    def _untaken(self, error: OSError) -> None:
        """Raise XpnnValueError where words are lost to somebody who is there."""
        with suppress(BrokenPipeError), said("standard output"):
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Aside(Words):
    """Standard error: what cannot be written there is dropped, as there is no other place to say so."""

    def _untaken(self, error: OSError) -> None:
        pass


def nowhere() -> TextIO:
    """Return a stream for a program that was started with one of its own closed."""
    return Path(os.devnull).open("w", encoding="utf-8")


def drop(stream: TextIO) -> None:
    """Send what cannot be written to nowhere, or Python tries once more at the end."""
    try:
        stream.flush()
    except (OSError, XpnnValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
