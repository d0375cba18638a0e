"""What a reader finds: the parts of which a network is made."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn._network.layers.layer import Layer


class Parts(NamedTuple):
    """The layers of a network, and what they and its columns are called."""

    layers: Sequence[Layer]
    classes: Sequence[Any] | None = None
    inputs: Sequence[str] | None = None
    """A name for each column, or one for all of them."""
    outputs: Sequence[str] | None = None
