"""Every function of the reproducible namespace gives the same on every library, or is refused.

The functions are read from the namespace; each has examples here, on the values that libraries
treat differently. What NumPy's namespace gives, every other must give: dtype, shape and bits, or an error of
the same kind.
"""

import contextlib
import math
import struct
import sys
import warnings

import numpy as np
import pytest

import xpnn
from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.transfer import to_numpy
from xpnn._reproducible.passed_through import EXACT
from xpnn.errors import XpnnError

nan, inf = math.nan, math.inf

F = [nan, inf, -inf, -0.0, 1e-310, 2.5, -1.5, 2.5, 0.5, nan]
M = [[3.0, nan, -2.0], [-0.0, 3.0, inf]]
FINITE = [[3.0, -1.5, 2.0], [0.5, 3.0, -2.0]]
SORTED = [-inf, -1.5, 0.0, 2.5, 2.5, inf, nan, nan]
EXTREME = {"int8": [-128, 127, 3, 0], "uint8": [255, 0, 7, 128], "int32": [-(2**31), 2**31 - 1, 3, 0],
           "uint32": [2**32 - 1, 0, 7, 2**31], "int64": [-(2**63), 2**63 - 1, 3, 0],
           "uint64": [2**64 - 1, 0, 7, 2**63], "int16": [-(2**15), 2**15-1, 3, 0], "uint16": [2**16-1, 0, 7, 2**15]}  # fmt: skip
INTEGERS = tuple(EXTREME)
FLOATS = ("float32", "float64", "float16", "bfloat16")


class Place:
    """A namespace, and how to make its arrays."""

    def __init__(self, xp, device=None, dtypes=None):
        self.xp, self.device, self.dtypes = xp, device, dtypes

    def __call__(self, dtype, values):
        if self.dtypes is not None and dtype not in self.dtypes:
            raise Missing(dtype)
        native = self.xp.native_namespace
        wide = "float32" if dtype == "bfloat16" else dtype
        with np.errstate(all="ignore"):
            values = np.asarray(values, wide)
        if not hasattr(native, wide):
            raise Missing(dtype)
        x = native.asarray(values, dtype=getattr(native, wide), device=self.device)
        if dtype_name(x.dtype) != wide:
            raise Missing(dtype)
        x = self.xp.asarray(x)
        if wide == dtype:
            return x
        if dtype_named(native, dtype) is None:
            raise Missing(dtype)
        return self.xp.astype(x, dtype_named(native, dtype))


class Missing(Exception):  # noqa: N818
    """A dtype that this library has not, or not now."""


def floats(f, values=F, dtypes=FLOATS):
    return [lambda xp, a, d=d: f(xp, a(d, values)) for d in dtypes]


def integers(f, dtypes=INTEGERS):
    return [lambda xp, a, d=d: f(xp, a(d, EXTREME[d])) for d in dtypes]


def one(name, dtypes=("float32",), values=F):
    return floats(lambda xp, x: getattr(xp, name)(x), values, dtypes)


def unary(name, kinds="fib"):
    f = lambda xp, x: getattr(xp, name)(x)
    return [
        *(floats(f) if "f" in kinds else []),
        *(integers(f) if "i" in kinds else []),
        lambda xp, a: f(xp, a("bool", [True, False])),
        lambda xp, a: f(xp, a("float32", [])),
        lambda xp, a: f(xp, a("float32", -0.0)),
    ]


def reflected(name, others=(-1, 3, 200, 300, 2.5, True, nan)):
    """A function of two: arrays with arrays, with other dtypes, with Python's numbers on both sides."""
    f = lambda xp, x, y: getattr(xp, name)(x, y)
    return [
        *(lambda xp, a, d=d: f(xp, a(d, F), a(d, F[::-1])) for d in FLOATS),
        *(lambda xp, a, d=d: f(xp, a(d, EXTREME[d]), a(d, EXTREME[d][::-1])) for d in INTEGERS),
        *(lambda xp, a, d=d, n=n, v=v: f(xp, a(d, v), n)
          for d, v in (("float32", F), ("float16", F), ("bfloat16", F), ("uint8", EXTREME["uint8"]), ("int32", EXTREME["int32"]), ("bool", [True, False]))
          for n in (*others, 0.1)),
        *(lambda xp, a, d=d, n=n, v=v: f(xp, n, a(d, v))
          for d, v in (("float32", F), ("bfloat16", F), ("int8", EXTREME["int8"]))
          for n in others),
        *(lambda xp, a, d=d, e=e: f(xp, a(d, [3, 1, 2, 0]), a(e, [1, 2, 3, 0]))
          for d, e in [("int8", "uint8"), ("int32", "uint32"), ("int8", "int32"), ("uint8", "int32"), ("int32", "float32"), ("float32", "float64"),
                       ("float16", "float32"), ("float16", "bfloat16"), ("bool", "int32"), ("bool", "bool"), ("int64", "uint64"), ("uint64", "uint8"), ("int64", "uint8")]),
        lambda xp, a: f(xp, a("float32", []), a("float32", 1.0)),
        lambda xp, a: f(xp, a("float32", [[1.0], [2.0]]), a("float32", [1.0, 2.0, 3.0])),
        lambda xp, a: f(xp, a("float32", [1.0, 2.0]), a("float32", [1.0, 2.0, 3.0])),
    ]  # fmt: skip


def reduction(name, kinds="fib"):
    f = lambda xp, x, **o: getattr(xp, name)(x, **o)
    return [
        *(floats(f, FINITE)),
        *(floats(f, M)),
        *integers(f),
        lambda xp, a: f(xp, a("bool", [True, False, True])),
        lambda xp, a: f(xp, a("float32", M), axis=1),
        lambda xp, a: f(xp, a("float32", M), axis=-1, keepdims=True),
        lambda xp, a: f(xp, a("float32", M), axis=(0, 1)),
        lambda xp, a: f(xp, a("float32", M), axis=()),
        lambda xp, a: f(xp, a("float32", M), axis=2),
        lambda xp, a: f(xp, a("float32", M), axis=(0, 0)),
        lambda xp, a: f(xp, a("float32", [])),
        lambda xp, a: f(xp, a("float32", np.ones((2, 0))), axis=1),
        lambda xp, a: f(xp, a("float32", np.ones((2, 0))), axis=0),
        lambda xp, a: f(xp, a("int32", np.ones((0,)))),
        lambda xp, a: f(xp, a("float32", -0.0)),
        lambda xp, a: f(xp, a("uint8", [[1, 255, 255]]), axis=1),
        lambda xp, a: f(xp, a("int8", [[1, 127, 127]]), axis=1),
    ]


