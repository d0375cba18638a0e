"""Networks and functions in other processes and on other threads: the same bits, and no deadlock after a fork."""

import multiprocessing
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

import xpnn
import xpnn.models
from xpnn._execution import threads

X = np.random.default_rng(0).uniform(0, 1, (300, 784)).astype("float32")
WAYS = {"default": None, "plain": np, "reproducible": xpnn.reproducible(np)}
NETWORK = xpnn.load("digits")
FUNCTIONS = (NETWORK, NETWORK.log_proba, NETWORK.classify, xpnn.gelu, xpnn.softmax, xpnn.logsumexp)


class Call(NamedTuple):
    """What is given to others: a network, its method or a function, and the name of a way."""

    f: Any
    way: str

    def __call__(self):
        return self.f(X, xp=WAYS[self.way])


CALLS = [Call(f, way) for way in WAYS for f in FUNCTIONS]


def run(call):
    return call()


def expected():
    return [call() for call in CALLS]


def hold(results, right):
    """The same bits in the reproducible way; the others add as the threads share out the work."""
    for y, one, call in zip(results, right, CALLS[-len(right) :], strict=True):
        tolerance = 0 if call.way == "reproducible" else 1e-4
        np.testing.assert_allclose(y, one, rtol=tolerance, atol=tolerance / 100, strict=True)


def test_pickles_carry_no_more_than_the_arrays(torch):
    network = xpnn.load("digits")
    before = pickle.dumps(network)
    for f in (network, network.log_proba):
        for way in WAYS.values():
            f(X, xp=way)
        f(torch.asarray(X))
        f(torch.asarray(X), xp=xpnn.reproducible(torch))
    network.classify(X, certain=True)
    assert network._copies
    assert len(network._plans) > 4
    assert pickle.dumps(network) == before
    again = pickle.loads(before)
    arrays = [a for layer in again.layers for a in layer.arrays.values()]
    assert len(before) < sum(a.nbytes for a in arrays) + 1024
    assert not any(a.flags.writeable for a in arrays)
    with pytest.raises(AttributeError):
        again.layers = ()
    with pytest.raises(ValueError, match="read-only"):
        again.layers[0].weight[0] = 0
    hold([again(X)], [network(X)])


def test_every_call_is_picklable():
    hold([pickle.loads(pickle.dumps(call))() for call in CALLS], expected())


def test_threads():
    right = expected()
    with ThreadPoolExecutor(4) as pool:
        for _ in "12":
            hold(pool.map(run, CALLS), right)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend):
    joblib = pytest.importorskip("joblib")
    jobs = (joblib.delayed(run)(call) for call in CALLS)
    hold(joblib.Parallel(2, backend=backend)(jobs), expected())
    if backend == "loky":  # which shares the processors out among its processes
        (number,) = joblib.Parallel(2, backend=backend)([joblib.delayed(threads.count)()] * 2)[:1]
        assert number <= max(joblib.cpu_count() // 2, 1)


FORKS = """
import os, signal, sys, threading
import numpy as np
import xpnn
from test_processes import CALLS, X, expected
from xpnn._execution import threads

def keeps(f):
    while not stop.is_set():
        f()

def compiles():
    rng = np.random.default_rng()
    width = int(rng.integers(2, 40))
    weights = [rng.normal(size=(width, width)), rng.normal(size=(width, 3))]
    network = xpnn.Network.from_weights(weights, None, hidden="mish", output="softmax")
    network(rng.normal(size=(int(rng.integers(1, 4000)), width)))

right, number, stop = expected(), threads.count(), threading.Event()
assert number > 1
compiles()  # a thread must not import while a process is copied: Python's own lock would stay held
working = [threading.Thread(target=keeps, args=[f]) for f in (*CALLS[:1], CALLS[12], compiles)]
for thread in working:
    thread.start()
failed = 0
for _ in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        good = threads.count() == number
        for call, y in zip(CALLS, right):
            good = good and np.array_equal(call(), y)
        compiles()
        os._exit(0 if good else 1)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
for thread in working:
    thread.join()
sys.exit(failed)
"""


@pytest.mark.slow
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forks_while_threads_compute_and_compile(request, monkeypatch):
    """In each child all is computed with the bits of the parent, on as many threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        cwd=request.path.parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("make", ["pool", "executor", "process"])
def test_fork(make):
    """After threads of xpnn's own have started."""
    right, context = expected(), multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that threads are there, JAX's, too: which is the test
        if make == "pool":
            with context.Pool(2) as pool:
                results = pool.map(run, CALLS)
        elif make == "executor":
            with ProcessPoolExecutor(2, context) as executor:
                results = list(executor.map(run, CALLS))
        else:
            ours, theirs = context.Pipe()
            process = context.Process(target=lambda: theirs.send(expected()))
            process.start()
            results = ours.recv()
            process.join()
    hold(results, right)
    assert threading.active_count() < 20


@pytest.mark.slow
def test_the_example_of_every_start_method(request):
    """Also what is spawned, whose functions are those of a script."""
    script = request.config.rootpath / "examples" / "processes.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(multiprocessing.get_all_start_methods())
    assert all(line.endswith(" True") for line in lines), done.stdout
