"""error_bound, expected_error and certain classes: proved, so never wrong; and of some use."""

import functools
import math

import array_api_compat
import mpmath
import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import cases, random_network

import xpnn
import xpnn.models
from xpnn._arrays.transfer import to_numpy
from xpnn._network.interpreters.exact import exact
from xpnn._parity import error_bound

METHODS = {
    "output": xpnn.Network.__call__,
    "logits": xpnn.Network.logits,
    "log_proba": xpnn.Network.log_proba,
}


def errors(network, x, y, of="output"):
    """|y - exact|, exactly computed and then rounded."""
    rows = exact(network.layers, x, of)
    far = [
        [abs(mpmath.mpf(float(v)) - e) for v, e in zip(a, b, strict=True)]
        for a, b in zip(y, rows, strict=True)
    ]
    return np.asarray([[float(e) for e in row] for row in far])


@functools.cache
def digits():
    return xpnn.load("digits"), xpnn.models.sample("digits")[0].astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("low", ["float16", "bfloat16", "float32", "float64"])
@settings(max_examples=250)
@given(data=st.data())
def test_no_error_exceeds_the_bound(backend, low, data):
    if not hasattr(backend.xp, low):
        pytest.skip(f"{backend.name} has no {low}")
    # What JAX compiles takes a hundred times as long as what it computes then.
    structures = 16 if backend.library.compiles else 2**32
    network, x = data.draw(
        cases("float64" if low == "float64" else "float32", structures=structures)
    )
    kinds = (
        ["output", "logits", "log_proba"]
        if network.layers[-1].activate.log_probability
        else ["output"]
    )
    of = data.draw(st.sampled_from(kinds))
    here = network.to(backend.xp, device=backend.device, dtype=low)
    with np.errstate(over="ignore"):
        y = to_numpy(METHODS[of](here, backend.asarray(x, low)))
    bound = xpnn.error_bound(network, x, of=of, dtype=low)
    assert not np.isnan(bound).any()
    known = np.isfinite(bound)
    assert np.isfinite(y[known]).all()
    far = errors(network, x, np.where(np.isfinite(y), y, 0), of)
    assert (far <= bound)[known].all(), (far / bound)[known].max()


def sums(terms, order):
    """Add float32 terms of shape (n, ...) one by one, in an order for each sum."""
    arranged = np.take_along_axis(terms, order, axis=0)
    total = np.zeros_like(arranged[0])
    for t in arranged:
        total = total + t
    return total


ORDERS = {
    "as they come": lambda t: np.broadcast_to(np.arange(len(t))[:, None, None], t.shape),
    "rising": lambda t: np.argsort(t, axis=0),
    "falling": lambda t: np.argsort(-t, axis=0),
    "largest first": lambda t: np.argsort(-np.abs(t), axis=0),
}


@pytest.mark.parametrize("sign", ["any", "positive"])
@pytest.mark.parametrize("width", [2, 30, 784, 4096])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_a_sum_is_inside(order, width, sign):
    network = random_network((width, 6), "identity", "identity", seed=width)
    if sign == "positive":
        network = xpnn.Network([xpnn.Dense(np.abs(network.layers[0].weight))])
    layer = network.layers[0]
    x = np.abs(np.random.default_rng(1).normal(size=(5, width))).astype("float32")
    terms = np.transpose(x[:, :, None] * layer.weight[None], (1, 0, 2))
    if layer.bias is not None:
        terms = np.concatenate([terms, np.broadcast_to(layer.bias, (1, *terms.shape[1:]))])
    y = sums(terms, ORDERS[order](terms))
    far, bound = errors(network, x, y), xpnn.error_bound(network, x)
    assert (far <= bound).all()
    # Nor is it far above what such sums do: roundings of all terms, in one direction, would fill it.
    if order == "falling" and width > 2:
        assert (far / bound).max() > 1 / 100


def test_fused_multiply_add_is_inside():
    network, x = random_network((784, 6), "identity", "identity"), np.ones((3, 784), "float32") / 3
    layer = network.layers[0]
    total = np.broadcast_to(layer.bias, (3, 6))  # the bias first
    for k in range(784):  # float64 holds the product, so this rounds once, or nearly
        exact_product = x[:, k, None].astype("float64") * layer.weight[k]
        total = (total + exact_product).astype("float32")
    assert (errors(network, x, total) <= xpnn.error_bound(network, x)).all()


