"""Functions called without `xp` on NumPy arrays: recorded and in tiles, the numbers of the formulas."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ELEMENTWISE
from xpnn._arrays.transfer import to_numpy
from xpnn._engine import tuning
from xpnn._execution import functions, on_numpy, plans, threads, tiles

NAMES = [f.__name__ for f in ELEMENTWISE]
ALONG = ("softmax", "log_softmax", "logsumexp")
SHAPES = [
    (7,),
    (1, 10),
    (10, 1),
    (5, 7),
    (2, 3, 4),
    (40, 300),
    (3000, 2),
    (2, 3000),
    (0, 3),
    (3, 0),
]
ULP = 8


def numbers(shape, dtype="float64"):
    return np.asarray(3 * np.random.default_rng(0).normal(size=shape)).astype(dtype)


def assert_same(got, desired):
    """Equal but for the order of sums."""
    assert type(got) is type(desired)
    assert (got.shape, got.dtype) == (desired.shape, desired.dtype)
    eps = 1e-3 if got.dtype == np.float16 else np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, desired, rtol=20 * eps, atol=4 * eps)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of few rows, so that there are many, for functions that are called anew."""
    for name in ("FUNCTION_CACHE", "FUNCTION_LEAST", "LONG_COLUMN"):
        monkeypatch.setattr(tuning, name, 2**13)
    monkeypatch.setattr(tuning, "LITTLE", 2**8)
    monkeypatch.setattr(functions.Planner, "find", lambda *_: None)
    monkeypatch.setattr(plans.PlanCache, "keep", lambda *given: given[-1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("shape", [*SHAPES, ()], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_elementwise(name, shape, dtype):
    function, x = getattr(xpnn, name), numbers(shape, dtype)
    given = x.copy()
    x.flags.writeable = False
    for _ in "123":
        y = function(x)
        assert_same(y, function(x, xp=np))
        assert not np.shares_memory(x, y) or name == "identity"
    np.testing.assert_array_equal(x, given)


@pytest.mark.skip_xp_backend("array-api-strict", reason="not in tiles")
@pytest.mark.skip_xp_backend("jax", reason="not in tiles")
@pytest.mark.parametrize("name", [*NAMES, *ALONG])
def test_reproducible_functions_in_tiles(name, small_tiles, backend):
    """In tiles, where they run in tiles, the bits of the formula as it is written."""
    function, rxp = getattr(xpnn, name), xpnn.reproducible(backend.xp)
    for dtype in ("float16", "float32", "float64"):
        for shape in ((), (0,), (1, 1), (41,), (300, 41), (41, 300)):
            x = numbers(shape, dtype)
            x.reshape(-1)[:1] = -0.0
            axes = ({"axis": 0}, {"axis": -1}) if name in ALONG and shape else ({},)
            for options in axes:
                y = to_numpy(function(backend.asarray(x), xp=rxp, **options))
                as_written = function(rxp.asarray(backend.asarray(x)), **options).native
                np.testing.assert_array_equal(y, to_numpy(as_written))
                assert y.dtype == x.dtype


@pytest.mark.parametrize("name", NAMES)
def test_elementwise_in_tiles(name, small_tiles):
    function, x = getattr(xpnn, name), numbers((300, 41), "float32")
    for array in (x, x.T, x[::2], x[:, 1:], x[::-1], np.asfortranarray(x), x.reshape(30, 10, 41)):
        y = function(array)
        assert_same(y, function(array, xp=np))
        assert y.flags.c_contiguous or (array.flags.f_contiguous and y.flags.f_contiguous)
    assert function(x.T).flags.f_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ALONG)
def test_along_an_axis(name, shape, dtype):
    function, x = getattr(xpnn, name), numbers(shape, dtype)
    for axis in (*range(-len(shape), len(shape)), tuple(range(len(shape)))):
        for _ in "123":
            assert_same(function(x, axis=axis), function(x, axis=axis, xp=np))
        if name == "logsumexp":
            y = function(x, axis=axis, keepdims=True)
            assert_same(y, function(x, axis=axis, keepdims=True, xp=np))


@pytest.mark.parametrize("name", ALONG)
def test_along_an_axis_in_tiles(name, small_tiles):
    function, x = getattr(xpnn, name), numbers((600, 41), "float32")
    for array in (
        x,
        x.T,
        x[::2],
        x[:, 1:],
        x[:, ::-1],
        np.asfortranarray(x),
        x.reshape(60, 10, 41),
    ):
        for axis in (0, -1, 1):
            assert_same(function(array, axis=axis), function(array, axis=axis, xp=np))


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("shape", [(3000, 5), (9000, 64), (3000, 65)])
def test_few_long_columns(name, shape, small_tiles, monkeypatch):
    kinds = []
    right = on_numpy.AlongAxis._tiled_for
    monkeypatch.setattr(
        on_numpy.AlongAxis,
        "_tiled_for",
        lambda self, kind: kinds.append(kind) or right(self, kind),
    )
    function, x = getattr(xpnn, name), numbers(shape, "float32")
    exact = function(x.astype("float64"), axis=0, xp=np).astype("float32")
    kinds.clear()
    y = function(x, axis=0)
    assert y.flags.c_contiguous
    assert kinds == ["transposed" if shape[1] <= 64 else "columns"]
    rtol = np.finfo("float32").eps * 20
    np.testing.assert_allclose(y, exact, rtol=rtol)
    np.testing.assert_allclose(function(x[:, :2], axis=0), exact[..., :2], rtol=rtol)
    if name == "logsumexp":
        y = function(x, axis=0, keepdims=True)
        assert y.shape == (1, shape[1])
        np.testing.assert_allclose(y[0], exact, rtol=rtol)


def planner_of(name):
    """What plans the calls of a function."""
    function = getattr(xpnn, name)
    plan = getattr(function, "plan", None)
    cells = [cell.cell_contents for cell in (plan and plan.__closure__) or ()]
    found = [*cells, function.__globals__.get("_planner")]
    return next(planner for planner in found if isinstance(planner, functions.Planner))


def fresh(monkeypatch):
    """Functions that were never called."""
    for name in ("sigmoid", *ALONG):
        monkeypatch.setattr(planner_of(name), "_plans", plans.PlanCache())


LENGTHS = (1, 7, 16, 17, 65, 2047, 2**14, 2**14 + 1)


@pytest.mark.parametrize("layout", ["C", "F", "every other"])
@pytest.mark.parametrize("name", ALONG)
def test_the_second_call_gives_the_bits_of_the_first(name, layout, monkeypatch):
    """On either side of every size from which on something else is done."""
    fresh(monkeypatch)
    function = getattr(xpnn, name)
    for length in LENGTHS:
        for others in (1, 5, 65) if length < 2**14 else (1, 3):
            whole = numbers((2 * length, others), "float32")
            x = {
                "C": lambda a: a[: len(a) // 2],
                "F": lambda a: np.asfortranarray(a[: len(a) // 2]),
                "every other": lambda a: a[::2],
            }[layout](whole)
            for array, axis in ((x, 0), (x.T, 1), (x, 1), (x[:, 0], 0)):
                first, second = (function(array, axis=axis) for _ in "12")
                np.testing.assert_array_equal(second, first, strict=True)


def test_slices_with_nan_and_infinities(small_tiles):
    x = numbers((600, 5), "float32")
    x[::7, 1], x[::5, 2], x[::3] = np.nan, np.inf, -np.inf
    for name in ALONG:
        for array, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            function = getattr(xpnn, name)
            assert_same(function(array, axis=axis), function(array, axis=axis, xp=np))


def test_arrays_of_other_kinds(tmp_path):
    x = numbers((30, 20), "float32")
    np.save(tmp_path / "x.npy", x)

    class Marked(np.ndarray):
        pass

    for other in (
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        x.astype(x.dtype.newbyteorder()),
        x.view(Marked),
        x[0, 0],
    ):
        for function in (xpnn.sigmoid, xpnn.softmax):
            for _ in "123":
                y, desired = function(other), function(other, xp=np)
                assert y.dtype == desired.dtype
                assert isinstance(y, type(desired)) or isinstance(other, np.memmap)
                np.testing.assert_allclose(y, desired, rtol=1e-5)


def test_a_result_is_not_changed_by_the_next_call():
    for shape in ((1, 10), (100, 100)):
        x = numbers(shape)
        xpnn.softmax(x)
        first = xpnn.softmax(x)
        kept = first.copy()
        second = xpnn.softmax(x + 1)
        assert not np.shares_memory(first, second)
        first[...] = 0
        np.testing.assert_array_equal(xpnn.softmax(x), kept)


def test_an_axis_is_checked_where_an_equal_one_is_known():
    x = numbers((3, 4))
    xpnn.softmax(x, axis=1)
    with pytest.raises(TypeError, match=r"got 1\.0"):
        xpnn.softmax(x, axis=1.0)
    with pytest.raises(TypeError, match="expected axis"):
        xpnn.softmax(x, axis=[1])
    with pytest.raises(ValueError, match="between -2 and 1"):
        xpnn.softmax(x, axis=2)
    with pytest.raises(ValueError, match="between -1 and 0"):
        xpnn.softmax(x[0], axis=1)


def test_options_without_a_hash():
    x = numbers(5)
    slope = np.asarray(0.25)
    for _ in "12":
        assert_same(
            xpnn.leaky_relu(x, negative_slope=slope), xpnn.leaky_relu(x, negative_slope=0.25)
        )


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(plans, "MOST", 3)
    monkeypatch.setattr(planner_of("leaky_relu"), "_plans", plans.PlanCache())
    x = numbers(5)
    for i in range(10):
        xpnn.leaky_relu(x, negative_slope=i / 10)
    assert len(planner_of("leaky_relu")._plans) == 3
    for n in range(2, 12):
        for _ in "12":
            np.testing.assert_allclose(xpnn.softmax(numbers((2, n))).sum(axis=1), 1)


def test_many_threads_at_once():
    arrays = [numbers((n, 1000), "float32") for n in (1, 3, 60, 2000)]
    functions = (xpnn.softmax, xpnn.sigmoid, xpnn.log_softmax)
    work = [(f, x) for f in functions for x in arrays] * 6
    desired = {(f, x.shape): f(x, xp=np) for f in functions for x in arrays}
    with ThreadPoolExecutor(8) as pool:
        for (f, x), y in zip(work, pool.map(lambda fx: fx[0](fx[1]), work), strict=True):
            assert_same(y, desired[f, x.shape])


@pytest.mark.parametrize("name", ["sigmoid", "softmax", "log_softmax", "gelu"])
def test_little_work_starts_no_threads_and_much_takes_little_memory(name, monkeypatch):
    started, right = [], threads._help
    monkeypatch.setattr(threads, "_help", lambda *work: started.append(1) or right(*work))
    function = getattr(xpnn, name)
    for _ in "12":
        function(numbers((60, 1000), "float32"))
    assert not started
    x = numbers((6000, 1000), "float32")
    tracemalloc.start()
    y = function(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < y.nbytes + 2**24
    number = threads.count()
    assert bool(started) == (number > 1)


def test_memory_that_programs_work_in_is_shared():
    def held():
        return sum(block.size for w in tiles._idle for block in w._blocks)

    for n in range(1, 40):
        for _ in "12":
            xpnn.softmax(numbers((50, n)))
            xpnn.log_softmax(numbers((50, n)))
    before = held()
    for n in range(1, 40):
        for _ in "12":
            xpnn.softmax(numbers((50, n), "float32"))
    assert held() == before
