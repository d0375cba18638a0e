"""What a network is, in words: its size, where its weights lie, and its layers."""

from collections.abc import Sequence

from xpnn._arrays.library import device_of, library
from xpnn._network.copies import layer_dtypes
from xpnn._network.layers.layer import Layers, first_array


def description(layers: Layers, classes: Sequence[str | int] | None, *, follows: bool) -> str:
    """Return the lines that a network is shown as."""
    first = first_array(layers)
    where = "no weights"
    if first is not None:
        where = f"{'/'.join(sorted(layer_dtypes(layers)))}, {library(first).name} weights"
        where += " that follow the input" if follows else f" on {device_of(first)}"
    parameters = sum(layer.parameters for layer in layers)
    head = f"Network of {len(layers)} layer{'s' * (len(layers) > 1)}, "
    head += f"{parameters:,} parameters, {where}"
    lines = [f"  {i}  {', '.join(layer.words)}" for i, layer in enumerate(layers)]
    if classes is not None:
        lines.append(f"  classes {', '.join(map(str, classes))}")
    return "\n".join([head, *lines])
