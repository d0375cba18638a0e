"""Calls are planned once for each kind: later ones find the plan, on any thread."""

import threading

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ACTIVATIONS
from xpnn._arrays.transfer import to_numpy
from xpnn._execution import plans
from xpnn._execution.functions import Planner

FUNCTIONS = {
    **{name: getattr(xpnn, name) for name in ACTIVATIONS},
    "logsumexp": xpnn.logsumexp,
    **{name: name for name in ("network", "logits", "log_proba", "classify")},
}
WAYS = ("fast", "as written", "reproducible")


def namespace(way, backend):
    """What a call is given as xp."""
    given = {"fast": None, "as written": backend.xp}
    return given[way] if way in given else xpnn.reproducible(backend.xp)


def function_of(name):
    """A public function, or a method of a network that nobody called before."""
    if callable(FUNCTIONS[name]):
        return FUNCTIONS[name]
    weights = [np.eye(5, 4, dtype="float32"), np.eye(4, 3, dtype="float32")]
    network = xpnn.Network.from_weights(weights, None, output="softmax")
    return network if name == "network" else getattr(network, name)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_later_calls_plan_nothing(name, way, backend, monkeypatch):
    function, xp = function_of(name), namespace(way, backend)
    x = backend.asarray(np.ones((6, 5)), "float32")
    first = to_numpy(function(x, xp=xp))

    def never(*_, **__):
        raise AssertionError("planned again")

    for of, method in ((Planner, "plan"), (plans.PlanCache, "keep")):
        monkeypatch.setattr(of, method, never)
    found = []
    calls = [lambda: found.append(to_numpy(function(x, xp=xp)))] * 2
    others = [threading.Thread(target=call) for call in calls]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    for call in calls:
        call()
    assert len(found) == 4
    for y in found:  # the last digit of NumPy's functions depends on where an array lies in memory
        np.testing.assert_allclose(y, first, rtol=1e-6)


def test_plans_are_bounded_and_apart_for_each_type(monkeypatch):
    monkeypatch.setattr(plans, "MOST", 3)
    cache = plans.PlanCache()
    for kind in (int, float):
        for key in range(10):
            assert cache.keep(kind, key, (kind, key)) == (kind, key)
    assert len(cache) == 6
    assert cache.find(int, 9) == (int, 9)
    assert cache.find(float, 9) == (float, 9)
    assert cache.find(int, 6) is cache.find(str, 9) is None


def test_what_has_no_hash_is_planned_each_time():
    cache = plans.PlanCache()
    assert [cache.get([], lambda made=made: made) for made in (1, 2)] == [1, 2]
    assert [cache.get((), lambda made=made: made) for made in (1, 2)] == [1, 1]


@pytest.mark.parametrize("name", ["relu", "softmax", "logsumexp", "network"])
def test_what_is_no_namespace_is_refused_after_what_is(name):
    function, x = function_of(name), np.ones((2, 5), "float32")
    for given in (None, np, xpnn.reproducible(np)):
        function(x, xp=given)
        called = getattr(given, "__name__", "None")
        for wrong in (called, (called,), (None,), 1):
            with pytest.raises(TypeError):
                function(x, xp=wrong)
