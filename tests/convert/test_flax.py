"""Modules of Flax: those of linen with their variables, those of nnx."""

import functools

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import RECORDS

NAMES = {"softsign": "soft_sign", "hard_swish": "hard_silu"}
"""What flax.linen calls them otherwise."""
MISSING = set(
    """
    identity step erf exp hard_shrink mish softshrink tanhshrink threshold
    """.split()
)
"""Of which flax.linen has no function."""
ACTIVATIONS = [name for name in RECORDS if name not in MISSING]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def linen(jax):
    assert jax
    return pytest.importorskip("flax.linen")


@pytest.fixture
def nnx(jax):
    assert jax
    return pytest.importorskip("flax.nnx")


def rows(*shape):
    return (np.random.default_rng(1).normal(size=(20, *(shape or (5,)))) * 2).astype("float32")


def trained(jax, tree):
    """The same tree of other numbers, all positive, as variances are."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda a: abs(rng.normal(size=a.shape)).astype("float32") + 0.1, tree)


def check(jax, network, function, x):
    with jax.default_matmul_precision("highest"):  # a GPU rounds factors to TF32 by default
        expected = np.asarray(function(x))
    bound = xpnn.error_bound(network, x)
    assert np.all(np.abs(network(x) - expected) <= bound)
    assert np.max(bound) < 1e-3 * (1 + np.max(np.abs(expected)))


def of_linen(jax, module, x, **options):
    """A network of a module with numbers as a training leaves them; the module as a function."""
    variables = trained(jax, module.init(jax.random.key(0), x, **options))
    network = xpnn.Network.from_flax(module, variables, x[:1], **options)
    check(jax, network, lambda x: module.apply(variables, x, **options), x)
    return network


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, jax, linen):
    function = getattr(linen, NAMES.get(name, name))
    module = linen.Sequential([linen.Dense(6), function])
    (layer,) = of_linen(jax, module, rows()).layers
    # celu is elu where alpha is 1.
    assert layer.activate.name == {"celu": "elu"}.get(name, name)
    if name == "gelu":
        assert layer.activation == "gelu(approximate='tanh')"


def test_activations_are_all_that_there_are(linen):
    assert {name for name in RECORDS if not hasattr(linen, NAMES.get(name, name))} == MISSING


def deep(linen, *, fast):
    class Deep(linen.Module):
        @linen.compact
        def __call__(self, x, *, train=True):
            x = x.reshape(x.shape[0], -1)
            x = linen.relu(linen.LayerNorm(use_fast_variance=fast)(linen.Dense(8)(x)))
            x = linen.BatchNorm(use_running_average=not train)(x)
            x = linen.Dropout(0.5, deterministic=not train)(x)
            x = x + linen.Dense(8)(linen.tanh(linen.Dense(8)(x)))
            return linen.softmax(linen.Dense(3, use_bias=False)(x))

    return Deep()


@pytest.mark.parametrize("fast", [True, False])
def test_linen(fast, jax, linen):
    """Arguments go on to the module, and statistics are those of its variables."""
    network = of_linen(jax, deep(linen, fast=fast), rows(5, 2), train=False)
    assert [layer.kind for layer in network.layers] == [
        *("flatten", "dense", "layer_norm", "affine", "affine", "affine", "residual", "dense"),
    ]
    assert network.layers[2].epsilon == 1e-6


@pytest.mark.parametrize("options", [{"use_scale": False}, {"use_bias": False}, {"epsilon": 0.1}])
@pytest.mark.parametrize("fast", [True, False])
def test_normalization(fast, options, jax, linen):
    module = linen.Sequential([linen.Dense(8), linen.LayerNorm(use_fast_variance=fast, **options)])
    assert of_linen(jax, module, rows()).layers[1].kind == "layer_norm"


def test_prelu_is_a_leaky_relu(jax, linen):
    """It has one slope for all columns."""
    (layer,) = of_linen(jax, linen.Sequential([linen.Dense(8), linen.PReLU()]), rows()).layers
    assert layer.activate.name == "leaky_relu"


def test_compiled_functions(jax, linen):
    module, x = linen.Dense(3), rows()
    variables = module.init(jax.random.key(0), x)
    function = jax.jit(functools.partial(module.apply, variables))
    check(jax, xpnn.Network.from_jax(function, x), function, x)


def of_nnx(nnx):
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(5, 8, rngs=rngs)
            self.layer_norm = nnx.LayerNorm(8, rngs=rngs)
            self.batch_norm = nnx.BatchNorm(8, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.last = nnx.Linear(8, 3, use_bias=False, rngs=rngs)

        def __call__(self, x, scale=1.0):
            x = self.batch_norm(nnx.silu(self.layer_norm(self.first(x))))
            return nnx.log_softmax(self.last(self.dropout(x)) * scale)

    return Block(nnx.Rngs(0))


def test_nnx(jax, nnx):
    """As after eval, which the module itself does not see."""
    module, x = of_nnx(nnx), rows()
    for _ in range(3):
        module(x)  # for its running averages
    networks = [
        xpnn.Network.from_flax(module, x, scale=0.5),
        xpnn.Network.from_flax(module, example=x, scale=0.5),
    ]
    assert not module.dropout.deterministic
    assert not module.batch_norm.use_running_average
    module.eval()
    for network in networks:
        check(jax, network, lambda x: module(x, scale=0.5), x)
    kinds = [layer.kind for layer in networks[0].layers]
    assert kinds == ["dense", "layer_norm", "affine", "affine", "affine", "dense", "affine"]


def test_what_is_refused(jax, linen, nnx):
    convert, x = xpnn.Network.from_flax, rows()
    module = deep(linen, fast=True)
    variables = module.init(jax.random.key(0), x, train=False)
    with pytest.raises(xpnn.XpnnValueError, match=r"such as train=False, got Cannot update variab"):
        convert(module, variables, x)
    with pytest.raises(
        xpnn.XpnnValueError, match='such as train=False, got Tried to access "kernel"'
    ):
        convert(module, {}, x, train=False)
    with pytest.raises(xpnn.XpnnTypeError, match="expected the variables of a module of flax.lin"):
        convert(module, x)
    with pytest.raises(xpnn.XpnnTypeError, match=r"from_flax: expected an example .* got dict"):
        convert(module, x, variables)
    with pytest.raises(xpnn.XpnnTypeError, match=r"from_flax: expected an example .* got shape"):
        convert(module, variables, x[0], train=False)
    with pytest.raises(xpnn.XpnnTypeError, match=r"from_flax: expected no variables of a module"):
        convert(of_nnx(nnx), variables, x)
    with pytest.raises(xpnn.XpnnTypeError, match=r"a module of flax.linen or flax.nnx, got dict"):
        convert({}, x)


def test_short_dtypes_are_refused(jax, linen):
    convert, x = xpnn.Network.from_flax, jax.numpy.ones((2, 5))
    module = linen.Dense(3)
    variables = module.init(jax.random.key(0), x)
    short = jax.tree.map(lambda a: a.astype("bfloat16"), variables)
    words = "expected numbers of NumPy's own dtypes, got bfloat16; convert them to float32"
    for given in (
        (module, short, x),
        (linen.Dense(3, dtype="bfloat16"), variables, x),
        (module, variables, x.astype("bfloat16")),
    ):
        with pytest.raises(xpnn.XpnnValueError, match=words):
            convert(*given)


def test_state_dicts(jax, linen):
    """The variables alone, with the layers named."""

    class Plain(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.BatchNorm(use_running_average=True)(linen.Dense(8)(x))
            return linen.Dense(3)(linen.relu(linen.LayerNorm(epsilon=1e-5)(x)))

    x = rows()
    variables = trained(jax, Plain().init(jax.random.key(0), x))
    layers = dict.fromkeys(("Dense_0", "BatchNorm_0", "LayerNorm_0", "Dense_1"), "identity")
    network = xpnn.Network.from_state_dict(variables, layers | {"LayerNorm_0": "relu"})
    check(jax, network, lambda x: Plain().apply(variables, x), x)