def by_hand(network, x, *, fold=False, reciprocal=False, flush=False):
    """The pass that somebody else wrote, in ways that are as good."""
    tiny = np.finfo(x.dtype).tiny

    def flushed(a):
        return np.where(np.abs(a) < tiny, 0, a) if flush else a

    z = flushed(x)
    for layer in network.layers[:-1]:
        z = flushed(layer.activate(flushed(product(layer, z, fold=fold))))
    a = flushed(product(network.layers[-1], z, fold=fold))
    e = flushed(np.exp(a - a.max(axis=-1, keepdims=True)))
    total = e.sum(axis=-1, keepdims=True)
    return flushed(e * (1 / total) if reciprocal else e / total)


def product(layer, z, *, fold):
    if not fold:
        return z @ layer.weight + layer.bias
    ones = np.ones((len(z), 1), z.dtype)
    return np.concatenate([ones, z], axis=1) @ np.concatenate([layer.bias[None], layer.weight])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fold", "reciprocal", "flush"])
def test_what_is_allowed_stays_inside(way):
    network, x = digits()
    small = np.float32(2.0**-120)  # so that the first products are subnormal
    first = network.layers[0]
    faint = xpnn.Network(
        [xpnn.Dense(first.weight * small, first.bias, "sigmoid"), *network.layers[1:]]
    )
    for tried, given_x in ((network, x), (faint, x * np.float32(2.0**-10))):
        y = by_hand(tried, given_x, **{way: True})
        assert (errors(tried, given_x, y) <= xpnn.error_bound(tried, given_x)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_below_the_normal_numbers_may_be_flushed(dtype):
    tiny = float(np.finfo(dtype).tiny)
    layer = xpnn.Dense(np.full((2, 1), tiny * 2**20, dtype))
    x = np.asarray([[2.0**-22, 2.0**-22]], dtype)  # each product is half of the smallest normal
    network = xpnn.Network([layer])
    assert float(network(x)[0, 0]) in {tiny, tiny / 2}
    assert (errors(network, x, np.zeros((1, 1))) <= xpnn.error_bound(network, x)).all()
    assert xpnn.error_bound(network, x)[0, 0] < 100 * tiny


@pytest.mark.parametrize("side", ["x", "weight"])
@pytest.mark.parametrize("other", ["float32", "float64"])
def test_what_is_not_normal_in_its_own_dtype_may_be_flushed(side, other, backend):
    """XLA does it before it makes float64 of float32; the result need not be small."""
    small, large = np.asarray([[1e-39]], "float32"), np.asarray([[2.0**20]], other)
    x, weight = (small, large) if side == "x" else (large, small)
    network = xpnn.Network([xpnn.Dense(weight)])
    placed, given = network.to(backend.xp, device=backend.device), backend.asarray(x)
    bound = xpnn.error_bound(network, x)
    for y in (network(given), placed(given), np.zeros((1, 1))):
        assert (errors(network, x, to_numpy(y)) <= bound).all()
    assert bound[0, 0] < 1e-30
    np.testing.assert_array_equal(to_numpy(xpnn.error_bound(placed, given)), bound)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["output", "logits", "log_proba"])
def test_the_bound_is_of_use_on_digits(backend, of):
    network, x = digits()
    y = to_numpy(METHODS[of](network, backend.asarray(x)))
    some = slice(0, 60)
    far = errors(network, x[some], y[some], of)
    bound = to_numpy(xpnn.error_bound(network, backend.asarray(x), of=of))[some]
    assert (far <= bound).all()
    # docs/parity.md has the figures: the largest fraction is 1/14 to 1/18 of the probabilities, and
    # 1/140 to 1/310 where no softmax takes the errors of the logits together.
    assert (far / bound).max() > (1 / 40 if of == "output" else 1 / 500)
    expected = xpnn.expected_error(network, x, of=of)[some]
    least, most = (0.3, 0.8) if of == "log_proba" else (0.7, 1.6)
    if backend.is_gpu:  # 0.23 and 0.53 were seen
        least = 0.2 if of == "log_proba" else 0.5
    assert least < math.sqrt(np.mean((far / expected) ** 2)) < most


