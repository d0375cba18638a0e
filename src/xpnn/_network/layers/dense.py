"""Dense: one layer, activation(x @ weight + bias)."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.activated import Activated
from xpnn._network.layers.layer import Interpreter, Shape, V
from xpnn._network.layers.linear import check_weight, check_width, linear
from xpnn.errors import XpnnTypeError, XpnnValueError


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Activated):
    """Layer of a network, activation(x @ weight + bias).

    Parameters
    ----------
    weight : array, shape (in, out)
        Real floating weights of any array library. Of NumPy arrays the layer has a copy of its
        own, which nobody can write to: what is done to yours later, it does not see. Arrays of
        other libraries are kept as they are, and followed where they are changed in place.
    bias : array, shape (out,), optional
        Of the same library, on the same device.
    activation : str, optional
        Name of an activation of xpnn, with options where it has any: ``"sigmoid"``,
        ``"leaky_relu(negative_slope=0.2)"``, ``"gelu(approximate='tanh')"``; or the `activate` of
        another layer. Default "identity".
    rounded : str, optional
        The dtype that weight and bias were rounded to from parameters that the network was meant to have, as
        `Network.fold` does: bounds and expected errors allow for it. Default None: they are meant as
        they are.

    Attributes
    ----------
    activate : callable
        The activation as a function, with its options; `activation` is the text for it.

    Raises
    ------
    TypeError
        If weight or bias is no floating array, or they are of different libraries.
    ValueError
        If the shapes do not fit, or there is no such activation, option or dtype.

    Notes
    -----
    Frozen, and a pytree for JAX and PyTorch with children `weight` and `bias`. Two layers are equal
    if they are the same object.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.Dense(np.zeros((2, 3)), np.zeros(3), "relu")
    Dense(2 -> 3, bias, relu, float64)
    """

    _children = ("weight", "bias")
    _matrices = ("weight",)
    _options = ("activation", "rounded")
    kind = "dense"
    formula = "x @ weight + bias"

    weight: Array
    bias: Array | None = None
    activation: str = "identity"
    _: KW_ONLY
    rounded: str | None = None
    activate: Activation = field(init=False)

    def __post_init__(self) -> None:
        activation = str(Activation.of(self.activation))
        self._check_arrays()
        check_weight("Dense", self.weight, self.bias)
        self._check_rounded(self.rounded)
        self._set((activation, self.rounded), (self.weight, self.bias))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return x @ weight + bias, as the interpreter has it."""
        return interpreter.linear(x, self.weight, self.bias, self.rounded)

    def apply(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return activation(x @ weight + bias), in one call."""
        a = interpreter.linear(x, self.weight, self.bias, self.rounded)
        return interpreter.activate(a, self.activate)

    @property
    def _widths(self) -> Shape:
        return tuple(self.first_shape or ())

    @property
    def takes(self) -> Shape:
        """The number of inputs."""
        return self._widths[:1]

    def gives(self, _: Shape | None, /) -> Shape:
        """Return the number of outputs."""
        return self._widths[1:]

    def check_input(self, function: str, x: Array) -> None:
        """Raise ValueError with both shapes unless x has the width that the weight takes."""
        check_width(function, x, self._widths)

    @property
    def words(self) -> list[str]:
        """The widths, whether there is a bias, the activation, whether they were rounded."""
        n, m = self._widths
        bias = [] if self.bias is None else ["bias"]
        rounded = [] if self.rounded is None else [f"rounded to {self.rounded}"]
        return [f"{n} -> {m}", *bias, self.activation, *rounded]

    def linear(self, x: Array, *, xp: Namespace | None = None) -> Array:
        """Return x @ weight + bias."""
        return linear(x, self.weight, self.bias, xp=xp)


def dense_layers(
    weights: Sequence[Array],
    biases: Sequence[Array | None] | None,
    hidden: str,
    output: str,
) -> list[Dense]:
    """Return layers of weights and biases, one each, the last with another activation."""
    weights = tuple(weights)
    biases = (None,) * len(weights) if biases is None else tuple(biases)
    if len(weights) != len(biases):
        raise XpnnValueError(
            f"Network.from_weights: expected as many biases as weights, got {len(weights)} "
            f"weights and {len(biases)} biases; give None for a layer without"
        )
    activations = [hidden] * (len(weights) - 1) + [output]
    layers = []
    for i, parts in enumerate(zip(weights, biases, activations, strict=False)):
        try:
            layers.append(Dense(*parts))
        except (XpnnTypeError, XpnnValueError) as error:
            raise type(error)(f"layer {i}: {error}") from None
    return layers
