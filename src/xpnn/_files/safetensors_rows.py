"""Rows of tensors in safetensors files."""

from collections.abc import Iterator

import numpy as np
from safetensors import safe_open

from xpnn._files.pieces import Input, Numbers, Ranges, Rows, choose, rows_in, width_of
from xpnn._files.streams import Source
from xpnn.errors import XpnnValueError


def read_safetensors(found: Source, wanted: Input) -> Rows:
    """Open a tensor of a .safetensors file."""
    path, key = found.path, wanted.key
    with safe_open(path, framework="numpy") as file:
        name = choose(list(file.keys()), key, path)
        part = file.get_slice(name)
        shape = tuple(part.get_shape())
        label = f"{path}, {name}"
        if part.get_dtype() == "BF16":
            raise XpnnValueError(f"{label}: expected a dtype that NumPy has, got bfloat16")
        dtype = part[:0].dtype if shape else np.dtype("f8")
    width, total = width_of(shape, dtype, label), rows_in(shape)

    def read(start: int, stop: int, n: int) -> Iterator[Numbers]:
        for first in range(start, stop, n):
            # Opened anew for each piece: the file is mapped, and what was read is given back.
            with safe_open(path, framework="numpy") as file:
                part = file.get_slice(name)
                piece = part[:] if len(shape) == 1 else part[first : min(first + n, stop)]
            yield piece.reshape(-1, width)

    return Rows.of_ranges(label, width, Ranges(total, range(1, total + 1), read))