def test_the_bound_is_the_same_on_every_backend(backend):
    network, x = digits()
    here = backend.asarray(x[:20])
    for function in (xpnn.error_bound, xpnn.expected_error):
        got = backend.numpy(function(network, here), shape=(20, 10), dtype="float64")
        np.testing.assert_allclose(got, function(network, x[:20]), rtol=1e-6)
        one = backend.numpy(
            function(network, here[3, :], xp=backend.xp), shape=(10,), dtype="float64"
        )
        np.testing.assert_allclose(one, got[3], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "hidden"),
    [((64, 32, 10), "relu"), ((784, 50, 100, 10), "sigmoid"), ((10, 256, 256, 100), "gelu")],
    ids=str,
)
def test_errors_are_as_expected(backend, widths, hidden, dtype):
    """The model: never off by more than five, on networks of random weights."""
    network = random_network(widths, hidden, "identity", dtype=dtype)
    x = np.random.default_rng(3).normal(size=(12, widths[0])).astype(dtype)
    far = errors(network, x, to_numpy(network(backend.asarray(x))))
    ratio = math.sqrt(np.mean((far / xpnn.expected_error(network, x)) ** 2))
    assert (0.1 if backend.is_gpu else 0.2) < ratio < 2  # 0.15 was seen


def test_nothing_is_said_of_nan_infinity_and_overflow():
    network = xpnn.Network([xpnn.Dense(np.full((2, 2), 1e20, "float32"), activation="sigmoid")])
    x = np.asarray([[1, 2], [math.nan, 1], [math.inf, 1], [1e30, 1]], "float32")
    bound = xpnn.error_bound(network, x)
    assert np.isinf(bound).tolist() == [[False] * 2] + [[True] * 2] * 3
    _, certain = network.classify(x, certain=True)
    assert certain.tolist() == [[True] * 2] + [[False] * 2] * 3
    assert np.isinf(xpnn.error_bound(network, x[:1], dtype="float16")).all()
    assert np.isinf(xpnn.error_bound(network, np.asarray([[1e300, 1]]), dtype="float32")).all()


def test_rounding_the_input_and_the_weights_counts():
    third = np.asarray([[1 / 3]])
    network = xpnn.Network([xpnn.Dense(third)])
    for dtype, least in (("float64", 0), ("float32", 1e-9), ("bfloat16", 1e-4)):
        bound = float(xpnn.error_bound(network, third, dtype=dtype)[0, 0])
        rounded = float(np.float32(1 / 3)) if dtype == "float32" else 1 / 3
        assert least < bound < max(least * 1000, 1e-15)
        assert abs(rounded**2 - 1 / 9) <= bound
    whole = xpnn.Network([xpnn.Dense(np.ones((1, 1), "float32"))])
    for number, error in ((2**24, 0), (2**24 + 1, 1)):  # the second is no float32
        x = np.asarray([[number]])
        assert abs(float(whole(x)[0, 0]) - number) == error
        assert xpnn.error_bound(whole, x)[0, 0] >= error


def test_rounding_the_input_counts_beside_rounding_the_result():
    """Both are close to half a unit of float16 here, and in one direction."""
    network = xpnn.Network([xpnn.Dense(np.ones((2049, 1), "float32"))])
    x = np.full(
        (1, 2049), 1 + 0.999 * 2.0**-11, "float32"
    )  # as float16, 1; and 2,049 ones are 2,048
    y = network.to(np, dtype="float16")(x.astype("float16"))
    far = errors(network, x, y)
    assert far[0, 0] > 1.9
    assert (far <= xpnn.error_bound(network, x, dtype="float16")).all()


def test_steps_and_thresholds_may_jump():
    step = xpnn.Network([xpnn.Dense(np.ones((2, 1), "float32"), activation="step")])
    x = np.asarray([[1 / 3, -1 / 3], [1 / 3, 1 / 3]], "float32")
    assert xpnn.error_bound(step, x)[:, 0].tolist() == pytest.approx([1, 0], abs=1e-8)
    bend = xpnn.Network(
        [xpnn.Dense(np.ones((1, 1), "float32"), activation="softplus(threshold=2.0)")]
    )
    close = xpnn.error_bound(bend, np.asarray([[2.0], [4.0]], "float32"))
    assert close[0, 0] > math.log1p(math.exp(-2)) > 1e4 * close[1, 0]


