"""The model file: safetensors, with everything but the numbers as JSON in its metadata.

`docs/format.md` says what is in it. Nothing is executed on reading, and nothing is trusted: every
field is checked before a network is made of it.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_save

from xpnn.errors import XpnnValueError

FORMAT_VERSION = 1
_KEY = "xpnn"  # of the JSON text in the file's metadata
_DTYPES = ("F16", "F32", "F64")  # as safetensors calls them


class Model(NamedTuple):
    """What a model file holds."""

    layers: list[dict[str, Any]]
    """For each layer {"activation": name, "options": {...}}."""
    classes: list[str | int] | None
    tensors: dict[str, np.ndarray[Any, Any]]
    """By name: layers.0.weight, layers.0.bias, ..."""
    metadata: dict[str, str]


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes if not."""
    path = Path(path)
    # Beside its place, so that the renaming stays within one file system.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes it readable for its owner alone
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write(path: str | PathLike[str], model: Model) -> None:
    """Write a model file, whole or not at all."""
    notes: dict[Any, Any] = model.metadata
    for key, value in notes.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise XpnnValueError(f"save: expected metadata of str to str, got {key!r}: {value!r}")
    text = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "layers": model.layers,
            "classes": model.classes,
            "metadata": model.metadata,
        },
        sort_keys=True,
    )
    tensors = {name: np.ascontiguousarray(a) for name, a in model.tensors.items()}
    content = safetensors_save(tensors, metadata={_KEY: text})
    with replacing(path) as file:
        file.write(content)


def read(path: str | PathLike[str], *, max_bytes: int) -> Model:
    """Read and check a model file."""
    path = Path(path)
    size = path.stat().st_size  # FileNotFoundError says it all
    if size > max_bytes:
        raise XpnnValueError(
            f"{path}: expected a model file of at most {max_bytes:,} bytes, got {size:,}; "
            "pass max_bytes if it is right"
        )
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise XpnnValueError(
                    f"{path}: a safetensors file, but no network of xpnn (its metadata has no "
                    f"{_KEY!r}); make one with Network.from_weights(...) and network.save(...)"
                )
            for name in file.keys():  # noqa: SIM118 -- it is no mapping
                kind = file.get_slice(name).get_dtype()
                if kind not in _DTYPES:
                    raise XpnnValueError(
                        f"{path}: tensor {name}: expected dtype {', '.join(_DTYPES)}, got {kind}"
                    )
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise XpnnValueError(
            f"{path}: expected a model file of xpnn, got one that is truncated or no safetensors "
            f"file ({error})"
        ) from None
    try:
        return _check(json.loads(text), tensors)
    except XpnnValueError as error:
        raise XpnnValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise XpnnValueError(f"{path}: its description is no JSON ({error})") from None


def _check(content: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> Model:
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise XpnnValueError(
            f"expected format version {FORMAT_VERSION}, got {version!r}; a newer xpnn may read it"
        )
    layers = content.get("layers")
    if not isinstance(layers, list) or not layers:
        raise XpnnValueError(f"expected a list of layers in its description, got {layers!r}")
    for i, layer in enumerate(layers):
        if not (
            isinstance(layer, dict)
            and isinstance(layer.get("activation"), str)
            and isinstance(layer.get("options"), dict)
        ):
            raise XpnnValueError(f"layer {i}: expected an activation and options, got {layer!r}")
    possible = {f"layers.{i}.{part}" for i in range(len(layers)) for part in ("weight", "bias")}
    needed = {name for name in possible if name.endswith("weight")}
    for name in sorted(needed - set(tensors)):
        raise XpnnValueError(f"expected a tensor {name}, which is missing")
    for name, a in tensors.items():
        if name not in possible:
            raise XpnnValueError(f"expected {len(layers)} layers, got a tensor {name} beside them")
        wrong = int(np.count_nonzero(~np.isfinite(a)))
        if wrong:
            raise XpnnValueError(
                f"tensor {name}: expected finite values, got NaN or infinity in {wrong} of {a.size}"
            )
    classes, metadata = content.get("classes"), content.get("metadata", {})
    if classes is not None and not isinstance(classes, list):
        raise XpnnValueError(f"expected a list of classes, got {classes!r}")
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise XpnnValueError(f"expected metadata of str to str, got {metadata!r}")
    return Model(layers, classes, tensors, metadata)
