"""What a network is, in words: its size, where its weights lie, and its layers."""

from collections.abc import Sequence

from xpnn._arrays.library import library
from xpnn._network.checks import Names
from xpnn._network.copies import layer_dtypes
from xpnn._network.layers.layer import Layers, first_array

_LONGEST = 20
"""How many names of columns are shown."""


def description(layers: Layers, names: Names, *, follows: bool) -> str:
    """Return the lines that a network is shown as."""
    first = first_array(layers)
    where = "no weights"
    if first is not None:
        where = f"{'/'.join(sorted(layer_dtypes(layers)))}, {library(first).name} weights"
        where += " that follow the input" if follows else f" on {library(first).place_of(first)}"
    parameters = sum(layer.parameters for layer in layers)
    head = f"Network of {len(layers)} layer{'s' * (len(layers) > 1)}, "
    head += f"{parameters:,} parameters, {where}"
    lines = [f"  {i}  {', '.join(layer.words)}" for i, layer in enumerate(layers)]
    lines += [
        f"  {what} {_listed(given)}"
        for what, given in zip(("classes", "inputs", "outputs"), names, strict=True)
        if given is not None
    ]
    return "\n".join([head, *lines])


def _listed(names: Sequence[str | int]) -> str:
    """Return names in a line, of many the first ones."""
    shown = ", ".join(map(str, names[:_LONGEST]))
    return shown if len(names) <= _LONGEST else f"{shown}, ... ({len(names)})"
