"""Calls on many threads, and the threads of the BLAS: the bits of the call alone, and nothing left behind."""

import dis
import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import xpnn
import xpnn.models
from xpnn._execution import threads
from xpnn._execution.tiles import Tiled

NETWORKS = {
    "digits": xpnn.load("digits"),
    "wide": xpnn.Network.from_weights(
        [np.random.default_rng(i).normal(size=s).astype("float32") / 20 for i, s in
         enumerate([(10, 512), (512, 512), (512, 1000)])],
        None,
        hidden="relu",
        output="softmax",
    ),
}  # fmt: skip
ROWS = (1, 2, 7, 8, 64, 300, 2000)


def rows_for(network, count):
    width = network.layers[0].weight.shape[0]
    return np.random.default_rng(count).uniform(0, 1, (count, width)).astype("float32")


def numbers():
    return [library.num_threads for library in threads.libraries()]


@pytest.fixture(params=[1, 2])
def limit(request):
    """Threads that the user gave the BLAS."""
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


@pytest.mark.parametrize("name", NETWORKS)
def test_calls_at_the_same_time_have_the_bits_that_they_have_alone(name):
    network = NETWORKS[name]
    arrays = [rows_for(network, count) for count in ROWS]
    alone = [network(x) for x in arrays]
    before = numbers()
    start = threading.Barrier(4)

    def calls(first):
        start.wait()
        order = arrays[first:] + arrays[:first]
        return [(x, network(x)) for x in order * 3]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(calls, range(4)):
            for x, y in results:
                np.testing.assert_array_equal(y, alone[ROWS.index(len(x))])
    assert numbers() == before


@pytest.mark.parametrize("name", NETWORKS)
def test_the_threads_of_the_blas_do_not_count_for_few_rows(name):
    """Of many, they say into how many tiles the rows are cut."""
    network = NETWORKS[name]
    for count in (1, 8, 64):
        x, results = rows_for(network, count), []
        for number in (1, 2):
            with threadpool_limits(number, user_api="blas"):
                results.append(network(x))
        np.testing.assert_array_equal(*results)


def test_as_many_threads_as_the_user_gave_the_blas(limit, monkeypatch):
    seen, right = set(), Tiled._run

    def run(self, *arguments):
        seen.add(threading.get_ident())
        assert set(numbers()) == {1} or not self._calls_blas
        return right(self, *arguments)

    monkeypatch.setattr(Tiled, "_run", run)
    network = NETWORKS["digits"]
    assert threads.count() == limit
    for _ in range(20):
        network(rows_for(network, 20_000))
        if len(seen) == limit:
            break
    assert len(seen) == limit
    assert set(numbers()) == {limit}


def moments(function):
    """Where in a function Python may raise what a signal brings: at its start, after a call, in a loop.

    What comes after a call is raised by the call itself: not where the next instruction is handled elsewhere.
    """
    table = dis._parse_exception_table(function.__code__)

    def handler(offset):
        return next((e.target for e in table if e.start <= offset < e.end), None)

    yield 0
    instructions = list(dis.get_instructions(function))
    for one, following in itertools.pairwise(instructions):
        may = one.opname.startswith(("CALL", "JUMP_BACKWARD"))
        if may and handler(one.offset) == handler(following.offset):
            yield following.offset


SEEN = tuple(
    getattr(threads, name)
    for name in ("with_one_blas_thread", "_enter", "_leave", "_restore", "_set")
)
MOMENTS = [(f, offset) for f in SEEN for offset in moments(f)]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="looks into CPython's functions")
@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize(("function", "offset"), MOMENTS, ids=lambda a: getattr(a, "__name__", a))
def test_an_interrupt_at_any_moment_leaves_the_blas_as_it_was(function, offset, time):
    with threadpool_limits(2, user_api="blas"):
        before, left = numbers(), time

        def trace(frame, event, _):
            nonlocal left
            if frame.f_code is not function.__code__:
                return trace if frame.f_code.co_filename == threads.__file__ else None
            frame.f_trace_opcodes = True
            at_start = event == "call" and offset == 0
            if at_start or (event == "opcode" and frame.f_lasti == offset and offset > 0):
                left -= 1
                if left == 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        old = sys.gettrace()
        sys.settrace(trace)
        try:
            threads.with_one_blas_thread(lambda: None)
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False
        finally:
            sys.settrace(old)
        assert numbers() == before
        assert threads._users == 0
        assert interrupted or left > 0
        assert threads.with_one_blas_thread(numbers) == [1] * len(before)


