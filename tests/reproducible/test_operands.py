"""Operands that libraries promote differently are refused; ties are settled; powers of 2."""

import math
import pickle
import re
from types import FunctionType, MethodType

import numpy as np
import pytest

import xpnn
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.transfer import to_numpy
from xpnn.errors import XpnnError

REFUSED = {
    "integers and a float": lambda xp, a: xp.greater(a("int32", [1]), 16777216.5),
    "integers and a number out of range": lambda xp, a: xp.less(a("int32", [1]), 2**40),
    "unsigned and a negative number": lambda xp, a: xp.greater(a("uint8", [1]), -1),
    "a sum with a number out of range": lambda xp, a: xp.add(a("int8", [1]), 200),
    "clip of integers by floats": lambda xp, a: xp.clip(a("int32", [1]), 0.5, 1.5),
    "clip by arrays of another dtype": lambda xp, a: xp.clip(
        a("float32", [1]), a("float64", [0]), a("float64", [1])
    ),
    "integers and floats": lambda xp, a: xp.maximum(a("int32", [1]), a("float32", [1])),
    "integers times floats": lambda xp, a: xp.multiply(a("int32", [1]), a("float32", [1])),
    "a choice of integers and floats": lambda xp, a: xp.where(
        a("bool", [1]), a("int32", [1]), a("float32", [1])
    ),
    "64 bits with a sign and without": lambda xp, a: xp.add(a("int64", [1]), a("uint64", [1])),
    "a shift by too much": lambda xp, a: xp.bitwise_left_shift(a("int32", [1]), 32),
    "a shift by less than nothing": lambda xp, a: xp.bitwise_right_shift(a("int32", [1]), -1),
    "truth and a number": lambda xp, a: xp.equal(a("bool", [1]), 1),
    "an operator": lambda xp, a: xp.asarray(a("int32", [1])) < 2**40,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_libraries_promote_differently_is_refused(name, backend, rxp):
    def array(dtype, values):
        if not hasattr(backend.xp, dtype):
            pytest.skip(f"{backend.name} has no {dtype}")
        return backend.asarray(np.asarray(values, dtype))

    with pytest.raises((TypeError, ValueError), match=r"reproducible\(.*expected .*, got"):
        REFUSED[name](rxp, array)


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_equal_entries_stay_in_order(stable, descending, backend, rxp):
    x = np.asarray([2.0, 1.0, 2.0, 0.0, 1.0] * 40)
    expected = np.argsort(-x if descending else x, stable=True)
    got = rxp.argsort(backend.asarray(x), descending=descending, stable=stable)
    assert to_numpy(got).tolist() == expected.tolist()


def test_powers_of_two(backend, rxp, dtype):
    x = rxp.asarray(backend.asarray(np.asarray([-3.5, 0.0, 10.0], dtype)))
    for y in (2**x, 2.0**x, rxp.pow(2, x)):
        assert to_numpy(y).tolist() == to_numpy(rxp.exp2(x)).tolist()
    assert to_numpy(2 ** rxp.asarray(backend.asarray(np.asarray([0, 5], "int32")))).tolist() == [
        1,
        32,
    ]
    with pytest.raises(xpnn.NotReproducibleError, match="expected 2 as the base"):
        3.0**x


def test_numbers_beside_float16_are_rounded_once(backend, rxp):
    if not hasattr(backend.xp, "float16"):
        pytest.skip("no float16")
    # Halfway between two of float16, and a little: by way of float32 the little would be lost.
    number = 1 + 2.0**-11 + 2.0**-40
    x = backend.asarray(np.asarray([1.0], "float16"))
    for y in (rxp.maximum(x, number), rxp.multiply(x, number)):
        assert to_numpy(y).tolist() == [1 + 2.0**-10]


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_nothing_has_no_largest_entry(name, backend):
    rxp = xpnn.reproducible(backend.xp)
    x = rxp.asarray(backend.asarray(np.zeros((3, 0), "float32")))
    for options in ({}, {"axis": 1}, {"axis": -1, "keepdims": True}):
        with pytest.raises(ValueError, match="expected some entries along axis, got shape"):
            getattr(rxp, name)(x, **options)
    assert tuple(getattr(rxp, name)(x, axis=0).shape) == (0,)


@pytest.mark.parametrize("exponent", [np.int64(2), np.float32(2), np.float64(0.5), np.int8(-1)])
def test_exponents_of_numpy_are_numbers(exponent, backend):
    rxp = xpnn.reproducible(backend.xp)
    x = rxp.asarray(backend.asarray(np.asarray([0.5, 4.0])))
    y = backend.numpy((x**exponent).native, shape=(2,), dtype="float64")
    np.testing.assert_array_equal(y, [0.5**exponent, 4.0**exponent])


def test_namespaces_are_pickled(rxp):
    assert pickle.loads(pickle.dumps(rxp)) is rxp


def test_functions_have_their_names(rxp):
    for name in dir(rxp):
        f = getattr(rxp, name)
        if isinstance(f, FunctionType | MethodType):  # no dtype
            assert f.__name__ == name


def test_arrays_are_pickled(backend):
    rxp = xpnn.reproducible(backend.xp)
    x = rxp.asarray(backend.asarray(np.asarray([0.5, 4.0])))
    y = pickle.loads(pickle.dumps(x))
    assert type(y) is type(x)
    np.testing.assert_array_equal(backend.numpy(y.native, shape=(2,), dtype="float64"), [0.5, 4.0])


BESIDE = {
    "add": lambda xp, a, b: xp.add(a, b),
    "divide": lambda xp, a, b: xp.divide(b, a),
    "logaddexp": lambda xp, a, b: xp.logaddexp(a, b),
    "maximum": lambda xp, a, b: xp.maximum(a, b),
    "where": lambda xp, a, b: xp.where(a > 0, a, b),
    "clip": lambda xp, a, b: xp.clip(a, b),
    "less": lambda xp, a, b: xp.less(a, b),
    "written": lambda xp, a, b: xp.asarray(a, copy=True).__setitem__(0, b),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_no_operand_is_refused(name, backend, rxp):
    if name == "written" and backend.name == "jax":
        pytest.skip("arrays that nobody writes to")
    a = rxp.asarray(backend.asarray([1.5, 2.5], "float32"))
    others = [np.asarray([1.0, 2.0]), "3", b"1", *([] if name == "clip" else [None])]
    for other in others[backend.name == "numpy" :]:
        with pytest.raises(TypeError, match=r"xpnn.reproducible.*expected"):
            BESIDE[name](rxp, a, other)


@pytest.mark.parametrize("name", [name for name in BESIDE if name != "written"])
@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), 1e39, -1e39, 2**70])
def test_numbers_take_the_dtype_of_arrays_beside_them(name, number, backend, rxp):
    got = BESIDE[name](rxp, backend.asarray([1.5, 2.5], "float32"), number)
    size = abs(float(number))
    beside = float(np.float32(number)) if size < 2.0**128 else number * math.inf
    expected = BESIDE[name](xpnn.reproducible(np), np.asarray([1.5, 2.5], "f4"), beside)
    assert dtype_name(got.dtype) == dtype_name(expected.dtype)
    np.testing.assert_array_equal(to_numpy(got), expected)


