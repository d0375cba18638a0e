"""Every kind of layer, alone and among others: in all ways of running, in files, with bound and exact values."""

import contextlib
import pickle
import tracemalloc

import numpy as np
import pytest
from golden_cases import LAYERED, layered, samples

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._network.interpreters.exact import exact
from xpnn._network.layers.layer import Layer
from xpnn._parity.case import Case
from xpnn._parity.faults import FAULTS
from xpnn._parity.fits import FITS, MANY
from xpnn._parity.standard import host

KINDS = LAYERED
STORED = [kind for kind in KINDS if kind != "function"]
OF = {"output": "__call__", "logits": "logits", "log_proba": "log_proba"}


def rows(seed, dtype, scale=3.0):
    x = np.random.default_rng(seed).normal(size=(6, 5)) * scale
    x[0], x[1, ::2] = 0, -x[1, ::2]
    return x.astype(dtype)


def error(y, desired):
    pairs = zip(y, desired, strict=True)
    return [[float(abs(v - e)) for v, e in zip(*pair, strict=True)] for pair in pairs]


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_within_the_bound_in_every_way(kind, backend, dtype):
    """Of the exact ones; and the errors are of the size expected.

    The reproducible ones on NumPy: the golden digests hold other libraries' to its bits, kind by kind.
    """
    network, x = layered(kind, dtype), samples(kind, rows(1, dtype))
    a = backend.asarray(x)
    for of, method in OF.items():
        desired = exact(
            network.to(np, dtype="float64").layers, x.reshape(6, 5).astype("float64"), of
        )
        bound = xpnn.error_bound(network, x, of=of)
        size = xpnn.expected_error(network, x, of=of)
        assert np.all(np.isfinite(bound))
        ways = [None, *([backend.xp] if of == "output" else [])]
        if of == "output" and backend.name == "numpy":
            ways.append(xpnn.reproducible(np))
        for xp in ways:
            for _ in "12":  # the second time as it is remembered
                y = to_numpy(getattr(network, method)(a, xp=xp))
                assert y.dtype == dtype
                wrong = np.asarray(error(y.astype("float64").tolist(), desired))
                assert np.all(wrong <= bound)
                assert np.sqrt(np.mean((wrong / (size + 1e-300)) ** 2)) < 8
        assert np.median(bound / size) < 3e3  # and it is of use


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("low", ["float16", "bfloat16", "float32"])
def test_hostile_numbers_are_within_the_bound(kind, low, backend):
    """Large, small and cancelling numbers, and weights that the dtype rounds."""
    if not hasattr(backend.xp, low):
        pytest.skip(f"{backend.name} has no {low}")
    network = layered(kind, "float64")
    here = network.to(backend.xp, device=backend.device, dtype=low)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 5)) * 10.0 ** rng.integers(-30, 12, (40, 5))
    x[::3] = np.where(rng.random((14, 5)) < 0.5, 0.0, x[::3])
    desired, x = exact(network.layers, x), samples(kind, x)
    with np.errstate(over="ignore"):
        bound = xpnn.error_bound(network, x, dtype=low)
        y = to_numpy(
            here(backend.xp.astype(backend.asarray(x, "float32"), getattr(backend.xp, low)))
        )
    wrong = np.asarray(error(y.astype("float64").tolist(), desired))
    known = np.all(np.isfinite(bound), axis=-1)
    assert known.sum() > 5
    assert np.all(wrong[known] <= bound[known])


def test_a_bound_that_is_halved_is_found():
    """Rounding to float16 reaches a good part of the bound of an affine layer."""
    rng = np.random.default_rng(0)
    scale, shift, x = rng.normal(size=(3, 400))
    network = xpnn.Network([xpnn.Affine(scale, shift)])
    low = [a.astype("float16").astype("float32") for a in (scale, shift, x)]
    y = (low[2] * low[0] + low[1]).astype("float16")
    ratio = np.abs(y - (x * scale + shift)) / xpnn.error_bound(network, x, dtype="float16")
    assert 0.4 < ratio.max() <= 1