@settings(max_examples=150)
@given(data=st.data())
def test_no_perturbation_of_the_bounds_size_changes_a_certain_class(data):
    outputs = ("softmax", "log_softmax", "sigmoid")
    network, x = data.draw(cases("float32"))
    last = network.layers[-1]
    output = data.draw(st.sampled_from(outputs))
    network = xpnn.Network([*network.layers[:-1], xpnn.Dense(last.weight, last.bias, output)])
    classes, certain = network.classify(x, certain=True)
    bound = xpnn.error_bound(network, x, of="logits")
    logits = np.asarray([[float(v) for v in row] for row in exact(network.layers, x, "logits")])
    sign = data.draw(st.sampled_from((-1, 1)))
    for k in range(logits.shape[-1]):
        # The worst for class k: it moves by all of the bound, the others the other way.
        with np.errstate(invalid="ignore"):  # what overflows is not certain
            moved = logits - sign * bound
            moved[:, k] = logits[:, k] + sign * bound[:, k]
        if output == "sigmoid":
            found = (moved > 0).astype(int)
            found = found[:, 0] if found.shape[1] == 1 else found
        else:
            found = moved.argmax(axis=-1)
        assert (found == classes)[certain].all()


@pytest.mark.parametrize("output", ["softmax", "log_softmax", "sigmoid"])
def test_a_class_that_rounding_could_change_is_not_certain(backend, output):
    weight = np.asarray([[1.0, 1.0], [1.0, 1.0 + 2.0**-22]], "float32")
    if output == "sigmoid":
        weight = weight[:, 1:]
    network = xpnn.Network([xpnn.Dense(weight, activation=output)])
    x = backend.asarray([[1, -1], [1, 1], [0.1, 9]], "float32")
    _, certain = network.classify(x, certain=True)
    sure = [False, True, True] if output == "sigmoid" else [False, False, False]
    assert backend.numpy(certain, shape=(3,), dtype="bool").tolist() == sure
    far = backend.asarray([[1, 1], [1, -40000]], "float32")
    _, certain = xpnn.Network([xpnn.Dense(np.eye(2, dtype="float32"), activation=output)]).classify(
        far, certain=True
    )
    assert to_numpy(certain).any()


def test_one_class_is_certain():
    network = xpnn.Network([xpnn.Dense(np.ones((2, 1)), activation="softmax")])
    classes, certain = network.classify(np.ones((3, 2)), certain=True)
    assert classes.tolist() == [0] * 3
    assert certain.tolist() == [True] * 3


def test_digits_are_certain(backend):
    network, x = digits()
    classes, certain = network.classify(backend.asarray(x), certain=True)
    assert int(to_numpy(certain).sum()) == 200
    with_xp, again = network.classify(
        backend.asarray(x), certain=True, xp=xpnn.reproducible(backend.xp)
    )
    assert (to_numpy(with_xp) == to_numpy(classes)).all()
    assert to_numpy(again).all()


def test_wrapped_arrays(backend, rxp):
    network, x = digits()
    wrapped = rxp.asarray(backend.asarray(x[:3]))
    got = to_numpy(xpnn.error_bound(network, wrapped))
    np.testing.assert_allclose(got, xpnn.error_bound(network, x[:3]), rtol=1e-6)


@pytest.mark.parametrize("placed", [False, True])
def test_numpy_analyses_the_known_arrays_of_jax(jax, monkeypatch, placed):
    """JAX would compile each of the many operations for each shape."""
    jnp, by = jax.numpy, []
    analysis = error_bound._bound

    def watched(one, x, xp):
        by.append(array_namespace(x))
        return analysis(one, x, xp)

    monkeypatch.setattr(error_bound, "_bound", watched)
    network, x = random_network((4, 3, 2), "gelu", "softmax"), np.ones((5, 4), "float32")
    desired = xpnn.error_bound(network, x)
    network = network.to(jnp) if placed else network
    y = xpnn.error_bound(network, jnp.asarray(x))
    assert isinstance(y, jax.Array)
    np.testing.assert_array_equal(y, desired)
    traced = jax.jit(lambda x: xpnn.error_bound(network, x))(jnp.asarray(x))
    np.testing.assert_allclose(traced, desired, rtol=1e-12)
    assert [array_api_compat.is_numpy_namespace(xp) for xp in by] == [True, True, False]


