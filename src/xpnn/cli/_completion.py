"""What the shell proposes where a model or a backend is expected; no array library is imported for it."""

import glob
from pathlib import Path

from xpnn import models
from xpnn._arrays import installed
from xpnn._convert.extras import READERS


def model(incomplete: str) -> list[str]:
    """Return the shipped networks and the model files that begin so."""
    found = [Path(path) for path in glob.glob(glob.escape(incomplete) + "*")]  # noqa: PTH207
    files = [str(path) for path in found if path.suffix in {".safetensors", *READERS}]
    return [name for name in models.names() if name.startswith(incomplete)] + sorted(files)


def backend(incomplete: str) -> list[str]:
    """Return the backends that begin so and are installed."""
    return [name for name in installed.installed() if name.startswith(incomplete)]
