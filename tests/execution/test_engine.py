"""The engine computes what NumPy's calls do, operation by operation, and as programs of every shape."""

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import golden_cases
import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ACTIVATIONS
from xpnn._engine import (
    compiled,
    elementary,
    lowering,
    machine,
    products,
    recorder,
    tuning,
)
from xpnn._engine.compiled import CompiledProgram, CompiledTrace
from xpnn._engine.emitter import TYPES, CannotBeLoweredError
from xpnn._engine.instructions import INSTRUCTIONS
from xpnn._engine.stages import ALIASES, REDUCTIONS
from xpnn._execution.plans import PlanCache
from xpnn._execution.tiles import Tiled

pytest.importorskip("llvmlite")

RXP = xpnn.reproducible(np)
WAYS = {"fast": None, "reproducible": RXP}
FLOATS = (np.float32, np.float64)
FLOATING = ("float32", "float64")
NAN = np.nan


def run(formula, x, columns=False):
    """Return what a compiled program makes of an array, in the memory of its own and in that of others."""
    trace = CompiledTrace(formula, x.shape, x.dtype, columns=columns)
    program = trace.program(lambda size: np.full(size, 0x7F, np.uint8))
    assert isinstance(program, CompiledProgram)
    y = program.run(x)
    large = np.empty_like(y)
    program.run_into(large, x)  # in the places of its buffers
    np.testing.assert_array_equal(y, large, strict=True)
    return y


