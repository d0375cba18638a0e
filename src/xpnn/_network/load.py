"""load: a network from a model file, or one that xpnn ships, by its name."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from xpnn import models
from xpnn._arrays.arguments import Count, Option
from xpnn._convert.extras import ADVICE, READERS, needing
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


def metadata_of(path: Path) -> dict[str, str]:
    """Return what a model file says beside the network; others say nothing."""
    if path.suffix.lower() in READERS:
        return {}
    from xpnn._files import model_file  # few programs read files

    return model_file.read(path).metadata


def _of_safetensors(path: Path, output: object, layers: Any) -> Network:
    from xpnn._files import model_file

    if output is not None:
        raise XpnnValueError(f"expected no output for a model file, which has one, got {output!r}")
    if layers is not None:
        return Network.from_state_dict(model_file.tensors_of(path), layers)
    return network_of(model_file.read(path))


def _of_others(reader: str, path: Path, output: object, layers: object) -> Network:
    if layers is not None:
        raise XpnnValueError(
            f"expected no layers for a {path.suffix} file, which has them, got {layers!r}"
        )
    return Network(**needing(reader).read(path, output)._asdict())


def load(
    path_or_name: str | PathLike[str],
    *,
    output: str | Sequence[str] | None = None,
    layers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Network:
    """Read a network from a file: one that `Network.save` wrote, one of others, or one that xpnn ships.

    Parameters
    ----------
    path_or_name : str or path
        A model file, or the name of a shipped network: "digits". A file of such a name is meant by
        ``"./digits"``. The ending says what a file of others is: ``.onnx``; ``.pt2`` as
        ``torch.export.save`` writes it; ``.keras``, ``.h5`` and ``.hdf5`` of Keras; ``.skops`` of
        scikit-learn; ``.npz`` of CosmoPower; ``.json`` of lwtnn.
    output : str or sequence of str, optional
        Which output of a model that has several; what the others need is left out. Of several names
        the columns stand beside each other.
    layers : mapping of str to str, or sequence of pairs, optional
        Of a safetensors file that others wrote: the name of each layer and the activation after it, as
        `Network.from_state_dict` takes them.
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
    PermissionError
        If the file may not be read.
    TypeError
        If max_bytes is no integer.
    XpnnError
        If the package that reads the format is not installed.
    ValueError
        If the file is truncated, too large, no model file, of a newer format, names an activation
        that is not there, has a field that is not known, holds NaN or infinite weights (a model file of
        xpnn), or its layers do not fit; or if there is no such output. An ONNX model with an operation that is no
        part of a layer is refused with the name of the node. Pickles are refused: ``.pt``, ``.pkl``,
        ``.joblib`` and their kin.

    Notes
    -----
    What an exporter took apart is put together by what it computes: x * sigmoid(x) is silu, in whichever
    operations. Results are those of the model within `error_bound`, for any number of rows.

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
    from xpnn._files import model_file

    most = _MAX_BYTES.taken("load: expected max_bytes", max_bytes)
    path = find(path_or_name)
    try:
        model_file.check_size(path, max_bytes=most)
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            return _of_safetensors(path, output, layers)
        return _of_others(reader, path, output, layers)
    except (XpnnTypeError, XpnnValueError) as error:
        words = str(error).removeprefix(f"{path}: ")
        raise XpnnValueError(f"{path}: {ADVICE.get(path.suffix.lower(), words)}") from None
