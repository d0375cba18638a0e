"""fold: fewer layers of the same function, and a bound that covers what their rounding adds."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from golden_cases import layered, normal
from test_layers import KINDS, error, rows

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._network.interpreters.exact import exact


def among_affines(kind, dtype):
    """A network with a layer of this kind between layers that can be folded: 5 -> 3."""
    scale, shift = normal(40, 4, 5, dtype=dtype), normal(41, 4, 5, dtype=dtype)
    linear = xpnn.Dense(normal(42, 5, 3, dtype=dtype), normal(43, 3, dtype=dtype))
    middle = [] if kind == "dense" else layered(kind, dtype).layers[:-1]
    return xpnn.Network(
        [
            xpnn.Affine(scale[0], shift[0]),
            xpnn.Affine(shift=shift[1]),
            xpnn.Dense(normal(44, 5, 5, dtype=dtype), None, "tanh"),
            xpnn.Affine(scale[1]),
            *middle,
            xpnn.Affine(scale[2], shift[2]),
            linear,
            xpnn.Affine(scale[3, :3]),
            xpnn.Affine(scale[3, 2:], shift[3, 2:]),
            xpnn.Dense(normal(45, 3, 3, dtype=dtype), shift[3, 1:4], "softmax"),
        ],
        ["a", "b", "c"],
    )


def exactly(network, x, of="output"):
    return exact(network.to(np, dtype="float64").layers, np.asarray(x, "float64"), of)


@pytest.mark.parametrize("kind", ["dense", *(k for k in KINDS if k != "flatten")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_within_the_bound_of_what_was_meant(kind, dtype):
    network, x = among_affines(kind, dtype), rows(1, dtype)
    folded = network.fold()
    assert len(folded.layers) <= len(network.layers) - 4
    assert folded.classes == network.classes
    bound, desired = xpnn.error_bound(folded, x), exactly(network, x)
    size = xpnn.expected_error(folded, x)
    for xp in (None, np, xpnn.reproducible(np)):
        wrong = np.asarray(error(folded(x, xp=xp).astype("float64").tolist(), desired))
        assert np.all(wrong <= bound)
        assert np.sqrt(np.mean((wrong / size) ** 2)) < 8
    # Computed in float64, nearly all of the error is that of folding.
    x = x.astype("float64")
    wrong = np.asarray(error(folded(x).tolist(), desired))
    assert np.all(wrong <= xpnn.error_bound(folded, x))
    assert np.sqrt(np.mean((wrong / xpnn.expected_error(folded, x)) ** 2)) < 8
    assert xpnn.parity(folded, x, backends=["numpy"]).passed


@pytest.mark.parametrize("low", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("first", ["dense", "affine"])
def test_the_bound_is_reached(low, first):
    """Of one product alone that is computed in more digits, folding is the error: half a bound is found."""
    pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(0)
    scale, weight = rng.normal(size=(2, 400)).astype(low)
    one = {"affine": xpnn.Affine(scale), "dense": xpnn.Dense(scale[np.newaxis, :])}[first]
    network = xpnn.Network([one, xpnn.Affine(weight)])
    x = rng.normal(size=(1, *one.takes))
    folded = network.fold()
    (layer,) = folded.layers
    assert layer.dtypes == {low}
    assert layer.rounded == low
    wrong = np.asarray(error(folded(x).tolist(), exactly(network, x)))
    ratio = wrong / xpnn.error_bound(folded, x)
    assert 0.9 < ratio.max() <= 1


def test_a_real_table():
    """A scaler, as scikit-learn fits it: the errors grow, and the bound with them."""
    datasets = pytest.importorskip("sklearn.datasets")
    x = datasets.load_diabetes(scaled=False).data[:100]
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    layers = [
        xpnn.Affine((1 / deviation).astype("float32"), (-mean / deviation).astype("float32")),
        xpnn.Dense(normal(0, 10, 20, dtype="float32"), None, "relu"),
        xpnn.Dense(normal(1, 20, 1, dtype="float32")),
    ]
    network, x = xpnn.Network(layers), x.astype("float32")
    folded, desired = network.fold(), exactly(network, x)
    sizes = []
    for one in (network, folded):
        wrong = np.asarray(error(one(x).tolist(), desired))
        assert np.all(wrong <= xpnn.error_bound(one, x))
        sizes.append((np.sqrt(np.mean(wrong**2)), wrong.max(), xpnn.error_bound(one, x).max()))
    for words, a, b in zip(("errors", "largest error", "bound"), *sizes, strict=True):
        print(f"{words}: {a:.2g}, folded {b:.2g}, {b / a:.2f} times")
    assert sizes[1][2] > sizes[0][2]
    assert sizes[1][0] > sizes[0][0]


def test_only_what_is_the_same_function_is_folded():
    a, dense = xpnn.Affine(np.asarray([2.0, 3.0])), xpnn.Dense(np.ones((2, 2)))
    relu = xpnn.Dense(np.ones((2, 2)), None, "relu")
    huge = xpnn.Affine(np.asarray([1e300, np.inf]))

    def shape(*layers):
        layers = xpnn.Network(layers).fold().layers
        return [f"{type(la).__name__}{' rounded' * bool(la.rounded)}" for la in layers]

    assert shape(relu, a) == ["Dense", "Affine"]
    assert shape(dense, dense, a) == ["Dense", "Dense rounded"]
    assert shape(a, dense, a, a, relu) == ["Dense rounded", "Dense"]
    assert shape(a, a, a) == ["Affine rounded"]
    assert shape(relu, a, xpnn.Affine(shift=np.ones(2))) == ["Dense", "Affine rounded"]
    assert shape(huge, dense) == ["Affine", "Dense"]
    big = xpnn.Affine(np.asarray([1e200, 1e200]))
    assert shape(big, big, relu) == ["Affine", "Affine", "Dense"]
    big = xpnn.Affine(np.asarray([1e30, 1e30], "float32"))
    assert shape(big, big) == ["Affine", "Affine"]
    assert shape(xpnn.Network([a, relu]).fold().layers[0], a) == ["Dense rounded", "Affine"]
    assert shape(a, xpnn.Network([a, dense]).fold().layers[0]) == ["Affine", "Dense rounded"]
    network = xpnn.Network([dense, relu])
    assert all(x is y for x, y in zip(network.layers, network.fold().layers, strict=True))
    inside = xpnn.Network([xpnn.Residual([a, xpnn.Residual([dense, a])])]).fold()
    assert repr(inside).endswith("x + (2, scale; x + (2 -> 2, identity, rounded to float64))")


def test_stacked_layers_stay(jax):
    """As jax.vmap takes and gives them."""
    pair = xpnn.Network([xpnn.Affine(np.ones(5, "float32"))] * 2).to(jax.numpy)
    stacked = jax.tree.map(lambda a: jax.numpy.stack([a, a]), pair)
    assert [a.scale.shape for a in stacked.fold().layers] == [(2, 5)] * 2


def test_parameters_are_rounded_once():
    """Sums that cancel too: those of binary64 steps lose 30 digits here."""
    shift, weight = np.asarray([1e15, 1 / 3]), np.asarray([[0.1], [-0.3]])
    bias = np.asarray([-1e15 * 0.1])
    network = xpnn.Network([xpnn.Affine(shift=shift), xpnn.Dense(weight, bias)])
    (layer,) = network.fold().layers
    ((exact_bias,),) = exactly(network, np.zeros((1, 2)))
    assert layer.bias[0] == float(exact_bias)
    assert abs(shift @ weight + bias - float(exact_bias))[0] > 1e-6
    np.testing.assert_array_equal(layer.weight, weight)
    scales = normal(0, 3, 100, dtype="float64", sigma=60)
    (layer,) = xpnn.Network([xpnn.Affine(scale) for scale in scales]).fold().layers
    products = [float(math.prod(map(Fraction, column))) for column in scales.T.tolist()]
    np.testing.assert_array_equal(layer.scale, products)


def test_what_was_folded_stays_so_in_files(tmp_path):
    """And pickles."""
    folded, x = among_affines("residual", "float32").fold(), rows(2, "float64")
    bound = xpnn.error_bound(folded, x)
    folded.save(tmp_path / "a.safetensors")
    again = xpnn.load(tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content.count(b'\\"rounded\\": \\"float32\\"') == 3
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == content
    for network in (again, pickle.loads(pickle.dumps(folded))):
        assert repr(network) == repr(folded)
        np.testing.assert_array_equal(xpnn.error_bound(network, x), bound)
    dense = xpnn.Network([xpnn.Dense(np.ones((2, 1)), rounded="float16")])
    dense.save(tmp_path / "a.safetensors")
    assert xpnn.load(tmp_path / "a.safetensors").layers[0].rounded == "float16"


def test_what_was_folded_stays_so_elsewhere(jax, torch):
    folded, x = among_affines("residual", "float32").fold(), rows(2, "float64")
    bound = xpnn.error_bound(folded, x)
    there = folded.to(torch)
    tensors = xpnn.error_bound(there, torch.asarray(x))
    np.testing.assert_allclose(tensors, bound, rtol=1e-6)
    doubled = jax.tree.map(lambda a: 2 * a, folded.to(jax.numpy))
    assert [la.words for la in doubled.layers] == [la.words for la in folded.layers]


def test_where_it_lies(backend):
    """What follows its input goes on to; what is somewhere stays there, with its values."""
    network, x = among_affines("residual", "float32"), rows(1, "float32")
    followed = network.fold()
    assert followed.follows
    there = network.to(backend.xp, device=backend.device)
    folded = there.fold()
    assert not folded.follows
    bound, desired = xpnn.error_bound(followed, x), exactly(network, x)
    for one in (followed, folded):
        y = to_numpy(one(backend.asarray(x))).astype("float64")
        assert np.all(np.asarray(error(y.tolist(), desired)) <= bound)
    for a, b in zip(folded.layers, followed.layers, strict=True):
        for name in b.arrays:
            assert type(a.arrays[name]) is type(there.layers[0].scale)
            np.testing.assert_array_equal(to_numpy(a.arrays[name]), b.arrays[name])


def test_dtypes_that_differ():
    network = among_affines("affine", "float32")
    folded = xpnn.Network([xpnn.Affine(np.ones(5)), *network.layers]).fold()
    assert folded.layers[0].dtypes == {"float64"}
    assert folded.layers[0].rounded == "float64"
    assert folded.layers[1].dtypes == {"float32"}


def test_under_a_transform(jax, torch):
    network = among_affines("affine", "float32")
    words = "network.fold: expected weights whose values are known"
    x = jax.numpy.asarray(rows(0, "float32"))
    for transform in (jax.jit, jax.grad):
        with pytest.raises(xpnn.XpnnTypeError, match=words):
            transform(lambda n: n.fold()(x).sum())(network.to(jax.numpy))

    def folded_inside(x):
        return network.fold()(x)

    # Weights that are not traced are known.
    folded = jax.jit(folded_inside)(x)
    np.testing.assert_allclose(folded, network(x), rtol=1e-4)

    compiled = torch.compile(folded_inside, backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=words):
        compiled(torch.ones(1, 5))


@pytest.mark.parametrize("rounded", ["float", "float8", 3, ["float32"], "int32"])
def test_other_dtypes_are_refused(rounded):
    with pytest.raises(xpnn.XpnnValueError, match="expected rounded to be one of float16"):
        xpnn.Dense(np.ones((1, 1)), rounded=rounded)
    with pytest.raises(xpnn.XpnnValueError, match="Affine: expected rounded to be one of"):
        xpnn.Affine(np.ones(1), rounded=rounded)
