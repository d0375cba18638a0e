"""CuPy: on a GPU alone, without a compiler; NumPy never takes its arrays unasked."""

from typing import Any

from xpnn._arrays.backends.protocol import Array
from xpnn._arrays.backends.standard import Standard


class CuPy(Standard):
    """Arrays of CuPy."""

    def to_numpy(self, x: Array) -> Any:
        """Copy an array off the device."""
        return x.get()
