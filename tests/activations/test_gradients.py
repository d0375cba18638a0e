"""Derivatives by torch.autograd and jax.grad: at 0, at kinks, far out, through masks and ties."""

import math
from functools import partial

import numpy as np
import pytest
from activation_cases import CASES
from labels import label
from references import ELEMENTWISE

import xpnn
from xpnn._activations.table import ELEMENTWISE as TABLE
from xpnn._rounding.exact import context

NAMES = [function.__name__ for function in TABLE]
KINKS = {name: case.kinks for name, case in CASES.items() if case.kinks}
PLACES = [-1000.0, -100.0, -30.0, -6.0, -3.0, -1.25, -1.0, -0.5, -0.3, -1e-9, 0.0]
POINTS = np.asarray(PLACES + [-p for p in PLACES[:-1]])


def derivative(name, x):
    if x in KINKS.get(name, {}):
        return KINKS[name][x]
    mp = context()
    return float(mp.diff(ELEMENTWISE[name], mp.mpf(x), h=mp.mpf(10) ** -25))


@pytest.mark.parametrize("name", NAMES)
def test_elementwise(name, ad):
    desired = np.asarray([derivative(name, float(x)) for x in POINTS])
    (got,) = ad.grad(getattr(xpnn, name), POINTS)
    # erf's polynomial and tanh's 1 - tanh**2 give the derivative fewer digits than the value.
    np.testing.assert_allclose(got, desired, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_infinity_gives_no_nan(name, ad):
    (got,) = ad.grad(getattr(xpnn, name), np.asarray([-math.inf, math.inf]))
    assert not np.isnan(got).any()
    assert np.isinf(got).tolist() == [False, name == "exp"]


@pytest.mark.parametrize(
    "f",
    [
        partial(xpnn.leaky_relu, negative_slope=0.3),
        partial(xpnn.elu, alpha=1.7),
        partial(xpnn.celu, alpha=1.7),
        partial(xpnn.softplus, beta=3.0),
        partial(xpnn.softplus, beta=3.0, threshold=2.0),
        partial(xpnn.gelu, approximate="tanh"),
        partial(xpnn.softshrink, lambd=0.3),
        partial(xpnn.threshold, threshold=0.3, value=2.0),
        *(f for f in TABLE if f.__name__ not in {"step", *KINKS}),
    ],
    ids=label,
)
def test_gradcheck_first_and_second(f, torch):
    x = torch.tensor([-7.0, -2.0, -0.5, 0.4, 1.1, 5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, x)
    assert torch.autograd.gradgradcheck(f, x)


@pytest.mark.slow
@pytest.mark.parametrize("f", [f for f in TABLE if f.__name__ not in {"step", *KINKS}], ids=label)
def test_check_grads_forward_and_reverse(f, jax):
    from jax.test_util import check_grads

    x = np.asarray([-7.0, -2.0, -0.5, 0.4, 1.1, 5.0])
    check_grads(f, (jax.numpy.asarray(x),), order=2, modes=("fwd", "rev"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize(
    "row",
    [[0.3, 2.9, 4.0], [0.0, 0.0, 0.0], [1000.0, -1000.0, 0.0], [2.0, 2.0, 1.0]],
    ids=str,
)
def test_softmax_jacobian_and_hessian(name, row, torch):
    """Ties included: an arg max that treats equal entries apart would show here."""
    x = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    f = partial(getattr(xpnn, name), axis=-1)
    p = torch.softmax(x.detach(), -1)[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: f(v)[0], x)[..., 0, :]
    eye = torch.eye(3, dtype=torch.float64)
    desired = {
        "softmax": torch.diag(p) - torch.outer(p, p),
        "log_softmax": eye - p,
        "logsumexp": p,
    }[name]
    np.testing.assert_allclose(jacobian, desired, rtol=1e-13, atol=1e-15)
    if name != "softmax":
        hessian = torch.autograd.functional.hessian(
            lambda v: (
                (f(v) * torch.tensor([1.0, 0.0, 0.0])).sum() if name == "log_softmax" else f(v)[0]
            ),
            x,
        )[0, :, 0, :]
        curvature = torch.diag(p) - torch.outer(p, p)
        desired = -curvature if name == "log_softmax" else curvature
        np.testing.assert_allclose(hessian, desired, rtol=1e-13, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1000.0, -1000.0, 0.0], [2.0, 2.0, 1.0]], ids=str)
def test_softmax_hessian_by_jax(name, row, jax):
    x = jax.numpy.asarray(row)
    f = partial(getattr(xpnn, name), axis=-1)
    own = {
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "logsumexp": jax.nn.logsumexp,
    }[name]
    got, desired = jax.jacfwd(jax.jacrev(f))(x), jax.jacfwd(jax.jacrev(own))(x)
    np.testing.assert_allclose(got, desired, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 3e38, 0.0], ids=str)
def test_masked_entries_have_gradient_zero(name, junk, ad):
    x = np.asarray([[1.0, junk, 2.0, 0.5], [junk, junk, junk, junk], [junk, 3.0, junk, junk]])
    mask = np.asarray([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    where = ad.asarray(mask)

    def f(v):
        y = getattr(xpnn, name)(v, axis=-1, where=where)
        return y[::2] if name == "logsumexp" else y[ad.asarray(mask)] ** 2

    (got,) = ad.grad(f, x)
    assert (got[~mask] == 0).all()
    assert np.isfinite(got).all()


def test_minus_infinity_among_finite_entries(ad):
    (got,) = ad.grad(lambda v: xpnn.softmax(v)[..., 1], np.asarray([-math.inf, 0.0, 1.0]))
    p = 1 / (1 + math.e)
    np.testing.assert_allclose(got, [0, p * (1 - p), -p * (1 - p)], rtol=1e-14)


def test_logsumexp_weights(ad):
    x, b = np.asarray([0.5, 1.5, -1.0]), np.asarray([2.0, 0.0, -0.5])
    by_x, by_b = ad.grad(lambda v, w: xpnn.logsumexp(v, b=w), x, b)
    e = np.exp(x)
    np.testing.assert_allclose(by_x, b * e / (b @ e), rtol=1e-14)
    np.testing.assert_allclose(by_b, e / (b @ e), rtol=1e-14)  # at weight 0 too


def test_linear(torch):
    x, w, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((4, 3), (3, 2), 2))
    assert torch.autograd.gradcheck(xpnn.linear, (x, w, b))
