"""The table of activations: every name that a layer or a model file can give.

What holds for every activation: `x` is a real floating or integer array of any shape; the result
has its shape, and its dtype where that is floating (integers give the library's default float).
float16 and bfloat16 are computed in float32 and rounded once. NaN gives NaN. Bool and complex
values, and what is no array, are a TypeError. Nothing overflows but exp, and nothing branches on values,
so that all trace under jit, vmap and compile. Without `xp` a library's own function may run in the place of a
formula: inside the error bound, which promises nothing above an eighth of the largest number (PyTorch's
`hard_swish` overflows there). Derivatives are found by `x`'s own library.

Options are finite numbers or words: Python's, NumPy's, or arrays without an axis, which mean the same. An
option that is traced by a compiler, or by which derivatives are taken (a tensor with requires_grad), is
an array of x's own library that takes part like x; its value is not checked, as nobody knows it yet, and
it does not change the dtype of the result.

The table is made of the records of the files below, the simplest activations first, as `explain` prefers them.
"""

from collections.abc import Callable

from xpnn._activations import erf, exponential, gated, piecewise, shrinkage, sigmoids, softmax
from xpnn._activations.record import MADE, Record
from xpnn._arrays.types import Array

RECORDS: dict[str, Record] = {
    name: MADE[name]
    for file in (piecewise, sigmoids, exponential, gated, shrinkage, erf, softmax)
    for name in file.__all__
}

ACTIVATIONS: dict[str, Callable[..., Array]] = {n: r.function for n, r in RECORDS.items()}
ELEMENTWISE = tuple(r.function for r in RECORDS.values() if not r.of_rows)
