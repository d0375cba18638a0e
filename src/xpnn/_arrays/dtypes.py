"""dtypes by the standard's names, which all libraries share, and the rules of promotion."""

import math
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.types import Array, Device, DType, Namespace
from xpnn.errors import XpnnTypeError

FLOATS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
"""The dtypes that xpnn computes with, by name, and their bits."""
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
"""The names of the integer dtypes."""


class Precision(NamedTuple):
    """What rounding to a floating dtype does."""

    bits: int
    """Of the significand, the leading one included."""
    tiny: float
    """The smallest normal number; what is smaller may become zero."""
    largest: float

    @property
    def unit(self) -> float:
        """Largest relative error of one rounding, half a unit in the last place."""
        return 2.0**-self.bits

    def last_place(self, exponent: int) -> int:
        """Return the exponent of the unit in the last place of values from 2**exponent up to twice that.

        Below the normal numbers it is that of the subnormal ones, above the largest that of the largest.
        """
        least, most = (math.frexp(v)[1] - 1 for v in (self.tiny, self.largest))
        return min(max(exponent, least), most) - self.bits + 1


PRECISIONS = {
    "float16": Precision(11, 2.0**-14, 65504.0),
    "bfloat16": Precision(8, 2.0**-126, 2.0**128 - 2.0**120),
    "float32": Precision(24, 2.0**-126, 2.0**128 - 2.0**104),
    "float64": Precision(53, 2.0**-1022, 2.0**1023 * (2 - 2.0**-52)),
}
"""The precision of each of `FLOATS`."""


def is_rounded(name: str, to: str) -> bool:
    """Whether a value of dtype `name` may need rounding to become one of the floating dtype `to`."""
    if name in PRECISIONS:
        given, asked = PRECISIONS[name], PRECISIONS[to]
        return given.bits > asked.bits or given.largest > asked.largest or given.tiny < asked.tiny
    return name in INTEGERS and int(name.lstrip("uint")) > PRECISIONS[to].bits


_names_of_dtypes: dict[type, dict[DType, str]] = {
    type(d): {d: d.name}
    for d in map(np.dtype, ("bool", *INTEGERS, *(name for name in FLOATS if name != "bfloat16")))
}
"""Of NumPy's to begin with, by their classes.

Dtypes of different libraries must not be compared, and torch.compile must not see those of libraries
whose hash it cannot trace.
"""


def dtype_name(dtype: DType) -> str:
    """Return the standard's name of a dtype: `float32` for NumPy's, torch's and JAX's alike."""
    known = _names_of_dtypes.get(type(dtype))
    return _name(dtype) if known is None or dtype not in known else known[dtype]


def _name(dtype: DType) -> str:
    return str(getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype)).rpartition(".")[2]


def dtype_named(xp: Namespace, name: str) -> DType | None:
    """Return the dtype of a library by the standard's name; None where it has none.

    NumPy has bfloat16 where ml_dtypes is imported, by its name but not in its namespace. Dask, whose
    dtypes are NumPy's, lists float16 no more than that.
    """
    found = getattr(xp, name, None)
    native = getattr(xp, "native_namespace", xp)
    own = (getattr(native, "float32", None), getattr(native, "ndarray", np.ndarray))
    if found is None and name in FLOATS and own[0] is np.float32 and own[1] is np.ndarray:
        try:
            return np.dtype(name)
        except TypeError:
            return None
    return found


def floating_name(function: str, dtype: DType | str | None) -> str | None:
    """Return the name of a floating dtype, or None of None; TypeError for others."""
    name = None if dtype is None else dtype_name(dtype)
    if name is not None and name not in FLOATS:
        raise XpnnTypeError(
            f"{function}: expected dtype to be one of {', '.join(FLOATS)}, got {dtype}"
        )
    return name


def know_dtypes(xp: Namespace) -> None:
    """Remember the names of all dtypes of a library.

    `dtype_name` remembers none: torch.compile fails where what it has looked up in vain is there when
    it is done.
    """
    for name in ("bool", *INTEGERS, *FLOATS):
        if hasattr(xp, name):
            dtype = getattr(xp, name)
            _names_of_dtypes.setdefault(type(dtype), {})[dtype] = name
            own = getattr(dtype, "dtype", None)  # of JAX's arrays
            if isinstance(own, np.dtype):
                _names_of_dtypes.setdefault(type(own), {})[own] = name


def float_names(function: str, arrays: dict[str, Array]) -> set[str]:
    """Return the names of the floating dtypes of `arrays`; TypeError for others than integers."""
    names = set()
    for called, a in arrays.items():
        name = None if a is None else dtype_name(a.dtype)
        if name in FLOATS:
            names.add(name)
        elif name is not None and name not in INTEGERS:
            raise XpnnTypeError(
                f"{function}: expected real floating or integer values in {called}, got dtype "
                f"{name}; convert it first, e.g. to float32"
            )
    return names


def promote(names: set[str]) -> str:
    """Return the name of the smallest dtype that holds all values of the named ones."""
    return "float32" if names == {"float16", "bfloat16"} else max(names, key=FLOATS.__getitem__)


def default_float(xp: Namespace, device: Device | None) -> str:
    """Return the name of the floating dtype that the library gives when none is asked for."""
    info = xp.__array_namespace_info__()
    return dtype_name(info.default_dtypes(device=device)["real floating"])


def computing_float(name: str) -> str:
    """Return the dtype in which values of dtype `name` are computed: 16-bit floats in float32."""
    return "float32" if FLOATS[name] < 32 else name


def python_number(value: Any) -> Any:
    """Return a scalar of NumPy's as Python's number; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def nearest(number: float, dtype: str) -> float:
    """Return a number rounded once to a floating dtype of 16 bits; in others as it is.

    Infinity where it rounds to that, which libraries warn of or refuse.
    """
    if dtype == "float16":
        return nearest_half(number)
    if dtype == "float32" and abs(number) >= 2.0**128 - 2.0**103:
        return number * math.inf
    if dtype != "bfloat16" or not abs(number) < 2.0**1000:
        return number
    fraction, exponent = math.frexp(number)
    bits = PRECISIONS[dtype].bits
    y = math.ldexp(round(math.ldexp(fraction, bits)), exponent - bits)
    return y if abs(y) <= PRECISIONS[dtype].largest else math.copysign(math.inf, y)


def nearest_half(number: float) -> float:
    """Return the nearest number of float16, infinity for what is too large."""
    with np.errstate(all="ignore"):
        return float(np.float16(number))