def test_an_interrupt_in_the_work_leaves_the_blas_as_it_was():
    def interrupted():
        raise KeyboardInterrupt

    before = numbers()
    with pytest.raises(KeyboardInterrupt):
        threads.with_one_blas_thread(interrupted)
    assert (numbers(), threads._users) == (before, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_fork_at_any_moment_leaves_the_blas_as_it_was():
    """In the child, where the thread that held it is not there any more."""
    with threadpool_limits(2, user_api="blas"):
        before = numbers()
        entered, leave = threading.Event(), threading.Event()
        holding = threading.Thread(
            target=threads.with_one_blas_thread, args=(lambda: entered.set() or leave.wait(60),)
        )
        holding.start()
        entered.wait(60)
        assert set(numbers()) == {1}
        child = os.fork()
        if child == 0:
            network = NETWORKS["digits"]
            good = numbers() == before and network(rows_for(network, 9)).shape == (9, 10)
            os._exit(0 if good and numbers() == before else 1)
        status = os.waitpid(child, 0)[1]
        leave.set()
        holding.join()
        assert os.waitstatus_to_exitcode(status) == 0
        assert numbers() == before


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 63, 64, 65, 100, 1000])
@pytest.mark.parametrize("largest", [1, 8, 64])
def test_tiles_make_up_all_rows(count, largest):
    tiles = []
    threads.in_tiles(tiles.append, count, max(largest // 8, 1), largest)
    tiles.sort(key=lambda tile: tile.start)
    assert [i for tile in tiles for i in range(tile.start, tile.stop)] == list(range(count))
    assert all(tile.stop - tile.start <= max(largest, 1) for tile in tiles)


def test_an_error_in_a_tile_ends_the_work():
    done = []

    def f(part):
        if part.start >= 8:
            raise IndexError("of the work")
        done.append(part)

    with pytest.raises(IndexError, match="of the work"):
        threads.in_tiles(f, 1000, 1, 4)
    assert len(done) < 100


def test_work_when_no_thread_can_be_started(monkeypatch):
    def refuse(*_):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(threads, "_help", refuse)
    network = NETWORKS["digits"]
    x = rows_for(network, 3000)
    assert network(x).shape == (3000, 10)


@pytest.mark.parametrize("given", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_call_has_the_bits_of_the_call_before(dtype, given):
    """The first, which is recorded, and those for which a program waits; the BLAS would take two threads."""
    rng = np.random.default_rng(0)
    widths = [(3, 293), (293, 119), (119, 5)]
    network = xpnn.Network([xpnn.Dense(rng.normal(size=w).astype(dtype)) for w in widths])
    for count in (1, 33, 49, 79):
        x = rng.normal(size=(count, 3)).astype(given)
        with threadpool_limits(2, user_api="blas"):
            first, *others = (network(x) for _ in range(4))
        for y in others:
            np.testing.assert_array_equal(y, first)


INTERRUPTED = """
import random, signal, time
import numpy as np
import xpnn

signal.signal(signal.SIGALRM, signal.default_int_handler)
random.seed(0)
network = xpnn.Network([xpnn.Dense(np.ones((64, 100)) / 64, None, "tanh"), xpnn.Dense(np.ones((100, 10)))])
x = np.ones((4000, 64))
expected = network(x)
start = time.perf_counter()
network(x)
seconds = time.perf_counter() - start
hits = 0
for _ in range(2500):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.random() * 2 * seconds + 1e-6)
        network(x)
        time.sleep(3 * seconds)
    except KeyboardInterrupt:
        hits += 1
    assert np.array_equal(network(x), expected)
print(hits)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers of signals")
def test_interrupts_leave_no_lock_held():
    """Locks that are Python's own are, if an interrupt comes behind the call that takes them."""
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 500


def test_tasks(monkeypatch):
    monkeypatch.setattr(threads, "_pool", None)
    done, gate = [], threading.Event()
    first = threads._help(gate.wait, 1)
    second = threads._help(lambda: done.append(2), 1)
    third = threads._help(lambda: done.append(3), 1)
    assert second.cancel()
    gate.set()
    first.result()
    third.result()
    assert done == [3]
    assert not third.cancel()
    failing = threads._help(lambda: {}["missing"], 2)
    for _ in "12":
        with pytest.raises(KeyError):
            failing.result()
    before = threading.active_count()
    threads._help(gate.wait, 1).result()
    assert threading.active_count() <= before + 1