def test_a_bound_of_normalized_rows_that_is_halved_is_found():
    """Rounding to float16 reaches a good part of it: what the input's rounding moves."""
    x = 3 + np.random.default_rng(0).normal(size=(2000, 3))
    network = xpnn.Network([xpnn.LayerNorm(np.ones(3))])
    y = network(x.astype("float16").astype("float32")).astype("float16")
    ratio = np.abs(y - network(x)) / xpnn.error_bound(network, x, dtype="float16")
    assert 0.5 < ratio.max() <= 1


@pytest.mark.parametrize(
    ("n", "offset", "epsilon"),
    [(2, 0, 1e-5), (300, 0, 1e-5), (17, 100, 1e-5), (300, 1e5, 1e-5), (17, 0, 0), (300, 100, 0)],
)
def test_normalized_rows_are_within_the_bound(n, offset, epsilon, backend):
    """Short and long rows; far from 0 and near it; beside a column that outweighs the others."""
    x = np.random.default_rng(n).normal(size=(9, n)).astype("float32")
    x[:6] += offset
    x[6:, 0] = 1e6
    network = xpnn.Network([xpnn.LayerNorm(np.ones(n, "float32"), epsilon=epsilon)])
    desired = exact(network.to(np, dtype="float64").layers, x.astype("float64"))
    bound = xpnn.error_bound(network, x)
    assert np.isfinite(bound[:3]).all() or offset == 1e5
    for xp in (None, xpnn.reproducible(backend.xp)):
        y = to_numpy(network(backend.asarray(x), xp=xp))
        assert np.all(np.asarray(error(y.tolist(), desired)) <= bound)
    # As libraries compute it: the variance in one pass, and in float32.
    mean = x.mean(axis=-1, keepdims=True)
    y = (x - mean) * (1 / np.sqrt(x.var(axis=-1, keepdims=True) + np.float32(epsilon)))
    assert np.all(np.asarray(error(y.tolist(), desired)) <= bound)


def test_rows_that_are_hard_to_normalize(backend, dtype):
    """Equal numbers give the bias, whatever their mean rounds to; NaN stays in its row."""
    x, bias = rows(7, dtype), rows(8, dtype)[1]
    x[0], x[1], x[2, 3], x[3, 4] = 0.1, 1e30, np.nan, -np.inf
    x[4] = np.asarray([-2, -1, 0, 1, 2], dtype) * np.asarray(1e30, dtype)
    network = xpnn.Network([xpnn.LayerNorm(np.ones(5, dtype), bias)])
    square = xpnn.Network([xpnn.LayerNorm(np.ones(5, dtype), epsilon=0)])
    small = np.finfo(dtype).tiny * x[[4] * 6] / x[4, 4] * 8  # as many rows: compiled once
    for xp in (None, backend.xp, xpnn.reproducible(backend.xp)):
        y = to_numpy(network(backend.asarray(x), xp=xp))
        np.testing.assert_allclose(y[:2], [bias, bias], rtol=0, atol=4 * np.finfo(dtype).eps)
        assert np.isnan(y[2:4]).all()
        assert np.isfinite(y[4:]).all()
        desired = np.asarray([-2, -1, 0, 1, 2]) / np.sqrt(2)
        np.testing.assert_allclose(y[4] - bias, desired, atol=8 * np.finfo(dtype).eps)
        y = to_numpy(square(backend.asarray(small), xp=xp))  # whose squares are 0
        np.testing.assert_allclose(y, [desired] * 6, atol=8 * np.finfo(dtype).eps)
        assert to_numpy(network(backend.asarray(x[:0]), xp=xp)).shape == (0, 5)
    assert np.isinf(xpnn.error_bound(network, x)[2:4]).all()


@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
@pytest.mark.parametrize("n", [1, 768, 4096])
def test_nearly_equal_numbers_are_within_a_bound_that_is_finite(n, epsilon, backend):
    """A white picture: the variance is rounding alone, but not less than 0."""
    noise = np.random.default_rng(0).normal(size=(4, n))
    x = (255 + np.asarray([[0.0], [1e-5], [1e-2], [1.0]]) * noise).astype("float32")
    network = xpnn.Network([xpnn.LayerNorm(np.ones(n, "float32"), epsilon=epsilon)])
    wide = x.astype("float64") - x.mean(axis=-1, dtype="float64", keepdims=True)
    desired = wide / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + epsilon)
    bound = xpnn.error_bound(network, x)
    assert np.isfinite(bound).all()
    y = to_numpy(network(backend.asarray(x)))
    assert (np.abs(y - desired) <= bound).all()


