"""Files of Keras: the zip archives .keras, and HDF5 files as older versions wrote them. Needs the package h5py.

A file is hostile until it is read: nothing in it runs, sizes are checked before memory is taken, no link leads out of
it, and only what the configuration asks for is looked at.
"""

import io
import json
import math
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xpnn._convert.graph import MOST, REFUSALS, Numbers
from xpnn._convert.keras_config import Place, children, leaves
from xpnn._convert.keras_layers import Shape
from xpnn._convert.keras_model import version_of
from xpnn._convert.keras_network import check, check_count, parts_of
from xpnn._convert.parts import Parts
from xpnn._files.archive import archive
from xpnn.errors import XpnnError, XpnnValueError

_WEIGHTS = "model.weights.h5"
_MOST_TEXT = 2**24
"""Bytes of a configuration."""
_MOST_NAMES = 2**30
"""Bytes of names that an attribute may have."""
_KINDS = (*REFUSALS, AttributeError, OSError, EOFError)
"""How h5py refuses a broken file."""


def read(path: Path, output: str | Sequence[str] | None = None) -> Parts:
    """Return the layers of a model; XpnnValueError if it is none that can be taken."""
    try:
        if path.suffix.lower() == ".keras":
            return _of_archive(path, output)
        with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_heaps(content)
        with h5py.File(path, "r") as file:
            return _of_hdf5(file, path.stat().st_size, output)
    except _KINDS as error:
        if isinstance(error, XpnnError):
            raise
        raise XpnnValueError(
            f"expected a model of Keras, got a file that is broken or another: {error!s:.200}"
        ) from None


def _of_archive(path: Path, output: str | Sequence[str] | None) -> Parts:
    with archive(path) as files:
        config, metadata = (
            _json(files.read(name, _MOST_TEXT)) for name in ("config.json", "metadata.json")
        )
        content = files.read(_WEIGHTS)
    _check_heaps(content)
    version = version_of(metadata.get("keras_version") if isinstance(metadata, dict) else None)
    with h5py.File(io.BytesIO(content), "r") as file:
        return parts_of(config, _Saved(file, len(content), version), output)


def _check_heaps(content: bytes | mmap.mmap) -> None:
    """Raise ValueError for texts that do not follow each other: HDF5 would look for the next one for ever.

    They stand in heaps of objects: a number, which is 0 for what is free, how many look at it, its length, its bytes.
    What looks at one has its length as well, for which HDF5 takes memory before it compares.
    """
    at, count = content.find(b"GCOL"), 0
    while at >= 0:
        lengths, count = _lengths(content, at), count + 1
        if count > _MOST_HEAPS:
            raise XpnnValueError(f"expected at most {_MOST_HEAPS} heaps of texts in an HDF5 file")
        address = at.to_bytes(8, "little")
        place = content.find(address, 4)
        while place >= 0:
            length, number = (_number(content, place + d, 4) for d in (-4, 8))
            if length > lengths.get(number, length):
                raise XpnnValueError(
                    f"expected a sound HDF5 file, got a text of {length} bytes that has {lengths[number]}"
                )
            place = content.find(address, place + 1)
        at = content.find(b"GCOL", at + 4)
    for name in _TEXTS:
        place = content.find(name)
        while place >= 0:
            _check_text(content, place)
            place = content.find(name, place + 1)


_TEXTS = (b"model_config\0", b"keras_version\0", b"backend\0")
"""Attributes that are one text, which stands in a heap."""


