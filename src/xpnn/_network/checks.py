"""What a network is made of: layers that fit each other, and as many classes as there are outputs."""

import math
from collections.abc import Sequence
from typing import Any

from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS
from xpnn._arrays.axes import Slices, as_index
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import common_library
from xpnn._arrays.types import Array
from xpnn._network.interpreters.values import gives_logits
from xpnn._network.layers.layer import (
    Layers,
    Shape,
    check_chain,
    outputs_of,
    taken_by,
    widths_known,
)
from xpnn.errors import XpnnTypeError, XpnnValueError

Class = str | int
"""What a class is called."""

Names = tuple[tuple[Class, ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]
"""Of the classes, of the columns of the input, and of those of the output."""


def check_layers(layers: Layers) -> Layers:
    """Return layers with the widths that follow from the others'.

    An error unless they are layers of one library, on one device, that fit each other.
    """
    check_chain("Network", layers)
    arrays = {f"layer {i}": a for i, layer in enumerate(layers) for a in layer.arrays.values()}
    if arrays:
        common_library("Network", None, arrays)
    return widths_known(layers)


def check_unstacked(function: str, layers: Layers) -> None:
    """Raise ValueError for arrays of several networks in one."""
    for i, layer in enumerate(layers):
        layer.check_unstacked(f"{function}, layer {i}")


def check_input(function: str, layers: Layers, x: Array) -> None:
    """Raise ValueError with both shapes unless x is what the first layer that is particular takes."""
    check_unstacked(function, layers)
    for i, layer in enumerate(layers):
        layer.check_input(f"{function}, layer {i}", x)
        if layer.takes is not None or layer.gives((1,)) != (1,):
            return


def laid_out(function: str, layers: Layers, x: Array) -> Array:
    """Return x with one axis for those of a sample, where the layers take samples of several."""
    axes = layers[0].axes
    if axes == 1:
        return x
    found = common_library(function, None, {"x": x})
    check_input(function, layers, x)
    shape = tuple(x.shape)
    with found.guard(dtype_name(x.dtype)):
        x = found.raw.gathered(x, tuple(range(-axes, 0)))
        return Slices(shape, tuple(range(len(shape)))[-axes:]).flatten(x, found.xp)


OF_LOGITS = (
    "if these are logits, make a Network of the layers with dataclasses.replace(network.layers[-1], "
    "activation='softmax')"
)
"""What a network needs for probabilities that ends before they are made, as PyTorch trains them."""


def check_ending(function: str, last: Activation, *, logits: bool = False) -> None:
    """Raise XpnnValueError unless an output layer gives probabilities, or has logits."""
    if gives_logits(last) if logits else last.log_probability is not None:
        return
    names = [name for name, one in RECORDS.items() if one.log_probability]
    names += ["identity"] * logits
    raise XpnnValueError(
        f"{function}: expected an output layer of {', '.join(names[:-1])} or {names[-1]}, got {last.name}: "
        f"of a regression call network(x); {OF_LOGITS}"
    )


def check_classes(classes: Sequence[Class], layers: Layers) -> tuple[Class, ...]:
    """Return the names of the classes of a network's outputs, as Python's own."""
    if isinstance(classes, str):
        raise XpnnTypeError(f"Network: expected a sequence of classes, got the text {classes!r}")
    try:
        named = tuple([_own(c) for c in classes])
    except TypeError:
        raise XpnnTypeError(f"Network: expected classes of str or int, got {classes!r}") from None
    last, outputs = layers[-1].activate, (outputs_of(layers) or (len(named),))[-1]
    of_each = last.log_probability is not None and not last.record.of_rows
    expected = 2 if outputs == 1 and of_each else outputs
    if len(named) != expected:
        raise XpnnValueError(
            f"Network: expected {expected} classes for {outputs} outputs of {last}, "
            f"got {len(named)}"
        )
    return named


def check_names(
    layers: Layers,
    classes: Sequence[Class] | None,
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
) -> Names:
    """Return the names of classes and columns, as many as there are."""
    return (
        None if classes is None else check_classes(classes, layers),
        _columns("inputs", inputs, taken_by(layers)),
        _columns("outputs", outputs, outputs_of(layers)),
    )


def _columns(
    field: str, names: Sequence[str] | None, sample: Shape | None
) -> tuple[str, ...] | None:
    """Return the names of columns: one for each, or one for all of them."""
    if names is None:
        return None
    if isinstance(names, str):
        raise XpnnTypeError(f"Network: expected a sequence of {field}, got the text {names!r}")
    found = tuple(names)
    if not all(isinstance(name, str) for name in found):
        raise XpnnTypeError(f"Network: expected {field} of str, got {names!r}")
    doubled = next((name for name in found if found.count(name) > 1), None)
    if doubled is not None:
        raise XpnnValueError(f"Network: expected each of {field} once, got {doubled!r} twice")
    columns = len(found) if sample is None else math.prod(sample)
    if len(found) not in {1, columns}:
        raise XpnnValueError(
            f"Network: expected one of {field} for each of {columns} columns, or one for all of them, "
            f"got {len(found)}"
        )
    return tuple(map(str, found))


def _own(c: Any) -> Class:
    """Return a class as Python's own, of whatever library, such as those of scikit-learn's classes_."""
    if getattr(c, "shape", None) == () and hasattr(c, "item"):
        c = c.item()
    return str(c) if isinstance(c, str) else as_index(c)
