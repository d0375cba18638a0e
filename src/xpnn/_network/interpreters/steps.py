"""Steps: layers as products and sums, one after the other, where they are no more than that."""

from typing import Any, NamedTuple

from xpnn._arrays.types import Array
from xpnn._network.layers.layer import Layer


class Step(NamedTuple):
    """A product with a matrix, or with a number a column, and what is added."""

    factor: Array | None
    shift: Array | None
    rounded: str | None
    is_product: bool
    """Whether the factor is a matrix."""


Steps = tuple[Step, ...]


class _AsSteps:
    """The words as steps."""

    def linear(
        self, x: Steps, weight: Array, bias: Array | None, rounded: str | None = None, /
    ) -> Steps:
        """Return one more step."""
        return (*x, Step(weight, bias, rounded, is_product=True))

    def affine(
        self, x: Steps, scale: Array | None, shift: Array | None, rounded: str | None = None, /
    ) -> Steps:
        """Return one more step."""
        return (*x, Step(scale, shift, rounded, is_product=False))

    def add(self, *_: Any) -> Steps:
        """Say that this is more."""
        raise _MoreThanSteps

    activate = normalize = flatten = add


class _MoreThanSteps(Exception):  # noqa: N818 -- no error
    """A layer is more than products and sums."""


def steps_of(layer: Layer) -> Steps | None:
    """Return the steps of a layer without its activation; None if it is more than that."""
    try:
        return layer.preactivation((), _AsSteps())
    except _MoreThanSteps:
        return None
