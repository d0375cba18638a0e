"""Modules of Equinox, which take one sample."""

import numpy as np
import pytest
from test_flax import check, rows

import xpnn


@pytest.fixture
def eqx(jax):
    assert jax
    return pytest.importorskip("equinox")


ACTIVATIONS = {
    "relu": lambda jax: jax.nn.relu,
    "gelu(approximate='tanh')": lambda jax: jax.nn.gelu,
    "silu": lambda jax: jax.nn.silu,
    "tanh": lambda jax: jax.numpy.tanh,
    "softplus": lambda jax: jax.nn.softplus,
    "sigmoid": lambda jax: jax.nn.sigmoid,
    "mish": lambda jax: jax.nn.mish,
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_perceptrons(name, wrapped, jax, eqx):
    mlp = eqx.nn.MLP(
        *(5, 3, 8, 2),
        activation=ACTIVATIONS[name](jax),
        final_activation=jax.nn.sigmoid,
        dtype="float32",
        key=jax.random.key(0),
    )
    x = rows()
    network = xpnn.Network.from_equinox(eqx.filter_jit(mlp) if wrapped else mlp, x)
    assert [layer.activation for layer in network.layers] == [name, name, "sigmoid"]
    check(jax, network, jax.vmap(mlp), x)


def of_equinox(jax, eqx):
    one, two, three = jax.random.split(jax.random.key(0), 3)

    class Block(eqx.Module):
        first: eqx.nn.Linear
        norm: eqx.nn.LayerNorm
        dropout: eqx.nn.Dropout
        prelu: eqx.nn.PReLU
        inside: eqx.nn.Linear
        last: eqx.nn.Linear

        def __call__(self, x, key=None, scale=1.0):
            x = self.norm(self.first(x.reshape(-1)))
            x = self.prelu(self.dropout(x, key=key))
            x = x + jax.nn.tanh(self.inside(x))
            return jax.nn.log_softmax(self.last(x) * scale)

    weight, bias = jax.random.normal(three, (2, 8), "float32")
    norm = eqx.tree_at(lambda n: (n.weight, n.bias), eqx.nn.LayerNorm(8), (weight, bias))
    return Block(
        eqx.nn.Linear(10, 8, dtype="float32", key=one),
        norm,
        eqx.nn.Dropout(0.5),
        eqx.nn.PReLU(np.float32(0.3)),
        eqx.nn.Linear(8, 8, use_bias=False, dtype="float32", key=two),
        eqx.nn.Linear(8, 3, dtype="float32", key=three),
    )


def test_modules(jax, eqx):
    """Read as in inference, which the module itself does not see; arguments go on to it."""
    module, x = of_equinox(jax, eqx), rows(5, 2)
    network = xpnn.Network.from_equinox(module, x[:1], scale=0.5)
    assert not module.dropout.inference
    kinds = ["flatten", "dense", "layer_norm", "affine", "residual", "dense", "affine"]
    assert [layer.kind for layer in network.layers] == kinds
    own = eqx.nn.inference_mode(module)
    check(jax, network, jax.vmap(lambda x: own(x, scale=0.5)), x)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", ["ema", "batch"])
def test_modules_with_a_state(mode, jax, eqx):
    class Block(eqx.Module):
        norm: eqx.nn.BatchNorm
        last: eqx.nn.Linear

        def __init__(self):
            self.norm = eqx.nn.BatchNorm(5, "batch", mode=mode, dtype="float32")
            self.last = eqx.nn.Linear(5, 3, dtype="float32", key=jax.random.key(0))

        def __call__(self, x, state):
            x, state = self.norm(x, state)
            return self.last(x), state

    module, state = eqx.nn.make_with_state(Block)()
    for _ in range(3):
        run = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        _, state = run(rows() + 1, state)
    network = xpnn.Network.from_equinox(module, rows(), state=state)
    own = eqx.nn.inference_mode(module)
    check(jax, network, jax.vmap(lambda x: own(x, state)[0]), rows())


def test_compiled_functions(jax, eqx):
    """Of a matrix that is made inside."""
    function = eqx.filter_jit(lambda x: jax.nn.relu(x @ jax.numpy.ones((5, 2))))
    network = xpnn.Network.from_jax(function, rows())
    check(jax, network, function, rows())
    assert network.layers[0].activation == "relu"


def test_what_is_refused(jax, eqx):
    convert, x = xpnn.Network.from_equinox, rows()
    linear = eqx.nn.Linear(5, 3, dtype="float32", key=jax.random.key(0))
    with pytest.raises(xpnn.XpnnTypeError, match="expected a module of Equinox .* got dict"):
        convert({}, x)
    with pytest.raises(xpnn.XpnnTypeError, match=r"from_equinox: expected an example .* got shap"):
        convert(linear, x[0])
    with pytest.raises(xpnn.XpnnValueError, match="from_equinox: expected one output, got 2"):
        convert(eqx.nn.Lambda(lambda x: (x, x)), x)
    short = jax.tree.map(lambda a: a.astype("bfloat16"), linear)
    with pytest.raises(xpnn.XpnnValueError, match="own dtypes, got bfloat16; convert them to flo"):
        convert(short, x)
