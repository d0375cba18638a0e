"""explain: planted faults are found and named, sound results are not accused, nothing makes it raise."""

import functools

import faults
import numpy as np
import pytest
from sound import SOUND

import xpnn
from xpnn._network.interpreters.values import Plain
from xpnn._parity.standard import Reference, Standard


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), faults.one_network_each())
def test_planted_faults_are_named(name, fault):
    found, words = faults.explained(name, fault)
    assert not found.passed
    assert words in found.cause


OTHERS = {"scikit-learn": ["sklearn"], "ONNX Runtime": ["onnx", "onnxruntime"]}
"""Sound ways by programs that few environments have, and their modules."""


@functools.cache
def standard(name):
    network, x = faults.network(name)
    return network, x, Standard.make(Reference.make(network, x, "output"), str(x.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "deep", "wide", "labels", "square64"])
@pytest.mark.parametrize(
    "variant", [v for v in SOUND if not v.startswith(("torch", "JAX", *OTHERS))]
)
def test_sound_results_are_not_accused(variant, name):
    network, x, held_to = standard(name)
    assert held_to.compare(SOUND[variant](network, x), None).faults == []


@pytest.mark.libraries
@pytest.mark.parametrize("variant", OTHERS)
def test_other_programs_are_not_accused(variant):
    for needed in OTHERS[variant]:
        pytest.importorskip(needed)
    held = []
    for name in ("small", "deep", "wide", "labels", "square64", "digits"):
        network, x, held_to = standard(name)
        y = SOUND[variant](network, x)  # None for what the program has not
        if y is not None:
            held.append(name)
            assert held_to.compare(y, None).faults == []
    assert len(held) > 1


@pytest.mark.parametrize("name", ["small", "deep", "labels", "square64"])
@pytest.mark.parametrize("variant", [v for v in SOUND if v.startswith("torch")])
def test_torch_is_not_accused(variant, name, torch):
    network, x, held_to = standard(name)
    assert held_to.compare(SOUND[variant](network, x), None).faults == []


@pytest.mark.parametrize("name", ["small", "deep", "labels", "square64"])
@pytest.mark.parametrize("variant", [v for v in SOUND if v.startswith("JAX")])
def test_jax_is_not_accused(variant, name, jax):
    if "highest" not in variant and jax.default_backend() != "cpu":
        pytest.skip("unless told otherwise, JAX rounds the factors of products there")
    network, x, held_to = standard(name)
    assert held_to.compare(SOUND[variant](network, x), None).faults == []


def test_rows_that_have_no_exact_values_are_held_to_what_is_expected_of_them():
    """500 of 3,000 rows that are 4e-6 off, none of them among those with exact values."""
    network, x = faults.network("digits")
    x = np.tile(x[:100], (30, 1))
    y = network(x)
    held_to = Standard.make(Reference.make(network, x, "output"), "float32")
    sample = held_to.reference.sample
    rows = [i for i in range(len(x)) if i not in sample][::5][:500]
    assert held_to.compare(y, None).faults == []
    y[rows, :] += np.float32(4e-6)
    comparison = held_to.compare(y, None)
    assert comparison.far == rows
    assert comparison.beyond + comparison.outside == 500


@pytest.mark.parametrize(
    ("value", "rows", "columns", "words"),
    [
        (np.nan, [7], [0, 1, 2], "y has NaN at 3 places: row 7, all 3 columns, where exact"),
        (np.inf, [3, 9], [1], "y has infinity at 2 places: rows 3, 9, column 1, where exact"),
        (-np.inf, range(100), [2], "y has infinity at 100 places: all 100 rows, column 2, where"),
    ],
)
def test_nan_and_infinity_are_said(value, rows, columns, words):
    network, x = faults.network("small")
    y = network(x)
    y[np.ix_(list(rows), columns)] = value
    found = xpnn.explain(network, x, y)
    assert found.faults[0].startswith(words)
    assert found.cause.startswith(words)


def test_nan_in_the_input_is_said_and_is_no_fault():
    network, x = faults.network("small")
    x = x.copy()
    x[5, 2] = np.nan
    found = xpnn.explain(network, x, network(x))
    assert found.passed
    assert found.notes == ("x has NaN at 1 place: row 5, column 2",)
    x[:] = np.nan
    assert xpnn.explain(network, x, network(x)).passed


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "name", ["step", "hard_shrink", "threshold(threshold=0.5, value=3)", "relu"]
)
def test_sound_results_at_a_jump_are_not_accused(name, depth):
    """What is rounded there may lie on either side, in no row as the slope at the argument says."""
    rng = np.random.default_rng(0)
    limit = 0.0 if name in {"step", "relu"} else 0.5
    first = xpnn.Dense(rng.normal(size=(3, 1)).astype("float32"), activation=name)
    last = xpnn.Dense(np.asarray([[3, 1]], "float32"), np.ones(2, "float32"), "softmax")
    network = xpnn.Network([first, last][:depth])
    x = rng.normal(size=(200, 3)).astype("float32")
    a, b, c = first.weight.astype("float64")[:, 0]
    x[:, 2] = (limit - x[:, 0] * a - x[:, 1] * b) / c
    x[:2] = [[1e-39, 0, 0], [0, 0, 0]]
    x[100:, 2] += 1  # not there
    for y in (network(x), network(x, xp=xpnn.reproducible(np))):
        found = xpnn.explain(network, x, y)
        assert found.passed, found
    assert not xpnn.explain(network, x, network(x[::-1])).passed


