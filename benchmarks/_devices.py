"""Arrays on a device: how each library puts them there, and how one waits for its results."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Device(NamedTuple):
    """A library's device."""

    name: str
    """What the device calls itself."""
    put: Callable[[np.ndarray], Any]
    wait: Callable[[Any], Any]
    """Returns when the array given to it, the last result, is there."""
    xp: Any
    version: str


def _torch(device: str) -> Device:
    import torch

    on_gpu = device != "cpu"
    name = torch.cuda.get_device_name(device) if on_gpu else "the CPU"

    def wait(y: Any) -> Any:
        if on_gpu:
            torch.cuda.synchronize(device)
        return y

    return Device(name, lambda a: torch.from_numpy(a).to(device), wait, torch, torch.__version__)


def _jax(device: str) -> Device:
    import jax

    found = jax.devices("gpu" if device == "cuda" else device)[0]
    return Device(
        found.device_kind,
        lambda a: jax.device_put(a, found),
        lambda y: y.block_until_ready(),
        jax.numpy,
        jax.__version__,
    )


def _cupy(device: str) -> Device:
    import cupy

    if device == "cpu":
        raise ValueError("CuPy has no arrays on the CPU")
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()

    def wait(y: Any) -> Any:
        cupy.cuda.get_current_stream().synchronize()
        return y

    return Device(name, cupy.asarray, wait, cupy, cupy.__version__)


LIBRARIES = {"torch": _torch, "jax": _jax, "cupy": _cupy}