def _check_text(content: bytes | mmap.mmap, name: int) -> None:
    """Raise ValueError for an attribute, by where its name stands, of a text that is longer than the file.

    Before the name are a version and the lengths of name, dtype and shape, in version 3 a set of characters, too;
    behind it these, in version 1 each in steps of 8 bytes, and how long the text is.
    """
    for version, before, step in ((1, 8, 8), (3, 9, 1)):
        if name >= before and content[name - before] == version:
            sizes = (_number(content, name - before + d, 2) for d in (2, 4, 6))
            place = name + sum(-(-size // step) * step for size in sizes)
            length = _number(content, place, 4)
            if length > len(content):
                raise XpnnValueError(
                    f"expected a sound HDF5 file, got a text of {length} bytes in it"
                )


_MOST_HEAPS = 2**10


def _lengths(content: bytes | mmap.mmap, at: int) -> dict[int, int]:
    """Return how long the objects of a heap are, by their numbers."""
    end, place = at + _number(content, at + 8), at + 16
    if end > len(content):
        raise XpnnValueError(f"expected a whole HDF5 file, got a heap that is cut off at byte {at}")
    found = dict[int, int]()
    while place + 16 <= end:
        number, length = _number(content, place, 2), _number(content, place + 8)
        step = 16 + (length + 7) // 8 * 8 if number else length
        if step < 16 or place + step > end:
            raise XpnnValueError(
                f"expected a sound HDF5 file, got a heap that is broken at byte {at}"
            )
        if not number:  # what is free is last
            break
        found[number] = length
        place += step
    return found


def _number(content: bytes | mmap.mmap, at: int, size: int = 8) -> int:
    return int.from_bytes(content[at : at + size], "little")


def _of_hdf5(file: Any, size: int, output: str | Sequence[str] | None) -> Parts:
    config = _attribute(file, "model_config", size)
    if config is None:
        raise XpnnValueError(
            "expected a whole model, got a file without model_config: weights alone; model.save writes "
            "the model as well"
        )
    (version,) = _attribute(file, "keras_version", size) or [""]
    entry = _json(config[0])
    return parts_of(entry, _Legacy(file, size, version_of(version), entry), output)


def _json(text: str | bytes) -> Any:
    if len(text) > _MOST_TEXT:
        raise XpnnValueError(f"expected at most {_MOST_TEXT} bytes of JSON, got {len(text)}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise XpnnValueError(f"expected a configuration in JSON, got {error!s:.200}") from None


# What stands in HDF5


def _text(given: Any) -> str:
    return given.decode("utf-8") if isinstance(given, bytes) else str(given)


def _attribute(group: Any, name: str, size: int, most: int | None = None) -> list[str] | None:
    """Return the text of an attribute, or at most so many texts; None if there is no such attribute."""
    if name not in group.attrs:
        return None
    stored = group.attrs.get_id(name)
    if not isinstance(stored.get_type(), h5py.h5t.TypeStringID):  # HDF5 may crash on sequences
        raise XpnnValueError(f"expected text as {name}, got {type(stored.get_type()).__name__}")
    shape = stored.shape
    plain = shape == () if most is None else shape is not None and len(shape) == 1
    if not plain or math.prod(shape) > (most or 1):
        raise XpnnValueError(f"expected {most or 'a text'} as {name}, got an array of {shape}")
    if math.prod(shape) * size > max(_MOST_NAMES, 4 * size):  # each may be as long as the file
        raise XpnnValueError(f"expected fewer texts as {name} in a file of {size} bytes")
    found = group.attrs[name]
    return [_text(one) for one in ([found] if most is None else found)]


def _below(group: Any, path: str) -> Any:
    """Return what stands at a path of a group; XpnnValueError where a link leads elsewhere."""
    for name in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group):
            raise XpnnValueError(f"expected a group with {name!r}, got none")
        link = group.get(name, getlink=True)
        if link is None:
            raise XpnnValueError(f"expected {path!r}, got nothing of that name")
        if not isinstance(link, h5py.HardLink):
            raise XpnnValueError(
                f"expected {path!r} in the file itself, got a {type(link).__name__} at {name!r}"
            )
        group = group[name]
    return group


class _Hdf5:
    """Arrays of a file, as many as it may hold."""

    def __init__(self, file: Any, size: int, version: int) -> None:
        self.file = file
        self.left = self.most = max(size, 8 * MOST)
        self.size = size
        self.version = version

    def array(self, one: Any, name: str, shape: Shape) -> Numbers:
        """Return the numbers of a dataset, which are to have a shape."""
        if not isinstance(one, h5py.Dataset):
            raise XpnnValueError(f"expected {name} as numbers, got a group")
        if one.is_virtual or one.external:
            raise XpnnValueError(f"expected {name} in the file itself, got what stands in another")
        if one.shape is None:
            raise XpnnValueError(f"expected {name} of shape {shape}, got nothing")
        check(name, one.shape, one.dtype.name, shape)
        self.left -= one.dtype.itemsize * math.prod(shape)
        chunk = one.dtype.itemsize * math.prod(one.chunks or ())
        if self.left < 0 or chunk > self.most:
            raise XpnnValueError(f"expected arrays of at most {self.most} bytes in all, got more")
        found: Numbers = one[()]
        return np.asarray(found, found.dtype.newbyteorder("="))


class _Saved(_Hdf5):
    """Weights as Keras 3 has them: under the class of a layer and its number."""

    def arrays(self, place: Place, shapes: Mapping[str, Shape]) -> Sequence[Numbers]:
        root = "layers"
        if root not in self.file and "_layer_checkpoint_dependencies" in self.file:
            root = "_layer_checkpoint_dependencies"  # of Keras 2.12
        group = _below(self.file, "".join(f"/{root}/{name}" for name in place.saved) + "/vars")
        check_count(shapes, len(group))
        return [
            self.array(_below(group, str(i)), name, shape)
            for i, (name, shape) in enumerate(shapes.items())
        ]


class _Legacy(_Hdf5):
    """Weights as Keras 2 has them: under the name of an outer layer, those that are trained first."""

    def __init__(self, file: Any, size: int, version: int, config: Any) -> None:
        super().__init__(file, size, version)
        self.config = config
        self.stored: dict[str, dict[tuple[Place, str], str]] = {}
        """Of each outer layer, the names of datasets by the place and the name of a variable."""

    def arrays(self, place: Place, shapes: Mapping[str, Shape]) -> Sequence[Numbers]:
        outer = place.names[0]
        group = _below(_below(self.file, "model_weights"), outer)
        if outer not in self.stored:
            self.stored[outer] = self._names_in(group, outer)
        own = {name: self.stored[outer][place, name] for name in shapes}
        for name, at in own.items():
            known = at.split(":")[0].split("/")[-2:]
            if len(place.names) > 1 and known != [place.names[-1], name]:
                raise XpnnValueError(f"expected {name} of the layer, in their order, got {at!r}")
        return [self.array(_below(group, own[name]), name, shape) for name, shape in shapes.items()]

    def _names_in(self, group: Any, outer: str) -> dict[tuple[Place, str], str]:
        every = children(self.config, Place())
        inside = [v for one, at in every if at.names[0] == outer for v in leaves(one, at)]
        inside.sort(key=lambda variable: not variable[2])
        names = _weight_names(group, len(inside), self.size)
        return {(at, name): stored for stored, (at, name, _) in zip(names, inside, strict=True)}


def _weight_names(group: Any, count: int, size: int) -> list[str]:
    """Return the names of so many datasets, which stand in one attribute or, if they are long, in several."""
    found = _attribute(group, "weight_names", size, count)
    if found is None:
        found = list[str]()
        for i in range(count):
            part = _attribute(group, f"weight_names{i}", size, count - len(found))
            found += part or []
    if len(found) != count:
        raise XpnnValueError(f"expected the names of {count} arrays, got {len(found)}")
    return found