NOTHING = "no row can be held to anything, so that nothing is known to be right"


def test_what_can_be_held_to_nothing_does_not_pass():
    network, x = faults.network("small")
    x = np.full_like(x, np.inf)
    found = xpnn.explain(network, x, network(x))
    assert not found.passed
    assert found.faults == (NOTHING,)
    assert "none of 100 rows" in found.reference
    assert "x has infinity at 600 places: all 100 rows, all 6 columns" in repr(found)


def test_numbers_where_the_input_is_nan_are_a_fault(backend):
    network, x = faults.network("small")
    x = x.copy()
    right = network(x)
    x[5, 2] = np.nan
    found = xpnn.explain(network, x, right)
    assert found.faults == ("y is a number at 3 places where x is NaN: row 5, all 3 columns",)
    assert found.cause.startswith("NaN was filled in, or lost")
    x[:] = np.nan
    assert not xpnn.explain(network, backend.asarray(x), backend.asarray(right)).passed
    with pytest.raises(ValueError, match=r"explain: expected at least one row, got x of shape"):
        xpnn.explain(network, x[:0], right[:0])


def test_softmax_that_overflows_is_named():
    network, x = faults.network("small")
    with np.errstate(all="ignore"):
        e = np.exp(network.logits(x * 30))
        y = e / e.sum(-1, keepdims=True)
    assert np.isnan(y).any()
    found = xpnn.explain(network, x * 30, y)
    assert found.cause == "softmax without the largest logit taken off, so that exp overflows"


def test_a_logarithm_of_zero_is_named():
    network, x = faults.network("small")
    with np.errstate(all="ignore"):
        y = np.log(network(x * 60))
    assert np.isinf(y).any()
    found = xpnn.explain(network, x * 60, y, of="log_proba")
    assert found.cause == "the logarithm of a probability that became 0"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e20, 1e38, np.inf, np.nan, 1e300])
@pytest.mark.parametrize("output", ["identity", "softmax", "silu", "log_softmax"])
def test_networks_that_blow_up(dtype, scale, output):
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        weights = [(rng.normal(size=(4, 4)) * scale).astype(dtype) for _ in range(3)]
        network = xpnn.Network([xpnn.Dense(w, None, output) for w in weights])
        x = rng.normal(size=(5, 4)).astype(dtype)
        y = network(x)
        found = xpnn.explain(network, x, y)
        assert found.faults == (() if found.comparison.held else (NOTHING,))
        assert found.to_dict()["notes"] == list(found.notes)
        wrong = xpnn.explain(network, x, np.full_like(y, 0.123))
        assert wrong.cause or (wrong.passed and wrong.comparison.held)  # a bound may allow anything


def test_what_is_not_known_of_weights_is_said():
    weight = np.ones((3, 2))
    weight[1, 0] = np.inf
    network = xpnn.Network([xpnn.Dense(weight)])
    x = np.ones((4, 3))
    found = xpnn.explain(network, x, network(x))
    assert found.notes[0] == "layer 0: the weight has infinity at 1 place: row 1, column 0"


@pytest.mark.parametrize("size", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", faults.NETWORKS)
def test_noise_is_no_dropout(name, size):
    """Noise of one size is not as large where dropout's would be."""
    network, x = faults.network(name)
    right = network.logits(x)
    noise = np.random.default_rng(0).normal(size=right.shape) * size * right.std()
    found = xpnn.explain(network, x, (right + noise).astype(x.dtype), of="logits")
    assert found.cause == "unknown"


def _scaled(dense):
    numbers = np.linspace(0.5, 2, 12, dtype="float32")
    return [xpnn.Affine(numbers, numbers - 1), *dense, xpnn.Affine(numbers[:5], numbers[:5])]


def _gated(dense):
    gate = xpnn.Affine(activation="silu")
    return [dense[0], xpnn.Residual((gate,)), dense[1]]


def _inside(dense):
    return [dense[0], xpnn.Residual((dense[2], xpnn.Affine(activation="tanh"))), dense[1]]


@pytest.mark.parametrize("around", [_scaled, _gated, _inside])
def test_coarse_factors_beside_other_layers(around):
    """Products with matrices have them, those inside of other layers too; scales and sums do not."""
    rng = np.random.default_rng(0)
    shapes = (12, 64), (64, 5), (64, 64)
    weights = [(rng.normal(size=s) / 8).astype("float32") for s in shapes]
    dense = [xpnn.Dense(w) for w in weights]
    network = xpnn.Network(around(dense if around is _inside else dense[:2]))

    class Coarse(Plain):
        def linear(self, x, weight, bias, *_):
            return faults.bits(x, 11) @ faults.bits(weight, 11) + (0 if bias is None else bias)

    x = y = rng.normal(size=(60, 12)).astype("float32")
    for layer in network.layers:
        y = layer.activated(layer.preactivation(y, Coarse(np)), Plain(np))
    assert xpnn.explain(network, x, y).cause == "factors of products rounded to TF32"