def test_normalized_as_torch_does(torch):
    x, (weight, bias) = rows(9, "float32"), rows(10, "float32")[1:3]
    layer = torch.torch.nn.LayerNorm(5, eps=1e-3)
    layer.load_state_dict({"weight": torch.asarray(weight), "bias": torch.asarray(bias)})
    network = xpnn.Network([xpnn.LayerNorm(weight, bias, 1e-3)])
    desired = layer(torch.asarray(x)).detach().numpy()
    wrong = np.abs(network(x) - desired.astype("float64"))
    assert np.all(wrong <= 2 * xpnn.error_bound(network, x))


@pytest.mark.parametrize("lead", [(), (1,), (3000,), (0,), (2, 3, 4)])
def test_flatten_takes_samples_of_several_axes(lead, backend):
    """Whatever stands before them; the last axis runs fastest, whatever lies in memory."""
    dense = xpnn.Dense(np.random.default_rng(0).normal(size=(24, 3)).astype("float32"))
    network, flat = xpnn.Network([xpnn.Flatten((2, 3, 4)), dense]), xpnn.Network([dense])
    x = np.random.default_rng(1).normal(size=(*lead, 2, 3, 4)).astype("float32")
    for a in (x, np.asfortranarray(x)):
        given = backend.asarray(a)
        for xp in (None, backend.xp, xpnn.reproducible(backend.xp)):
            desired = flat(backend.asarray(x.reshape(*lead, 24)), xp=xp)
            for _ in "12":
                y = to_numpy(network(given, xp=xp))
                np.testing.assert_array_equal(y, to_numpy(desired))
        np.testing.assert_array_equal(
            xpnn.error_bound(network, a), xpnn.error_bound(flat, x.reshape(*lead, 24))
        )
    a, z = network.layer_outputs(backend.asarray(x))[0]
    assert tuple(a.shape) == tuple(z.shape) == (*lead, 24)


@pytest.mark.parametrize("shape", [(24,), (3, 24), (3, 4), (5, 4, 3, 2), (7, 2, 3, 5)])
def test_flatten_refuses_other_shapes(shape):
    """Also after a call that is remembered."""
    last = xpnn.Dense(np.ones((24, 2), "float32"), activation="softmax")
    network = xpnn.Network([xpnn.Flatten((2, 3, 4)), last])
    network(np.ones((7, 2, 3, 4), "float32"))
    for f in (network, network.classify, network.layer_outputs):
        with pytest.raises(
            xpnn.XpnnValueError, match=r"x of shape \(\.\.\., 2, 3, 4\) for Flatten"
        ):
            f(np.ones(shape, "float32"))
    for g in (xpnn.error_bound, xpnn.expected_error, xpnn.parity):
        with pytest.raises(
            xpnn.XpnnValueError, match=r"x of shape \(\.\.\., 2, 3, 4\) for Flatten"
        ):
            g(network, np.ones(shape, "float32"))


def test_a_network_without_weights_takes_integers(backend):
    network = xpnn.Network([xpnn.Flatten((2, 2))])
    x = backend.asarray(np.arange(8).reshape(2, 2, 2))
    y = network(x)
    assert y.dtype == xpnn.identity(x).dtype
    np.testing.assert_array_equal(to_numpy(y), np.arange(8).reshape(2, 4))


def test_every_kind_of_layer_is_here():
    assert set(Layer.kinds) - {"dense"} <= set(KINDS)


def normalized(x, weight, bias):
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * weight + bias


