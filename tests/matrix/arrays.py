"""The arrays of a case: values of every kind, in every layout, as arrays of every library."""

import functools
import importlib
import itertools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xpnn._arrays import installed
from xpnn._arrays.dtypes import FLOATS, PRECISIONS

from .factors import Case, number

Values = np.ndarray
_FEW = 2**14
"""Elements along an axis up to which there are some along others, too."""


def wide(dtype: str) -> np.dtype:
    """The dtype of NumPy's own that holds the values of a dtype: bfloat16 is a float32."""
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def rounded(a: Values, dtype: str) -> Values:
    """Values of the dtype near these, in a dtype of NumPy's own."""
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            bits = np.ascontiguousarray(a, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            return bits.view(np.float32).reshape(np.shape(a))
        if dtype not in FLOATS and dtype not in ("bool", "complex64"):
            info = np.iinfo(dtype)
            # The largest float64 below the largest integer.
            return np.clip(np.nan_to_num(a), info.min, math.nextafter(info.max, 0)).astype(dtype)
        return np.asarray(a).astype(dtype)


def _wide_range(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Values:
    limits = PRECISIONS[dtype]
    low, high = math.log2(limits.tiny), math.log2(limits.largest)
    return rng.choice([-1.0, 1.0], shape) * np.exp2(rng.uniform(low, high - 1, shape))


def _special(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Values:
    if dtype in FLOATS:
        tiny, largest = PRECISIONS[dtype].tiny, PRECISIONS[dtype].largest
        odd = [math.nan, math.inf, -math.inf, 0.0, -0.0, tiny, -tiny / 2, largest, -largest]
        odd += [sign * v for v in (88.8, 104.0, 709.8, 745.2, 1000.0, 2.0**-30) for sign in (-1, 1)]
    elif dtype in ("bool", "complex64"):
        odd = [0.0, 1.0]
    else:
        odd = [float(np.iinfo(dtype).max), float(np.iinfo(dtype).min), 0.0, 1.0]
    chosen = rng.random(shape) < rng.choice([0.02, 0.3])
    return np.where(chosen, rng.choice(odd, shape), 3 * rng.normal(size=shape))


def _certain(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Values:
    x = rng.normal(size=shape)
    if x.ndim:
        x[..., :1] += 40
    return x


def values(kind: str, dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Values:
    """Values of a kind and a dtype."""
    if kind in ("-inf", "huge"):
        a = np.full(shape, -math.inf if kind == "-inf" else PRECISIONS[dtype].largest)
        x = a if kind == "-inf" else a * rng.choice([-1.0, 1.0, 0.5], shape)
    elif kind == "wide":
        x = _wide_range(rng, shape, dtype)
    elif kind == "special":
        x = _special(rng, shape, dtype)
    elif kind == "certain":
        x = _certain(rng, shape, dtype)
    elif kind == "subnormal":
        x = rng.uniform(-2, 2, shape) * PRECISIONS[dtype].tiny
    elif kind == "ties":
        x = rng.choice([-1.0, 0.0, 2.0], shape)
    elif kind == "zeros":
        x = rng.choice([-0.0, 0.0], shape)
    else:
        x = rng.uniform(-1100, 1100, shape) if kind == "saturating" else 3 * rng.normal(size=shape)
    return rounded(x, dtype)


def shape_of(case: Case) -> tuple[int, ...]:
    """The shape that puts the case's number where its dimension says."""
    n, dimension = number(case), case["dimension"]
    if case["layout"] == "0-d":
        return ()
    some = 5 if n <= _FEW else 1
    if case["layout"] == "1-d":
        return (n,)
    if dimension == "whole":
        some = next(d for d in (8, 7, 5, 3, 2, 1) if n % d == 0)
        shape = (
            (some, n // some)
            if case["axis"] in ("last", "-", "None", "tuple")
            else (n // some, some)
        )
    else:
        along_last = (dimension == "length") == (case["axis"] in ("last", "-", "None", "tuple"))
        shape = (some, n) if along_last else (n, some)
    if case["axis"] in ("middle", "tuple") or case["layout"] == "3-d":
        shape = (2 if n <= _FEW else 1, *shape)
    return (0, *shape[1:]) if case["layout"] == "empty" else shape


def axis_of(case: Case) -> Any:
    return {
        "last": -1, "first": 0, "middle": 1, "negative": -2, "None": None, "tuple": (-1, 0), "-": None
    }[case["axis"]]  # fmt: skip


# Layouts

_files = itertools.count()


def _in_file(a: Values) -> Values:
    path = Path(_folder().name) / f"{next(_files)}"
    a.tofile(path)
    return np.memmap(path, a.dtype, "r", shape=a.shape)


@functools.cache
def _folder() -> Any:
    return tempfile.TemporaryDirectory()


def _unaligned(a: Values) -> Values:
    y = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    y[...] = a
    return y


def _turned(a: Values) -> Values:
    return np.ascontiguousarray(a.T).T


def _stepped(a: Values) -> Values:
    y = np.zeros(tuple(2 * n for n in a.shape), a.dtype)[
        tuple(slice(None, None, 2) for _ in a.shape)
    ]
    y[...] = a
    return y


def _backwards(a: Values) -> Values:
    back = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[back])[back]


def _read_only(a: Values) -> Values:
    a = a.copy()
    a.flags.writeable = False
    return a


_NUMPY_LAYOUTS: dict[str, Callable[[Values], Values]] = {
    "Fortran": np.asfortranarray,
    "transposed": _turned,
    "stepped": _stepped,
    "negative": _backwards,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape) if a.ndim else a,
    "read-only": _read_only,
    "memmap": _in_file,
    "unaligned": _unaligned,
}


def laid_out(a: Values, layout: str) -> Values:
    """The same values in a layout of NumPy's."""
    return _NUMPY_LAYOUTS.get(layout, np.copy)(a)


def spread(a: Values, layout: str) -> Values:
    """Values that the layout can hold: broadcasting repeats the first row."""
    return np.copy(np.broadcast_to(a[:1], a.shape)) if layout == "broadcast" and a.ndim else a


# Libraries


def namespace(library: str) -> Any:
    return installed.backend_library(library).xp


def asarray(a: Values, library: str, dtype: str, layout: str = "C", order: str = "native") -> Any:
    """The values as an array of a library, in a layout."""
    xp = namespace(library)
    if library == "numpy":
        kind = _numpy_dtype(dtype)
        kind = kind.newbyteorder() if order == "swapped" else kind
        return laid_out(a.astype(kind), layout)
    if library == "torch":
        torch = importlib.import_module("torch")
        y = torch.from_numpy(np.array(a)).to(getattr(torch, dtype))
        return _torch_layout(y, layout)
    if library == "array-api-strict":
        return xp.asarray(laid_out(a, layout), copy=False)
    y = xp.asarray(np.array(a))
    if dtype == "bfloat16":
        y = y.astype(xp.bfloat16)
    return y


def _numpy_dtype(dtype: str) -> np.dtype:
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)


def _torch_layout(y: Any, layout: str) -> Any:
    if layout in ("Fortran", "transposed"):
        back = tuple(reversed(range(y.ndim)))
        return y.permute(back).contiguous().permute(back)
    if layout == "stepped":
        wide = y.new_zeros([2 * n for n in y.shape])[tuple(slice(None, None, 2) for _ in y.shape)]
        return wide.copy_(y)
    return y[:1].expand(y.shape) if layout == "broadcast" and y.ndim else y


def native(y: Any) -> Values:
    """A result as NumPy's array, of its own dtype but for bfloat16, which is float32."""
    if hasattr(y, "detach"):
        y = y.detach()
        y = (y.float() if str(y.dtype) == "torch.bfloat16" else y).numpy()
    elif type(y).__module__.startswith("array_api_strict"):
        y = y._array
    y = np.asarray(y)
    return y.astype(np.float32) if y.dtype.name == "bfloat16" else y
