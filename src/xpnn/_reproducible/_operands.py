"""What may stand beside what in an operation: where libraries promote differently, an error says so."""

from collections.abc import Sequence
from typing import Any

from xpnn._dtypes import FLOATS, INTEGERS, dtype_name
from xpnn.errors import XpnnTypeError, XpnnValueError

_OF_ALL = frozenset(
    """
    add subtract multiply floor_divide remainder equal not_equal less less_equal greater
    greater_equal maximum minimum clip isin searchsorted bitwise_and bitwise_or bitwise_xor
    bitwise_left_shift bitwise_right_shift
    """.split()
)
"""Functions all of whose arguments are operands; those of `where` follow the condition."""
_SHIFTS = frozenset(["bitwise_left_shift", "bitwise_right_shift"])


def check_operands(xp: str, name: str, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Refuse operands of a function whose common dtype, or value in it, depends on the library."""
    if name == "where":
        operands = [*args[1:]]
    elif name in _OF_ALL:
        operands = [*args, *(options[k] for k in ("min", "max") if k in options)]
    elif name in {"concat", "stack"}:
        operands = [*args[0]]
    else:
        return
    # torch.compile cannot ask a float that it traces for attributes.
    arrays = [a for a in operands if type(a) is not float and hasattr(a, "dtype")]
    dtypes = {dtype_name(a.dtype) for a in arrays}
    kinds = {_kind(dtype) for dtype in dtypes}
    signed = any(dtype.startswith("int") for dtype in dtypes)
    if len(kinds) > 1 or (signed and "uint64" in dtypes):
        raise XpnnTypeError(
            f"{xp}.{name}: expected arrays of one kind, got dtypes {', '.join(sorted(dtypes))}, "
            "which libraries promote differently; convert them with astype"
        )
    if name == "clip" and len(dtypes) > 1:
        raise XpnnTypeError(
            f"{xp}.clip: expected min and max of the dtype of x, got dtypes "
            f"{', '.join(sorted(dtypes))}; convert them with astype"
        )
    for dtype in dtypes:
        for number in operands:
            if type(number) in {bool, int, float}:
                _check_number(xp, name, number, dtype)
    if name in _SHIFTS and type(args[1]) is int:
        bits = min((int(dtype.lstrip("uint")) for dtype in dtypes), default=64)
        if not 0 <= args[1] < bits:
            raise XpnnValueError(
                f"{xp}.{name}: expected to shift by 0 to {bits - 1} bits, got {args[1]}"
            )


def _kind(dtype: str) -> str:
    return "floating" if dtype in FLOATS else "integer" if dtype in INTEGERS else "bool"


def _check_number(xp: str, name: str, number: float, dtype: str) -> None:
    kind = _kind(dtype)
    if kind != "floating" and type(number) is not {"integer": int, "bool": bool}[kind]:
        raise XpnnTypeError(
            f"{xp}.{name}: expected a Python number of the kind of the array, {kind}, got "
            f"{number!r} beside {dtype}, which libraries promote differently; convert the array "
            "with astype"
        )
    if kind == "integer":
        signed, bits = dtype.startswith("int"), int(dtype.lstrip("uint"))
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if not least <= number <= most:
            raise XpnnValueError(
                f"{xp}.{name}: expected a number that {dtype} holds, got {number}; convert the "
                "array with astype"
            )