def special(dtype):
    """Return numbers at the edges of a dtype, and some between."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.asarray([info.min, info.min + 1, 0, 1, 2, 7, info.max - 1, info.max], dtype)
    info = np.finfo(dtype)
    sizes = [
        0.0,
        info.smallest_subnormal,
        info.tiny,
        1e-3,
        0.5,
        1.0,
        1.5,
        2.5,
        77.0,
        info.max,
        np.inf,
    ]
    values = np.asarray(sizes, dtype)
    return np.concatenate([values, -values, np.asarray([NAN], dtype)])


OF_ONE = {
    "negative": "negative", "positive": "positive", "absolute": "abs", "floor": "floor",
    "ceil": "ceil", "trunc": "trunc", "rint": "round", "sqrt": "sqrt", "isnan": "isnan",
    "isfinite": "isfinite", "logical_not": "logical_not", "invert": "bitwise_invert",
}  # fmt: skip
OF_TWO = (
    "add subtract multiply divide less less_equal greater greater_equal equal not_equal copysign"
    " logical_and logical_or bitwise_and bitwise_or bitwise_xor"
).split()
OF_BITS = {"logical_and", "logical_or", "bitwise_and", "bitwise_or", "bitwise_xor", "invert"}
COMPARED = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
OTHERWISE = {  # tested by name below
    "where", "clip", "astype", "maximum", "minimum", "mask", "select_by_mask", "power_of_two",
    "times_power_of_two", "fraction", "exponent", "inverse_power",
}  # fmt: skip


def test_every_instruction_is_tested():
    assert set(OF_ONE) | set(OF_TWO) | OTHERWISE == set(INSTRUCTIONS)


def dtypes_of(name):
    if name in {"logical_and", "logical_or", "logical_not"}:
        return [np.bool_]
    if name in OF_BITS:
        return [np.bool_, np.int32, np.int64]
    integers = [np.int32, np.int64] if name in COMPARED | {"add", "subtract", "multiply"} else []
    if name in {"negative", "absolute"}:
        integers = [np.int32, np.int64]
    return [*FLOATS, *integers]


@pytest.mark.parametrize("wide", [True, False], ids=["vectors", "numbers"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, d) for name in (*OF_ONE, *OF_TWO) for d in dtypes_of(name)],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_operations(name, dtype, wide):
    values = special(dtype)
    two = name in OF_TWO
    pairs = np.asarray(list(itertools.product(values, values)) if two else values[:, None], dtype)
    if name in {"negative", "absolute"}:
        pairs = pairs[pairs[:, 0] != (np.iinfo(dtype).min if np.dtype(dtype).kind == "i" else NAN)]

    def formula(xp, x):
        a = x[0, :] if wide else x[:, 0]
        if not two:
            return getattr(xp, OF_ONE[name])(a)
        return getattr(xp, name)(a, x[1, :] if wide else x[:, 1])

    x = np.ascontiguousarray(pairs.T if wide else pairs)
    with np.errstate(all="ignore"):
        expected = formula(np, x)
    got = run(lambda x: formula(recorder.namespace, x), x, columns=wide)
    np.testing.assert_array_equal(got, expected, strict=True)
    if got.dtype.kind == "f":
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("wide", [True, False], ids=["vectors", "numbers"])
@pytest.mark.parametrize("to", TYPES, ids=str)
@pytest.mark.parametrize("of", TYPES, ids=str)
def test_conversions(of, to, wide):
    x = special(of)
    if of.kind == "f" and to.kind in "iu":
        x = np.asarray([-3.0, -0.0, 0.0, 1.0, 77.0], of)  # others are any integer
    x = x if wide else x[:, None]

    def formula(x):
        return recorder.namespace.astype(x if wide else x[:, 0], to)

    if of == to:
        return
    try:
        got = run(formula, x)
    except CannotBeLoweredError:
        assert (
            {of.itemsize, to.itemsize} == {2, 8}
            or of.kind + to.kind == "fu"
            or (of.kind == "f" and to.itemsize < 4)
            or to == np.float16 != of
        )
        return
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, (x if wide else x[:, 0]).astype(to), strict=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", elementary.FUNCTIONS)
def test_elementary_functions_have_the_bits_of_their_formula(name, dtype):
    x = np.concatenate([golden_cases.sweep(np.dtype(dtype).name), special(dtype)])
    got = run(getattr(recorder.namespace, name), x)
    with np.errstate(all="ignore"):
        expected = elementary.FUNCTIONS[name](x, np)
    np.testing.assert_array_equal(got, expected, strict=True)


CHOICES = {
    "where": lambda xp, x: xp.where(x[0, :] < x[1, :], x[0, :], 2.0),
    "where of integers": lambda xp, x: xp.where(
        xp.isnan(x[0, :]), 3, xp.astype(x[1, :] < 0, xp.int64)
    ),
    "clip": lambda xp, x: xp.clip(x[0, :], -1.0, 2.5),
    "max": lambda xp, x: xp.max(x, axis=0),
    "min": lambda xp, x: xp.min(x, axis=0, keepdims=True),
    "any": lambda xp, x: xp.any(xp.isnan(x), axis=0),
    "all": lambda xp, x: xp.all(xp.isfinite(x), axis=0),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CHOICES)
def test_choices_and_reductions(name, dtype):
    """Sizes on either side of that from which on NumPy chooses by bits."""
    values = list(itertools.product(special(dtype), special(dtype)))
    for count in (len(values), tuning.MANY + 1):
        x = np.asarray(list(itertools.islice(itertools.cycle(values), count)), dtype).T.copy()
        with np.errstate(all="ignore"):
            expected = CHOICES[name](np, x)
        got = run(lambda x: CHOICES[name](recorder.namespace, x), x, columns=True)
        np.testing.assert_array_equal(got, expected, strict=True)


def lengths():
    """Return lengths on either side of those that the engine's loops change at."""
    lanes = {machine.vector_bytes() // size for size in (4, 8)}
    at = {
        *lanes,
        *(n * products.VECTORS for n in lanes),
        *(n * lowering.BLOCK for n in lanes),
        *(int(n * part) for n in lanes for part in lowering.NARROW),
        lowering.BLOCK**2,
    }
    return sorted({1, 2, 3, *(n + i for n in at for i in (-1, 0, 1))})


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_lengths(name, axis, dtype):
    """Rows and columns of every length, beside others of every number."""
    rng = np.random.default_rng(0)
    function = getattr(xpnn, name)
    for length, others in itertools.product(lengths(), (1, 5, 33)):
        x = rng.normal(size=(others, length)).astype(dtype) * 5
        x = np.ascontiguousarray(x if axis else x.T)
        expected = function(x.astype(float), axis=axis, xp=np)
        unit = np.finfo(dtype).eps
        for xp in WAYS.values():
            got = function(x, axis=axis, xp=xp)
            assert got.dtype == x.dtype
            size = np.abs(expected) + (name != "softmax") * np.max(np.abs(x))
            assert np.all(np.abs(got - expected) <= (40 + length**0.5) * unit * size)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("length", [15, 70, 300, 5000, 50257])
def test_sums_keep_their_digits_at_every_length(length, axis):
    """One large term and many that are each lost beside it: as near as where pairs are added."""
    x = np.full((length, 3), -17.0, "float32")
    x -= np.random.default_rng(0).random(x.shape, "float32")
    x[length // 3] = 0
    x = np.ascontiguousarray(x if axis == 0 else x.T)
    expected = xpnn.softmax(x.astype(float), axis=axis, xp=np)
    assert np.max(np.abs(xpnn.softmax(x, axis=axis) / expected - 1)) < 24 * 2.0**-24


@pytest.mark.parametrize("dtype", FLOATING)
def test_products_of_every_shape_are_exact_of_small_integers(dtype, monkeypatch):
    """By functions of our own and by the BLAS: of integers both are exact. Rows on either side of every loop's."""
    rng = np.random.default_rng(0)
    many = products.rows_together()
    rows = {1, 2, products.FEW, products.FEW + 1, many - 1, many, many + 1, 2 * many + products.FEW}
    widths = [n for n in lengths() if n <= products.VECTORS * 16 + 1]
    for terms, width in itertools.chain(
        itertools.product((1, 2, 7, 8, 9), widths), itertools.product(widths, (1, 3, 17))
    ):
        weight = rng.integers(-3, 4, (terms, width)).astype(dtype)
        bias = rng.integers(-3, 4, width).astype(dtype)
        last = rng.integers(-3, 4, (width, 2)).astype(dtype)
        for packed in (tuning.PACKED, 0):
            monkeypatch.setattr(tuning, "PACKED", packed)
            network = xpnn.Network.from_weights([weight, last], [bias, None], hidden="relu")
            for count in sorted(rows) if packed else (1, 3):
                x = rng.integers(-9, 10, (count, terms)).astype(dtype)
                expected = np.maximum(x @ weight + bias, 0) @ last
                np.testing.assert_array_equal(network(x), expected, strict=True)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_products_on_other_processors(size, fused, monkeypatch):
    """With shorter vectors, fewer registers, and multiplication and addition apart."""
    monkeypatch.setattr(machine, "vector_bytes", lambda: size)
    monkeypatch.setattr(machine, "registers", lambda: size // 2)
    monkeypatch.setattr(machine, "has_fma", lambda: fused)
    products._of_rows.cache_clear()
    rng = np.random.default_rng(0)
    weights = [rng.integers(-3, 4, shape) for shape in ((700, 17), (17, 64), (64, 3))]
    for dtype, rows in itertools.product(("float32", "float64"), (1, 2, 7, 40)):
        network = xpnn.Network.from_weights([w.astype(dtype) for w in weights], hidden="relu")
        x = rng.integers(-9, 10, (rows, 700)).astype(dtype)
        expected = np.maximum(np.maximum(x @ weights[0], 0) @ weights[1], 0) @ weights[2]
        np.testing.assert_array_equal(network(x), expected)
    products._of_rows.cache_clear()


@pytest.mark.parametrize("dtype", FLOATING)
def test_rows_do_not_depend_on_how_many_are_computed(dtype, monkeypatch):
    """Nor on the block that they are computed in: two or more of a number have the same bits."""
    rng = np.random.default_rng(0)
    widths, many = (300, 50, 3, 40), products.rows_together()
    weights = [rng.normal(size=pair).astype(dtype) for pair in itertools.pairwise(widths)]
    x = rng.normal(size=(5 * many + products.FEW - 1, widths[0])).astype(dtype)
    expected = xpnn.Network.from_weights(weights, hidden="sigmoid", output="softmax")(x)
    monkeypatch.setattr(tuning, "BLOCK_OF_ROWS", 1)
    monkeypatch.setattr(compiled, "ROWS_AT_LEAST", 2 * many - 1)
    for count in (2, many, many + 1, len(x) - 1, len(x)):
        got = xpnn.Network.from_weights(weights, hidden="sigmoid", output="softmax")(x[-count:])
        np.testing.assert_array_equal(got, expected[-count:])


@pytest.fixture
def refused(monkeypatch):
    """What could not be lowered meanwhile."""
    found = []
    init = CompiledTrace.__init__

    def noting(self, *args, **options):
        try:
            init(self, *args, **options)
        except CannotBeLoweredError as error:
            found.append(str(error))
            raise

    monkeypatch.setattr(CompiledTrace, "__init__", noting)
    monkeypatch.setattr(tuning, "LEFT", ())
    monkeypatch.setattr(PlanCache, "find", lambda *_: None)  # what was recorded before
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"identity"}))
def test_every_function_is_compiled(name, dtype, way, refused):
    function = getattr(xpnn, name)
    for shape in ((5,), (3, 4), (40, 300)):
        function(np.linspace(-3, 3, int(np.prod(shape)), dtype=dtype).reshape(shape), xp=WAYS[way])
    assert refused == []


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"identity"}))
def test_float16_is_float32_rounded_once(name):
    """With the signs of zeros, which optimizations of LLVM's lose."""
    x = special(np.float16)
    with np.errstate(over="ignore"):
        expected = getattr(xpnn, name)(x.astype("float32")).astype("float16")
    got = getattr(xpnn, name)(x)
    np.testing.assert_array_equal(got, expected, strict=True)
    numbers = ~np.isnan(got)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"identity"}))
