"""softmax, log_softmax, logsumexp: values, edges, masks, axes, weights, bad input."""

import math
from functools import partial

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
from xpnn._arrays.sums import FEW

INF, NAN = math.inf, math.nan
BOTH = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


def exact(name, values, weights=None):
    """The function of a list of finite numbers or -inf, rounded from 60 digits."""
    with mp.workdps(60):
        e = [mp.exp(mp.mpf(v)) if v > -INF else mp.mpf(0) for v in values]
        total = mp.fsum(
            e if weights is None else [a * mp.mpf(w) for a, w in zip(e, weights, strict=True)]
        )
        if name == "logsumexp":
            return float(mp.log(abs(total)))
        parts = [v / total for v in e]
        return [float(mp.log(v)) if name == "log_softmax" and v else float(v) for v in parts]


def test_the_books_numbers(backend):
    y = xpnn.softmax(backend.asarray([0.3, 2.9, 4.0]))
    desired = [0.01821127, 0.24519181, 0.73659691]
    got = backend.numpy(y, shape=(3,), dtype="float64")
    np.testing.assert_allclose(got, desired, rtol=0, atol=5e-9)
    y = xpnn.softmax(backend.asarray([1010, 1000, 990], "int64"))
    name = str(backend.xp.__array_namespace_info__().default_dtypes()["real floating"])
    got = backend.numpy(y, shape=(3,), dtype=name.rpartition(".")[2])
    np.testing.assert_allclose(got, [9.99954600e-01, 4.53978686e-05, 2.06106005e-09], rtol=1e-6)


ROWS = [
    [0.3, 2.9, 4.0],
    [1010.0, 1000.0, 990.0],
    [-1000.0, -1001.0, -1002.5],
    [0.0, -40.0, -90.0],
    [5.0, 5.0, 5.0],
    [0.0, -INF, 1.0],
    [1e38, 0.0, -1e38],
    [1e-30, -1e-30, 0.0],
]


