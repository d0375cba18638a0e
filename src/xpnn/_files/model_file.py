"""The model file: safetensors, with everything but the numbers as JSON in its metadata.

`docs/format.md` says what is in it. Nothing is executed on reading, and nothing is trusted: every
field is checked before a network is made of it.
"""

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_save

from xpnn.errors import XpnnValueError

FORMAT_VERSION = 2
"""The newest; a network of dense layers alone is written in version 1."""
_KEY = "xpnn"  # of the JSON text in the file's metadata
_FIELDS = ("format_version", "layers", "classes", "metadata")
_NAMES = ("inputs", "outputs")
"""Fields that version 2 may have."""
_DTYPES = ("F16", "F32", "F64")  # as safetensors calls them


class Model(NamedTuple):
    """What a model file holds."""

    layers: list[dict[str, Any]]
    """For each layer {"activation": name, "options": {...}}, in version 2 with its "kind", and others."""
    classes: list[str | int] | None
    tensors: dict[str, np.ndarray[Any, Any]]
    """By name: layers.0.weight, layers.0.bias, ..."""
    metadata: dict[str, str]
    inputs: list[str] | None = None
    outputs: list[str] | None = None


@contextmanager
def replacing(path: str | PathLike[str], *, force: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes if not.

    A symbolic link stays: the file that it points to is replaced. What is replaced keeps its mode,
    and its owner and access lists as far as this process may set them; other hard links to it keep
    the old content. PermissionError if nobody may write to it, or it is no file; FileExistsError if
    there is something and it is not to be replaced, by `force`, though it came a moment ago.
    """
    place = Path(os.path.realpath(path))
    old = _replaceable(path)
    # Beside its place, so that the renaming stays within one file system; of a short name, since
    # that of `path` may be as long as names can be.
    part = place.with_name(f".xpnn-{secrets.token_hex(8)}.part")
    # The system applies the umask to a new file. One in place of another is its owner's alone until
    # it gets the mode of the other.
    mode = 0o666 if old is None else 0o600
    try:
        with _opened(part, mode, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            _take_after(part, place, old)
        if force:
            part.replace(place)
        else:
            _take_free(part, place)
        sync(place.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _take_free(part: Path, place: Path) -> None:
    """Give a file its name; FileExistsError if another has it."""
    try:
        place.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if place.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        part.replace(place)
    else:
        part.unlink()


def _replaceable(path: str | PathLike[str]) -> os.stat_result | None:
    """Return what is known of the file to replace; None if there is none."""
    try:
        old = os.stat(path)  # noqa: PTH116 -- of what a link points to, a link to a pipe too
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(old.st_mode):
        raise PermissionError(errno.EACCES, "it is a device or a pipe", str(path))
    # The administrator may write to any file; one without a single write bit is meant to stay.
    if not (old.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "it is read-only", str(path))
    return old


def _opened(part: Path, mode: int, path: str | PathLike[str]) -> IO[bytes]:
    try:
        return open(part, "x+b", opener=lambda name, flags: os.open(name, flags, mode))
    except OSError as error:  # name the file that was asked for
        raise OSError(error.errno, error.strerror, str(path)) from None


def _take_after(part: Path, place: Path, old: os.stat_result) -> None:
    """Give the new file the owner, mode and access lists of the one that it replaces."""
    mode = old.st_mode & 0o777
    now = part.stat()
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.chown(part, old.st_uid, old.st_gid)
        except OSError:
            with suppress(OSError):
                os.chown(part, -1, old.st_gid)
    if part.stat().st_gid != old.st_gid:
        mode &= ~0o070 | ((mode & 0o007) << 3)  # another group may do no more than everybody
    part.chmod(mode)
    if hasattr(os, "listxattr"):  # access lists are attributes on Linux
        for name in os.listxattr(place):
            with suppress(OSError):
                os.setxattr(part, name, os.getxattr(place, name))


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, where folders can be opened for that."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def content_of(model: Model) -> bytes:
    """Return what a model file of this has in it; ValueError if `read` would refuse it."""
    notes: dict[Any, Any] = model.metadata
    for key, value in notes.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise XpnnValueError(f"expected metadata of str to str, got {key!r}: {value!r}")
    given = {"inputs": model.inputs, "outputs": model.outputs}
    names = {field: value for field, value in given.items() if value is not None}
    newer = names or any("kind" in layer for layer in model.layers)
    text = json.dumps(
        {
            "format_version": 2 if newer else 1,
            "layers": model.layers,
            "classes": model.classes,
            "metadata": model.metadata,
            **names,
        },
        sort_keys=True,
        allow_nan=False,
    )
    _check(parsed(text), model.tensors)
    tensors = {name: np.ascontiguousarray(a) for name, a in model.tensors.items()}
    return safetensors_save(tensors, metadata={_KEY: text})


def write(path: str | PathLike[str], content: bytes) -> None:
    """Write a model file, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def check_size(path: Path, *, max_bytes: int) -> None:
    """Raise ValueError for a file that is larger, and what the system says of one that cannot be read."""
    with path.open("rb") as file:  # not all that read it would say that they may not
        size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise XpnnValueError(
            f"{path}: expected a model file of at most {max_bytes:,} bytes, got {size:,}; "
            "pass max_bytes if it is right"
        )


def _content(path: Path, *, own: bool) -> tuple[str, dict[str, np.ndarray[Any, Any]]]:
    """Return what a safetensors file holds: the description of a network of xpnn, and tensors."""
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    dtypes = _DTYPES if own else (*_DTYPES, "I64")  # in which PyTorch counts
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if own and text is None:
                raise XpnnValueError(
                    f"{path}: a safetensors file, but no network of xpnn (its metadata has no "
                    f"{_KEY!r}); say what its layers are, as load(path, layers={{'fc1': 'relu', 'fc2': "
                    "'identity'}), or make one with Network.from_weights(...) and network.save(...)"
                )
            if not own and text is not None:
                raise XpnnValueError(
                    f"{path}: expected no layers for a model file of xpnn, which has them"
                )
            for name in file.keys():  # noqa: SIM118 -- it is no mapping
                kind = file.get_slice(name).get_dtype()
                if kind not in dtypes:
                    raise XpnnValueError(
                        f"{path}: tensor {name}: expected dtype {', '.join(_DTYPES)}, got {kind}"
                    )
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise XpnnValueError(
            f"{path}: expected a model file of xpnn, got one that is truncated or no safetensors "
            f"file ({error})"
        ) from None
    return text or "", tensors


def tensors_of(path: str | PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of a safetensors file of others."""
    return _content(Path(path), own=False)[1]


def read(path: str | PathLike[str]) -> Model:
    """Read and check a model file."""
    path = Path(path)
    text, tensors = _content(path, own=True)
    try:
        return _check(parsed(text), tensors)
    except XpnnValueError as error:
        raise XpnnValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise XpnnValueError(f"{path}: its description is no JSON ({error})") from None


def parsed(text: str | bytes, *, finite: bool = False) -> Any:
    """Return what stands in JSON in which each field stands once, and each number is one if asked for."""
    constant = _without_constants if finite else None
    return json.loads(text, object_pairs_hook=_without_repetition, parse_constant=constant)


def _without_constants(name: str) -> None:
    raise XpnnValueError(f"expected finite numbers, got {name}")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = ", ".join(repr(name) for name, _ in pairs)
        raise XpnnValueError(f"expected each field of its description once, got {names}")
    return found


def _check_fields(where: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise XpnnValueError(
                f"{where}: expected the fields {', '.join(known)}, got {name!r}, which this format "
                "version has not"
            )


def _check(content: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> Model:
    version = content.get("format_version") if isinstance(content, dict) else None
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise XpnnValueError(
            f"expected format version 1 or {FORMAT_VERSION}, got {version!r}; a newer xpnn may read it"
        )
    fields = _FIELDS if version == 1 else _FIELDS + _NAMES
    _check_fields("its description", content, fields)
    layers = content.get("layers")
    if not isinstance(layers, list) or not layers:
        raise XpnnValueError(f"expected a list of layers in its description, got {layers!r}")
    for i, layer in enumerate(layers):
        if version == FORMAT_VERSION:  # the kinds check the rest
            if not (isinstance(layer, dict) and isinstance(layer.get("kind"), str)):
                raise XpnnValueError(f"layer {i}: expected a kind of layer, got {layer!r}")
            continue
        if not (
            isinstance(layer, dict)
            and isinstance(layer.get("activation"), str)
            and isinstance(layer.get("options"), dict)
        ):
            raise XpnnValueError(f"layer {i}: expected an activation and options, got {layer!r}")
        _check_fields(f"layer {i}", layer, ("activation", "options"))
    possible = {f"layers.{i}.{part}" for i in range(len(layers)) for part in ("weight", "bias")}
    needed = {name for name in possible if name.endswith("weight") and version == 1}
    for name in sorted(needed - set(tensors)):
        raise XpnnValueError(f"expected a tensor {name}, which is missing")
    for name, a in tensors.items():
        if name not in possible and version == 1:
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
    return Model(layers, classes, tensors, metadata, *(_names(content, field) for field in _NAMES))


def _names(content: dict[str, Any], field: str) -> list[str] | None:
    """Return the names of columns; None if there are none."""
    given = content.get(field)
    if given is None or (isinstance(given, list) and all(isinstance(name, str) for name in given)):
        return given
    raise XpnnValueError(f"expected a list of names as {field}, got {given!r}")
