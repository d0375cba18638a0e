"""What a reader finds: the parts of which a network is made."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._convert.graph import ROWS, Graph, of_any_rows
from xpnn._files.model_file import parsed
from xpnn._network.layers.layer import Layer
from xpnn.errors import XpnnValueError

ASIDE = "xpnn.json"
"""What the names are called in formats that have a place for text."""


class Parts(NamedTuple):
    """The layers of a network, and what they and its columns are called."""

    layers: Sequence[Layer]
    classes: Sequence[Any] | None = None
    inputs: Sequence[str] | None = None
    """A name for each column, or one for all of them."""
    outputs: Sequence[str] | None = None

    def names(self) -> str:
        """Return what things are called as JSON, for formats that have a place for text."""
        given = {"classes": self.classes, "inputs": self.inputs, "outputs": self.outputs}
        return json.dumps({what: list(names) for what, names in given.items() if names is not None})

    def called(self, text: str | bytes) -> "Parts":
        """Return the same layers with the names that stand in JSON; XpnnValueError if it is something else."""
        try:
            given = parsed(text)
        except (ValueError, RecursionError) as error:
            raise XpnnValueError(f"expected names in JSON, got something else: {error}") from None
        fields = ("classes", "inputs", "outputs")
        if not isinstance(given, dict) or not all(
            what in fields
            and isinstance(names, list)
            and all(isinstance(n, str | int) for n in names)
            for what, names in given.items()
        ):
            raise XpnnValueError(f"expected lists of names as {', '.join(fields)}, got others")
        return Parts(self.layers, **given)


def same_for_any_rows(read: Callable[[Graph], Parts]) -> Parts:
    """Return what a reader finds, where the number of rows may also be a number to compute with.

    XpnnValueError if it is: with two numbers of rows there are two networks then.
    """
    one, other = (of_any_rows(read, numbers) for numbers in (ROWS, ROWS[::-1]))
    arrays = zip(_arrays(one), _arrays(other), strict=False)
    if [la.structure for la in one.layers] != [la.structure for la in other.layers] or not all(
        np.array_equal(a, b, equal_nan=True) for a, b in arrays
    ):
        raise XpnnValueError(
            "expected no computing with the number of rows, which may be any, got a network that "
            "depends on it"
        )
    return one


def _arrays(parts: Parts) -> list[Any]:
    return [a for layer in parts.layers for a in layer.arrays.values()]
