"""A whole array in NumPy's format, of bytes that may be hostile."""

import io
import math
import tokenize
from typing import Any

import numpy as np

from xpnn.errors import XpnnValueError

_KINDS = "biufU"
"""Truth values, integers, floating numbers, text: what needs no pickle."""
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""What reads the shape and the dtype, by the version of the format."""

_BROKEN = (
    *(EOFError, KeyError, MemoryError, OverflowError, RecursionError, SyntaxError, TypeError),
    *(ValueError, tokenize.TokenError),
)
"""How NumPy refuses a head, which it reads as Python."""


def array_of(content: bytes, where: str) -> np.ndarray[Any, Any]:
    """Return the array that bytes in NumPy's format hold; XpnnValueError if they hold another or none."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        shape, in_columns, dtype = HEADERS[version](file)
    except _BROKEN as error:
        raise XpnnValueError(f"{where}: expected an array in NumPy's format ({error})") from None
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise XpnnValueError(f"{where}: expected numbers or text, got dtype {dtype}")
    size, start = math.prod(shape) * dtype.itemsize, file.tell()
    if len(content) - start != size or any(n < 0 for n in shape):
        raise XpnnValueError(
            f"{where}: expected {size:,} bytes for shape {shape}, got {len(content) - start:,}"
        )
    if not size:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if in_columns else "C").astype(dtype.newbyteorder("="))