def dtyped(name):
    f = lambda xp, x, **o: getattr(xp, name)(x, **o)
    return [
        lambda xp, a, d=d, e=e, v=v: f(xp, a(d, v), axis=0, dtype=getattr(xp, e))
        for d, v in (("int32", EXTREME["int32"]), ("uint8", EXTREME["uint8"]), ("float32", [1.5, -2.5, 300.0]), ("bool", [True, True]))
        for e in ("int8", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool")
    ]  # fmt: skip


EXAMPLES = {
    **{n: unary(n) for n in "abs negative square positive sign ceil floor round trunc isnan isfinite isinf logical_not signbit conj real".split()},
    "bitwise_invert": unary("bitwise_invert"),
    **{n: [*one(n), *one(n, ("float16", "bfloat16", "int32", "bool"), [0, 1, 0]), lambda xp, a, n=n: getattr(xp, n)(a("float32", []))]
       for n in "exp exp2 expm1 log log2 log10 log1p tanh sinh cosh sigmoid erf sqrt reciprocal".split()},
    **{n: reflected(n) for n in "add subtract multiply divide equal not_equal less less_equal greater greater_equal maximum minimum floor_divide remainder copysign logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor".split()},
    "logaddexp": reflected("logaddexp", (2.5, nan)),
    "pow": [*reflected("pow", (2, 0, -2, 0.5, 2.0, 1.5)),
            *(lambda xp, a, d=d, n=n: xp.pow(a(d, EXTREME[d]), n) for d in ("int8", "uint8", "int32", "uint32") for n in (0, 1, 2, 3, 7, 33, -1, 200)),
            *(lambda xp, a, d=d: xp.pow(a(d, [3, 2, 0, 1]), a(d, [-1, 3, -2, 0])) for d in ("int8", "int32", "int64")),
            ],
    **{n: [*(lambda xp, a, n=n, d=d, s=s: getattr(xp, n)(a(d, EXTREME[d]), a(d, s)) for d, s in [
            ("int8", [1, 7, 8, -1]), ("uint8", [1, 7, 8, 255]), ("int32", [31, 32, 33, -1]), ("uint32", [31, 32, 33, 1]), ("int64", [63, 64, -1, 1]), ("int16", [1, 16, -1, 15]), ("uint16", [1, 16, 2, 15]), ("uint64", [1, 64, 2, 63])]),
           *(lambda xp, a, n=n, k=k: getattr(xp, n)(a("int32", EXTREME["int32"]), k) for k in (0, 5, 31, 32, -1, 1.0, True)),
           *(lambda xp, a, n=n, k=k: getattr(xp, n)(k, a("int32", [0, 5, 31, 32])) for k in (0, 1, -1, 2**31, 1.0)),
           lambda xp, a, n=n: getattr(xp, n)(a("int8", [-128, 127, 3, 1]), a("int32", [8, 7, -1, 9])),
           lambda xp, a, n=n: getattr(xp, n)(a("int32", [-128, 127, 3, 1]), a("int8", [8, 7, -1, 33])),
           lambda xp, a, n=n: getattr(xp, n)(a("int8", [-128, 127, 3, 1]), a("uint8", [8, 7, 255, 33])),
           lambda xp, a, n=n: getattr(xp, n)(a("bool", [True]), a("bool", [True])),
           lambda xp, a, n=n: getattr(xp, n)(a("float32", [1]), a("int32", [1])),
           ] for n in ("bitwise_left_shift", "bitwise_right_shift")},
    **{n: reduction(n) for n in "max min all any argmax argmin count_nonzero mean var std".split()},
    "sum": [*reduction("sum"), *dtyped("sum")],
    "cumulative_sum": [
        *floats(lambda xp, x: xp.cumulative_sum(x)), *integers(lambda xp, x: xp.cumulative_sum(x)),
        *integers(lambda xp, x: xp.cumulative_sum(x, include_initial=True), ("int8", "uint8", "int32")),
        *dtyped("cumulative_sum"),
        lambda xp, a: xp.cumulative_sum(a("bool", [True, True])),
        lambda xp, a: xp.cumulative_sum(a("float32", M)),
        lambda xp, a: xp.cumulative_sum(a("float32", M), axis=-1, include_initial=True),
        lambda xp, a: xp.cumulative_sum(a("float32", M), axis=2),
        lambda xp, a: xp.cumulative_sum(a("float32", 1.0)),
        lambda xp, a: xp.cumulative_sum(a("float32", []), include_initial=True),
    ],
    **{n: [
        *(lambda xp, a, n=n, d=d, v=v: getattr(xp, n)(a(d, v)) for d, v in [("float32", F), ("float64", F), ("float16", F), ("bfloat16", F), *EXTREME.items(), ("bool", [True, False, True])]),
        lambda xp, a, n=n: getattr(xp, n)(a("float32", F), descending=True),
        lambda xp, a, n=n: getattr(xp, n)(a("uint8", EXTREME["uint8"]), descending=True),
        lambda xp, a, n=n: getattr(xp, n)(a("int8", EXTREME["int8"]), descending=True),
        lambda xp, a, n=n: getattr(xp, n)(a("float32", M), axis=0),
        lambda xp, a, n=n: getattr(xp, n)(a("float32", M), axis=2),
        lambda xp, a, n=n: getattr(xp, n)(a("float32", [])),
        lambda xp, a, n=n: getattr(xp, n)(a("float32", 1.0)),
    ] for n in ("sort", "argsort")},
    "searchsorted": [
        *(lambda xp, a, s=s, d=d: xp.searchsorted(a(d, SORTED), a(d, F), side=s) for s in ("left", "right") for d in FLOATS),
        *(lambda xp, a, s=s: xp.searchsorted(a("float32", SORTED[::-1]), a("float32", M), side=s, sorter=a("int32", range(7, -1, -1))) for s in ("left", "right")),
        lambda xp, a: xp.searchsorted(a("float32", SORTED), a("float32", 1.0)),
        lambda xp, a: xp.searchsorted(a("float32", SORTED), 1.0),
        lambda xp, a: xp.searchsorted(a("float32", []), a("float32", F)),
        lambda xp, a: xp.searchsorted(a("float32", SORTED), a("float32", [])),
        lambda xp, a: xp.searchsorted(a("float32", SORTED), a("float64", F)),
        lambda xp, a: xp.searchsorted(a("int32", [-(2**31), 0, 3, 3, 2**31 - 1]), a("int32", [3, -1, 2**31 - 1]), side="right"),
        lambda xp, a: xp.searchsorted(a("uint8", [0, 3, 255]), a("uint8", [3, 255, 254])),
        lambda xp, a: xp.searchsorted(a("uint8", [0, 3, 255]), a("int32", [3, -1, 254])),
        lambda xp, a: xp.searchsorted(a("float32", SORTED), a("float32", F), side="middle"),
        lambda xp, a: xp.searchsorted(a("float32", M), a("float32", F)),
        lambda xp, a: xp.searchsorted(a("float32", [2.0, 1.0]), a("float32", F), sorter=a("int32", [1, 2])),
    ],
    "take": [
        *(lambda xp, a, i=i, d=d: xp.take(a("float32", FINITE), a(d, i), axis=1) for d in ("int32", "int64", "int8", "uint8") for i in ([0, 2, 1], [2, 2], [3], [])),
        *(lambda xp, a, i=i: xp.take(a("float32", FINITE), a("int32", i), axis=-1) for i in ([-1, -3], [-4], [2**31 - 1], [-(2**31)])),
        lambda xp, a: xp.take(a("float32", F), a("int32", [1, -1])),
        lambda xp, a: xp.take(a("float32", FINITE), a("int32", [1, -1])),
        lambda xp, a: xp.take(a("float32", FINITE), a("int32", [1]), axis=2),
        lambda xp, a: xp.take(a("float32", F), a("int32", 1)),
        lambda xp, a: xp.take(a("float32", F), a("int32", [[1, 0]])),
        lambda xp, a: xp.take(a("float32", F), a("float32", [1.0])),
        lambda xp, a: xp.take(a("float32", F), a("bool", [True])),
        lambda xp, a: xp.take(a("float32", []), a("int32", [0])),
        lambda xp, a: xp.take(a("float32", []), a("int32", [])),
        lambda xp, a: xp.take(a("int32", [1, 2]), a("int32", [2])),
        lambda xp, a: xp.take(a("bool", [True, False]), a("int32", [-1])),
        lambda xp, a: xp.take(a("float32", F), [1, 2]),
    ],
    "take_along_axis": [
        *(lambda xp, a, i=i, d=d: xp.take_along_axis(a("float32", FINITE), a(d, i), axis=1) for d in ("int32", "int64", "uint8") for i in ([[0], [2]], [[0, 3], [1, 1]])),
        *(lambda xp, a, i=i: xp.take_along_axis(a("float32", FINITE), a("int32", i), axis=-1) for i in ([[-1], [-3]], [[-4], [0]])),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("int32", [[0, -1, 1]]), axis=0),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("int32", [[0, -1, 2]]), axis=0),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("int32", [[0, 1]]), axis=0),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("int32", [0])),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("int32", [[0], [1]]), axis=2),
        lambda xp, a: xp.take_along_axis(a("float32", FINITE), a("float32", [[0], [1]])),
        lambda xp, a: xp.take_along_axis(a("float32", F), a("int32", [1, 5, 9])),
    ],
    "[]": [
        *(lambda xp, a, k=k: a("float32", FINITE)[k] for k in (
            0, -1, -2, 2, -3, 100, (0, 2), (0, 3), (0, -4), (slice(0, 100), 1), (slice(5, 9), slice(None)), slice(-100, None),
            (slice(None), slice(None, None, 2)), (..., 0), (..., 3), (None, 1), (..., None, 0), slice(0, 0), (2, slice(None)), True, 1.0, "a", (0, 0, 0), (), np.int64(1))),
        *(lambda xp, a, k=k: a("float32", FINITE)[a("int32", k), ...] for k in ([0, 1, -1], [2], [-3], [])),
        *(lambda xp, a, k=k: a("float32", FINITE)[:, a("int64", k)] for k in ([0, 1, -1], [3], [-4])),
        *(lambda xp, a, k=k: a("float32", FINITE)[a("int32", [0, 1]), a("int32", k)] for k in ([0, 2], [3, 0], [-1, -4])),
        lambda xp, a: a("float32", FINITE)[a("int32", 1), ...],
        lambda xp, a: a("float32", FINITE)[a("int32", 2), ...],
        lambda xp, a: a("float32", FINITE)[[0, 1]],
        lambda xp, a: a("float32", FINITE)[[2]],
        lambda xp, a: a("float32", FINITE)[a("uint8", [1, 0]), ...],
        lambda xp, a: a("float32", F)[a("int32", [10])],
        lambda xp, a: a("float32", F)[a("float32", [1.0])],
        lambda xp, a: a("float32", F)[9],
        lambda xp, a: a("float32", F)[::-1],
        lambda xp, a: a("float32", F)[10],
        lambda xp, a: a("float32", [])[0],
        lambda xp, a: a("float32", [])[-1],
        lambda xp, a: a("float32", 1.0)[0],
        lambda xp, a: a("float32", 1.0)[()],
    ],
    "asarray": [
        *(lambda xp, a, v=v: xp.asarray(v) for v in (0.1, 1, True, [0.1, 1], [1, 2], [], [[1.0, 2.0], [3.0, nan]], [True, False], -0.0, 2**31, 2**40, 2**63, 2**70, [True, 2], [1, 2.5], 1e-310, 1e400, "a", None, 1j, [[1], [1, 2]], [2**40], [2**70])),
        *(lambda xp, a, v=v, d=d: xp.asarray(v, dtype=getattr(xp, d)) for v in (0.1, 1, 300, -1, True, nan, 2.5, 2**40, 1 + 2.0**-11 + 2.0**-40, 1e39, 65520.0, [0.1, 300, -7], [1 + 2.0**-24 + 2.0**-60], [1 + 2.0**-11 + 2.0**-40], [True, False], [1, -1]) for d in ("float32", "float64", "float16", "int8", "uint8", "int32", "int64", "uint32", "bool")),
        lambda xp, a: xp.asarray(a("float32", F), dtype=xp.float64),
        lambda xp, a: xp.asarray(a("float32", F), dtype=xp.int32),
        lambda xp, a: xp.asarray(a("int32", [1]), dtype=xp.float32),
    ],
    "astype": [
        *(lambda xp, a, d=d, e=e, v=v: xp.astype(a(d, v), getattr(xp, e)) for d, v in [("float32", [*F, 1e30, -1e30, 300.0, 65520.0]), ("float64", [*F, 1e300, 2**63, -(2**63), 2.0**64, 2.0**31]), ("float16", F), ("bfloat16", F)]
          for e in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool")),
        *(lambda xp, a, d=d, e=e: xp.astype(a(d, EXTREME[d]), getattr(xp, e)) for d in INTEGERS for e in (*INTEGERS, "float16", "float32", "float64", "bool")),
        *(lambda xp, a, e=e: xp.astype(a("bool", [True, False]), getattr(xp, e)) for e in ("int8", "float32", "uint32")),
    ],
    **{n: [
        lambda xp, a, n=n: getattr(xp, n)((2, 3)),
        lambda xp, a, n=n: getattr(xp, n)(3),
        lambda xp, a, n=n: getattr(xp, n)(()),
        lambda xp, a, n=n: getattr(xp, n)(-1),
        *(lambda xp, a, n=n, d=d: getattr(xp, n)((2,), dtype=getattr(xp, d)) for d in ("float32", "float16", "int8", "uint32", "int64", "bool")),
    ] for n in ("zeros", "ones")},
    "empty": [lambda xp, a: xp.empty((2, 3)) * 0.0 == 7.0, lambda xp, a: xp.zeros_like(xp.empty(3)), lambda xp, a: xp.zeros_like(xp.empty(3, dtype=xp.int8))],
    "empty_like": [lambda xp, a: xp.zeros_like(xp.empty_like(a("float32", F))), lambda xp, a: xp.zeros_like(xp.empty_like(a("float32", F), dtype=xp.int8))],
    **{n: [
        *floats(lambda xp, x, n=n: getattr(xp, n)(x)),
        *integers(lambda xp, x, n=n: getattr(xp, n)(x)),
        lambda xp, a, n=n: getattr(xp, n)(a("int32", [1]), dtype=xp.float32),
    ] for n in ("zeros_like", "ones_like")},
    "full": [
        *(lambda xp, a, v=v: xp.full((2,), v) for v in (0.1, 1, True, nan, -0.0, 1e-310, 2**40, 2**31, 1j, "a", 2**70)),
        *(lambda xp, a, v=v, d=d: xp.full((2,), v, dtype=getattr(xp, d)) for v in (0.1, 1, 300, -1, True, nan, 1e39, 2**40, 1 + 2.0**-11 + 2.0**-40) for d in ("float32", "float16", "int8", "uint32", "bool", "int64")),
    ],
    "full_like": [
        *(lambda xp, a, v=v, d=d: xp.full_like(a(d, [1, 0]), v) for v in (0.1, 1, 300, -1, True, nan, 1e-310, 1e39, 2**40) for d in ("float32", "float64", "float16", "bfloat16", "int8", "uint32", "bool", "int64")),
        lambda xp, a: xp.full_like(a("int32", [1]), 2.5, dtype=xp.float32),
    ],
    "eye": [lambda xp, a: xp.eye(2), lambda xp, a: xp.eye(2, 3, k=1), lambda xp, a: xp.eye(2, 3, k=-5), lambda xp, a: xp.eye(0), lambda xp, a: xp.eye(2, dtype=xp.int32), lambda xp, a: xp.eye(2, k=2)],
    "arange": [
        *(lambda xp, a, v=v: xp.arange(*v) for v in ((3,), (3.0,), (1, 7, 2), (5, 1, -2), (0.5, 3.0, 0.7), (0,), (-3,), (2**31 - 2, 2**31 + 1), (0, 1, 0), (1.0, 0.0), (0, 3, -1), (2**40, 2**40 + 2))),
        *(lambda xp, a, v=v, d=d: xp.arange(*v, dtype=getattr(xp, d)) for v in ((3,), (1, 7, 2), (0.5, 3.0, 0.7), (0, 300, 100)) for d in ("float32", "float16", "int8", "int32", "uint32", "int64", "bool")),
    ],
    "linspace": [
        *(lambda xp, a, v=v: xp.linspace(*v) for v in ((0, 1, 5), (0.1, 0.7, 7), (1, 0, 3), (0, 1, 1), (0, 1, 0), (nan, 1, 3), (0, inf, 3))),
        *(lambda xp, a, d=d: xp.linspace(0.1, 7.3, 5, dtype=getattr(xp, d)) for d in ("float32", "float16", "int32")),
        lambda xp, a: xp.linspace(0, 1, 4, endpoint=False),
        lambda xp, a: xp.linspace(0, 1, -1),
    ],
    "clip": [
        *(lambda xp, a, d=d, b=b, v=v: xp.clip(a(d, v), *b) for d, v in (("float32", F), ("float16", F), ("bfloat16", F), ("float64", F), ("int8", EXTREME["int8"]), ("uint8", EXTREME["uint8"]), ("bool", [True]))
          for b in ((0, 2), (-1.0, 2.5), (0.1, 0.7), (3, -3), (nan, 1.0), (None, 1), (0, None), (None, None), (), (-1, 300), (-inf, inf), (1e-310, 1.0))),
        lambda xp, a: xp.clip(a("float32", [1, 2, nan]), a("float32", [0, nan, 0]), a("float32", [2, 1, 1])),
        lambda xp, a: xp.clip(a("float32", [1, 2, nan]), min=a("float32", [3, nan, 0])),
        lambda xp, a: xp.clip(a("float32", [1, 2, nan]), max=a("float32", 1.5)),
        lambda xp, a: xp.clip(a("int32", [1, 2, 3]), a("int32", [3]), a("int32", [1])),
    ],
    "where": [
        *(lambda xp, a, d=d, n=n: xp.where(a("bool", [True, False]), a(d, [1, 0]), n) for d in ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "bool") for n in (0, -1, 0.1, nan, 300, True, 1e-310)),
        *(lambda xp, a, d=d, e=e: xp.where(a("bool", [True, False]), a(d, [1, 0]), a(e, [0, 1])) for d, e in [("float32", "float64"), ("int8", "uint8"), ("int32", "float32"), ("float16", "bfloat16"), ("bool", "int8"), ("uint32", "int32")]),
        lambda xp, a: xp.where(a("int32", [1, 0]), a("float32", [1, 0]), a("float32", [0, 1])),
        lambda xp, a: xp.where(a("float32", [1, 0]), a("float32", [1, 0]), a("float32", [0, 1])),
        lambda xp, a: xp.where(a("bool", [True, False]), 1.0, 2.0),
        lambda xp, a: xp.where(a("bool", [True, False]), 1, 2),
        lambda xp, a: xp.where(a("bool", [True, False]), 1, 2.5),
    ],
    **{n: [
        lambda xp, a, n=n: getattr(xp, n)([a("float32", F), a("float32", F)]),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", M), a("float32", M)], axis=1),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", M), a("float32", M)], axis=-1),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", M), a("float32", M)], axis=3),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", F), a("float64", F)]),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", [1]), a("int32", [1])]),
        lambda xp, a, n=n: getattr(xp, n)([a("int8", [1]), a("uint8", [1])]),
        lambda xp, a, n=n: getattr(xp, n)([a("bool", [True]), a("uint8", [1])]),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", M), a("float32", F)]),
        lambda xp, a, n=n: getattr(xp, n)([]),
        lambda xp, a, n=n: getattr(xp, n)([a("float32", 1.0), a("float32", 2.0)]),
        lambda xp, a, n=n: getattr(xp, n)([a("float16", [1.0]), a("bfloat16", [2.0])]),
    ] for n in ("concat", "stack")},
    "broadcast_arrays": [lambda xp, a: xp.broadcast_arrays(a("float32", [[1], [2]]), a("int32", [1, 2, 3])), lambda xp, a: xp.broadcast_arrays(a("float32", [1, 2]), a("int32", [1, 2, 3])), lambda xp, a: xp.broadcast_arrays()],
    "broadcast_to": [lambda xp, a: xp.broadcast_to(a("float32", [1, 2]), (3, 2)), lambda xp, a: xp.broadcast_to(a("float32", [1, 2]), (2, 3)), lambda xp, a: xp.broadcast_to(a("float32", -0.0), (0, 2)), lambda xp, a: xp.broadcast_to(a("float32", [1, 2]), (2, -1)), lambda xp, a: xp.broadcast_to(a("float32", M), (3,))],
    "broadcast_shapes": [lambda xp, a: xp.broadcast_shapes((2, 1), (3,)), lambda xp, a: xp.broadcast_shapes((2,), (3,))],
    "can_cast": [lambda xp, a, d=d, e=e: xp.can_cast(getattr(xp, d), getattr(xp, e)) for d, e in [("float32", "float64"), ("float64", "float32"), ("int8", "uint8"), ("uint8", "int16"), ("bool", "int8"), ("int32", "float32"), ("int64", "float64"), ("uint8", "float32")]],
    "result_type": [*(lambda xp, a, d=d, e=e: xp.result_type(getattr(xp, d), getattr(xp, e)) for d, e in [("float32", "float64"), ("int8", "uint8"), ("uint32", "int32"), ("int32", "float32"), ("int64", "uint64"), ("bool", "int8"), ("uint8", "uint16")]),
                    lambda xp, a: xp.result_type(a("float32", [1]), 1.0), lambda xp, a: xp.result_type(a("int8", [1]), 1), lambda xp, a: xp.result_type(a("int8", [1]), 300), lambda xp, a: xp.result_type(a("int8", [1]), 1.0), lambda xp, a: xp.result_type(a("float32", [1]), a("float64", 1.0))],
    "isdtype": [lambda xp, a, d=d, k=k: xp.isdtype(getattr(xp, d), k) for d in ("float32", "int8", "uint8", "bool") for k in ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric", ("bool", "integral"), "foo")],
    "finfo": [lambda xp, a, d=d, k=k: float(getattr(xp.finfo(getattr(xp, d)), k)) for d in ("float32", "float64") for k in ("bits", "eps", "max", "min", "smallest_normal")],
    "iinfo": [lambda xp, a, d=d, k=k: int(getattr(xp.iinfo(getattr(xp, d)), k)) for d in ("int8", "uint8", "int32") for k in ("bits", "max", "min")],
    "expand_dims": [lambda xp, a, k=k: xp.expand_dims(a("float32", M), axis=k) for k in (0, -1, 2, 3, -4)],
    "squeeze": [lambda xp, a, k=k: xp.squeeze(a("float32", [[F]]), axis=k) for k in (0, 1, (0, 1), 2, -3, 5, (0, 0))],
    "flip": [lambda xp, a, k=k: xp.flip(a("float32", M), axis=k) for k in (None, 0, -1, (0, 1), 2, (0, 0))],
    "roll": [lambda xp, a, k=k: xp.roll(a("float32", M), k[0], axis=k[1]) for k in ((1, None), (-7, 0), (5, 1), ((1, 2), (0, 1)), (1, 2), ((1, 1), (0, 0)), ((1, 2), 0))] + [lambda xp, a: xp.roll(a("float32", []), 1)],
    "repeat": [*(lambda xp, a, k=k: xp.repeat(a("float32", M), k[0], axis=k[1]) for k in ((2, None), (0, 0), (3, 1), (2, 2), (-1, 0))), lambda xp, a: xp.repeat(a("float32", [1, 2]), a("int32", [2, 0])), lambda xp, a: xp.repeat(a("float32", [1, 2]), a("int32", [2, 0, 1])), lambda xp, a: xp.repeat(a("float32", [1, 2]), a("int32", [2, -1])), lambda xp, a: xp.repeat(a("float32", M), a("int32", [2, 0, 1]), axis=1)],
    "tile": [lambda xp, a, k=k: xp.tile(a("float32", M), k) for k in ((2,), (2, 3), (2, 1, 1), (0,), (), (-1,))],
    "reshape": [*(lambda xp, a, k=k: xp.reshape(a("float32", M), k) for k in ((6,), (3, -1), (3, 2), (4,), (-1, -1), (-1, 0), (2, 3, 1))), lambda xp, a: xp.reshape(a("float32", []), (0, -1)), lambda xp, a: xp.reshape(a("float32", M), (6,), copy=True)],
    "moveaxis": [lambda xp, a, k=k: xp.moveaxis(a("float32", [M]), *k) for k in ((0, 1), (0, -1), ((0, 1), (2, 0)), (3, 0), ((0, 0), (1, 2)))],
    "permute_dims": [lambda xp, a, k=k: xp.permute_dims(a("float32", M), k) for k in ((1, 0), (0, 1), (0, 0), (0,), (-1, 0), (0, 2))],
    "matrix_transpose": [lambda xp, a: xp.matrix_transpose(a("float32", M)), lambda xp, a: xp.matrix_transpose(a("float32", F))],
    "meshgrid": [lambda xp, a: xp.meshgrid(a("float32", [1, 2]), a("float32", F)), lambda xp, a: xp.meshgrid(a("float32", [1, 2]), a("float32", F), indexing="ij"), lambda xp, a: xp.meshgrid(a("float32", [1, 2]), a("int32", [1])), lambda xp, a: xp.meshgrid(a("float32", [1, 2]), a("float32", M)), lambda xp, a: xp.meshgrid(), lambda xp, a: xp.meshgrid(a("float32", 1.0), a("float32", [1, 2]))],
    "nonzero": [*floats(lambda xp, x: xp.nonzero(x), M), lambda xp, a: xp.nonzero(a("bool", [True, False])), lambda xp, a: xp.nonzero(a("int32", [])), lambda xp, a: xp.nonzero(a("float32", 1.0))],
    **{n: [lambda xp, a, n=n, k=k: getattr(xp, n)(a("float32", M), k=k) for k in (0, 1, -1, 5)] + [lambda xp, a, n=n: getattr(xp, n)(a("float32", F)), lambda xp, a, n=n: getattr(xp, n)(a("bool", [[True, True], [True, True]])), lambda xp, a, n=n: getattr(xp, n)(a("uint32", [[1, 2], [3, 4]]))] for n in ("tril", "triu")},
    **{n: [lambda xp, a, n=n, d=d, v=v: getattr(xp, n)(a(d, v)) for d, v in [("float32", [2.5, nan, 0.5, 2.5, -0.0, inf, 0.0, nan]), ("float16", [2.5, nan, 2.5]), ("int32", [3, 1, 3, -1]), ("uint8", [255, 3, 255]), ("bool", [True, False, True]), ("float32", []), ("float32", M), ("float32", 1.0), ("uint32", [3, 1, 3])]] for n in ("unique_all", "unique_counts", "unique_inverse", "unique_values")},
    "unstack": [lambda xp, a, k=k: xp.unstack(a("float32", M), axis=k) for k in (0, 1, -1, 2)] + [lambda xp, a: xp.unstack(a("float32", 1.0))],
    "isin": [lambda xp, a: xp.isin(a("float32", F), a("float32", [nan, 2.5])), lambda xp, a: xp.isin(a("int32", [1, 2]), a("int32", [])), lambda xp, a: xp.isin(a("int32", [1, 2]), a("int8", [1])), lambda xp, a: xp.isin(a("int32", [1, 2]), 1), lambda xp, a: xp.isin(a("int32", [1, 2]), a("int32", [2]), invert=True), lambda xp, a: xp.isin(1, a("int32", [2])), lambda xp, a: xp.isin(a("int32", [1]), a("float32", [1])), lambda xp, a: xp.isin(a("uint8", [1, 255]), -1)],
    "diff": [lambda xp, a: xp.diff(a("float32", M)), lambda xp, a: xp.diff(a("uint8", [0, 255, 1])), lambda xp, a: xp.diff(a("int32", EXTREME["int32"]), n=2), lambda xp, a: xp.diff(a("bool", [True, False, False])), lambda xp, a: xp.diff(a("float32", M), axis=0, n=5), lambda xp, a: xp.diff(a("float32", M), axis=2), lambda xp, a: xp.diff(a("float32", M), n=-1), lambda xp, a: xp.diff(a("float32", M), n=0), lambda xp, a: xp.diff(a("float32", F), prepend=a("float32", [1.0])), lambda xp, a: xp.diff(a("float32", 1.0)), lambda xp, a: xp.diff(a("float32", []))],
    "matmul": [
        *(lambda xp, a, d=d: xp.matmul(a(d, FINITE), a(d, np.transpose(FINITE))) for d in FLOATS),
        *(lambda xp, a, d=d: xp.matmul(a(d, np.reshape(EXTREME[d], (2, 2))), a(d, np.reshape(EXTREME[d], (2, 2)))) for d in INTEGERS),
        lambda xp, a: xp.matmul(a("float32", M), a("float32", np.transpose(M))),
        lambda xp, a: xp.matmul(a("float32", M), a("float32", M)),
        lambda xp, a: xp.matmul(a("int32", [[1, 2]]), a("int32", [[1, 2]])),
        lambda xp, a: xp.matmul(a("int32", [1, 2]), a("int32", [1, 2])),
        lambda xp, a: xp.matmul(a("int32", 1), a("int32", [1, 2])),
        lambda xp, a: xp.matmul(a("float32", 1), a("float32", [1, 2])),
        lambda xp, a: xp.matmul(a("bool", [[True]]), a("bool", [[True]])),
        lambda xp, a: xp.matmul(a("int8", [[1, 2]]), a("int32", [[1], [2]])),
        lambda xp, a: xp.matmul(a("int8", [[1, 2]]), a("uint8", [[1], [2]])),
        lambda xp, a: xp.matmul(a("int8", [[1, 2]]), a("float32", [[1], [2]])),
        lambda xp, a: xp.matmul(a("float32", [[1, 2]]), a("float64", [[1], [2]])),
        lambda xp, a: xp.matmul(a("float32", np.ones((2, 0))), a("float32", np.ones((0, 3)))),
        lambda xp, a: xp.matmul(a("float32", np.ones((0, 2))), a("float32", np.ones((2, 3)))),
        lambda xp, a: xp.matmul(a("int32", np.ones((2, 0))), a("int32", np.ones((0, 3)))),
        lambda xp, a: xp.matmul(a("float32", [[1, 2]]), 2.0),
    ],
    "vecdot": [*floats(lambda xp, x: xp.vecdot(x, x), FINITE), *integers(lambda xp, x: xp.vecdot(x, x)), lambda xp, a: xp.vecdot(a("float32", FINITE), a("float32", [1, 2])), lambda xp, a: xp.vecdot(a("float32", M), a("float32", M), axis=0), lambda xp, a: xp.vecdot(a("float32", M), a("float32", M), axis=2), lambda xp, a: xp.vecdot(a("float32", FINITE), a("float32", [1, 2, 3]))],
    "tensordot": [*(lambda xp, a, k=k: xp.tensordot(a("float32", FINITE), a("float32", FINITE), axes=k) for k in (0, 2, ((0,), (0,)), ((1, 0), (1, 0)), 1, 3, ((0,), (0, 1)), ((5,), (0,)), ((-1,), (-1,)))), *integers(lambda xp, x: xp.tensordot(x, x, axes=1))],
    "to_device": [lambda xp, a: xp.to_device(a("float32", F), a("float32", F).device)],
    "from_dlpack": [lambda xp, a: xp.from_dlpack(a("float32", F).native)],
}  # fmt: skip