def test_networks_are_compiled(name, dtype, way, refused):
    rng = np.random.default_rng(0)
    layers = [
        xpnn.Affine(rng.normal(size=7).astype(dtype), rng.normal(size=7).astype(dtype)),
        xpnn.Dense(rng.normal(size=(7, 20)).astype(dtype), rng.normal(size=20).astype(dtype), name),
        xpnn.LayerNorm(rng.normal(size=20).astype(dtype)),
        xpnn.Residual([xpnn.Dense(rng.normal(size=(20, 20)).astype(dtype), None, name)]),
        xpnn.PReLU(rng.random(20).astype(dtype)),
        xpnn.Dense(rng.normal(size=(20, 3)).astype(dtype), None, "softmax"),
    ]
    network = xpnn.Network(layers)
    for rows in (1, 2000):
        network(rng.normal(size=(rows, 7)).astype(dtype), xp=WAYS[way])
    network.log_proba(rng.normal(size=(1, 7)).astype(dtype), xp=WAYS[way])
    assert refused == []


def test_results_are_nobody_elses():
    for f in (xpnn.tanh, xpnn.softmax, golden_cases.network((9, 7, 4), "float64")):
        xs = [np.arange(18.0).reshape(2, 9) * value for value in (0.5, 2.0, 0.5)]
        first, second, third = (f(x) for x in xs)
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, third)
        assert first.flags.writeable


