"""The digest of an array's values: the same numbers, of the same dtype and shape, the same digest."""

import hashlib
from typing import Any

import numpy as np

from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array


class Digest:
    """SHA-256 of the values in C order, little endian, and then of dtype and shape as text.

    An array can be given in pieces, along the first axis: it is the digest of all of it.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._dtype = ""
        self._shape: tuple[int, ...] = ()

    def update(self, piece: np.ndarray[Any, Any]) -> None:
        """Add the next rows."""
        rows = self._shape[0] if self._shape else 0
        self._shape = (rows + len(piece), *piece.shape[1:]) if piece.ndim else ()
        self._dtype = piece.dtype.name
        self._hash.update(
            np.ascontiguousarray(piece, dtype=piece.dtype.newbyteorder("<")).tobytes()
        )

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        whole = self._hash.copy()
        whole.update(f"{self._dtype} {self._shape}".encode())
        return whole.hexdigest()


def digest(x: Array) -> str:
    """Return the digest of an array of any library."""
    whole = Digest()
    whole.update(to_numpy(x))
    return whole.hexdigest()
