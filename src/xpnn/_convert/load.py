"""load: a network from a model file, or one that xpnn ships, by its name."""

from os import PathLike
from pathlib import Path

from xpnn import models
from xpnn._arrays.arguments import Count, Option
from xpnn._files import model_file
from xpnn._network.network import Network
from xpnn._network.stored import network_of
from xpnn.errors import XpnnTypeError, XpnnValueError

MAX_BYTES = 2**32

_MAX_BYTES = Option(MAX_BYTES, Count())


def find(path_or_name: str | PathLike[str]) -> Path:
    """Return the path of a file, or of a network that xpnn ships."""
    if path_or_name in models.names():
        return models.path(str(path_or_name))
    path = Path(path_or_name)
    if path.exists() and not path.is_file():
        raise XpnnValueError(f"expected a model file, got {str(path)!r}, which is no file")
    if not path.exists():
        raise FileNotFoundError(
            f"expected a model file or the name of a shipped network "
            f"({', '.join(models.names())}), got {str(path)!r}, which is not there"
        )
    return path


def load(path_or_name: str | PathLike[str], *, max_bytes: int = MAX_BYTES) -> Network:
    """Read a network from a file that `Network.save` wrote, or one that xpnn ships.

    Parameters
    ----------
    path_or_name : str or path
        A model file, or the name of a shipped network: "digits". A file of such a name is meant by
        ``"./digits"``.
    max_bytes : int, optional
        Refuse larger files. Default 2**32.

    Returns
    -------
    Network
        With NumPy weights, which follow the input.

    Raises
    ------
    FileNotFoundError
        If there is neither such a file nor such a name.
    TypeError
        If max_bytes is no integer.
    ValueError
        If the file is truncated, too large, no model file, of a newer format, names an activation
        that is not there, has a field that is not known, holds NaN or infinite weights, or its
        layers do not fit.

    Examples
    --------
    >>> import xpnn
    >>> xpnn.load("digits")
    Network of 3 layers, 45,360 parameters, float32, numpy weights that follow the input
      0  784 -> 50, bias, sigmoid
      1  50 -> 100, bias, sigmoid
      2  100 -> 10, bias, softmax
      classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
    """
    most = _MAX_BYTES.taken("load: expected max_bytes", max_bytes)
    path = find(path_or_name)
    model = model_file.read(path, max_bytes=most)
    try:
        return network_of(model)
    except (XpnnTypeError, XpnnValueError) as error:
        raise XpnnValueError(f"{path}: {error}") from None
