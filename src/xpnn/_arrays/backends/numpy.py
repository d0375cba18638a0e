"""NumPy: in this computer's own memory, and no compiler sees what is computed."""

from typing import ClassVar

import numpy as np

from xpnn._arrays.backends.protocol import Array, Values
from xpnn._arrays.backends.standard import Standard


class NumPy(Standard):
    """Arrays of NumPy itself; a subclass may mean something else by an operation."""

    more_dtypes: ClassVar[str] = ", or import ml_dtypes, which brings it"

    def refusal(self, x: Array) -> str | None:
        """Refuse what has another meaning of * or a mask."""
        if isinstance(x, np.matrix):
            return (
                "a numpy.matrix, whose meaning of * would be lost; pass a plain array: "
                "numpy.asarray({called})"
            )
        if isinstance(x, np.ma.MaskedArray):
            return (
                "a numpy.MaskedArray, whose mask would be lost; pass a plain array, with a number for what is "
                "masked: {called}.filled(...)"
            )
        return None

    def returned(self, y: Array) -> Array:
        """Return a result without axes as a scalar, which NumPy's own functions give."""
        return y[()] if type(y) is np.ndarray and y.ndim == 0 else y

    def to_host(self, x: Array) -> Values | None:
        """Return a plain array as it is."""
        return x if type(x) is np.ndarray else None
