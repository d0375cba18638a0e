"""What to predict, of what, and with what: all that a worker of a cluster needs to know, too."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xpnn import models
from xpnn._arrays.installed import open_backend
from xpnn._arrays.library import library
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._files.formats import READ
from xpnn._files.pieces import Input, Numbers, Rows, rows_of
from xpnn._files.rows import read_rows
from xpnn._network.checks import check_ending
from xpnn._network.layers.layer import as_samples, first_array, taken_by
from xpnn._network.load import find, load
from xpnn._network.network import Network
from xpnn._reproducible import reproducible
from xpnn.errors import XpnnValueError


def loaded(model: str, part: str | None) -> Network:
    """Read a network; where `load` would name its argument, an error names the option."""
    try:
        return load(model, output=part)
    except XpnnValueError as error:
        words = re.sub(r"\bexpected (no )?output\b", r"expected \1--output-name", str(error))
        raise XpnnValueError(words) from None


class Job(NamedTuple):
    """What to predict, of what, and with what."""

    model: str
    input: Path | None
    key: str | None
    header: bool | None
    backend: str
    device: str | None
    kind: str | None
    """proba, classes, logits, or None for the network's output."""
    reproducible: bool = False
    part: str | None = None
    """Which output of a model that has several."""
    scheduler: str | None = None
    """The address of a Dask scheduler whose workers compute; None for this process."""

    def network(self) -> Network:
        """Read the network."""
        try:
            return loaded(self.model, self.part)
        except (XpnnValueError, FileNotFoundError) as error:
            if self.input is None and Path(self.model).suffix in {*READ} - {".safetensors"}:
                raise XpnnValueError(
                    f"{error}; the first argument is MODEL: xpnn predict digits {self.model}"
                ) from None
            raise

    def described(self, network: Network) -> Input | None:
        """Return what is read; None for the sample that comes with a shipped network.

        Where the input names its columns and the network does, those that it takes.
        """
        if self.input is None:
            return None
        names = network.inputs or ()
        one_each = len(names) == math.prod(taken_by(network.layers) or (len(names),)) > 0
        return Input(self.input, self.key, self.header, names if one_each else None)

    def rows(self, network: Network) -> Rows:
        """Open the input, or the sample."""
        wanted = self.described(network)
        if wanted is not None:
            return read_rows(*wanted)
        if self.model not in models.names():
            raise XpnnValueError(
                f"expected INPUT after MODEL, named {', '.join(READ)}: only "
                f"{', '.join(models.names())} comes with a sample"
            )
        return rows_of(models.sample(self.model)[0], f"sample of {self.model}")

    def check_width(self, network: Network, rows: Rows) -> None:
        """Raise ValueError unless the rows are as wide as the network takes them."""
        width = math.prod(taken_by(network.layers) or (rows.width,))
        if rows.width != width:
            raise XpnnValueError(
                f"{rows.source}: expected rows of {width} numbers for the network {self.model}, "
                f"got {rows.width}"
            )

    def check_kind(self, network: Network, mend: str) -> None:
        """Raise ValueError unless the network gives what is wanted of it."""
        if self.kind is None:
            return
        last, wanted = network.layers[-1].activate, _WANTED.get(self.kind, self.kind)
        try:
            check_ending(self.kind, last, logits=self.kind == "logits")
        except XpnnValueError:  # which says what to call in its place
            raise XpnnValueError(
                f"{self.model}: expected a network that gives {wanted}, got a regression, whose last "
                f"activation is {last}; {mend}"
            ) from None

    @property
    def files(self) -> dict[str, Path | None]:
        """What is read, by what the command's help calls it."""
        try:
            return {"MODEL": find(self.model), "INPUT": self.input}
        except (XpnnValueError, FileNotFoundError):  # which network() says better
            return {"INPUT": self.input}

    def runner(self, network: Network) -> Callable[[Numbers], Numbers]:
        """Return the function from rows to results, run by the backend on the device."""
        found, device = open_backend(self.backend, self.device)
        method = _METHODS[self.kind]
        xp = reproducible(found.xp) if self.reproducible else None

        def run(x: Numbers) -> Numbers:
            if x.dtype.kind in "iu":  # some backends lack some integers; the result is the same
                first = first_array(network.layers)
                x = x.astype(np.float64 if first is None else first.dtype)
            elif not hasattr(found.xp, x.dtype.name):  # float16, which the standard lacks
                x = x.astype(np.float32)
            # A copy, as the rows may be a read-only map of a file, in another byte order.
            x = np.array(as_samples(network.layers, x), dtype=x.dtype.newbyteorder("="))
            try:
                return to_numpy(method(network, found.xp.asarray(x, device=device), xp=xp))
            except (RuntimeError, MemoryError) as error:  # what torch and JAX say without memory
                raise XpnnValueError(
                    f"backend {self.backend} failed on {len(x):,} rows ({error}); if memory is "
                    "short, give a smaller --batch-size"
                ) from None

        return run


def _proba(network: Network, x: Array, *, xp: Namespace | None) -> Array:
    if network.layers[-1].activate.is_probability:
        return network(x, xp=xp)
    log_p = network.log_proba(x, xp=xp)
    return (xp or library(x).xp).exp(log_p)


def _classes(network: Network, x: Array, *, xp: Namespace | None) -> Numbers:
    """Return the class of each row, -1 where a logit is NaN, which says nothing of the class."""
    classes = to_numpy(network.classify(x, xp=xp))
    nan = np.isnan(to_numpy(network.logits(x, xp=xp)))
    # After several sigmoids each has a class of its own.
    return np.where(nan if nan.shape == classes.shape else nan.any(axis=-1), -1, classes)


_WANTED = {"proba": "probabilities"}
_METHODS: dict[str | None, Callable[..., Array]] = {
    None: Network.__call__,
    "proba": _proba,
    "classes": _classes,
    "logits": Network.logits,
}
