"""Slopes and roundings of activations, on which the error bound rests, against mpmath."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from networks import OPTIONS

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import ELEMENTWISE, RECORDS
from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.transfer import to_numpy
from xpnn._network.interpreters.bounds import Bounds
from xpnn._parity.standard import host
from xpnn._rounding.enclosure import Enclosure, Rounding
from xpnn._rounding.exact import context

NAMES = [function.__name__ for function in ELEMENTWISE]
FORMS = (*NAMES, *OPTIONS, "celu(alpha=2.0)", "softplus(beta=0.5)", "elu(alpha=-2.0)")
FLAT = (
    "identity",
    "relu",
    "relu6",
    "leaky_relu",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "step",
)


def formula(form):
    return lambda x: Activation.of(form).exact([x])[0]


def slope(form, t):
    """|f'(t)|, exactly enough."""
    mp = context()
    return float(abs(mp.diff(formula(form), mp.mpf(t), h=mp.mpf(2) ** -120)))


def steepest(form, low, high):
    one = Activation.of(form)
    with host().guard("float64"):
        low, high, options = np.asarray(low), np.asarray(high), dict(one.options)
        return one.record.errors.steepest(low, high, host().xp, **options)


@pytest.mark.parametrize("form", FORMS)
def test_no_slope_is_steeper(form):
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(-3, 2, 150)
    middle = rng.normal(size=150) * size
    width = 10 ** rng.uniform(-6, 1.5, 150) * (rng.random(150) < 0.8)
    low, high = middle - width, middle + width
    most = steepest(form, low, high)
    inside = low + (high - low) * rng.random((4, 150))
    ends = np.asarray([low, high, np.clip(0.0, low, high)])
    for points in (*inside, *ends):
        for t, limit in zip(points, most, strict=True):
            # At a kink, such as 0, a difference of both sides is no slope.
            if t not in {0.0, 3.0, -3.0, 1.0, -1.0, 6.0, 2.0}:
                assert slope(form, t) <= limit * (1 + 1e-12) + 1e-300, t


@pytest.mark.parametrize("form", FORMS)
def test_slopes_are_of_use(form):
    """At a point it is the slope, but for the gated ones, which take the largest of all."""
    gated = form.split("(")[0] in {"gelu", "silu", "mish", "selu"}
    points = np.asarray([-7.3, -2.1, -0.4, 0.7, 2.2, 5.1])
    got = steepest(form, points, points)
    for t, value in zip(points, got, strict=True):
        there = slope(form, t)
        if gated:
            assert value <= 1.8
            assert t > -3 or value < 20 * there + 1e-300
        elif "threshold" in form and t > 2:
            assert value == 1
        else:
            assert value == pytest.approx(there, rel=1e-12, abs=0)


def test_jumps_are_where_they_are():
    xp, (low, high) = host().xp, np.asarray([[-1.0, 0.5, -2.0], [1.0, 2.0, -1.0]])
    assert RECORDS["step"].errors.jump(low, high, xp).tolist() == [1, 0, 0]
    jump = RECORDS["softplus"].errors.jump(low, high, xp, beta=1.0, threshold=1.5)
    assert jump.tolist() == [0, pytest.approx(math.log1p(math.exp(-1.5))), 0]
    jump = RECORDS["hard_shrink"].errors.jump(low, high, xp, lambd=1.5)
    assert jump.tolist() == pytest.approx([0, 1.5, 1.5], rel=2e-6)  # and what float32 rounds
    jump = RECORDS["threshold"].errors.jump(low, high, xp, threshold=0.0, value=3.0)
    assert jump.tolist() == [3, 0, 0]


def usual(module, form):
    """The same activation, as a library has it or as people write it."""
    f = module["nn"]
    exp, log, tanh, sqrt = module["exp"], module["log"], module["tanh"], math.sqrt
    return {
        "sigmoid": [f.sigmoid, lambda x: 1 / (1 + exp(-x)), lambda x: 0.5 + 0.5 * tanh(0.5 * x)],
        "log_sigmoid": [getattr(f, "logsigmoid", None) or f.log_sigmoid],
        "tanh": [f.tanh],
        "relu": [f.relu],
        "relu6": [f.relu6],
        "leaky_relu": [f.leaky_relu],
        "elu": [f.elu, lambda x: module["where"](x > 0, x, exp(x) - 1)],
        "selu": [f.selu],
        "celu": [f.celu],
        "gelu": [lambda x: f.gelu(x, **module["exact"])],
        "gelu(approximate='tanh')": [
            lambda x: f.gelu(x, approximate=module["tanh form"]),
            lambda x: 0.5 * x * (1 + tanh(sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))),
        ],
        "silu": [f.silu, lambda x: x / (1 + exp(-x))],
        "mish": [f.mish],
        "softplus": [f.softplus, lambda x: log(1 + exp(x))],
        "softsign": [getattr(f, "softsign", None) or f.soft_sign],
        "hard_sigmoid": [getattr(f, "hardsigmoid", None) or f.hard_sigmoid, lambda x: f.relu6(x + 3) / 6],
        "hard_swish": [getattr(f, "hardswish", None) or f.hard_swish],
        "hard_tanh": [getattr(f, "hardtanh", None) or f.hard_tanh],
        "erf": [module["erf"]],
        "tanhshrink": [lambda x: x - tanh(x)],
        "softshrink": [lambda x: module["where"](x < 0, -1, 1) * f.relu(abs(x) - 0.5)],
        "exp": [exp],
    }.get(form, [])  # fmt: skip


