"""What is recorded is computed anew in each run: nothing is frozen while a program is laid out."""

import itertools

import numpy as np
import pytest
from networks import OPTIONS

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import ACTIVATIONS
from xpnn._engine import recorder
from xpnn._engine.program import Trace
from xpnn._engine.tuning import MANY

RXP = xpnn.reproducible(np)
SIZES = (MANY, MANY + 1)
DTYPES = ("float16", "float32", ">f4", ">f8", "int8")
WAYS = {"fast": None, "reproducible": RXP}


class Memory:
    """Memory of a program, to be scrambled behind its back."""

    def __init__(self):
        self.blocks = []

    def take(self, size):
        self.blocks.append(np.full(size, 0x7F, np.uint8))
        return self.blocks[-1]

    def scramble(self, value):
        for block in self.blocks:
            block[:] = value


def run_twice(formula, x):
    """Run a program on memory that holds something else each time."""
    memory = Memory()
    with np.errstate(all="ignore"):
        program = Trace(formula, x.shape, x.dtype).program(memory.take)
        results = []
        for value in (0x01, 0xFE):
            memory.scramble(value)
            program.input[...] = x
            program()
            results.append(program.result.copy())
    np.testing.assert_array_equal(*results, strict=True)
    return results[0]


def operations(xp, x, scalar):
    """Everything that an operator or a choice may do with a recorded array and a constant."""
    yield x + scalar
    yield scalar + x
    yield scalar * x - x * scalar
    yield scalar / (x * x + scalar)
    yield x - scalar
    yield scalar - x
    yield xp.where(x > scalar, x, scalar * x)
    yield xp.where(scalar < x, scalar, x)
    yield xp.where(x > 0, x, xp.astype(x, xp.float64))
    yield xp.where(x > 0, xp.astype(x, xp.float32), x)
    yield xp.where(xp.astype(x, xp.float64) > scalar, xp.astype(x, xp.float32), 1.0)
    # One condition for numbers of two widths.
    condition = x > 0
    yield xp.astype(xp.where(condition, xp.astype(x, xp.float32), 0.0), xp.float64) + xp.where(
        condition, xp.astype(x, xp.float64), 1.0
    )


@pytest.mark.parametrize("number", [float, np.float32, np.float64, np.asarray])
@pytest.mark.parametrize("dtype", ["float32", ">f4", "int32"])
@pytest.mark.parametrize("size", SIZES)
def test_operations(size, dtype, number):
    x, scalar = np.linspace(-3, 3, size).astype(dtype), number(2)
    with np.errstate(all="ignore"):
        expected = list(operations(np, x, scalar))
        for i, y in enumerate(expected):
            got = run_twice(
                lambda x, i=i: next(
                    itertools.islice(operations(recorder.namespace, x, scalar), i, None)
                ),
                x,
            )
            np.testing.assert_array_equal(got, y)
            assert got.dtype == y.dtype


@pytest.mark.parametrize("convert", [np.asarray, bool, int, float, [1, 2].__getitem__, np.sqrt])
def test_a_value_that_varies_has_no_value_yet(convert):
    with pytest.raises(TypeError):
        Trace(lambda x: x + convert(x[0] * 2), (3,), float).program()


def test_a_constant_has_one():
    program = Trace(lambda x: x + float(recorder.namespace.asarray(3.0)), (3,), float).program()
    program.input[...] = 1
    program()
    assert program.result.tolist() == [4.0] * 3


def close(got, desired, dtype):
    """Equal but for a few roundings of the dtype that was computed in."""
    eps = float(np.finfo("float32" if np.dtype(dtype).itemsize <= 4 else "float64").eps)
    np.testing.assert_allclose(
        got.astype("float64"), desired.astype("float64"), rtol=20 * eps, atol=20 * eps
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *OPTIONS])
def test_activations_of_every_dtype(activation, dtype, way):
    """A byte order is another way to hold the same numbers."""
    one = Activation.of(activation)
    for size in SIZES:
        x = np.linspace(0 if dtype[0] == "u" else -3, 3, size).astype(dtype)
        native = x.astype(x.dtype.newbyteorder("="))
        first, second = (one(x, xp=WAYS[way]) for _ in "12")
        desired = one(native, xp=WAYS[way])
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, desired)
        assert first.dtype in (x.dtype, desired.dtype)
        exact = one(native.astype("float64"), xp=np)
        if first.dtype.itemsize > 2:
            close(first, exact, first.dtype)


@pytest.mark.parametrize("way", ["fast", "reproducible"])
@pytest.mark.parametrize("dtype", ["float32", ">f4", ">i4"])
@pytest.mark.parametrize("activation", [n for n in ACTIVATIONS if n != "step"])
def test_networks_of_every_dtype(activation, dtype, way):
    """More than `MANY` elements in a hidden layer, where choices are made bit by bit."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 5)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")]
    network = xpnn.Network.from_weights(weights, None, hidden=activation)
    for rows in (MANY // 5, MANY // 5 + 1):
        x = (2 * rng.normal(size=(rows, 3))).astype(dtype)
        native = x.astype(x.dtype.newbyteorder("="))
        first, second = (network(x, xp=WAYS[way]) for _ in "12")
        np.testing.assert_array_equal(first, second)
        if way == "reproducible":  # function by function, where nothing is recorded
            desired = network.to(np)(native, xp=RXP)
            np.testing.assert_array_equal(first, desired, strict=True)
        wide = network(native.astype("float64"), xp=np)
        assert (np.abs(first - wide) <= xpnn.error_bound(network, native)).all()