def plain(y):
    """What there is to compare of a result: dtype, shape and bits."""
    if isinstance(y, (list, tuple)):
        return [[*getattr(y, "_fields", [type(y).__name__])], *map(plain, y)]
    if isinstance(y, float):
        return struct.pack("d", y) if not math.isnan(y) else "nan"
    if isinstance(y, (bool, int, str, np.bool)):
        return y
    if isinstance(y, (type, np.dtype)) or not hasattr(y, "shape"):
        return f"dtype {dtype_name(y)}"
    return dtype_name(y.dtype), tuple(y.shape), to_numpy(y).tobytes()


def outcome(example, place):
    """What an example gives, or the error that it raises."""
    try:
        return plain(example(place.xp, place))
    except (Missing, Exception) as error:  # noqa: BLE001
        return error


def is_refusal(error):
    """Whether an error says that the library cannot do this here, where others can."""
    said = str(error)
    return (
        isinstance(error, XpnnError)
        # What PyTorch lacks for unsigned integers, negative steps; what array-api-strict forbids.
        or "not implemented" in said
        or "not yet implemented" in said
        or "types is not supported" in said
        or "step must be greater than zero" in said
        or "shifts and dimensions must align" in said
        or "data-dependent shapes" in said
        or "self.ndim=" in said
        or "out-of-bounds" in said
        or "only allowed with integer indices" in said
        or "min must be less than or equal to max" in said
    )


