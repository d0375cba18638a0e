"""Functions of JAX, through their jaxpr."""

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import RECORDS

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(5, 8)).astype("float32"), RNG.normal(size=8).astype("float32")
V = RNG.normal(size=(8, 8)).astype("float32")
ALPHA = np.where(np.arange(8) == 2, 0, RNG.normal(size=8)).astype("float32")  # one of them is 0
BETA = RNG.normal(size=8).astype("float32")


def two_classes(jax, x):
    p = jax.nn.sigmoid(x @ V[:, :1] / 4)
    return jax.numpy.concatenate([1 - p, p], -1)


FUNCTIONS = {
    "reversed": lambda jax, x: jax.nn.relu(x[..., ::-1]),
    "less a branch": lambda jax, x: x @ V - jax.numpy.tanh(x @ V),
    "relu": lambda jax, x: jax.nn.relu(x),
    "relu6": lambda jax, x: jax.nn.relu6(x),
    "silu": lambda jax, x: jax.nn.silu(x),
    "gelu": lambda jax, x: jax.nn.gelu(x, approximate=False),
    "gelu, tanh": lambda jax, x: jax.nn.gelu(x),
    "sigmoid": lambda jax, x: jax.nn.sigmoid(x),
    "softplus": lambda jax, x: jax.nn.softplus(x),
    "softsign": lambda jax, x: jax.nn.soft_sign(x),
    "elu": lambda jax, x: jax.nn.elu(x, 0.7),
    "selu": lambda jax, x: jax.nn.selu(x),
    "celu": lambda jax, x: jax.nn.celu(x, 0.7),
    "leaky_relu": lambda jax, x: jax.nn.leaky_relu(x, 0.2),
    "hard_tanh": lambda jax, x: jax.nn.hard_tanh(x),
    "hard_sigmoid": lambda jax, x: jax.nn.hard_sigmoid(x),
    "hard_swish": lambda jax, x: jax.nn.hard_swish(x),
    "mish": lambda jax, x: jax.nn.mish(x),
    "log_sigmoid": lambda jax, x: jax.nn.log_sigmoid(x),
    "softmax": lambda jax, x: jax.nn.softmax(x),
    "log_softmax": lambda jax, x: jax.nn.log_softmax(x),
    "tanh": lambda jax, x: jax.numpy.tanh(x),
    "erf": lambda jax, x: jax.scipy.special.erf(x),
    "exp": lambda jax, x: jax.numpy.exp(x / 8),
    "silu by hand": lambda jax, x: x / (1 + jax.numpy.exp(-x)),
    "softmax by hand": lambda jax, x: (
        jax.numpy.exp(x - x.max(-1, keepdims=True))
        / jax.numpy.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)
    ),
    "standardize": lambda jax, x: jax.nn.standardize(x) * B + 1,
    "residual": lambda jax, x: jax.nn.relu(x + jax.numpy.tanh(x @ V)),
    "scaled": lambda _, x: (x - 0.5) / 0.25,
    "power": lambda jax, x: jax.numpy.sign(x) * jax.numpy.sqrt(x**2),
    "emulators'": lambda jax, x: (BETA + jax.nn.sigmoid(ALPHA * x) * (1 - BETA)) * x,
    "emulators', in two": lambda jax, x: BETA * x + (1 - BETA) * x * jax.nn.sigmoid(ALPHA * x),
    "swish": lambda jax, x: x * jax.nn.sigmoid(1.7 * x),
    "columns": lambda _, x: x[:, 2:5],
    "split": lambda jax, x: jax.numpy.split(x, 2, -1)[1],
    "beside": lambda jax, x: jax.numpy.concatenate([x @ V, x @ V[:, :2]], -1),
    "two classes": two_classes,
}
OF_ALL_ROWS = {"columns", "split", "reversed", "beside", "two classes", "softmax by hand"}


