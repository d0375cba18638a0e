"""The harness of benchmarks/speed.py: its arithmetic, its verdicts, and that it sees a slow path."""

import json
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

pytestmark = pytest.mark.libraries

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[name]


class Clock:
    """A clock that calls move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, *seconds):
        """A call that takes so long, each time the next of these and then the last."""
        left = list(seconds)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("_timing.rest", lambda: None)
    return Clock()


def measured(clock, rounds, **calls):
    from _timing import Contender, Effort, measure

    contenders = [
        Contender(name, call, None if name == "xpnn" else "xpnn") for name, call in calls.items()
    ]
    return measure(contenders, Effort(rounds, seconds=1e9), clock)


def test_a_ratio_is_the_peers_time_to_xpnns(clock):
    found = measured(clock, 5, xpnn=clock.takes(0.25), peer=clock.takes(0.5))
    assert found["rounds"] == 5
    assert found["seconds"] == pytest.approx({"xpnn": 0.25, "peer": 0.5})
    assert found["ratios"]["peer"] == pytest.approx({"ratio": 2, "low": 2, "high": 2})


def test_cold_calls_are_not_timed(clock):
    # The warm-up and the first call of every round are slow; the second is what counts.
    seconds = [9, 9, *[0.4, 0.25] * 3]
    found = measured(clock, 3, xpnn=clock.takes(*seconds), peer=clock.takes(0.25))
    assert found["seconds"]["xpnn"] == pytest.approx(0.25)


def test_ratios_are_of_pairs_of_one_round(clock):
    # The machine is four times as slow in the first round: the ratio is 2 there too.
    seconds = [0.1, 0.1, 0.4, 0.4, *[0.1] * 8]
    found = measured(
        clock, 5, xpnn=clock.takes(*seconds), peer=clock.takes(*(2 * s for s in seconds))
    )
    assert found["ratios"]["peer"] == pytest.approx({"ratio": 2, "low": 2, "high": 2})


def test_short_calls_are_repeated(clock):
    found = measured(clock, 3, xpnn=clock.takes(1e-6), peer=clock.takes(3e-6))
    assert found["seconds"]["xpnn"] == pytest.approx(1e-6)
    assert found["ratios"]["peer"]["ratio"] == pytest.approx(3)
    assert clock.now > 3 * 2 * 2 * 1e-3  # rounds, contenders, samples, seconds


def test_a_call_that_makes_several_is_divided(clock):
    from _timing import Contender, Effort, measure

    contenders = [Contender("xpnn", clock.takes(0.5), None, count=10)]
    assert measure(contenders, Effort(3, 9), clock)["seconds"]["xpnn"] == pytest.approx(0.05)


def test_a_measurement_waits_for_other_threads():
    import _timing

    end = time.perf_counter() + 0.15

    def spin():
        while time.perf_counter() < end:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    _timing.rest()
    assert not thread.is_alive()


def test_the_budget_of_time_ends_a_measurement(clock):
    from _timing import Contender, Effort, measure

    contenders = [Contender("xpnn", clock.takes(10.0), None)]
    assert measure(contenders, Effort(100, seconds=1), clock)["rounds"] == 3


def result(name, peer, ratio, seconds=1.0, high=None):
    found = {"ratio": ratio, "low": ratio, "high": high or ratio}
    return {
        "id": name,
        "seconds": {"xpnn": seconds / ratio, peer: seconds},
        "ratios": {peer: found},
    }


BEFORE = [result("numpy/softmax/1x10/axis=-1/float32", "by hand", 2.0)]


@pytest.mark.parametrize(("now", "falls"), [(2.0, 0), (1.6, 0), (1.51, 0), (1.49, 1), (0.1, 1)])
def test_a_ratio_that_lost_a_quarter_fell(now, falls):
    from _baseline import fallen

    found = fallen(BEFORE, [result(BEFORE[0]["id"], "by hand", now)])
    assert len(found) == falls
    assert not falls or "by hand: 2 -> " in str(found[0])


def test_what_is_no_longer_measured_is_missing():
    from _baseline import compared, missing

    other = [result(BEFORE[0]["id"], "scipy.special", 1.0)]
    assert compared(BEFORE, other) == 0
    assert missing(BEFORE, other) == [f"{BEFORE[0]['id']} against by hand"]


class Run:
    """Measurements that are told beforehand."""

    def __init__(self, *results):
        self.again = list(results)
        self.asked = None

    def results(self, only):
        self.asked = only
        return iter(self.again)


@pytest.mark.parametrize(
    ("first", "again", "passes"), [(2.0, None, True), (1.0, 1.9, True), (1.0, 1.0, False)]
)
def test_a_check_fails_where_a_ratio_fell_twice(
    tmp_path, monkeypatch, capsys, first, again, passes
):
    import speed

    monkeypatch.setattr(speed, "BASELINE", tmp_path / "speed.json")
    speed.BASELINE.write_text(json.dumps({"machine": speed.machine(), "results": BEFORE}))
    name = BEFORE[0]["id"]
    run = Run(*([result(name, "by hand", again)] if again else []))
    assert speed.check(run, [result(name, "by hand", first)], full=True) is passes
    assert (run.asked is None) == (again is None)
    assert (f"fell: {name} against by hand" in capsys.readouterr().out) is not passes


def test_a_check_of_nothing_fails(tmp_path, monkeypatch):
    import speed

    monkeypatch.setattr(speed, "BASELINE", tmp_path / "speed.json")
    speed.BASELINE.write_text(json.dumps({"machine": speed.machine(), "results": BEFORE}))
    assert not speed.check(Run(), [], full=False)


@pytest.mark.parametrize(
    ("name", "peer", "ratio", "seconds", "met"),
    [
        ("numpy/softmax/1x10/axis=-1/float32", "scipy.special", 1.5, 1e-6, True),
        ("numpy/softmax/1x10/axis=-1/float32", "scipy.special", 1.49, 1e-6, False),
        ("numpy/tanh/1x10/float64", "by hand", 1.29, 1e-6, False),
        ("numpy/4-16-3/rows=1", "scikit-learn", 29, 1e-6, False),
        ("numpy/10-512-512-512-512-1000/rows=1", "scikit-learn", 2.5, 1e-6, True),
        ("numpy/10-512-512-512-512-1000/rows=1", "ONNX Runtime", 1.19, 1e-6, False),
        ("numpy/784-50-100-10/rows=10000", "ONNX Runtime", 0.9, 1e-3, True),
        ("numpy/64-32-10/rows=100000", "ONNX Runtime", 0.9, 1e-3, False),
        ("numpy-only/elu/1x10/float32", "by hand", 0.99, 1e-6, False),
        ("numpy-only/elu/64x1000/float32", "by hand", 0.9, 1e-6, True),
        ("numpy-only/softmax/1x10/axis=0/float32", "by hand", 0.99, 1e-6, False),
        ("numpy-only/4-16-3/rows=1", "by hand", 0.99, 1e-6, False),
        ("numpy-only/4-16-3/rows=100", "by hand", 0.89, 1e-6, False),
        ("torch/gelu/1x10/float32", "torch.nn.functional", 0.5, 2e-6, True),  # 2 us more
        ("torch/gelu/1x10/float32", "torch.nn.functional", 0.3, 2e-6, False),  # 4.7 us more
        ("torch/gelu/4096x1000/float32", "torch.nn.functional", 0.94, 1e-3, False),
        ("torch/4-16-3/rows=100000", "nn.Sequential", 0.98, 1e-3, True),
        ("torch/gelu/4096x1000/float32", "torch.compile", 0.97, 1e-6, False),
        ("jax/4-16-3/rows=1", "jax.nn", 0.99, 1e-3, False),
        ("jax/gelu/1x10/float32", "jax.nn", 1, 1e-3, True),
        ("jax/gelu/1x10/float32", "jax.nn jitted", 0.95, 1e-3, True),
        ("threads/784-50-100-10/rows=1", "xpnn, in turn", 1.4, 1e-3, False),
        ("bits-numpy/784-50-100-10/rows=1", "plain", 1 / 3.1, 1e-3, False),
        ("bits-numpy/784-50-100-10/rows=10000", "plain", 1 / 4.4, 1e-3, True),
        ("bits-numpy/10-512-512-512-512-1000/rows=10000", "plain", 1 / 4.4, 1e-3, False),
        ("keras-jax/4-16-3/rows=1", "Keras predict", 1.9, 1e-3, False),
    ],
)
def test_goals(name, peer, ratio, seconds, met):
    from _goals import goal_of

    found = result(name, peer, ratio, seconds)
    assert goal_of(found, peer).met(found, peer) is met


def test_ratios_without_a_goal():
    from _goals import goal_of

    assert goal_of(result("numpy/4-16-3/rows=100", "by hand", 1.0), "by hand") is None
    assert goal_of(result("bits-torch/4-16-3/rows=1", "plain", 1.0), "plain") is None
    assert goal_of(result("keras-jax/4-16-3/rows=100", "Keras predict", 1), "Keras predict") is None


@pytest.mark.parametrize(
    ("load", "ratio", "met"), [(0.4, 1.4, False), (2, 1, True), (2, 0.9, False)]
)
def test_two_threads_on_a_loaded_machine(load, ratio, met):
    from _goals import goal_of

    found = result("threads/4-16-3/rows=1", "xpnn, in turn", ratio) | {"load": load}
    assert goal_of(found, "xpnn, in turn").met(found, "xpnn, in turn") is met


def test_every_goal_is_of_what_is_measured():
    from _cases import BACKENDS, cases
    from _goals import GOALS, LIMITS
    from _memory import cases as large

    names = [f"{backend}/{case.id}" for backend in BACKENDS for case in cases(backend, quick=False)]
    names += [f"memory/{case.id}" for case in large(quick=False)]
    for goal in (*GOALS, *LIMITS):
        assert any(re.search(goal.workloads, name) for name in (*names, "import")), goal


def test_a_group_of_goals_is_a_line():
    from _goals import GOALS
    from _table import groups

    small = [goal for goal in GOALS if "under 50,000" in goal.on]
    results = [
        result("numpy/4-16-3/rows=1", "by hand", 6.0),
        result("numpy/64-32-10/rows=1", "ONNX Runtime", 2.0),
    ]
    on, against, least = small[0].on, "ONNX Runtime; by hand; scikit-learn", ">= 4; >= 5; >= 30"
    answers = "2.00; 6.00 | 2.00; 6.00 | missed by 1 of 1; met; not measured"
    assert f"| {on} | {against} | {least} | {answers} |" in groups(results)
    bits = result("bits-numpy/784-50-100-10/rows=10000", "plain", 0.2)
    assert "at most 4.5 times; at most 4 times; at most 3 times | 5.0 times" in groups([bits])


@pytest.mark.parametrize(("backend", "engine"), [("numpy", None), ("numpy-only", "numpy")])
def test_workers_drop_what_chooses_other_kernels(monkeypatch, backend, engine):
    from speed import environment

    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XPNN_ENGINE"):
        monkeypatch.setenv(name, "else")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    found = environment(backend)
    assert {name: found[name] for name in found if name.startswith(("OPENBLAS", "XPNN"))} == {
        "OPENBLAS_NUM_THREADS": "2",
        **({"XPNN_ENGINE": engine} if engine else {}),
    }


def test_the_kernels_that_ran_are_named():
    from _worker import threads

    named = " ".join(threads("numpy"))
    for pool in threadpool_info():
        assert pool["user_api"] != "blas" or f"({pool['architecture']})" in named


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_the_calls(threads):
    from _threads import shared

    seen = []

    def call(x):
        seen.append(threading.current_thread())
        return x

    assert shared(call, 7, 10, threads) == 7
    assert [seen.count(one) for one in set(seen)] == [10 // threads] * threads


@pytest.mark.parametrize("backend", ["threads", "bits-numpy", "bits-torch", "bits-jax"])
def test_workloads_of_their_own_kind(backend, request, monkeypatch):
    import _threads
    from _cases import Network
    from _timing import Effort
    from _worker import result

    for library in {"torch", "jax"} & set(backend.split("-")):
        request.getfixturevalue(library)
    monkeypatch.setattr(_threads, "BATCH", 1e-3)
    found = result(backend, Network((4, 16, 3), 10), Effort(3, 0.01))
    assert found["seconds"]["xpnn"] < 0.1
    assert {"xpnn, in turn", "plain"} & found["ratios"].keys()


@pytest.mark.parametrize(("mib", "verdict"), [(15, "met"), (17, "missed by 1 of 1")])
def test_limits(mib, verdict):
    from _goals import LIMITS
    from _table import verdict as found

    peak = {
        "id": "memory/gelu/4096x1000/float32",
        "output": 10,
        "bytes": {"xpnn": 10 + mib * 2**20},
    }
    assert found(LIMITS[0], [peak])[-1] == verdict


def test_contenders_that_differ_are_an_error():
    from _timing import Contender
    from _worker import check_same

    x = np.linspace(-1, 1, 100, dtype="float32")
    right = Contender("xpnn", lambda: x, None)
    check_same("same", [right, Contender("peer", lambda: x * np.float32(1 + 1e-6))])
    with pytest.raises(AssertionError, match="peer and xpnn differ"):
        check_same("values", [right, Contender("peer", lambda: x * np.float32(1.01))])
    for other in (x.astype("float64"), x[None]):
        with pytest.raises(ValueError, match=r"peer gives .* of shape"):
            check_same("kind", [right, Contender("peer", lambda other=other: other)])


def test_every_workload_has_a_name_of_its_own():
    from _cases import BACKENDS, cases

    for backend in BACKENDS:
        full = [case.id for case in cases(backend, quick=False)]
        quick = [case.id for case in cases(backend, quick=True)]
        assert len(set(full)) == len(full)
        assert set(quick) < set(full)


def test_the_committed_page_is_of_the_committed_results():
    from _table import page

    document = json.loads((BENCHMARKS / "speed.json").read_text(encoding="utf-8"))
    assert page(document) == (BENCHMARKS / "speed.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_benchmark_of_gpus_runs_without_one(library, request, monkeypatch, capsys):
    request.getfixturevalue(library)
    import gpu

    pattern = "^(softmax/64x1000/.*|10-512-.*rows=1)$"
    arguments = ["--library", library, "--device", "cpu", "--quick", "--only", pattern]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments, "--seconds", "0.01", "--rounds", "3"])
    assert gpu.main() == 0
    page = capsys.readouterr().out
    assert page.count("% of the bandwidth") == 2  # printed as it comes, and in the table
    assert page.count("% of the arithmetic") == 2


def test_the_page_of_speed_has_the_goals_of_the_committed_results():
    import _table

    results = json.loads((BENCHMARKS / "speed.json").read_text(encoding="utf-8"))["results"]
    page = (BENCHMARKS.parent / "docs" / "speed.md").read_text(encoding="utf-8")
    assert _table.with_goals(page, results) == page
