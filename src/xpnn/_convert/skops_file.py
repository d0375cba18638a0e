"""Estimators in .skops files, by their schema and arrays alone: no class in them is ever made.

Such a file is a zip archive of arrays and a description: which object holds which. An object becomes a plain one
with a class of the same name, of which `sklearn_estimator` takes what the estimator has learnt.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpnn._convert.parts import Parts
from xpnn._convert.sklearn_estimator import ESTIMATORS
from xpnn._convert.sklearn_estimator import read as parts_of
from xpnn._files.archive import Archive, archive
from xpnn._files.npy_array import array_of
from xpnn.errors import XpnnTypeError, XpnnValueError

_MOST = 2**20
"""Nodes that a description may have, those that stand in it again counted again."""
_BROKEN = (
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RecursionError,
    OverflowError,
)
"""What comes of a description that is not what it should be."""


def read(path: Path, output: object = None) -> Parts:
    """Return what an estimator in a file is here."""
    if output is not None:
        raise XpnnValueError(f"expected no output for an estimator, which has one, got {output!r}")
    with archive(path) as files:
        try:
            schema = json.loads(files.read("schema.json"))
            estimator = _Objects(files).made(schema)
        except (XpnnTypeError, XpnnValueError):
            raise
        except _BROKEN as error:
            raise XpnnValueError(
                f"schema.json: expected the description of an estimator ({type(error).__name__}: {error})"
            ) from None
    try:
        return parts_of(estimator)
    except (XpnnTypeError, XpnnValueError) as error:
        raise type(error)(str(error).removeprefix("from_sklearn: ")) from None
    except _BROKEN as error:
        raise XpnnValueError(
            f"expected what a fitted estimator has learnt ({type(error).__name__}: {error})"
        ) from None


class _Unknown:
    """In the place of what no estimator needs here, such as an optimizer."""


class _Objects:
    """Makes what nodes describe: numbers, text, lists, arrays, and estimators by name."""

    def __init__(self, files: Archive) -> None:
        self._files = files
        self._known: dict[int, tuple[Any, int]] = {}
        """Objects by their number, each with how many nodes it is made of."""
        self._count = 0

    def made(self, node: dict[str, Any]) -> Any:
        """Return what a node describes."""
        before, kind = self._count, node["__loader__"]
        if kind == "CachedNode":
            found, size = self._known[node["__id__"]]
            self._count += size
        else:
            self._count += 1
            make = _KINDS.get(kind)
            found = _Unknown() if make is None else make(self, node)
        if self._count > _MOST:
            raise XpnnValueError(f"schema.json: expected at most {_MOST:,} objects")
        if "__id__" in node:
            self._known[node["__id__"]] = found, self._count - before
        return found

    def array(self, node: dict[str, Any]) -> Any:
        """Return an array of numbers, or of text in the place of objects."""
        if node["type"] == "json":
            items = [self.made(item) for item in node["content"]]
            if not all(isinstance(item, str | int | float) for item in items):
                raise XpnnValueError("schema.json: expected an array of text or numbers")
            return items
        found = array_of(self._files.read(node["file"]), f"entry {node['file']!r}")
        return found if node["__class__"] == "ndarray" else found[()]

    def estimator(self, node: dict[str, Any]) -> Any:
        """Return a plain object with the attributes of an estimator; of others only what they are not."""
        name = node["__class__"]
        if name not in ESTIMATORS and name != "FunctionTransformer":
            return type(name, (_Unknown,), {})()
        plain = type(name, (), {})()
        for attribute, value in self.made(node["content"]).items():
            setattr(plain, attribute, value)
        return plain


_KINDS: dict[str, Callable[[_Objects, dict[str, Any]], Any]] = {
    "ObjectNode": _Objects.estimator,
    "DictNode": lambda by, node: {name: by.made(one) for name, one in node["content"].items()},
    "ListNode": lambda by, node: [by.made(one) for one in node["content"]],
    "TupleNode": lambda by, node: tuple(by.made(one) for one in node["content"]),
    "NdArrayNode": _Objects.array,
    "JsonNode": lambda _, node: json.loads(node["content"]),
}
