"""Formulas recorded on NumPy's arrays, and run in tiles on threads: the same bits as without."""

import functools
import gc
import itertools
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import golden_cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

import xpnn
from xpnn._activations.table import ACTIVATIONS
from xpnn._engine import recorder, tuning
from xpnn._engine.compiled import CompiledTrace
from xpnn._engine.program import Trace
from xpnn._execution import tiles
from xpnn._execution.tiles import Tiled

METHODS = ("__call__", "logits", "log_proba", "classify")
RXP = xpnn.reproducible(np)


def placed(network):
    """The same network, whose weights may change: nothing is recorded for it."""
    return network.to(np)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of few rows, so that there are many."""
    monkeypatch.setattr(tuning, "REPRODUCIBLE_CACHE", 2**13)
    monkeypatch.setattr(tuning, "REPRODUCIBLE_LEAST", 2**10)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 3, 64, 1000])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16"])
def test_networks_in_tiles(rows, method, dtype, small_tiles):
    network = golden_cases.network((9, 7, 4), "float32")
    x = (3 * golden_cases.normal(1, rows, 9, dtype="float64")).astype(dtype)
    before = x.copy()
    x.flags.writeable = False
    expected = getattr(placed(network), method)(x, xp=RXP)
    for _ in range(2):  # recorded, and run again
        assert same(getattr(network, method)(x, xp=RXP), expected)
    assert same(x, before)


@pytest.mark.parametrize("activation", [n for n in ACTIVATIONS if "softmax" not in n])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_in_tiles(activation, dtype, small_tiles):
    network = golden_cases.network((14, 14, 3), dtype, hidden=activation)
    x = np.concatenate([golden_cases.hard(dtype), golden_cases.normal(1, 60, 14, dtype=dtype)])
    assert same(network(x, xp=RXP), placed(network)(x, xp=RXP))
    assert same(network(x[::-1], xp=RXP), placed(network)(x, xp=RXP)[::-1].copy())


def test_shapes(small_tiles):
    network = golden_cases.network((6, 5, 3), "float32")
    x = golden_cases.normal(2, 4, 5, 6, dtype="float32")
    y = network(x, xp=RXP)
    assert y.shape == (4, 5, 3)
    assert same(network(x[1, 2], xp=RXP), y[1, 2])
    assert same(network(np.asfortranarray(x), xp=RXP), y)
    assert network(x[:0], xp=RXP).shape == (0, 5, 3)
    wrapped = network(RXP.asarray(x), xp=RXP)
    assert same(wrapped.native, y)


def test_results_do_not_share_memory():
    network = golden_cases.network((6, 5, 3), "float32")
    x = golden_cases.normal(2, 4, 6, dtype="float32")
    first = network(x, xp=RXP)
    kept = first.copy()
    second = network(x + 1, xp=RXP)
    assert not np.shares_memory(first, second)
    assert same(first, kept)
    second[:] = 0
    assert same(network(x, xp=RXP), kept)


def test_many_threads_call_one_network(small_tiles):
    network = golden_cases.network((30, 20, 10), "float32")
    batches = [golden_cases.normal(i, 50 + i, 30, dtype="float32") for i in range(24)]
    expected = [placed(network)(x, xp=RXP) for x in batches]
    before = ThreadpoolController().info()
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda x: network(x, xp=RXP), batches))
    assert all(map(same, got, expected))
    assert ThreadpoolController().info() == before  # the BLAS has its threads again


def test_an_error_in_a_tile_is_raised():
    def formula(x):
        raise RuntimeError("in the formula")

    with pytest.raises(RuntimeError, match="in the formula"):
        Tiled(formula, 2**20, 2**17)(np.ones((3, 2)))


# Programs by themselves


def of_a_view_held(xp, a, b):
    base = a + 1.0
    view = base[::-1, :]
    return view - (base * 2.0 + xp.abs(b)) * 3.0


OPERATIONS = [
    of_a_view_held,
    lambda xp, a, b: a + b,
    lambda xp, a, b: a * 2.0 - b,
    lambda xp, a, b: xp.where(a > b, a, b),
    lambda xp, a, b: xp.where(a > 0.0, 0.0, a * b),
    lambda xp, a, b: xp.where(xp.isnan(b), a, xp.where(b < a, b, 1.0)),
    lambda xp, a, b: a - xp.max(b, axis=-1, keepdims=True),
    lambda xp, a, b: xp.astype(xp.astype(a, xp.float32), xp.float64) + b,
    lambda xp, a, b: xp.permute_dims(xp.permute_dims(a, (1, 0)) + 1.0, (1, 0)),
    lambda xp, a, b: xp.matmul(a, xp.permute_dims(b, (1, 0)))[:, :1] + a,
    lambda xp, a, b: xp.reshape(xp.reshape(a, (-1,)) * 0.5, a.shape) / (b * b + 1.0),
    lambda xp, a, b: xp.clip(xp.round(a), -2.0, 2.0) - xp.abs(b),
    lambda xp, a, b: a[:, ::-1] + xp.sum(b, axis=0),
    lambda xp, a, b: xp.take(xp.asarray([3.0, 5.0, 7.0]), xp.astype(a * 0.0, xp.int64)[0, :], axis=0) + a,
    lambda xp, a, b: xp.concat([a[:, :2], b[:, 2:]], axis=1),
    lambda xp, a, b: xp.reshape(xp.permute_dims(a, (1, 0)), (3, 4)) + xp.reshape(b[:, ::-1], (3, 4)),
    lambda xp, a, b: a[xp.asarray([2, 0, 1]), :] - b,
    lambda xp, a, b: xp.take(a, xp.asarray([3, 0, 0, 1]), axis=1) * b,
    lambda xp, a, b: xp.broadcast_arrays(a[:1, :], b)[0] - xp.broadcast_arrays(a, b[:, :1])[1],
    lambda xp, a, b: xp.clip(a, min=xp.min(b, axis=1, keepdims=True), max=1.0),
    lambda xp, a, b: xp.where(a[:, :1] > 0.0, b, a),
    lambda xp, a, b: xp.where(a > b, a[::-1, :], a),
    lambda xp, a, b: (xp.concat([a, b], axis=1) * 1.5)[:, 2:6],
    lambda xp, a, b: xp.where(a >= 0.0, a, -a),
    lambda xp, a, b: xp.where(a >= 1.0, a, -a),
    lambda xp, a, b: xp.where(a >= 0.0, a, -b),
    lambda xp, a, b: xp.where(b >= 0.0, a, -a),
    lambda xp, a, b: xp.where(~(a < b) | xp.isnan(b), a, -b),
]  # fmt: skip


@given(st.lists(st.integers(0, len(OPERATIONS) - 1), min_size=1, max_size=12), st.data())
def test_a_program_computes_what_the_formula_does(chosen, data):
    """Whatever memory its values share: of any formula, on other values than it was recorded with."""
    at = [(data.draw(st.integers(0, i)), data.draw(st.integers(0, i))) for i in range(len(chosen))]

    def formula(x, xp):
        values = [x]
        for number, (i, j) in zip(chosen, at, strict=True):
            values.append(OPERATIONS[number](xp, values[i], values[j]))
        return values[-1]

    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        program = Trace(lambda x: formula(x, recorder.namespace), (3, 4), float).program()
        for x in rng.standard_normal((3, 3, 4)):
            program.input[:] = x
            program()
            np.testing.assert_array_equal(program.result, formula(x, np), strict=True)
            y = np.full_like(program.result, np.nan)
            program.run_into(y, -x)  # in the places of the buffers
            np.testing.assert_array_equal(y, formula(-x, np), strict=True)


def test_memory_of_a_program_does_not_grow_with_the_formula():
    def of_length(n):
        def formula(x):
            for _ in range(n):
                x = x * 0.5 + 1.0
            return x

        trace = Trace(formula, (8, 8), float)
        return trace.nbytes, trace.program()

    (bytes_of_short, short), (bytes_of_long, long) = of_length(3), of_length(300)
    assert bytes_of_long == bytes_of_short
    assert len(long.steps) == 100 * len(short.steps)


def test_constants_are_computed_once():
    calls = []

    def formula(x):
        xp = x.__array_namespace__()
        c = xp.asarray([[1.0, 2.0]])
        calls.append(xp.matmul(xp.permute_dims(c, (1, 0)), c) * 3.0)
        return x + xp.sum(calls[-1])

    program = Trace(formula, (2, 2), float).program()
    assert len(program.steps) == 1
    program.input[:] = 1
    program()
    assert program.result.tolist() == [[28.0, 28.0], [28.0, 28.0]]


def test_all_pairs_of_operations():
    x = np.random.default_rng(1).standard_normal((3, 4))
    for f, g in itertools.product(OPERATIONS, repeat=2):

        def formula(v, xp, f=f, g=g):
            a = f(xp, v, v)
            return g(xp, a, v) + g(xp, v, a)

        with np.errstate(all="ignore"):
            program = Trace(lambda v, h=formula: h(v, recorder.namespace), (3, 4), float).program()
            program.input[:] = x
            program()
            np.testing.assert_array_equal(program.result, formula(x, np))


def test_no_constant_is_taken_for_another():
    """Arrays that are gone give their ids to others."""
    xp, one = recorder.namespace, recorder.Traced(np.ones(3))
    for i in range(2000):
        total = xp.add(one, recorder.Traced(np.full(3, float(i))))
        assert total.value.tolist() == [1.0 + i] * 3


def test_no_operation_is_made_twice_nor_taken_for_another():
    xp, made = recorder.namespace, []

    def formula(x):
        made.append((xp.multiply(x, 0.0), xp.multiply(x, -0.0), xp.multiply(x, 0.0)))
        positive, negative, again = made[-1]
        assert again is positive
        assert negative is not positive
        return xp.divide(1.0, negative)

    with np.errstate(divide="ignore"):
        program = Trace(formula, (4,), float).program()
        program.input[...] = 2.0
        program()
    assert program.result.tolist() == [-np.inf] * 4


@pytest.fixture
def traces(monkeypatch):
    """The formulas that are recorded meanwhile."""
    made = []

    def noting(init):
        return lambda self, f, *args, **options: made.append(f) or init(self, f, *args, **options)

    for kind in (Trace, CompiledTrace):
        monkeypatch.setattr(kind, "__init__", noting(kind.__init__))
    return made


KINDS = {
    "function": (lambda: xpnn.tanh, np.ones),
    "rows": (lambda: xpnn.softmax, lambda n: np.ones((n, 3))),
    "columns": (lambda: lambda x: xpnn.log_softmax(x, axis=0), lambda n: np.ones((3, n))),
    "network": (lambda: golden_cases.network((9, 7, 4), "float64"), lambda n: np.ones((n, 9))),
    "reproducible network": (
        lambda: functools.partial(golden_cases.network((9, 7, 4), "float64"), xp=RXP),
        lambda n: np.ones((n, 9)),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_call_records_nothing_on_any_thread(kind, traces):
    """A kind of call is recorded once, however many threads work on it, and laid out in each one's memory."""
    make, numbers = KINDS[kind]
    f, sizes = make(), (1, 5, 40_000)
    expected = [f(numbers(n)) for n in sizes]
    traces.clear()
    together = threading.Barrier(3)

    def call(_):
        together.wait(60)
        return [f(numbers(n)) for n in sizes]

    with ThreadPoolExecutor(3) as pool:
        for results in pool.map(call, range(3)):
            assert all(map(same, results, expected))
    assert traces == []
    xpnn.relu(np.ones(1, "float16"))  # the fixture sees what is recorded
    Tiled(lambda x: x + 1.0, 2**20, 2**17)(np.ones((1, 2)))
    assert traces


