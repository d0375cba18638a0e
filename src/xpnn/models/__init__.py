"""The networks that xpnn ships, by name, with sample input.

`digits` is the network of 'Deep Learning from Scratch', chapter 3: 784-50-100-10 with sigmoid,
sigmoid, softmax, trained on 9,000 handwritten digits of MNIST by `tools/train_digits.py`. Its input
is 784 grey levels from 0, background, to 255, row by row, just as images of 28 x 28 bytes hold
them.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.errors import XpnnValueError

__all__ = ["names", "path", "sample"]

_FOLDER = Path(str(files(__name__)))


def names() -> list[str]:
    """Return the names of the shipped networks, which `xpnn.load` takes."""
    return sorted(p.stem for p in _FOLDER.glob("*.safetensors"))


def path(name: str) -> Path:
    """Return where the model file of a shipped network is."""
    if name not in names():
        raise XpnnValueError(f"expected one of the networks {', '.join(names())}, got {name!r}")
    return _FOLDER / f"{name}.safetensors"


def sample(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return sample input for a shipped network and its labels, as NumPy arrays.

    Parameters
    ----------
    name : str
        Of a shipped network: "digits".

    Returns
    -------
    x : array, shape (rows, in)
        For digits (200, 784) uint8: images that the network was not trained on.
    labels : array, shape (rows,)
        For digits uint8: the digit that each shows.

    Examples
    --------
    >>> import xpnn, xpnn.models
    >>> x, labels = xpnn.models.sample("digits")
    >>> xpnn.load("digits").classify(x[:5]), labels[:5]
    (array([7, 3, 4, 6, 9]), array([7, 3, 4, 6, 9], dtype=uint8))
    """
    with np.load(path(name).with_name(f"{name}_sample.npz"), allow_pickle=False) as file:
        return file["x"], file["labels"]