@pytest.mark.parametrize("way", ["fast", "plain"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_values(name, way, backend, dtype):
    x = np.asarray(ROWS, dtype)
    desired = np.asarray([exact(name, [float(v) for v in row]) for row in x])
    if name == "log_softmax":
        desired[np.asarray(ROWS) == -INF] = -INF
    got = getattr(xpnn, name)(
        backend.asarray(x), axis=-1, xp=backend.xp if way == "plain" else None
    )
    got = backend.numpy(got, shape=desired.shape, dtype=dtype)
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    # exp and log1p of a backend: 4 units each; a sum of 3: 2; x - m: half a unit of |x - m| <= 90,
    # where exp(x - m) is not far below tiny, in softmax alone.
    rtol = (10 + (45 if name == "softmax" else 0)) * eps
    # A library's own takes the logarithm of 1 + small, rounded.
    rounded = name != "softmax" and way == "fast" and name in backend.kernels
    np.testing.assert_allclose(got, desired, rtol=rtol, atol=eps if rounded else tiny)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fast", "plain"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_sums_are_as_accurate_along_every_axis_of_any_length(name, way, backend):
    """Added one after the other, 50,000 terms cost 89 units in the last place; some kernels add so."""
    function, xp = getattr(xpnn, name), backend.xp if way == "plain" else None
    rng, eps = np.random.default_rng(0), np.finfo("float32").eps
    in_pairs = way == "plain" or name not in backend.kernels
    for length in (FEW + 1, 50_001):
        for shape, axis in (((length, 3), 0), ((3, length), 1), ((2, length, 2), 1)):
            x = rng.uniform(-1, 0, shape).astype("float32")
            wide = x.astype("float64")
            desired = function(wide, axis=axis, xp=np)
            got = function(backend.asarray(x), axis=axis, xp=xp)
            got = backend.numpy(got, shape=desired.shape, dtype="float32")
            # x - m: half a unit; exp and log1p: 4; each term goes through as many sums as in pairs.
            units = 5 + (FEW + math.log2(length) if in_pairs else length) / 2
            np.testing.assert_allclose(got, desired, rtol=units * eps)
            weights = np.ones(shape, "float32")
            if name == "logsumexp" and length == FEW + 1:
                got = function(backend.asarray(x), axis=axis, b=backend.asarray(weights), xp=xp)
                got = backend.numpy(got, shape=desired.shape, dtype="float32")
                np.testing.assert_allclose(got, desired, rtol=units * eps)


@pytest.mark.parametrize("way", ["plain", "reproducible"])
def test_digits_near_zero_are_kept(way, backend, rxp):
    """log(1 + small) as written gives 0; torch, jax.nn and scipy.special.log_softmax do."""
    x = backend.asarray([0.0, -40.0])
    xp = rxp if way == "reproducible" else backend.xp
    small = 4.248354255291589e-18
    got = backend.numpy(xpnn.log_softmax(x, xp=xp), shape=(2,), dtype="float64")
    np.testing.assert_allclose(got, [-small, -40.0], rtol=1e-14)
    got = backend.numpy(xpnn.logsumexp(x, xp=xp), shape=(), dtype="float64")
    np.testing.assert_allclose(got, small, rtol=1e-14)


@BOTH
@pytest.mark.parametrize(
    "row",
    [[1.0, NAN, 2.0], [1.0, INF, 2.0], [INF, INF, 0.0], [-INF, INF, NAN], [-INF] * 3],
    ids=str,
)
def test_slices_without_an_answer_are_nan(name, row, backend, dtype):
    x = backend.asarray([row, [1.0, 2.0, 3.0]], dtype)
    got = backend.numpy(getattr(xpnn, name)(x), shape=(2, 3), dtype=dtype)
    assert np.isnan(got[0]).all()
    assert np.isfinite(got[1]).all()


@pytest.mark.parametrize(
    ("row", "desired"),
    [
        ([-INF, -INF], -INF),
        ([INF, 1.0], INF),
        ([INF, INF], INF),
        ([INF, -INF], INF),
        ([1.0, NAN], NAN),
        ([INF, NAN], NAN),
        ([-INF, NAN], NAN),
        ([-INF, 2.5], 2.5),
    ],
    ids=str,
)
def test_logsumexp_edges(row, desired, backend, dtype):
    got = backend.numpy(xpnn.logsumexp(backend.asarray(row, dtype)), shape=(), dtype=dtype)
    np.testing.assert_array_equal(got, desired)


@BOTH
@pytest.mark.parametrize(("shape", "axis"), [((3, 0), -1), ((0, 3), -1), ((0,), 0), ((0, 3), None)])
def test_empty(name, shape, axis, backend):
    x = backend.asarray(np.zeros(shape))
    backend.numpy(getattr(xpnn, name)(x, axis=axis), shape=shape, dtype="float64")


def test_logsumexp_of_nothing(backend):
    x = backend.asarray(np.zeros((3, 0)))
    got = backend.numpy(xpnn.logsumexp(x, axis=1), shape=(3,), dtype="float64")
    np.testing.assert_array_equal(got, [-INF] * 3)
    y, sign = xpnn.logsumexp(x, return_sign=True)
    assert float(y) == -INF
    assert float(sign) == 0


AXES = [-1, 0, 1, -2, 2, (0,), (0, 1), (2, 0), (-1, -2), (0, 1, 2), (), None]


@BOTH
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_axis(name, axis, backend):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)) * 5
    got = getattr(xpnn, name)(backend.asarray(values), axis=axis)
    got = backend.numpy(got, shape=(2, 3, 4), dtype="float64")
    e = np.exp(values)
    desired = e / e.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(got if name == "softmax" else np.exp(got), desired, rtol=1e-13)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_logsumexp_axis(axis, keepdims, backend):
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    desired = np.log(np.exp(values).sum(axis=axis, keepdims=keepdims))
    got = xpnn.logsumexp(backend.asarray(values), axis=axis, keepdims=keepdims)
    got = backend.numpy(got, shape=desired.shape, dtype="float64")
    np.testing.assert_allclose(got, desired, rtol=1e-13, atol=1e-14)