def test_under_jit_and_without_64_bit_types(jax):
    network, x = digits()
    x = jax.numpy.asarray(x[:4])
    bound = xpnn.error_bound(network, x)
    np.testing.assert_allclose(
        np.asarray(jax.jit(lambda x: xpnn.error_bound(network, x))(x)), np.asarray(bound), rtol=1e-6
    )
    with jax.enable_x64(False):
        plain = jax.numpy.asarray(np.asarray(x))
        without = xpnn.error_bound(network, plain)
        assert without.dtype == "float64"
        certain = jax.jit(lambda x: network.classify(x, certain=True)[1])(plain)
        # What was remembered for the analysis is not what calls may use.
        wide = network.to(np, dtype="float64")
        follows = xpnn.Network(wide.layers)
        xpnn.error_bound(follows, plain)
        with pytest.raises(TypeError, match="float64 weights would become float32"):
            follows(plain)
    np.testing.assert_allclose(np.asarray(without), np.asarray(bound), rtol=1e-6)
    assert np.asarray(certain).all()


@pytest.mark.parametrize("function", [xpnn.error_bound, xpnn.expected_error])
@pytest.mark.parametrize(
    ("options", "x", "error", "words"),
    [
        ({"of": "proba"}, np.ones((1, 2)), ValueError, "of: expected 'output'.*got 'proba'"),
        ({"of": "logits"}, np.ones((1, 2)), ValueError, "got 'logits' of a network whose .* relu"),
        ({"dtype": "int32"}, np.ones((1, 2)), TypeError, "expected dtype to be one of float16"),
        ({}, np.ones((1, 3)), ValueError, r"x of shape \(\.\.\., 2\)"),
        ({}, [[1.0, 2.0]], TypeError, "expected x to be an array"),
        ({}, np.ones((1, 2), bool), TypeError, "got dtype bool"),
    ],
    ids=str,
)
def test_bad_input(function, options, x, error, words):
    network = xpnn.Network([xpnn.Dense(np.eye(2), activation="relu")])
    with pytest.raises(error, match=words):
        function(network, x, **options)


def test_empty_width_and_one_sample():
    network = xpnn.Network([xpnn.Dense(np.zeros((0, 2)))])
    assert xpnn.error_bound(network, np.zeros((3, 0))).shape == (3, 2)
    assert (xpnn.expected_error(network, np.zeros((3, 0))) == 0).all()
    network = xpnn.Network([xpnn.Dense(np.ones((3, 2)))])
    assert xpnn.error_bound(network, np.ones((2, 4, 3))).shape == (2, 4, 2)
    assert xpnn.error_bound(network, np.ones(3)).shape == (2,)


@pytest.mark.parametrize("threshold", [-2000.0, -3.0, 2000.0])
def test_a_jump_of_softplus_anywhere(threshold):
    """Below its threshold it is log(1 + exp(x)), at -2000 next to nothing: the jump is of 2000."""
    x = np.float64([[threshold], [threshold + 1], [threshold - 1]])
    network = xpnn.Network([xpnn.Affine(activation=f"softplus(threshold={threshold})")])
    bound = xpnn.error_bound(network, x)
    assert np.all(np.isfinite(bound))
    assert bound[0, 0] >= max(-threshold, 0)


@pytest.mark.parametrize("function", ["error_bound", "expected_error", "parity", "explain"])
@pytest.mark.parametrize("given", ["digits", None, [], np.ones((2, 2))])
def test_what_is_no_network_is_an_error(function, given):
    x = np.ones((1, 2))
    arguments = [given, x, x] if function == "explain" else [given, x]
    with pytest.raises(
        TypeError, match=f"^{function}: expected a Network, as xpnn.load returns, got"
    ):
        getattr(xpnn, function)(*arguments)
