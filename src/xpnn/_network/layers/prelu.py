"""PReLU: a relu whose negative part has a slope of its own for each column."""

from dataclasses import dataclass

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Array
from xpnn._network.layers.layer import Interpreter, Layer, V
from xpnn.errors import XpnnValueError


@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Layer):
    """Layer of a network, x where it is positive, slope * x elsewhere: a leaky relu that was trained.

    Parameters
    ----------
    slope : array, shape (n,)
        Real floating numbers of any array library, one a column. Of NumPy arrays the layer has a copy
        of its own.

    Raises
    ------
    TypeError
        If slope is no floating array.
    ValueError
        If its shape is not (n,).

    Notes
    -----
    Frozen, and a pytree for JAX and PyTorch with the child `slope`. At 0 its derivative is 0.
    An infinite slope gives NaN, as inf * 0 is.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, 'Delving Deep into Rectifiers', ICCV 2015,
    doi:10.1109/ICCV.2015.123.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> layer = xpnn.PReLU(np.asarray([0.25, 0.5]))
    >>> xpnn.Network([layer])(np.asarray([[-1.0, -1.0], [2.0, 3.0]]))
    array([[-0.25, -0.5 ],
           [ 2.  ,  3.  ]])
    """

    _children = ("slope",)
    kind = "prelu"
    formula = "relu(x) - slope * relu(-x)"

    slope: Array

    def __post_init__(self) -> None:
        self._check_arrays()
        if len(self.slope.shape) != 1:
            raise XpnnValueError(
                f"PReLU: expected slope of shape (n,), got shape {tuple(self.slope.shape)}"
            )
        self._set((), (self.slope,))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return relu(x) - slope * relu(-x), of which one is 0, as the interpreter has it."""
        relu = Activation.of("relu")
        negative = interpreter.activate(interpreter.affine(x, 0 * self.slope - 1, None), relu)
        below = interpreter.affine(negative, -self.slope, None)
        return interpreter.add(interpreter.activate(x, relu), below)

    @property
    def words(self) -> list[str]:
        """The number of columns."""
        return [*map(str, self.slope.shape), "prelu"]
