"""Golden digests through the engine: all that can be recorded is compiled, and the bits are the promised ones."""

import json

import golden_cases
import numpy as np
import pytest

import xpnn
from xpnn._arrays.library import library_of_namespace
from xpnn._engine import machine, tuning
from xpnn._engine.emitter import CannotBeLoweredError
from xpnn._engine.recorder import namespace as recording
from xpnn._execution import tiles
from xpnn._execution.plans import PlanCache
from xpnn._execution.tiles import Tiled
from xpnn.testing import assert_digest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not machine.is_there(), reason="there is no compiler, or it is switched off"
    ),
]

GOLDEN = json.loads(golden_cases.FILE.read_text(encoding="utf-8"))
RXP = xpnn.reproducible(np)
THERE = RXP.__xpnn_library__.over(library_of_namespace(recording))

# Cases that the engine does not compute, by how their names begin, and why. Whoever extends it takes
# their names out: the tests fail until then.
NOT_RECORDED = {
    "layers function": "a function of the caller's own runs as it is written",
}
NOT_LOWERED = {
    "cumulative_sum": "each sum needs the one before; it has no instructions",
}


def is_in(table, name):
    return name.startswith(tuple(table))


class Recorded:
    """The reproducible namespace whose functions are recorded as formulas of their first array, in tiles."""

    def __getattr__(self, name):
        def function(x, *others, **options):
            def formula(a):
                constants = map(THERE.xp.asarray, others)
                return getattr(THERE.xp, name)(a, *constants, **options)

            whole = THERE.around(formula)
            return Tiled(whole, tuning.REPRODUCIBLE_CACHE, tuning.REPRODUCIBLE_LEAST)(x)

        return function


def computed(name):
    """A case as xpnn's functions and networks compute it; functions of the namespace as if they were one."""
    of_xpnn = name.startswith(("xpnn.", "network", "layers", "digits"))
    return golden_cases.CASES[name](RXP if of_xpnn else Recorded(), np.asarray)


@pytest.fixture
def recorded(monkeypatch):
    """Why each formula that was recorded could not be compiled: None if it could; plans begin and end here."""
    caches, found = {}, []
    find = PlanCache.find

    def find_anew(self, kind, key):
        if id(self) not in caches:
            caches[id(self)] = self
            self._plans.clear()
        return find(self, kind, key)

    class Seen(tiles.CompiledTrace):
        def __init__(self, *args, **options):
            try:
                super().__init__(*args, **options)
            except CannotBeLoweredError as error:
                found.append(str(error))
                raise
            found.append(None)

    monkeypatch.setattr(PlanCache, "find", find_anew)
    monkeypatch.setattr(tiles, "CompiledTrace", Seen)
    yield found
    for cache in caches.values():
        cache._plans.clear()


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
@pytest.mark.parametrize("name", golden_cases.CASES)
def test_digest_by_compiled_code(name, vector_bytes, recorded, monkeypatch):
    monkeypatch.setattr(machine, "vector_bytes", lambda: vector_bytes)
    for _ in range(2):  # the second time small arrays go straight to what waits for them
        assert_digest(computed(name), GOLDEN[name])
    assert bool(recorded) is not is_in(NOT_RECORDED, name)
    reasons = {reason for reason in recorded if reason is not None}
    assert bool(reasons) is is_in(NOT_LOWERED, name), reasons


@pytest.mark.parametrize("name", golden_cases.CASES)
def test_digest_without_the_engine(name, recorded, monkeypatch):
    monkeypatch.setattr(machine, "is_there", lambda: False)
    for _ in range(2):
        assert_digest(computed(name), GOLDEN[name])
    assert not recorded
