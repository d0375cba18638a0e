"""Where a network's weights are, and how they get to where its input is."""

from typing import Any

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.backends.tracing import is_recorded
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.transfer import Copies, move
from xpnn._arrays.types import Array
from xpnn._network.layers.layer import Layers
from xpnn.errors import XpnnTypeError, XpnnValueError


def layer_dtypes(layers: Layers) -> set[str]:
    """Return the names of the dtypes of weights and biases."""
    return {name for layer in layers for name in layer.dtypes}


def moved(layers: Layers, found: Library, device: Any, dtype: str | None) -> Layers:
    """Copy weights and biases to a library, device and dtype; None leaves the dtype."""

    def move_one(a: Array) -> Array:
        return move(a, found, device, dtype or dtype_name(a.dtype))

    def constant(copies: Copies) -> Array:
        return found.enter(copies[dtype](found.raw.xp, device))

    return tuple([layer.moved(move_one, constant if is_recorded() else None) for layer in layers])


def check_place(function: str, x: Array, found: Library, weight: Array) -> None:
    """Raise an error that says which `to` mends it unless x is where weights that stay are."""
    home, own = library(weight), library(x)
    if home.raw is found.raw and found.meet(x, weight):
        return
    error = XpnnTypeError if home.raw is not found.raw else XpnnValueError
    raise error(
        f"{function}: got x of {found.name} on {own.place_of(x)}, while the network's weights "
        f"stay with {home.name} on {home.place_of(weight)}; network.to(x) gives a network for x"
    )