@BOTH
@pytest.mark.parametrize("axis", [-1, 0, None, ()])
def test_zero_dimensions(name, axis, backend):
    got = backend.numpy(
        getattr(xpnn, name)(backend.asarray(3.0), axis=axis), shape=(), dtype="float64"
    )
    assert got == (1 if name == "softmax" else 0)


JUNK = [NAN, INF, -INF, 3e38]


@BOTH
@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_masked_entries_never_reach_the_result(name, junk, backend, dtype):
    rows = np.asarray([[1.0, junk, 2.0, 0.5], [junk] * 4, [junk, junk, junk, 7.0]])
    mask = np.asarray([[1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]], bool)
    x, where = backend.asarray(rows, dtype), backend.asarray(mask)
    got = backend.numpy(getattr(xpnn, name)(x, where=where), shape=(3, 4), dtype=dtype)
    out = 0 if name == "softmax" else -INF
    assert (got[~mask] == out).all()
    np.testing.assert_allclose(
        got[0][mask[0]], exact(name, [1.0, 2.0, 0.5]), rtol=10 * np.finfo(dtype).eps
    )
    assert got[2, 3] == (1 if name == "softmax" else 0)


@BOTH
def test_all_unmasked_entries_minus_infinity(name, backend):
    x = backend.asarray([1.0, -INF, -INF])
    got = getattr(xpnn, name)(x, where=backend.asarray([False, True, True]))
    got = backend.numpy(got, shape=(3,), dtype="float64")
    np.testing.assert_array_equal(got, [0 if name == "softmax" else -INF, NAN, NAN])


@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_logsumexp_mask(junk, backend):
    x = backend.asarray([[1.0, junk], [junk, junk]])
    where = backend.asarray([[True, False], [False, False]])
    got = xpnn.logsumexp(x, axis=1, where=where)
    np.testing.assert_array_equal(backend.numpy(got, shape=(2,), dtype="float64"), [1.0, -INF])