FORMULAS = {
    "affine": lambda layer, x: x * layer.scale + layer.shift,
    "affine with an activation": lambda layer, x: (
        (a := x * layer.scale + layer.shift) / (1 + np.exp(-a))
    ),
    "activation": lambda _, x: np.where(x > 0, x, 1.5 * np.expm1(x)),
    "flatten": lambda _, x: x.reshape(-1, 5),
    "layer_norm": lambda layer, x: normalized(x, layer.weight, layer.bias),
    "prelu": lambda layer, x: np.where(x < 0, layer.slope * x, x),
    "residual": lambda layer, x: (
        x + np.tanh(x * layer.layers[0].scale @ layer.layers[1].weight + layer.layers[1].bias)
    ),
    "shortcut": lambda layer, x: (
        (x @ layer.shortcut[0].weight) * layer.shortcut[1].scale
        + np.tanh(x @ layer.layers[0].weight + layer.layers[0].bias)
    ),
    "function": lambda _, x: x / (1 + np.abs(x)),
}
"""What each kind of layer is, written by hand: the words of a layer cannot vouch for themselves."""


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_what_their_formulas_say(kind):
    (layer, *_), x = layered(kind, "float64").layers, samples(kind, rows(7, "float64"))
    np.testing.assert_allclose(
        xpnn.Network([layer])(x), FORMULAS[kind](layer, x), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("kind", STORED)
def test_fields_that_nobody_knows_are_refused(kind):
    layer = layered(kind, "float32").layers[0]
    given = layer.fields()
    for wrong in ({"foo": 1}, {"epsilons": 3}):
        with pytest.raises(xpnn.XpnnValueError, match=f"{layer.kind}|{next(iter(wrong))}"):
            type(layer).from_fields({**given, **wrong}, layer.arrays)


@pytest.mark.parametrize("kind", STORED)
def test_files(kind, tmp_path):
    network = layered(kind, "float32")
    network.save(tmp_path / "a.safetensors", metadata={"from": "here"})
    loaded = xpnn.load(tmp_path / "a.safetensors")
    assert repr(loaded) == repr(network)
    x = samples(kind, rows(0, "float32"))
    np.testing.assert_array_equal(loaded(x), network(x))
    assert b'\\"format_version\\": 2' in (tmp_path / "a.safetensors").read_bytes()
    loaded.save(tmp_path / "b.safetensors", metadata={"from": "here"})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    again = pickle.loads(pickle.dumps(network))
    assert repr(again) == repr(network)


@pytest.mark.parametrize("kind", KINDS)
def test_under_jit_grad_and_vmap(kind, jax):
    network = layered(kind, "float32").to(jax.numpy)
    x = jax.numpy.asarray(samples(kind, rows(3, "float32")))
    np.testing.assert_allclose(jax.jit(lambda n, x: n(x))(network, x), network(x), rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(network)(x), network(x), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda n: -n.log_proba(x)[:, 0].mean()))(network)
    assert all(np.any(np.asarray(a) != 0) for la in gradient.layers for a in la.arrays.values())


@pytest.mark.parametrize("kind", KINDS)
def test_under_torch_compile_and_grad(kind, torch):
    torch.compiler.reset()  # each kind is a function of its own, of which there may be eight
    network = layered(kind, "float32")
    x = torch.asarray(samples(kind, rows(3, "float32")))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    # Of NumPy's arrays torch makes other tensors in the first mode than in the second.
    for mode in (torch.inference_mode, contextlib.nullcontext):
        with mode():
            y = compiled(x)
        torch.testing.assert_close(y, network(x))
    assert not any(a.flags.writeable for la in network.layers for a in la.arrays.values())
    there = network.to(torch)
    leaves = [a.requires_grad_() for la in there.layers for a in la.arrays.values()]
    (-there.log_proba(x)[:, 0].mean()).backward()
    assert all(bool((a.grad != 0).any()) for a in leaves)


@pytest.mark.parametrize("kind", KINDS)
def test_parity_and_explain(kind):
    network, x = layered(kind, "float32"), samples(kind, rows(5, "float32"))
    report = xpnn.parity(network, x, backends=["numpy"])
    assert report.passed, report
    assert xpnn.explain(network, x, network(x)).passed
    *others, last = network.layers
    wrong = xpnn.Network([*others, xpnn.Dense(last.weight, None, last.activation)])
    found = xpnn.explain(network, x, wrong(x))
    assert found.cause == f"a missing bias in layer {len(others)}"
    noise = np.random.default_rng(0).random((6, 3)).astype("float32")
    assert not xpnn.explain(network, x, noise).passed  # and no candidate raises


