"""dtypes by the standard's names, which all libraries share, and the rules of promotion."""

from xpnn._types import Array, Device, DType, Namespace
from xpnn.errors import XpnnTypeError

FLOATS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
"""The dtypes that xpnn computes with, by name, and their bits."""
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
"""The names of the integer dtypes."""

_names_of_dtypes: dict[tuple[type, DType], str] = {}


def dtype_name(dtype: DType) -> str:
    """Return the standard's name of a dtype: `float32` for NumPy's, torch's and JAX's alike."""
    key = (type(dtype), dtype)  # dtypes of different libraries must not be compared
    name = _names_of_dtypes.get(key)
    if name is None:
        name = str(getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype)).rpartition(
            "."
        )[2]
        _names_of_dtypes[key] = name
    return name


def know_dtypes(xp: Namespace) -> None:
    """Look up the names of all dtypes at once: torch.compile cannot trace a look-up of a new one."""
    for name in ("bool", *INTEGERS, *FLOATS):
        if hasattr(xp, name):
            dtype_name(getattr(xp, name))


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