@pytest.fixture
def libraries(torch, jax):
    import types

    f = torch.nn.functional
    own = types.SimpleNamespace(**{n: getattr(f, n) for n in dir(f) if not n.startswith("_")})
    own.tanh, own.sigmoid = torch.tanh, torch.sigmoid
    return [
        (
            torch.asarray,
            {
                "nn": own, "exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "erf": torch.erf,
                "where": torch.where, "exact": {}, "tanh form": "tanh",
            },
        ),
        (
            jax.numpy.asarray,
            {
                "nn": jax.nn, "exp": jax.numpy.exp, "log": jax.numpy.log, "tanh": jax.numpy.tanh,
                "erf": jax.scipy.special.erf, "where": jax.numpy.where,
                "exact": {"approximate": False}, "tanh form": True,
            },
        ),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("form", [f for f in FORMS if f in {*NAMES, "gelu(approximate='tanh')"}])
def test_sound_implementations_are_within_the_roundings(form, libraries, dtype):
    """xpnn's, those of torch and jax.nn, and the ways in which people write them."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-12, 12, 300), rng.normal(size=100) * 10 ** rng.uniform(-6, 0)])
    x = x.astype(dtype)
    mp, one = context(), Activation.of(form)
    exact = [formula(form)(mp.mpf(float(v))) for v in x]
    unit, tiny = PRECISIONS[dtype].unit, PRECISIONS[dtype].tiny
    allowed = one.record.errors.roundings(
        np.abs(x.astype("float64")), np.abs([float(e) for e in exact]), **dict(one.options)
    )
    most = unit * np.asarray(allowed) * np.ones(len(x)) + 4 * tiny * (1 + np.abs(x))
    for asarray, module in libraries:
        for way in (one, *usual(module, form)):
            y = np.asarray(way(asarray(x)))
            for v, e, limit, at in zip(y, exact, most, x, strict=True):
                assert abs(mpmath.mpf(float(v)) - e) <= limit, (float(at), float(v), float(e))


def rows_of(name, logits):
    """softmax or log_softmax of rows, exactly enough."""
    mp = context()
    return [Activation(name).exact([mp.mpf(float(v)) for v in row]) for row in logits]


def alone(name, logits, errors, dtype):
    """The enclosure after softmax or log_softmax of logits known to these errors."""
    xp = host().xp
    with host().guard("float64"):
        by = Rounding.of(dtype, {dtype}, logits, xp)
        s = Enclosure(logits, xp.stack([errors, errors]))
        return Bounds(by, xp).activate(s, Activation(name))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_alone(name, backend, dtype):
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(40, 5)) * 10 ** rng.uniform(-1, 1.8, (40, 1))).astype(dtype)
    s = alone(name, logits.astype("float64"), 0.0 * logits.astype("float64"), dtype)
    y = to_numpy(getattr(xpnn, name)(backend.asarray(logits)))
    for got, row, limits in zip(y, rows_of(name, logits), s.errors[1], strict=True):
        for v, e, limit in zip(got, row, limits, strict=True):
            assert abs(mpmath.mpf(float(v)) - e) <= limit


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_large_differences_may_lose_digits(name):
    """x - max rounds by up to half a unit of the difference: exp(-80) is off by 80 units in float32."""
    logits = np.asarray([[0.0, -80.0, -40.0]])
    s = alone(name, logits, 0.0 * logits, "float32")
    off = logits * np.asarray([[0, 1 - 2.0**-24, 1 - 2.0**-24]])
    for got, row, limits in zip(
        rows_of(name, off), rows_of(name, logits), s.errors[1], strict=True
    ):
        for v, e, limit in zip(got, row, limits, strict=True):
            assert abs(v - e) <= limit
    assert s.errors[1][0, 1] > 60 * 2.0**-24 * (np.exp(-80) if name == "softmax" else 1)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 0.1, 2.0])
def test_errors_of_logits_are_carried_through(name, size):
    """Every corner of the box that the errors leave, of entries known well and badly."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(12, 4)) * 3
    errors = size * rng.choice([1.0, 1e-6], (12, 4))
    s = alone(name, logits, errors, "float64")
    rows = rows_of(name, logits)
    for corner in itertools.product((-1, 1), repeat=4):
        moved = rows_of(name, logits + np.asarray(corner) * errors)
        for got, row, limits in zip(moved, rows, s.errors[0], strict=True):
            assert all(abs(v - e) <= limit for v, e, limit in zip(got, row, limits, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_errors_of_arguments_are_carried_through(form):
    """To the ends of the interval, across every kink and jump."""
    rng = np.random.default_rng(0)
    centre = np.concatenate([rng.normal(size=80) * 3, [-1e-9, 0, 1e-9, 2, 3, -3, 6]])[:, None]
    errors = 10 ** rng.uniform(-9, 0.7, centre.shape)
    xp, f, mp = host().xp, formula(form), context()
    with host().guard("float64"):
        by = Rounding.of("float32", {"float32"}, centre, xp)
        s = Enclosure(centre, xp.stack([errors, errors]))
        after = Bounds(by, xp).activate(s, Activation.of(form))
    for c, e, limit in zip(centre.flat, errors.flat, after.errors[0].flat, strict=True):
        for sign in (-1, 1):
            assert abs(f(mp.mpf(c + sign * e)) - f(mp.mpf(c))) <= limit + 1e-15 * abs(c)
