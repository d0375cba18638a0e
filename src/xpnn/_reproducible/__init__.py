"""reproducible: an Array API namespace that gives the same bits on every backend."""

from types import ModuleType
from typing import Any

from xpnn._arrays.backends.tracing import traced_as_constant
from xpnn._arrays.library import library, library_of_namespace
from xpnn._arrays.types import Namespace
from xpnn._reproducible.namespace import ReproducibleNamespace

__all__ = ["GUARANTEE", "ReproducibleNamespace", "reproducible"]

GUARANTEE = 1
"""Version of what is promised: where it is the same, so are the bits."""


def reproducible(x_or_namespace: Any, /) -> ReproducibleNamespace:
    """Return a namespace in which the same formula gives the same bits on every array library.

    Parameters
    ----------
    x_or_namespace : array or namespace
        An array of NumPy, PyTorch, JAX, CuPy or array-api-strict, or the namespace itself.

    Returns
    -------
    ReproducibleNamespace
        An Array API namespace over that of the library. Its functions take the library's arrays and
        give such back; `asarray` gives arrays of its own, whose operators are reproducible too and
        whose `native` is the library's array again. Functions of xpnn take it as `xp`.

    Raises
    ------
    TypeError
        If it is neither.
    NotReproducibleError
        From the namespace, for functions and exponents that it cannot make reproducible; at first
        use on a device whose binary64 is not that of IEEE 754.

    Notes
    -----
    For float32 and float64 input (float16 and bfloat16 through float32), under the library's default
    compiler flags, each function returns identical bits whatever the array library and its version,
    the processor, BLAS, thread count, batch size and place in the batch, memory layout; eager or
    inside jax.jit, jax.vmap, jax.lax.scan, torch.compile or torch.func.vmap; with or without
    gradients being recorded. There is one NaN; -0 is 0; inputs and results below the smallest normal
    number are 0; a row or column with inf or NaN gives NaN in a product.

    exp, expm1, log, log1p, tanh, sigmoid, erf, sqrt and divide of float32 are correctly rounded. A
    product of matrices is the exact sum of products of numbers rounded to a grid of their row or
    column. docs/reproducible.md defines everything to the last bit.

    Derivatives by reverse mode are right, for JAX without 64-bit types too; forward mode raises
    TypeError.

    References
    ----------
    S. M. Rump, T. Ogita, S. Oishi, 'Accurate floating-point summation part I', SIAM Journal on
    Scientific Computing 31, 2008, doi:10.1137/050645671. K. Ozaki, T. Ogita, S. Oishi, S. M. Rump,
    'Error-free transformations of matrix multiplication by using fast routines of matrix
    multiplication and its applications', Numerical Algorithms 59, 2012,
    doi:10.1007/s11075-011-9478-1.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xp = xpnn.reproducible(np)
    >>> x = xp.asarray(np.asarray([1.0, 2.0, 4.0], dtype=np.float32))
    >>> (xp.exp(x) / xp.sum(xp.exp(x))).native
    array([0.04201007, 0.1141952 , 0.8437947 ], dtype=float32)
    >>> xpnn.softmax(x.native, xp=xp)
    array([0.04201007, 0.1141952 , 0.84379476], dtype=float32)
    """
    if isinstance(x_or_namespace, ReproducibleNamespace):
        return x_or_namespace
    if isinstance(x_or_namespace, ModuleType) or hasattr(
        x_or_namespace, "__array_namespace_info__"
    ):
        of = x_or_namespace
    else:
        of = library(x_or_namespace, "x", "reproducible").raw.xp
    _make(of)
    found = library_of_namespace(of)
    return ReproducibleNamespace.made[found.name]


@traced_as_constant
def _make(xp: Namespace) -> None:
    ReproducibleNamespace.over(library_of_namespace(xp))
