"""A known answer: whether a device computes in the binary64 of IEEE 754, as it stands.

Emulated float64, fast-math flags, and flushing of what is not subnormal all give another digest.
"""

from xpnn._arrays.digest import digest
from xpnn._arrays.transfer import constant
from xpnn._arrays.types import Array, Device, Namespace
from xpnn._reproducible.arithmetic import exact
from xpnn._reproducible.arithmetic.barrier import barriered, native
from xpnn._reproducible.arithmetic.elementwise import log, tanh
from xpnn.errors import NotReproducibleError

ANSWER = "f8edf4df731161da8d81850f3798c5b22d58da01342014c0d1490453a72ca783"
"""Digest of what `_answer` gives, computed with NumPy."""
_SIZE = 12


def _values() -> tuple[float, ...]:
    """Numbers with all 53 bits in use, of many sizes."""
    return tuple((i + 1) / 3 * (-1.0) ** i * 2.0 ** (i % 9 - 4) for i in range(_SIZE * _SIZE))


def _answer(engine: Namespace, like: Array) -> str:
    own = engine.of.xp

    def compute(x: Array) -> Array:
        xp, (x,) = barriered(own, engine.barrier, [x])
        y = exact.matmul(x, exact.split_right(x, False, xp), False, xp)
        for f in (log, tanh):
            # By an array, as PyTorch on CUDA multiplies by the reciprocal of a Python number.
            y = y / (xp.zeros_like(y) + 3.0) + f(xp.abs(x), False, xp) * x
        return native(y)

    with engine.of.exactly("float64"):
        values = own.reshape(constant(_values, own, like), (_SIZE, -1))
        return digest(engine.of.step(compute)(values))


def check(engine: Namespace, like: Array, device: Device) -> None:
    """Raise NotReproducibleError unless the device of `like` gives the known answer."""
    try:
        found = engine.of.lastingly(lambda: _answer(engine, like), "float64")
    except (TypeError, ValueError, RuntimeError) as error:
        raise NotReproducibleError(
            f"{engine.name}: the device {device} cannot compute in float64 ({error}), in which "
            "everything is computed here; use another device"
        ) from error
    if found != ANSWER:
        raise NotReproducibleError(
            f"{engine.name}: a known computation gives other bits than it must on the device "
            f"{device} (digest {found[:16]}, not {ANSWER[:16]}): its float64 is not IEEE 754 "
            "binary64 as it stands, because it is emulated or because of flags such as fast-math "
            "or flushing; use another device, or those flags' defaults"
        )
