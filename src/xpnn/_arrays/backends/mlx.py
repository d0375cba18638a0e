"""MLX: arrays lie in memory that processor and GPU share, so they have no device; no float64 on GPUs."""

from typing import Any

import mlx.core as mx
import numpy as np

from xpnn._arrays.backends.protocol import Array, Device, Function, Namespace, Values
from xpnn._arrays.backends.standard import Standard

_CREATION = "arange asarray empty eye full full_like linspace ones ones_like zeros zeros_like"


class _Namespace:
    """MLX's functions; those that make arrays take the standard's `device`, which is None."""

    __name__ = "mlx.core"
    bool = mx.bool_

    def __init__(self) -> None:
        for name in _CREATION.split():
            setattr(self, name, self._without_device(getattr(mx, name)))

    @staticmethod
    def _without_device(f: Function) -> Function:
        def function(*args: Any, device: None = None, **options: Any) -> Array:  # noqa: ARG001
            return f(*args, **options)

        return function

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)


class MLX(Standard):
    """Arrays of MLX, computed once their values are asked for."""

    def __init__(self, _: Namespace) -> None:
        super().__init__(_Namespace())

    def find_device(self, name: Any) -> Device:
        """Return no device, which is right for the one that MLX computes on."""
        here = mx.default_device()
        if name not in {None, here, str(here), here.type.name}:
            raise ValueError(name)
        return None

    def lacks(self, dtype: str) -> str | None:
        """Return why there is no float64: only processors have it."""
        if dtype != "float64" or mx.default_device().type == mx.cpu:
            return None
        return (
            "MLX has float64 on the CPU alone; compute there, mlx.core.set_default_device(mlx.core.cpu), "
            "or make the network float32: network.to(mlx.core, dtype=mlx.core.float32)"
        )

    def has_64_bits(self) -> bool:
        """Whether there is float64."""
        return self.lacks("float64") is None

    def to_numpy(self, x: Array) -> Values:
        """Copy the values, which are computed now."""
        return np.array(x)

    def analysed_on_host(self, arrays: list[Array]) -> list[Values] | None:
        """Return the values: float64, where there is any, has exponentials of float32's digits."""
        return [self.to_numpy(x) for x in arrays]
