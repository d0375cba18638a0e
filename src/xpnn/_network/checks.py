"""What a network is made of: layers that fit each other, and as many classes as there are outputs."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from xpnn._arrays.library import common_library
from xpnn._network.layers.dense import Dense
from xpnn.errors import XpnnTypeError, XpnnValueError

Class = str | int
"""What a class is called."""


def check_layers(layers: tuple[Any, ...]) -> None:
    """Raise an error unless these are layers of one library, on one device, that fit each other."""
    if not layers:
        raise XpnnValueError("Network: expected at least one layer, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Dense):
            raise XpnnTypeError(
                f"Network: expected layer {i} to be an xpnn.Dense, got {type(layer).__qualname__}"
            )
    for i, (first, second) in enumerate(itertools.pairwise(layers)):
        if first.weight.shape[1] != second.weight.shape[0]:
            raise XpnnValueError(
                f"Network: expected layer {i + 1} to take the {first.weight.shape[1]} outputs of "
                f"layer {i}, got weights of shape {tuple(first.weight.shape)} and "
                f"{tuple(second.weight.shape)}"
            )
    arrays = {f"layer {i}": layer.weight for i, layer in enumerate(layers)}
    common_library("Network", None, arrays)


def check_classes(classes: Sequence[Class], last: Dense) -> tuple[Class, ...]:
    """Return the names of the classes of a last layer, as Python's own."""
    if isinstance(classes, str):
        raise XpnnTypeError(f"Network: expected a sequence of classes, got the text {classes!r}")
    # As Python's own, whatever library they come from, such as clf.classes_ of scikit-learn.
    given: Iterable[Any] = classes
    named = [c.item() if getattr(c, "shape", None) == () else c for c in given]
    if not all(isinstance(c, str | int) and not isinstance(c, bool) for c in named):
        raise XpnnTypeError(f"Network: expected classes of str or int, got {classes!r}")
    outputs = last.weight.shape[1]
    record = last.activate.record
    of_each = record.log_probability is not None and not record.of_rows
    expected = 2 if outputs == 1 and of_each else outputs
    if len(named) != expected:
        raise XpnnValueError(
            f"Network: expected {expected} classes for {outputs} outputs of {last.activation}, "
            f"got {len(named)}"
        )
    return tuple(str(c) if isinstance(c, str) else int(c) for c in named)