@pytest.mark.parametrize(
    ("words", "normalize"),
    [
        ("", lambda d, v: d / np.sqrt(v + 1e-5)),
        ("epsilon 0.001", lambda d, v: d / np.sqrt(v + 1e-3)),
        ("epsilon 0", lambda d, v: d / np.sqrt(v)),
        ("the variance divided by n - 1", lambda d, v: d / np.sqrt(v * 5 / 4 + 1e-5)),
        ("epsilon added to the deviation", lambda d, v: d / (np.sqrt(v) + 1e-5)),
        ("left out", lambda d, _: d),
    ],
)
def test_rows_normalized_in_another_way_are_named(words, normalize):
    network, x = layered("layer_norm", "float32"), np.random.default_rng(0).normal(size=(40, 5))
    x = (0.3 * (x - x.mean(axis=-1, keepdims=True))).astype("float32")
    first, last = network.layers
    z = normalize(x, (x.astype("float64") ** 2).mean(axis=-1, keepdims=True))
    z = (z * first.weight + first.bias).astype("float32")
    found = xpnn.explain(network, x, xpnn.Network([last])(z))
    assert found.passed == (not words), found
    assert found.cause == (f"rows normalized in another way in layer 0: {words}" if words else None)


def test_candidates_of_wide_layers_hold_no_square_matrix():
    """Of layers that have one number a column, or none."""
    n, rng = 4000, np.random.default_rng(0)
    scale, shift, slope, *x = rng.normal(size=(5, n))
    last = xpnn.Dense(rng.normal(size=(n, 2)))
    layers = (xpnn.LayerNorm(scale), xpnn.Affine(shift=shift), xpnn.PReLU(slope), last)
    y = rng.normal(size=(2, 2))
    case = Case(layers, np.asarray(x), "output", "float32", y, 1e-7 + 0 * y, np.arange(2), (2,))
    tracemalloc.start()
    with host().guard("float64"):
        count = sum(1 for fault in (FAULTS | FITS | MANY).values() for _ in fault(case))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 500
    assert peak < 8 * n**2 / 8


@pytest.mark.parametrize("of", ["output", "logits"])
def test_a_last_layer_that_is_no_product_is_explained(of):
    network, x = xpnn.Network(layered("layer_norm", "float32").layers[:1]), rows(5, "float32")
    found = xpnn.explain(network, x, network(x)[::-1], of=of)
    assert found.cause == "rows in another order: reversed"


def without(layer, name):
    """The layer, one of its vectors changed for what changes nothing: 0 where that is added, 1 elsewhere."""

    def move(a):
        neutral = np.zeros_like if name.endswith(("bias", "shift")) else np.ones_like
        return neutral(a) if a is layer.arrays[name] else a

    return layer.moved(move)


VECTORS = [
    (kind, i, name)
    for kind in KINDS
    for i, layer in enumerate(layered(kind, "float32").layers)
    for name, a in layer.arrays.items()
    if a.ndim == 1 and (kind, name) != ("prelu", "slope")
]


@pytest.mark.parametrize(("kind", "i", "name"), VECTORS)
def test_a_missing_vector_is_named(kind, i, name):
    """Of every kind of layer, and of layers inside of layers."""
    network, x = layered(kind, "float32"), rows(5, "float32")
    layers = list(network.layers)
    layers[i] = without(layers[i], name)
    found = xpnn.explain(network, samples(kind, x), xpnn.Network(layers)(samples(kind, x)))
    called = "bias" if name.endswith(("bias", "shift")) else "scale"
    assert found.cause == f"a missing {called} in layer {i}"


def test_the_layer_inside_is_named():
    """Where others inside have as much."""
    rng = np.random.default_rng(0)
    inside = [
        xpnn.Dense(rng.normal(size=(5, 5)), rng.normal(size=5), "tanh"),
        xpnn.LayerNorm(rng.normal(size=5), rng.normal(size=5)),
    ]
    network, x = xpnn.Network([xpnn.Residual(inside)]), rows(5, "float64")
    for name in ("layers.0.bias", "layers.1.bias"):
        wrong = xpnn.Network([without(network.layers[0], name)])
        found = xpnn.explain(network, x, wrong(x))
        assert found.cause == f"a missing bias in layer 0: {name}"