@pytest.mark.parametrize("batched", ["rows", "vmap", "columns", "jit"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, batched, jax):
    """Their own numbers, inside the bound; an activation is one, however it is written."""

    def function(x):
        return FUNCTIONS[name](jax, x @ W + B)

    if batched in {"vmap", "columns"}:
        if name in OF_ALL_ROWS:
            pytest.skip("it is written for rows")
        if batched == "columns":  # which vmap puts beside each other
            function = lambda x: FUNCTIONS[name](jax, jax.numpy.asarray(W.T) @ x)
        function = jax.vmap(function)
    function = jax.jit(function) if batched == "jit" else function
    x = (np.random.default_rng(1).normal(size=(20, 5)) * 2).astype("float32")
    network = xpnn.Network.from_jax(function, x[:1])
    with jax.default_matmul_precision("highest"):  # a GPU rounds factors to TF32 by default
        expected = np.asarray(function(x))
    wrong = np.abs(network(x) - expected)
    assert np.all(wrong <= xpnn.error_bound(network, x) + 2e-7 * (name == "two classes"))
    if name in RECORDS:
        assert network.layers[-1].activate.name == name


def test_widths_that_are_numbers_of_rows(jax):
    """97 rows are tried first: a width of that many is no row."""
    weight = np.ones((97, 97), "float32")
    network = xpnn.Network.from_jax(lambda x: jax.nn.softmax(x @ weight), weight[:1])
    assert [str(layer.activate) for layer in network.layers] == ["softmax"]


def test_sums_that_lose_digits_stay(jax):
    """x + 1 - 1 is no x: the bound is that of both sums."""
    one = np.float32(1)
    network = xpnn.Network.from_jax(lambda x: x + one - one, np.ones((1, 3), "float32"))
    assert [layer.words for layer in network.layers] == [["3", "shift"]] * 2
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    assert np.all(np.abs(network(x) - (x + one - one)) <= xpnn.error_bound(network, x))


def test_the_number_of_rows_is_no_number(jax):
    with pytest.raises(xpnn.XpnnValueError, match="no computing with the number of rows"):
        xpnn.Network.from_jax(lambda x: x / x.shape[0], np.ones((1, 3), "float32"))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x + np.ones((5, 3), "float32"), "incompatible shapes"),
        (lambda x: x if x[0, 0] > 0 else -x, "boolean conversion"),
        (lambda x: np.asarray(x) + 1, "numpy.ndarray conversion"),
        (lambda x: x.rows, "no attribute rows"),
        (lambda x: x[x > 0], "boolean indices"),
    ],
)
def test_functions_that_jax_cannot_trace_for_any_rows(function, words, jax):
    expected = rf"from_jax: expected a function of any number of rows.*\(3,\), float32.*{words}"
    with pytest.raises(xpnn.XpnnValueError, match=expected):
        xpnn.Network.from_jax(function, np.ones((5, 3), "float32"))


def test_what_is_refused(jax):
    convert, x = xpnn.Network.from_jax, np.ones((1, 2), "float32")
    with pytest.raises(xpnn.XpnnTypeError, match="from_jax: expected a function, got dict"):
        convert({}, x)
    with pytest.raises(xpnn.XpnnTypeError, match="expected an example of shape"):
        convert(jax.nn.relu, x[0])
    with pytest.raises(
        xpnn.XpnnValueError, match="cumsum is not among the primitives that xpnn has"
    ):
        convert(lambda x: jax.numpy.cumsum(x, axis=-1), x)
    with pytest.raises(xpnn.XpnnValueError, match="sin of what comes before it is not among"):
        convert(jax.numpy.sin, x)
    logistic, tanh = jax.nn.sigmoid, jax.numpy.tanh
    for gated in (
        lambda x: x * logistic(x + 1),  # not of x itself
        lambda x: (x + 1) * logistic(x),
        lambda x: x * tanh(x),
        lambda x: x * (x * 2),
        lambda x: x * tanh(logistic(x)),
        lambda x: x * logistic(x @ W[:2, :2]),
    ):
        with pytest.raises(xpnn.XpnnValueError, match="multiply of what comes before it is not"):
            convert(gated, x)
    with pytest.raises(xpnn.XpnnValueError, match="expected one output, got 2"):
        convert(lambda x: (x, x), x)
