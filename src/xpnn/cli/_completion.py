"""What the shell proposes where a name is expected; no array library is imported for it."""

import glob
from collections.abc import Iterable
from pathlib import Path

from xpnn import models
from xpnn._arrays import installed
from xpnn._arrays.dtypes import FLOATS
from xpnn._convert.extras import READERS
from xpnn._files.formats import WRITTEN


def model(incomplete: str) -> list[str]:
    """Return the shipped networks and the model files that begin so."""
    found = [Path(path) for path in glob.glob(glob.escape(incomplete) + "*")]  # noqa: PTH207
    files = [str(path) for path in found if path.suffix in {".safetensors", *READERS}]
    return _beginning(incomplete, models.names()) + sorted(files)


def backend(incomplete: str) -> list[str]:
    """Return the backends that begin so and are installed."""
    return _beginning(incomplete, installed.installed())


def written(incomplete: str) -> list[str]:
    """Return the formats of rows that are written and begin so."""
    return _beginning(incomplete, WRITTEN)


def dtype(incomplete: str) -> list[str]:
    """Return the dtypes that begin so."""
    return _beginning(incomplete, FLOATS)


def of(incomplete: str) -> list[str]:
    """Return what of a network is compared and begins so."""
    from xpnn._parity.parity import METHODS  # takes its time, which other words need not

    return _beginning(incomplete, METHODS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