def test_memory_of_idle_workspaces_is_given_back(monkeypatch):
    monkeypatch.setattr(tuning, "IDLE", 0)
    monkeypatch.setattr(tiles, "_idle", [])
    tiled = Tiled(lambda x: x * 2.0 + 1.0, 2**20, 2**17)
    seen = []
    made = weakref.WeakSet()
    monkeypatch.setattr(tiles._Workspace, "__hash__", object.__hash__)
    right = tiles._Workspace.program
    monkeypatch.setattr(
        tiles._Workspace,
        "program",
        lambda w, *args: made.add(w) or seen.append(w.number) or right(w, *args),
    )
    for _ in "123":
        assert same(tiled(np.ones((3, 2))), np.full((3, 2), 3.0))
        assert tiles._idle == []
        assert tiled._programs == {}
    assert len(set(seen)) == 3
    gc.collect()
    assert not made
    monkeypatch.setattr(tuning, "IDLE", 2**26)
    for _ in "123":
        tiled(np.ones((3, 2)))
    assert len(seen) == 4
    assert sum(w.nbytes for w in tiles._idle) == tuning.BLOCK


def test_idle_memory_has_a_bound():
    """Whatever ran, and on however many threads, what is kept is what docs/speed.md says."""
    together = threading.Barrier(4)

    def call(_):
        together.wait(60)
        return RXP.sum(xpnn.softmax(np.ones((100_000, 10)), xp=RXP)), xpnn.tanh(np.ones(10**6))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    held = sum(block.size for w in tiles._idle for block in w._blocks)
    assert held == sum(w.nbytes for w in tiles._idle) <= 2**26
