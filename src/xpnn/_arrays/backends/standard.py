"""Any library that follows the Array API standard: its functions are called as they are written."""

from contextlib import AbstractContextManager
from typing import Any

import array_api_compat
import numpy as np

from xpnn._arrays.backends.protocol import Array, Device, Function, Library


class Standard(Library):
    """What the standard says, and that NumPy may be what computes below."""

    def guard(self, dtype: str) -> AbstractContextManager[Any]:
        """Silence NumPy: exp(-1000) and inf - inf are steps of right answers, not accidents."""
        return np.errstate(all="ignore")

    def find_device(self, name: Any) -> Device:
        """Return the device, which the library takes as it is or by a name."""
        self.xp.empty(0, dtype=self.xp.float32, device=name)
        return name

    def to_device(self, x: Array, device: Device) -> Array:
        """Move an array to another device."""
        return array_api_compat.to_device(x, device)

    def to_numpy(self, x: Array) -> Any:
        """Move an array to the default device, of which NumPy takes it."""
        home = self.xp.__array_namespace_info__().default_device()
        return x if home in {None, self.device_of(x)} else self.to_device(x, home)

    def adds_in_pairs(self, x: Array, axis: int) -> bool:
        """NumPy does along the axis whose entries are neighbours in memory alone."""
        strides = getattr(x, "strides", None)
        return strides is not None and strides[axis] == x.dtype.itemsize

    def map_tiles(self, f: Function, x: Array, size: int) -> Array:
        """Compute tile by tile on the CPU, whose caches are small."""
        if x.shape[0] <= size or str(self.device_of(x)) != "cpu":
            return f(x)
        parts = [f(x[i : i + size, ...]) for i in range(0, x.shape[0], size)]
        return self.xp.concat(parts)


class Strict(Standard):
    """array-api-strict, whose devices are objects."""

    def find_device(self, name: Any) -> Device:
        """Return the device of a name."""
        return super().find_device(self.xp.Device(name) if isinstance(name, str) else name)