def test_programs_wait_for_each_number_of_rows_once():
    network = golden_cases.network((9, 7, 4), "float64")
    shapes = [(1, 9), (2, 9), (3, 9), (5, 9)]
    for shape in shapes * 3:
        network(np.ones(shape))
        network(np.ones((*shape[:-1], 18))[..., ::2])
    (small,) = network._small.values()
    assert {shape: len(waiting) for shape, waiting in small._waiting.items()} == dict.fromkeys(
        shapes, 1
    )


def test_programs_wait_for_any_number_of_axes():
    rng = np.random.default_rng(0)
    network = xpnn.Network.from_weights([rng.normal(size=s) for s in ((12, 8), (8, 3))])
    arrays = [rng.normal(size=shape) for shape in ((12,), (1, 12), (2, 1, 12), (5, 12))]
    expected = [network(x) for x in arrays]
    (small,) = network._small.values()
    for x, y in zip(arrays, expected, strict=True):
        assert small(x).shape == y.shape
        assert small(x).tobytes() == network(x).tobytes() == y.tobytes()


def test_threads_share_small_programs():
    network = golden_cases.network((9, 7, 4), "float64")
    xs = [np.full((2, 9), value) for value in (0.5, 2.0, -1.0, 0.0)]
    expected = [network(x) for x in xs]
    together = threading.Barrier(4)

    def work(i):
        together.wait(60)
        return all(np.array_equal(network(xs[i]), expected[i]) for _ in range(500))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_networks_of_one_shape_share_what_is_compiled():
    def networks():
        return [golden_cases.network((11, 7, 4), dtype) for dtype in FLOATING]

    for network in networks():
        network(np.ones((1, 11), network.layers[0].weight.dtype))
    before = set(machine._functions)
    rng = np.random.default_rng(1)
    for network in networks():
        layers = [
            xpnn.Dense(rng.normal(size=a.weight.shape).astype(a.weight.dtype), a.bias, a.activation)
            for a in network.layers
        ]
        xpnn.Network(layers)(np.ones((1, 11), network.layers[0].weight.dtype))
    assert set(machine._functions) == before


def test_nothing_is_written_beside_the_buffers_of_a_block(monkeypatch):
    monkeypatch.setattr(tuning, "BLOCK_OF_ROWS", 1)
    given, guards = [], 64

    def take(size):
        given.append(np.full(size + 2 * guards, 77, np.uint8))
        return given[-1][guards:-guards]

    first, second = _times(40), np.ones((40, 3), "float32")
    shape = (3 * compiled.ROWS_AT_LEAST + 5, 131)
    trace = CompiledTrace(
        lambda x: recorder.namespace.matmul(
            recorder.namespace.abs(first(x, recorder.namespace)),
            recorder.namespace.asarray(second),
        ),
        shape,
        np.float32,
    )
    x, y = np.ones(shape, "float32"), np.empty((shape[0], 3), "float32")
    trace.program(take).run_into(y, x)
    np.testing.assert_array_equal(y, np.abs(first(x)) @ second)
    for memory in given:
        assert (memory[:guards] == 77).all()
        assert (memory[-guards:] == 77).all()