def test_mask_broadcasts(backend):
    values = np.asarray([[1.0, 9.0, 2.0], [0.0, 9.0, 0.0]])
    where = backend.asarray([True, False, True])
    got = backend.numpy(
        xpnn.softmax(backend.asarray(values), where=where), shape=(2, 3), dtype="float64"
    )
    np.testing.assert_allclose(got[1], [0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("x", "b"),
    [
        ([1.0, 5.0, 2.0], [1.0, 2.0, 3.0]),
        ([1.0, 5.0, 2.0], [1.0, -2.0, 3.0]),
        ([1000.0, 1001.0], [-1.0, 1.0]),
        ([0.0, 800.0], [1.0, 1e-300]),
        ([1e5, 5.0, 2.0], [0.0, 1.0, 3.0]),
        ([1.0, 1.0, 1.0], [1.0, 1.0, -1.5]),
        ([0.0, 0.0, 0.0], [1.0, -5.0, 1.0]),
    ],
    ids=str,
)
def test_logsumexp_weights(x, b, backend):
    y, sign = xpnn.logsumexp(backend.asarray(x), b=backend.asarray(b), return_sign=True)
    with mp.workdps(60):
        total = mp.fsum(mp.mpf(w) * mp.exp(mp.mpf(v)) for v, w in zip(x, b, strict=True) if w)
    got = float(backend.numpy(y, shape=(), dtype="float64"))
    assert got == pytest.approx(float(mp.log(abs(total))), rel=1e-14)
    assert float(backend.numpy(sign, shape=(), dtype="float64")) == (1 if total > 0 else -1)
    plain = float(xpnn.logsumexp(backend.asarray(x), b=backend.asarray(b)))
    assert plain == got if total > 0 else math.isnan(plain)


def test_logsumexp_weight_zero_drops_anything(backend):
    x = backend.asarray([INF, NAN, -INF, 1.0])
    b = backend.asarray([0.0, 0.0, 0.0, 2.0])
    assert float(xpnn.logsumexp(x, b=b)) == pytest.approx(1 + math.log(2), rel=1e-15)
    y, sign = xpnn.logsumexp(x, b=backend.asarray([0.0] * 4), return_sign=True)
    assert (float(y), float(sign)) == (-INF, 0)


def test_logsumexp_weights_broadcast_and_cancel(backend):
    x = backend.asarray([[1.0], [2.0]])
    b = backend.asarray([1.0, -1.0])
    y, sign = xpnn.logsumexp(x, b=b, axis=1, return_sign=True)
    np.testing.assert_array_equal(backend.numpy(y, shape=(2,), dtype="float64"), [-INF, -INF])
    np.testing.assert_array_equal(backend.numpy(sign, shape=(2,), dtype="float64"), [0, 0])


def test_integer_weights_follow_x(backend):
    got = xpnn.logsumexp(backend.asarray([0.0, 0.0], "float32"), b=backend.asarray([1, 3], "int32"))
    assert backend.numpy(got, shape=(), dtype="float32") == pytest.approx(math.log(4), rel=1e-6)


def test_sums_of_many_low_precision_probabilities(backend):
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    x = backend.asarray(np.zeros(1000), "float16")
    got = backend.numpy(xpnn.softmax(x), shape=(1000,), dtype="float16")
    assert (got == np.float16(1e-3)).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"axis": 2}, ValueError, r"axis between -2 and 1 for an array of shape \(2, 3\), got 2"),
        ({"axis": (0, -2)}, ValueError, "expected different axes"),
        ({"axis": 1.5}, TypeError, "expected axis to be an integer"),
        ({"axis": "rows"}, TypeError, "expected axis to be an integer"),
        ({"where": [True]}, TypeError, "expected where to be an array"),
    ],
    ids=str,
)
def test_bad_options(name, options, error, words, backend):
    with pytest.raises(error, match=rf"{name}: .*{words}"):
        getattr(xpnn, name)(backend.asarray(np.zeros((2, 3))), **options)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_bad_masks(name, backend):
    x = backend.asarray(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="where to be a boolean array, got dtype float64"):
        getattr(xpnn, name)(x, where=x)
    with pytest.raises(ValueError, match=r"where to broadcast .* \(2, 3\), got shape \(2,\)"):
        getattr(xpnn, name)(x, where=backend.asarray([True, False]))


def test_bad_weights(backend):
    x = backend.asarray(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"b to broadcast with x of shape \(2, 3\)"):
        xpnn.logsumexp(x, b=backend.asarray([1.0, 2.0]))
    with pytest.raises(TypeError, match="in b, got dtype bool"):
        xpnn.logsumexp(x, b=backend.asarray([True]))


def test_mixed_libraries(torch):
    with pytest.raises(TypeError, match="one library, got x of numpy and where of torch"):
        xpnn.softmax(np.zeros(2), where=torch.tensor([True, False]))


# No subnormal numbers: JAX takes them for 0, and 0 is less than they are.
rows = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e6, 1e6, width=64, allow_subnormal=False),
)


@given(values=rows, shift=st.integers(-1000, 1000))
def test_softmax_identities(values, shift, backend):
    x = backend.asarray(values)
    p = backend.numpy(xpnn.softmax(x), shape=values.shape, dtype="float64")
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-14)
    one = backend.numpy(xpnn.softmax(x[0, :]), shape=values[0].shape, dtype="float64")
    np.testing.assert_allclose(one, p[0], rtol=1e-14)
    assert (p.argmax(-1) == values.argmax(-1)).all() or np.isclose(p.max(-1), 1 / 2, atol=0.5).all()
    log_p = backend.numpy(xpnn.log_softmax(x), shape=values.shape, dtype="float64")
    np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-9, atol=1e-300)
    # Shifting by a power of two's multiple of the grid leaves the differences exact.
    whole = np.round(values)
    a, b = (
        backend.numpy(xpnn.softmax(backend.asarray(v)), shape=values.shape, dtype="float64")
        for v in (whole, whole + shift)
    )
    np.testing.assert_array_equal(a, b)


