"""The matrix itself: its cases reach what they say, are the same again, and see planted faults."""

import json

import numpy as np
import pytest
from matrix import check, command, cover, factors

import xpnn

pytestmark = pytest.mark.libraries

PLAIN = {
    "function": "sigmoid", "library": "numpy", "transform": "none", "way": "plain", "dtype": "float32",
    "order": "native", "layout": "C", "values": "normal", "constant": "_engine.tuning.FEW_COLUMNS", "side": 0,
    "unit": "elements", "dimension": "rows", "axis": "-", "mask": "-", "weighted": "-", "option": "-",
    "hidden": "-", "output": "-", "depth": "-", "outputs": "-", "bias": "-", "weights": "-", "place": "-",
    "x64": True, "threads": 1,
}  # fmt: skip
NETWORK = PLAIN | {
    "function": "call", "hidden": "relu", "output": "softmax", "depth": 2, "outputs": 3, "bias": True,
    "weights": "float32", "place": "follows",
}  # fmt: skip


def faults(**levels):
    return check.check({**PLAIN, **levels}, peers=0.0).faults


def test_cases_keep_the_rules_and_are_the_same_again():
    first, second = (cover.Cover(3).endless() for _ in "12")
    for _ in range(30):
        case = next(first)
        assert case == next(second)
        assert list(case) == list(factors.FACTORS)
        assert all(rule.holds(*(case[f] for f in rule.factors)) for rule in factors.RULES)
        assert json.loads(json.dumps(case)) == case


def test_pairs_are_counted_once():
    drawn = cover.Cover(0)
    case = drawn.complete()
    n = len(factors.FACTORS)
    before = drawn.missing.sum()
    drawn.take(case)
    reached = (before - drawn.missing.sum()) // 2
    assert reached == n * (n - 1) // 2 or factors.refusal(case)
    drawn.take(case)
    assert before - drawn.missing.sum() == 2 * reached


@pytest.mark.parametrize(
    "levels", [PLAIN, NETWORK, PLAIN | {"function": "softmax", "axis": "first"}]
)
@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
def test_what_is_sound_passes(levels, way):
    assert faults(**{**levels, "way": way}) == []


def test_a_refusal_that_is_missing_is_a_fault(monkeypatch):
    assert faults(dtype="bool") == []
    monkeypatch.setattr(xpnn, "sigmoid", lambda x, xp=None: x)
    assert "got a result" in faults(dtype="bool")[0]


def planted_value(x, xp=None):
    return 1 / (1 + np.exp(-x)) * np.float32(1 + 1e-5)


def planted_memory(x, xp=None, remembered=[]):  # noqa: B006
    remembered.append(xpnn._activations.sigmoids.sigmoid(x, xp=xp))
    return remembered[0]


def planted_change(x, xp=None):
    y = xpnn._activations.sigmoids.sigmoid(x, xp=xp)
    x[0] = 7
    return y


def planted_order(x, xp=None, calls=[]):  # noqa: B006
    calls.append(1)
    y = xpnn._activations.sigmoids.sigmoid(x, xp=xp)
    return y if len(calls) == 1 else np.nextafter(y, np.float32(1))


def planted_dtype(x, xp=None):
    return xpnn._activations.sigmoids.sigmoid(x, xp=xp).astype("float64")


def planted_warning(x, xp=None):
    return xpnn._activations.sigmoids.sigmoid(x, xp=xp) + 0 * np.log(0 * x[:1] - 1)


def planted_setting(x, xp=None):
    np.seterr(under="print" if np.geterr()["under"] == "ignore" else "ignore")
    return xpnn._activations.sigmoids.sigmoid(x, xp=xp)


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (planted_value, "off, first at"),
        (planted_memory, "call between"),
        (planted_change, "changed"),
        (planted_order, "differs from the first"),
        (planted_dtype, "expected float32"),
        (planted_setting, "settings changed"),
    ],
)
def test_planted_faults_are_found(planted, words, monkeypatch):
    monkeypatch.setattr(xpnn, "sigmoid", planted)
    with np.errstate():  # which restores what a fault may change
        assert any(words in fault for fault in faults())


def test_warnings_are_found(monkeypatch):
    monkeypatch.setattr(xpnn, "sigmoid", planted_warning)
    assert "RuntimeWarning" in command.report(PLAIN)["faults"][0]


def test_a_process_that_dies_or_hangs_is_a_fault(monkeypatch):
    worker = command.Worker()
    assert worker(PLAIN, 0.0)["faults"] == []
    monkeypatch.setattr(command, "_PATIENCE", 0.0)
    assert "no answer" in worker(PLAIN, 0.0)["faults"][0]
    monkeypatch.undo()
    worker._start()
    worker._process.kill()
    worker._process.wait()
    assert "died" in worker(PLAIN, 0.0)["faults"][0]
    worker.stop()


def test_other_bits_in_another_order_are_a_fault(capsys):
    tally = command.Tally(0)
    found = {"faults": [], "comparisons": 3, "digest": "a", "seconds": 0.1}
    tally.add(PLAIN, found)
    tally.add(PLAIN, found)
    assert tally.failed == 0
    tally.add(PLAIN, {**found, "digest": "b"})
    assert tally.failed == 1
    assert "--case '" in capsys.readouterr().out