def test_other_activations_inside_are_named():
    rng = np.random.default_rng(0)

    def residual(*names):
        dense = (xpnn.Dense(w, activation=name) for w, name in zip(weights, names, strict=True))
        return xpnn.Network([xpnn.Residual(dense)])

    weights, x = rng.normal(size=(2, 5, 5)), rows(50, "float64")
    network = residual("tanh", "relu")
    for names, words in [
        (("gelu", "relu"), "gelu in place of tanh"),
        (("tanh", "silu"), "silu in place of relu"),
    ]:
        found = xpnn.explain(network, x, residual(*names)(x))
        assert found.cause == f"an activation in layer 0: {words} inside"
    found = xpnn.explain(network, x, network(x) - x)
    assert found.cause == "an input that is not added in layer 0"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (xpnn.Affine, "Affine: expected scale, shift or an activation"),
        (lambda: xpnn.Affine(np.ones(2), np.ones(3)), r"Affine: .*\(2,\) and \(3,\)"),
        (lambda: xpnn.PReLU(np.ones((2, 2))), r"PReLU: expected slope of shape \(n,\)"),
        (lambda: xpnn.Flatten(()), "Flatten: expected the lengths of one axis"),
        (lambda: xpnn.Flatten((2, 0)), "each length in shape .* 1 or more, got 0"),
        (lambda: xpnn.Network([xpnn.Dense(np.ones((3, 4))), xpnn.Flatten((2, 2))]), "take the 4"),
        (
            lambda: xpnn.Network([xpnn.Function(abs, elementwise=True), xpnn.Flatten((2, 2))]),
            "of several axes, to be the first layer, got it as layer 1",
        ),
        (lambda: xpnn.LayerNorm(np.ones((2, 2))), r"LayerNorm: expected weight of shape \(n,\)"),
        (lambda: xpnn.LayerNorm(np.ones(0)), r"LayerNorm: .* n > 0, got shape \(0,\)"),
        (lambda: xpnn.LayerNorm(np.ones(2), np.ones(3)), r"LayerNorm: .*\(2,\), got shape \(3,\)"),
        (lambda: xpnn.LayerNorm(np.ones(2), epsilon=-1), "epsilon to be a finite number that is 0"),
        (lambda: xpnn.LayerNorm(np.ones(2), epsilon=np.inf), "epsilon to be a finite number"),
        (lambda: xpnn.Residual([]), "Residual: expected at least one layer"),
        (lambda: xpnn.Residual([xpnn.Dense(np.ones((2, 3)))]), r"Residual: .*\(2,\) in and \(3,\)"),
        (lambda: xpnn.Network([xpnn.Affine(np.ones(2)), xpnn.PReLU(np.ones(3))]), "take the 2"),
        (lambda: xpnn.Network([xpnn.Affine(np.ones(2))])(np.ones(3)), r"x of shape \(\.\.\., 2\)"),
    ],
)
def test_bad_layers(make, words):
    with pytest.raises(xpnn.XpnnValueError, match=words):
        make()


@pytest.mark.parametrize("shape", ["2 x 8", b"2 x", 28, {2, 8}, None, np.ones(2)])
def test_flatten_of_no_shape(shape):
    with pytest.raises(xpnn.XpnnTypeError, match="Flatten: expected shape to be a tuple"):
        xpnn.Flatten(shape)


def test_flatten_of_no_length():
    with pytest.raises(xpnn.XpnnTypeError, match="Flatten: expected each length in shape to be an"):
        xpnn.Flatten((2, None))


def test_layers_inside_of_layers_take_no_time():
    """Each level asked the one inside twice: 30 levels took hours."""
    layer = xpnn.Dense(np.eye(2, dtype="float32"), activation="relu")
    for _ in range(50):
        layer = xpnn.Residual([layer])
    network = xpnn.Network([layer])
    x = np.ones((1, 2), "float32")
    assert np.isfinite(xpnn.error_bound(network, x)).all()
    assert network(x)[0, 0] == 51
    for one in (layer, network.to(np, dtype="float64").layers[0]):
        with pytest.raises(xpnn.XpnnValueError, match=r"at most 50 of them .*, got 51"):
            xpnn.Residual([one])