@given(values=rows)
def test_logsumexp_identities(values, backend):
    y = backend.numpy(
        xpnn.logsumexp(backend.asarray(values), axis=-1), shape=values.shape[:1], dtype="float64"
    )
    assert (y >= values.max(-1)).all()
    assert (y <= values.max(-1) + math.log(values.shape[1]) + 1e-9).all()


def test_reproducible_logsumexp_of_infinity(backend, rxp, dtype):
    """inf where an entry is inf, in this way too: the sum that looked for the largest gave NaN."""
    x = backend.asarray([[INF, 1.0, 2.0], [-INF, -INF, -INF], [NAN, INF, 0.0]], dtype)
    y = backend.numpy(xpnn.logsumexp(x, axis=-1, xp=rxp), shape=(3,), dtype=dtype)
    np.testing.assert_array_equal(y, [INF, -INF, NAN])


MASKED = {
    "softmax": partial(xpnn.softmax, axis=-1),
    "log_softmax": partial(xpnn.log_softmax, axis=-1),
    "logsumexp": partial(xpnn.logsumexp, axis=-1),
    "weighted": lambda x, **options: xpnn.logsumexp(x, axis=-1, b=x * x + 1.0, **options),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("way", ["plain", "reproducible"])
def test_rows_masked_whole_make_no_nan_on_the_way(name, way, torch, jax):
    x = np.asarray([[0.5, -1.0, 3.0], [np.nan, np.inf, 2.0]])
    mask = np.asarray([[True, True, False], [False, False, False]])
    xps = [xpnn.reproducible(xp) if way == "reproducible" else xp for xp in (torch, jax.numpy)]
    # One that takes no part counts nothing, and a weight of it neither.
    given = np.where(mask, x, 7.0) if name == "weighted" else x
    leaf = torch.from_numpy(given).requires_grad_()
    with torch.autograd.set_detect_anomaly(True):
        y = MASKED[name](leaf, where=torch.from_numpy(mask), xp=xps[0])
        torch.where(torch.isfinite(y), y, 0.0).sum().backward()
    assert bool((leaf.grad[1] == 0).all())

    def loss(x):
        y = MASKED[name](x, where=jax.numpy.asarray(mask), xp=xps[1])
        return jax.numpy.where(jax.numpy.isfinite(y), y, 0.0).sum()

    settled = np.where(np.isfinite(given), given, 1.0)  # jax.debug_nans looks at inputs, too
    with jax.debug_nans(True):
        gradient = np.asarray(jax.grad(loss)(jax.numpy.asarray(settled)))
    np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("x", "b", "where", "desired", "sign"),
    [
        ([-INF, -INF, -INF], [1.0, 1.0, 1.0], [True] * 3, -INF, 0),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [True] * 3, -INF, 0),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [False] * 3, -INF, 0),
        ([1.0, INF, 3.0], [1.0, 2.0, 3.0], [True] * 3, INF, 1),
        ([1.0, INF, 3.0], [1.0, -2.0, 3.0], [True] * 3, INF, -1),
        ([1.0, INF, NAN], [1.0, 2.0, 3.0], [True] * 3, NAN, NAN),
        ([1.0, INF, NAN], [1.0, 2.0, 3.0], [True, True, False], INF, 1),
        ([-INF, NAN, -INF], [1.0, 0.0, 1.0], [True] * 3, -INF, 0),
    ],
)
@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
def test_weighted_sums_with_infinities(x, b, where, desired, sign, way, backend, rxp, dtype):
    xp = {"fast": None, "plain": backend.xp, "reproducible": rxp}[way]
    x, b = (backend.asarray(np.asarray(v, dtype)) for v in (x, b))
    got = xpnn.logsumexp(x, b=b, where=backend.asarray(where), return_sign=True, xp=xp)
    for y, value in zip(got, (desired, sign), strict=True):
        np.testing.assert_array_equal(backend.numpy(y, shape=(), dtype=dtype), value)
