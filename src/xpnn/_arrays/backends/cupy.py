"""CuPy: on a GPU alone, without a compiler; NumPy never takes its arrays unasked."""

from typing import Any

from xpnn._arrays.backends.protocol import Array, Values
from xpnn._arrays.backends.standard import Standard


class CuPy(Standard):
    """Arrays of CuPy."""

    def to_numpy(self, x: Array) -> Any:
        """Copy an array off the device."""
        return x.get()

    def analysed_on_host(self, arrays: list[Array]) -> list[Values]:
        """Return the values: CuPy compiles its kernels to take float32's subnormal numbers for 0."""
        return [self.to_numpy(x) for x in arrays]