def agree(got, expected, *, narrow):
    """Whether two outcomes are the same; where `narrow`, indices and counts have 32 bits."""
    if isinstance(got, Missing) or isinstance(expected, Missing):
        return True
    if isinstance(got, Exception):
        return isinstance(expected, Exception) or is_refusal(got)
    if isinstance(expected, Exception):
        return False
    if narrow and isinstance(got, tuple) and isinstance(expected, tuple):
        dtype = got[0]
        if f"{dtype[:-2]}64" == expected[0] and dtype in {"int32", "uint32"}:
            values = np.frombuffer(got[2], dtype).astype(expected[0])
            return got[1] == expected[1] and values.tobytes() == expected[2]
    if narrow and isinstance(got, list) and isinstance(expected, list):
        pairs = zip(got, expected, strict=True)
        return all(agree(a, b, narrow=isinstance(a, (tuple, list))) for a, b in pairs)
    return got == expected


JAX_DTYPES = {"float32", "int32", "uint8", "bool", "bfloat16"}
"""What JAX, which compiles each operation for each dtype and shape, is tried with."""


def test_all_functions_have_examples(rxp):
    others = {"bool", *FLOATS, *INTEGERS, "pi", "e", "inf", "nan", "newaxis"}
    assert {"pi", "bool", "float32", "int64"} <= set(dir(rxp))
    assert set(dir(rxp)) - others == EXAMPLES.keys() - {"[]"}
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_as_on_numpy_or_refused(name, backend, rxp):
    jax = sys.modules["jax"] if backend.name == "jax" else None
    place = Place(rxp, backend.device, JAX_DTYPES if jax else None)
    numpy = Place(xpnn.reproducible(np))
    chosen = list(enumerate(EXAMPLES[name]))
    if jax:
        # It takes its time for each dtype and shape.
        chosen = chosen[:: -(-len(chosen) // JAX_EXAMPLES.get(name, 1))]
    for turn, (i, example) in enumerate(chosen):
        narrow = jax is not None and turn % 2 == 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = outcome(example, numpy)
            with jax.enable_x64(not narrow) if jax else contextlib.nullcontext():
                got = outcome(example, place)
        assert agree(got, expected, narrow=narrow), (i, example.__defaults__, got, expected)


@pytest.mark.parametrize(
    "name", sorted(EXACT | {"add", "multiply", "divide", "exp", "sum", "matmul"})
)
def test_refusals_name_the_function(name, rxp, backend):
    """What the library below refuses, too: shapes that do not fit, axes that are not there."""
    place, numpy = Place(rxp, backend.device), Place(xpnn.reproducible(np))
    for example in EXAMPLES[name]:
        if isinstance(outcome(example, numpy), XpnnError):
            error = outcome(example, place)
            if not isinstance(error, (Missing, NotImplementedError)):
                assert isinstance(error, XpnnError), error
                assert f".{name}: " in str(error), error


JAX_EXAMPLES = {
    **dict.fromkeys(
        "asarray full arange zeros result_type can_cast take take_along_axis []".split(), 6
    ),
    **dict.fromkeys(
        "searchsorted sum cumulative_sum bitwise_right_shift pow clip where".split(), 4
    ),
}
"""How many of the examples JAX is tried with, where not one; its kernels have digests of their own."""


# What is meant


def test_nan_stands_last_in_a_search(backend, rxp):
    a = Place(rxp, backend.device)
    for side, before in (("left", lambda x, v: x < v), ("right", lambda x, v: x <= v)):
        found = rxp.searchsorted(a("float64", SORTED), a("float64", F), side=side)
        numbers = [x for x in SORTED if not math.isnan(x)]
        for v, i in zip(to_numpy(a("float64", F)), to_numpy(found), strict=True):
            nothing = len(numbers) if side == "left" else len(SORTED)
            assert i == (nothing if math.isnan(v) else sum(before(x, v) for x in numbers))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8"])
def test_shifts_beyond_the_width(dtype, backend, rxp):
    a, bits = Place(rxp, backend.device), int(dtype.lstrip("uint"))
    by = [0, 1, bits - 1, bits, 127, *([-1, -128] if dtype[0] == "i" else [128, 255])]
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype[0] == "i" else (0, 255)
    for x in (least, most, 3):
        left = to_numpy(rxp.bitwise_left_shift(a(dtype, [x] * len(by)), a(dtype, by)))
        right = to_numpy(a(dtype, [x] * len(by)) >> a(dtype, by))
        for n, y, z in zip(by, left, right, strict=True):
            beyond = not 0 <= n < bits
            assert (int(y) - (0 if beyond else x << n)) % 2**bits == 0
            assert z == x >> (200 if beyond else n)


def test_indices_out_of_range_are_errors_where_they_are_known(backend, rxp):
    a = Place(rxp, backend.device)
    x = a("float32", FINITE)
    calls = [
        lambda i: rxp.take(x, a("int32", [i]), axis=1),
        lambda i: rxp.take_along_axis(x, a("int32", [[i], [0]]), axis=1),
        lambda i: x[:, i],
        lambda i: x[a("int32", [0]), a("int32", [i])],
    ]
    for call in calls:
        assert to_numpy(call(-3)).flat[0] == 3.0
        for i in (3, -4, 2**31 - 1, -(2**31)):
            with pytest.raises(xpnn.errors.XpnnIndexError, match=f"from -3 to 2, got {i}"):
                call(i)


def test_indices_out_of_range_give_nan_inside_jit(jax):
    rxp = xpnn.reproducible(jax.numpy)
    x = jax.numpy.asarray(FINITE, dtype="float32")
    calls = [
        lambda x, i: rxp.take(x, i, axis=1),
        lambda x, i: rxp.take_along_axis(x, i[None, :], axis=1),
        lambda x, i: rxp.asarray(x)[:, rxp.asarray(i)].native,
    ]
    for call in calls:
        y = jax.jit(call)(x, jax.numpy.asarray([-3, -4, 3, 2]))
        np.testing.assert_array_equal(y, np.float32([[3, nan, nan, 2], [0.5, nan, nan, -2]]))


def test_what_is_made_without_a_dtype(backend, rxp):
    floating = [
        rxp.asarray(0.1), rxp.asarray([1.0, 2]), rxp.asarray([]), rxp.zeros(2), rxp.ones(2), rxp.empty(2),
        rxp.eye(2), rxp.full(2, 0.1), rxp.arange(3.0), rxp.linspace(0, 1, 3),
    ]  # fmt: skip
    integer = [rxp.asarray(1), rxp.asarray([1, 2]), rxp.full(2, 1), rxp.arange(3)]
    assert {dtype_name(x.dtype) for x in floating} == {"float64"}
    assert {dtype_name(x.dtype) for x in integer} == {"int64"}
    defaults = rxp.__array_namespace_info__().default_dtypes()
    assert {k: dtype_name(d) for k, d in defaults.items()} == {
        "real floating": "float64", "integral": "int64", "indexing": "int64"
    }  # fmt: skip


def test_without_64_bits_what_needs_them_is_refused(jax):
    rxp = xpnn.reproducible(jax.numpy)
    with jax.enable_x64(False):
        int32 = rxp.asarray(jax.numpy.asarray([2**31 - 1, 1], dtype="int32"))
        uint32 = rxp.astype(int32, rxp.uint32)
        for call in (
            lambda: rxp.asarray(0.1), lambda: rxp.zeros(2), lambda: rxp.linspace(0, 1, 3),
            lambda: rxp.sum(int32), lambda: rxp.cumulative_sum(uint32), lambda: int32 + uint32,
            lambda: rxp.zeros(2, dtype=rxp.int64),
        ):  # fmt: skip
            with pytest.raises(xpnn.XpnnTypeError, match="64-bit types are switched off|float64"):
                call()
        wide = rxp.astype(int32, rxp.float64)  # asked for by name
        y = rxp.where(wide > 1, wide, 0.5)
        assert (dtype_name(y.dtype), to_numpy(y).tolist()) == ("float64", [2**31 - 1, 0.5])
        assert int(rxp.sum(int32, dtype=rxp.int32)) == -(2**31)
        assert int(rxp.sum(rxp.asarray([127] * 4, dtype=rxp.int8))) == 508
        with pytest.raises(xpnn.XpnnValueError, match="int32 holds"):
            rxp.asarray(2**40)


def test_numbers_beside_bfloat16_are_rounded_once(backend, rxp):
    a = Place(rxp, backend.device)
    # Halfway between two of bfloat16, and a little: by way of float32 the little would be lost.
    number = 1 + 2.0**-8 + 2.0**-40
    try:
        x = a("bfloat16", [1.0])
    except (Missing, XpnnError):
        pytest.skip("no bfloat16")
    results = [
        rxp.maximum(x, number),
        x * number,
        rxp.where(x == 2, x, number),
        rxp.clip(x, number),
    ]
    for y in results:
        assert (dtype_name(y.dtype), to_numpy(y).tolist()) == ("bfloat16", [1 + 2.0**-7])


COMPILED = {
    "a number": lambda xp, x: xp.maximum(x, 0.25),
    "numbers": lambda xp, x: xp.clip(x, -0.5, 0.5),
    "a comparison": lambda xp, x: xp.where(xp.asarray(x) < 0.25, x, 0.5),
    "a sum": lambda xp, x: xp.sum(x),
    "a deviation": lambda xp, x: xp.std(x, axis=1),
    "a search": lambda xp, x: xp.searchsorted(xp.sort(x[0]), x[1]),
    "an order": lambda xp, x: xp.take(x, xp.argsort(x[0]), axis=1),
    "operators": lambda xp, x: 2 ** (xp.asarray(x)[1:, ::2] / 3) - 1,
    "a product": lambda xp, x: xp.matmul(x, xp.matrix_transpose(x)),
    "sums": lambda xp, x: xp.cumulative_sum(xp.concat([x, x]), axis=1),
}


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("f", COMPILED.values(), ids=COMPILED)
def test_torch_compiles_functions_whole(f, dynamic, torch):
    rxp, x = xpnn.reproducible(torch), np.asarray(FINITE, "float32")
    expected = f(xpnn.reproducible(np), x)
    torch.compiler.reset()
    compiled = torch.compile(
        lambda x: native(f(rxp, x)), fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    np.testing.assert_array_equal(compiled(torch.asarray(x)), native(expected))


def native(y):
    return getattr(y, "native", y)
