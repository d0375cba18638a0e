"""Dense: one layer, activation(x @ weight + bias)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xpnn._activations.activation import Activation
from xpnn._arrays import pytree
from xpnn._arrays.dtypes import FLOATS, dtype_name
from xpnn._arrays.library import common_library
from xpnn._arrays.transfer import can_make_lasting, constant_copies, frozen, is_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.linear import check_weight, linear
from xpnn.errors import XpnnTypeError


@dataclass(frozen=True, eq=False, repr=False)
class Dense:
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

    Attributes
    ----------
    activate : callable
        The activation as a function, with its options; `activation` is the text for it.

    Raises
    ------
    TypeError
        If weight or bias is no floating array, or they are of different libraries.
    ValueError
        If the shapes do not fit, or there is no such activation or option.

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

    weight: Array
    bias: Array | None = None
    activation: str = "identity"
    activate: Activation = field(init=False)
    _copies: dict[str, dict[str, Callable[..., Array]]] = field(init=False)

    def __post_init__(self) -> None:
        activation = Activation.of(self.activation)
        arrays = {"weight": self.weight, "bias": self.bias}
        common_library("Dense", None, arrays)
        for called, a in arrays.items():
            if a is not None and dtype_name(a.dtype) not in FLOATS:
                raise XpnnTypeError(
                    f"Dense: expected real floating values in {called}, got dtype "
                    f"{dtype_name(a.dtype)}; convert it, e.g. to float32"
                )
        check_weight("Dense", self.weight, self.bias)
        self._set(self.weight, self.bias, activation)

    def _set(self, weight: Array, bias: Array | None, activation: Activation) -> None:
        object.__setattr__(self, "weight", frozen(weight))
        object.__setattr__(self, "bias", frozen(bias))
        object.__setattr__(self, "activation", str(activation))
        object.__setattr__(self, "activate", activation)
        if is_numpy(weight) and can_make_lasting():
            copies = {called: constant_copies(called) for called in self.arrays}
            object.__setattr__(self, "_copies", copies)
        pytree.update()

    @classmethod
    def _unchecked(cls, activation: str, arrays: tuple[Array, Array | None]) -> "Dense":
        # JAX and torch put placeholders and tracers in the arrays' places.
        layer = object.__new__(cls)
        layer._set(*arrays, Activation.of(activation))
        return layer

    def __reduce__(self) -> tuple[Any, ...]:
        # Whatever a tree map or vmap put in the arrays' places comes back, as JAX and torch have it.
        return Dense._unchecked, (self.activation, (self.weight, self.bias))

    def __repr__(self) -> str:
        try:
            n, m = self.weight.shape
            dtype = dtype_name(self.weight.dtype)
        except (AttributeError, ValueError):  # a placeholder
            return f"Dense({self.weight!r}, {self.bias!r}, {self.activation!r})"
        bias = "" if self.bias is None else "bias, "
        return f"Dense({n} -> {m}, {bias}{self.activation}, {dtype})"

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        n, m = self.weight.shape
        return int(n * m + (0 if self.bias is None else m))

    def linear(self, x: Array, *, xp: Namespace | None = None) -> Array:
        """Return x @ weight + bias."""
        return linear(x, self.weight, self.bias, xp=xp)

    @property
    def arrays(self) -> dict[str, Array]:
        """The weight and, where there is one, the bias, by name."""
        bias = {} if self.bias is None else {"bias": self.bias}
        return {"weight": self.weight, **bias}


pytree.register(
    pytree.Node(
        Dense,
        ("weight", "bias"),
        lambda layer: ((layer.weight, layer.bias), layer.activation),
        Dense._unchecked,  # noqa: SLF001
    )
)