def _times(width):
    matrix = np.arange(131.0 * width, dtype="float32").reshape(131, width) % 7
    return lambda x, xp=np: xp.matmul(x, xp.asarray(matrix))


BESIDE = {
    "tanh": (xpnn.tanh, (4099,)),
    "softmax": (xpnn.softmax, (67, 131)),
    "softmax of short rows": (xpnn.softmax, (67, 5)),
    "relu": (xpnn.relu, (33, 129)),
    **{
        f"product {rows} {width}": (_times(width), (rows, 131))
        for rows in (2, 3, 5, 11, 12, 13, 27)
        for width in (1, 16, 17, 33)
    },
}


@pytest.mark.parametrize("name", BESIDE)
def test_nothing_is_written_beside_a_result(name):
    f, shape = BESIDE[name]
    x = np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)
    x = np.round(x * 9) if name.startswith("product") else x
    trace = CompiledTrace(lambda x: f(x, xp=recorder.namespace), shape, x.dtype)
    program = trace.program(lambda size: np.empty(size, np.uint8))
    expected = f(x)
    whole = np.full(expected.size + 256, 77.0, "float32")
    y = whole[128:-128].reshape(expected.shape)
    program.run_into(y, x)
    np.testing.assert_array_equal(whole[:128], 77.0)
    np.testing.assert_array_equal(whole[-128:], 77.0)
    if name == "tanh":  # NumPy's own without the engine
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("engine", ["", "numpy"])
def test_the_engine_is_switched_off_by_the_environment(engine):
    code = (
        "import numpy, xpnn; from xpnn._engine import machine; "
        "print(machine.is_there(), xpnn.tanh(numpy.ones(3)).shape)"
    )
    environment = {**os.environ, "XPNN_ENGINE": engine}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{engine != 'numpy'} (3,)\n"


SQUARE = np.arange(9.0).reshape(3, 3)
ODD = {
    "reversed": lambda xp, x: x[:, ::-1] * 2,
    "rows reversed": lambda xp, x: x[::-1, :] * 2,
    "every other": lambda xp, x: x[:, ::2] * 2,
    "another matrix": lambda xp, x: xp.matmul(x, xp.asarray(SQUARE, dtype=xp.float64)) + 1,
    "a matrix by rows": lambda xp, x: xp.matmul(xp.asarray(SQUARE, dtype=x.dtype), x),
    "rows by rows": lambda xp, x: xp.matmul(x, x),
    "rows by columns": lambda xp, x: xp.matmul(x, xp.permute_dims(x, (1, 0))),
    "no columns": lambda xp, x: xp.matmul(x, xp.zeros((3, 0), dtype=x.dtype)),
    "integers": lambda xp, x: xp.matmul(xp.astype(x, xp.int64), xp.asarray(SQUARE.astype(int))),
    "truth values compared": lambda xp, x: (x > 0) < (x > 1),
    "sum of truth values": lambda xp, x: xp.sum(x > 0, axis=1),
    "sum of one": lambda xp, x: xp.sum(x[:, :1] > 0, axis=1),
    "any of numbers": lambda xp, x: xp.any(x, axis=1),
    "not a number": lambda xp, x: xp.logical_not(x),
    "nan of integers": lambda xp, x: xp.isnan(xp.astype(x, xp.int64)),
    "exp of integers": lambda xp, x: xp.exp(xp.astype(x, xp.int64)),
    "largest of bytes": lambda xp, x: xp.max(xp.astype(xp.abs(x), xp.uint8), axis=1),
    "size of bytes": lambda xp, x: xp.abs(xp.astype(x, xp.int8)),
    "ends that are none": lambda xp, x: xp.clip(x, NAN, 1.0),
    "columns taken": lambda xp, x: xp.take(x, xp.asarray([2, 0]), axis=1) + 1,
    "rows transposed": lambda xp, x: xp.permute_dims(x, (1, 0)) + 1,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ODD)
def test_what_has_no_instruction_is_computed_by_numpy(name, dtype):
    x = np.asarray([[-2.0, 0.0, 5.0], [7.0, -9.0, 0.5], [1.0, 2.0, 0.0]], dtype)
    got = Tiled(lambda x: ODD[name](recorder.namespace, x), 2**20, 2**17)(x)
    np.testing.assert_array_equal(got, ODD[name](np, x), strict=True)


def test_operations_that_have_no_instruction_are_named():
    with pytest.raises(CannotBeLoweredError, match="sort"):
        CompiledTrace(lambda x: recorder.namespace.sort(x) + 1.0, (3, 4), float)
    assert not (set(REDUCTIONS) | ALIASES) & set(INSTRUCTIONS)