def test_integers_that_no_float_holds(backend, rxp):
    for name in ("add", "maximum", "less"):
        with pytest.raises(ValueError, match="expected a number that float64 holds"):
            BESIDE[name](rxp, backend.asarray([1.5], "float32"), 10**400)


@pytest.mark.parametrize("value", [np.float64(2.7), [2.7], "array"])
def test_no_fraction_is_written_into_integers(value, torch):
    xp = xpnn.reproducible(torch)
    x = xp.asarray([1, 2, 3])
    with pytest.raises(TypeError, match="expected"):
        x[0] = xp.asarray(2.7) if isinstance(value, str) else value
    x[0], x[1:] = np.int64(7), xp.asarray([8, 9])
    assert x.native.tolist() == [7, 8, 9]


SAID = {
    "a - True": (lambda xp, a: a - True, "subtract: expected a Python number of the kind"),
    "vecdot of other lengths": (lambda xp, a: xp.vecdot(a, a[:1]), "vecdot: expected as many"),
    "vecdot of numbers": (lambda xp, a: xp.vecdot(1, 2), "vecdot: expected arrays, got int"),
    "no such axes": (lambda xp, a: xp.tensordot(a, a, axes=3), "tensordot: expected axis between"),
    "axes of one alone": (
        lambda xp, a: xp.tensordot(a, a, axes=((0,), ())),
        "tensordot: expected axes",
    ),
    "a fraction of axes": (
        lambda xp, a: xp.tensordot(a, a, axes=0.5),
        "tensordot: expected axes to be an integer",
    ),
    "two axes": (lambda xp, a: xp.argmax(a, axis=(0, 1)), "argmax: expected one axis"),
    "from NaN on": (lambda xp, a: xp.arange(math.nan), "arange: expected .* a finite number"),
    "half a number": (lambda xp, a: xp.linspace(0, 1, 2.5), "linspace: expected num"),
    "correction": (lambda xp, a: xp.var(a, correction="x"), "var: expected correction"),
    "no such axis": (lambda xp, a: xp.flip(a, axis=4), "flip: "),
    "another size": (lambda xp, a: xp.reshape(a, (3,)), "reshape: "),
    "a list": (lambda xp, a: xp.mean([1.0, 2.0]), "mean: expected an array, got list"),
    "a list to flip": (lambda xp, a: xp.flip([1.0, 2.0]), "flip: expected an array, got list"),
    "a number to add up": (lambda xp, a: xp.sum(1.0), "sum: expected an array, got float"),
    "no condition": (lambda xp, a: xp.where(True, a, a), "where: expected a condition"),
    "part of a shift": (
        lambda xp, a: xp.roll(a, 1.5),
        "roll: expected each shift to be an integer",
    ),
    "shifts without axes": (lambda xp, a: xp.roll(a, (1, 2)), "roll: expected as many shifts"),
    "less than what is left": (lambda xp, a: xp.reshape(a, (-2, 1)), "reshape: expected shape"),
    "a length for a shape": (
        lambda xp, a: xp.reshape(a, 2),
        "reshape: expected shape to be a tuple",
    ),
    "a number for a tuple": (
        lambda xp, a: xp.tile(a, 2),
        "tile: expected repetitions to be a tuple",
    ),
    "products of no axis": (
        lambda xp, a: xp.vecdot(a[0], a[0]),
        "vecdot: expected arrays of one axis",
    ),
    "no axis to count": (lambda xp, a: xp.count_nonzero(a, axis=7), "count_nonzero: expected axis"),
    "numbers without end": (lambda xp, a: xp.arange(0, 1e30, 1), "arange: expected fewer"),
    "other shapes": (lambda xp, a: a + xp.asarray([1.0, 2.0, 3.0]), "add: "),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_refused_is_said_by_the_function(name, rxp, backend):
    call, words = SAID[name]
    a = rxp.asarray([1.0, 2.0], dtype=rxp.float32, device=backend.device)
    with pytest.raises(XpnnError, match=f"^{re.escape(rxp.__name__)}.{words}"):
        call(rxp, a)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_products_of_integers(dtype, rxp, backend):
    """CUDA has none."""
    a, b = np.arange(24).reshape(2, 3, 4).astype(dtype), np.arange(20).reshape(4, 5).astype(dtype)
    x, y = backend.asarray(a), backend.asarray(b)
    for got, expected in [
        (rxp.matmul(x, y), a @ b),
        (rxp.matmul(x[0, 0, :], y), a[0, 0] @ b),
        (rxp.matmul(x, y[:, 0]), a @ b[:, 0]),
        (rxp.matmul(x[..., :0], y[:0, :]), a[..., :0] @ b[:0]),
        (rxp.vecdot(x, x), np.vecdot(a, a)),
    ]:
        assert dtype_name(got.dtype) == dtype
        np.testing.assert_array_equal(
            to_numpy(got.native if hasattr(got, "native") else got), expected
        )
