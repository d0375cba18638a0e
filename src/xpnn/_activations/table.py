"""The table of activations: every name that a layer or a model file can give.

What holds for every activation: `x` is a real floating or integer array of any shape; the result
has its shape, and its dtype where that is floating (integers give the library's default float).
float16 and bfloat16 are computed in float32 and rounded once. NaN gives NaN. Bool and complex
values, and what is no array, are a TypeError. Nothing overflows, and nothing branches on values,
so that all trace under jit, vmap and compile. Derivatives are found by `x`'s own library.

Options are finite numbers or words: Python's, NumPy's, or arrays without an axis, which mean the same. An
option that is traced by a compiler, or by which derivatives are taken (a tensor with requires_grad), is
an array of x's own library that takes part like x; its value is not checked, as nobody knows it yet, and
it does not change the dtype of the result.

To add one, write the function in the file where its kin stand, decorated with what its options may be,
and add it to this table.
"""

from collections.abc import Callable

from xpnn._activations.erf import erf
from xpnn._activations.exponential import celu, elu, selu
from xpnn._activations.gated import gelu, mish, silu
from xpnn._activations.piecewise import (
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    relu,
    relu6,
    step,
)
from xpnn._activations.sigmoids import log_sigmoid, sigmoid, softplus, softsign, tanh
from xpnn._activations.softmax import log_softmax, softmax
from xpnn._arrays.types import Array

ELEMENTWISE: tuple[Callable[..., Array], ...] = (
    identity, step, sigmoid, log_sigmoid, tanh, relu, relu6, leaky_relu, elu, selu, celu, gelu,
    silu, mish, softplus, softsign, hard_sigmoid, hard_swish, hard_tanh, erf,
)  # fmt: skip

ACTIVATIONS: dict[str, Callable[..., Array]] = {
    function.__name__: function for function in (*ELEMENTWISE, softmax, log_softmax)
}
