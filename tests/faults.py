"""Faults to plant, with the words that name each, and sound results that nobody may accuse.

A planter is `(networks, compute, words)`: on each of the networks, `compute(network, x)` gives a result with the
fault, in the dtype of x, and `explain` must find a cause that has all of the words. They are written with NumPy, as
somebody's own code would be, in float32 as a rule; nothing here is xpnn's but the activations.
"""

import functools

import numpy as np
from networks import random_network

import xpnn
import xpnn.models
from xpnn._activations.table import ELEMENTWISE


@functools.cache
def network(name):
    """A network, and rows for it."""
    rng = np.random.default_rng(5)
    if name == "digits":
        return xpnn.load("digits"), xpnn.models.sample("digits")[0].astype("float32")
    if name == "digits64":
        return xpnn.load("digits"), xpnn.models.sample("digits")[0].astype("float64")
    widths, hidden, output, rows, dtype = NETWORKS[name]
    made = random_network(widths, hidden, output, seed=1, scale=1.5, dtype=dtype)
    if name.endswith("64"):
        layers = [xpnn.Dense(la.weight, la.bias * 3, la.activation) for la in made.layers]
    else:
        layers = [
            xpnn.Dense(la.weight, la.bias * np.float32(3), la.activation) for la in made.layers
        ]
    return xpnn.Network(layers), rng.normal(size=(rows, widths[0])).astype(dtype)


NETWORKS = {
    "small": ((6, 16, 3), "relu", "softmax", 100, "float32"),
    "square": ((20, 30, 30, 4), "gelu", "softmax", 120, "float32"),
    "deep": ((8, 12, 12, 12, 12, 5), "tanh", "identity", 150, "float32"),
    "wide": ((256, 128, 10), "silu", "log_softmax", 60, "float32"),
    "labels": ((10, 24, 24, 6), "elu", "sigmoid", 90, "float32"),
    "square64": ((12, 20, 20, 4), "softplus", "softmax", 80, "float64"),
}
ALL = ("digits", *NETWORKS)
FEW = ("digits", "square", "deep")


def by_hand(n, x, *, change=None, linear=None, activate=None, of=lambda z: z):
    """The forward pass that somebody else wrote; `change(i, weight, bias)` gives other weights."""
    z = x
    for i, layer in enumerate(n.layers):
        w, b = layer.weight, layer.bias
        if change is not None:
            w, b = change(i, w, b)
        a = (z @ w + b) if linear is None else linear(i, z, w, b)
        act = layer.activate if activate is None else activate(i, layer.activate)
        z = act(a.astype(x.dtype))
    return of(z).astype(x.dtype)


def weights(change, only=None):
    """Plant other weights: in layer `only`, or in all."""
    return lambda n, x: by_hand(
        n, x, change=lambda i, w, b: change(w, b) if only in (None, i) else (w, b)
    )


def bits(a, count):
    m, e = np.frexp(a.astype("float64"))
    return np.ldexp(np.round(m * 2.0**count), e - count).astype(a.dtype)


def factors(count, only=None):
    def linear(i, z, w, b):
        low = only in (None, i)
        return (bits(z, count) @ bits(w, count) if low else z @ w) + b

    return lambda n, x: by_hand(n, x, linear=linear)


def other(function, only=None):
    """Another activation in layer `only`, or in all hidden ones."""

    def compute(n, x):
        last = len(n.layers) - 1
        here = lambda i: i < last if only is None else i == only
        return by_hand(n, x, activate=lambda i, own: function if here(i) else own)

    return compute


def result(change):
    return lambda n, x: by_hand(n, x, of=change)


def logits(n, x):
    return by_hand(n, x, activate=lambda i, own: (lambda a: a) if i == len(n.layers) - 1 else own)


def on_logits(change):
    return lambda n, x: n.layers[-1].activate(change(logits(n, x)).astype(x.dtype))


def int8(w, axis=None):
    unit = np.abs(w).max(axis=axis, keepdims=True) / 127
    return (np.round(w / unit) * unit).astype(w.dtype)


def bfloat16(a):
    return bits(a, 8)


def float16(a):
    return a.astype("float16").astype(a.dtype)


def given(change):
    return lambda n, x: by_hand(n, change(x).astype(x.dtype))


def with_layers(order):
    """The layers in another order, or some left out."""
    return lambda n, x: by_hand(xpnn.Network([n.layers[i] for i in order]), x)


def dropped(rate, only):
    rng = np.random.default_rng(3)

    def compute(n, x):
        def activate(i, own):
            if i != only:
                return own
            return lambda a: (
                own(a) * (rng.random(a.shape) >= rate).astype(a.dtype) / a.dtype.type(1 - rate)
            )

        return by_hand(n, x, activate=activate)

    return compute


def normalised(only, axis=0, epsilon=1e-5):
    def linear(i, z, w, b):
        a = z @ w + b
        if i != only:
            return a
        return (a - a.mean(axis=axis, keepdims=True)) / np.sqrt(
            a.var(axis=axis, keepdims=True) + epsilon
        )

    return lambda n, x: by_hand(n, x, linear=linear)


def stale(only, size=0.05):
    def change(w, b):
        rng = np.random.default_rng(9)
        new = lambda a: (a + size * rng.normal(size=a.shape) * np.abs(a).mean()).astype(a.dtype)
        return new(w), new(b)

    return weights(change, only)


def of_another_network(only):
    def change(w, b):
        rng = np.random.default_rng(8)
        return (rng.normal(size=w.shape) * w.std()).astype(w.dtype), b

    return weights(change, only)


FIXED = np.random.default_rng(0)


def permuted(count):
    return np.roll(np.random.default_rng(1).permutation(count), 1 + (count == 4))


SOFT = {"softmax": xpnn.softmax}
TANH = functools.partial(xpnn.gelu, approximate="tanh")
keras_hard_sigmoid = lambda a: np.clip(a / 5 + a.dtype.type(0.5), 0, 1)

PLANTED = {
    # Weights and biases
    "no bias": (ALL, weights(lambda w, b: (w, 0 * b)), "a missing bias in layers 0, 1"),
    "no bias in layer 0": (ALL, weights(lambda w, b: (w, 0 * b), 0), "a missing bias in layer 0"),
    "no bias in layer 1": (ALL, weights(lambda w, b: (w, 0 * b), 1), "a missing bias in layer 1"),
    "a bias twice": (ALL, weights(lambda w, b: (w, 2 * b), 1), "another bias in layer 1: twice"),
    "all biases twice": (ALL, weights(lambda w, b: (w, 2 * b)), "another bias in layers 0, 1"),
    "a bias subtracted": (FEW, weights(lambda w, b: (w, -b), 0), "another bias in layer 0: subtracted"),
    "transposed": (("square", "deep", "labels"), weights(lambda w, b: (w.T, b), 1), "a transposed weight in layer 1"),
    "order of memory": (ALL, weights(lambda w, b: (w.T.reshape(w.shape), b), 0), "other memory order in layer 0"),
    "stale last": (("small", "labels", "square"), lambda n, x: stale(len(n.layers) - 1)(n, x), "other weights in layer"),
    "swapped": (("deep",), with_layers([0, 2, 1, 3, 4]), "layers swapped: 1 and 2"),
    "skipped": (("square", "deep", "labels"), lambda n, x: with_layers([0, *range(2, len(n.layers))])(n, x), "a layer in layer 1: left out"),
    "applied twice": (("square", "deep"), lambda n, x: with_layers([0, 1, *range(1, len(n.layers))])(n, x), "a layer in layer 1: applied twice"),
    "weight of another layer": (("deep",), lambda n, x: by_hand(n, x, change=lambda i, w, b: (n.layers[1].weight, b) if i == 3 else (w, b)), "the weight of layer 1 in layer 3"),
    # Activations
    "relu for all": (("digits", "square", "deep", "wide"), other(xpnn.relu), "relu in place of"),
    "relu in layer 0": (("digits", "square", "deep", "wide", "labels"), other(xpnn.relu, 0), "in layer 0: relu in place of"),
    "silu for gelu": (("square",), other(xpnn.silu), "silu in place of gelu"),
    "gelu for silu": (("wide",), other(xpnn.gelu), "gelu in place of silu"),
    "gelu's other form": (("square",), other(TANH), "gelu's other form in layers 0, 1"),
    "hard_sigmoid": (("digits",), other(xpnn.hard_sigmoid), "hard_sigmoid in place of sigmoid"),
    "hard_sigmoid of Keras": (("digits", "deep"), other(keras_hard_sigmoid), "hard_sigmoid as clip(x / 5"),
    "tanh": (("digits",), other(xpnn.tanh, 1), "in layer 1: tanh in place of sigmoid"),
    "relu6": (("small",), other(xpnn.relu6), "relu6 in place of relu"),
    "leaky": (("small",), other(xpnn.leaky_relu), "leaky_relu in place of relu"),
    "no activation": (ALL, other(lambda a: a, 0), "in layer 0: identity in place of"),
    # The output
    "left out": (("digits", "square", "wide", "labels"), logits, "left out"),
    "softmax twice": (("digits", "square", "small"), result(xpnn.softmax), "softmax twice"),
    "axis": (("digits", "square", "small"), lambda n, x: xpnn.softmax(logits(n, x), axis=0), "softmax over the wrong axis"),
    "epsilon": (("square", "small"), on_logits(lambda a: a), ""),
    "temperature": (("digits", "square", "wide", "labels"), on_logits(lambda a: a / a.dtype.type(1.7)), "a temperature of 1.7"),
    "temperature 0.5": (("digits", "square", "wide", "labels"), on_logits(lambda a: a * 2), "a temperature of 0.5"),
    "sigmoid": (("digits", "square", "small"), lambda n, x: xpnn.sigmoid(logits(n, x)), "sigmoid in place of softmax"),
    "logarithm": (("square", "small"), result(np.log), "the logarithm of softmax"),
    "classes": (ALL, result(lambda y: y[:, permuted(y.shape[1])]), "the classes in another order"),
    "percent": (ALL, result(lambda y: y * 100), "another scale of the result: times 100"),
    # Rows and columns
    "shifted": (ALL, result(lambda y: np.roll(y, 1, axis=0)), "rows in another order: shifted by 1"),
    "reversed": (ALL, result(lambda y: y[::-1]), "rows in another order: reversed"),
    "shuffled": (ALL, result(lambda y: y[permuted(len(y))]), "rows in another order"),
    "columns reversed": (ALL, given(lambda x: x[:, ::-1]), "another input: the columns reversed"),
    "pixels transposed": (("digits",), given(lambda x: x.reshape(-1, 28, 28).swapaxes(1, 2).reshape(x.shape)), "another input: transposed as 28 x 28"),
    "columns permuted": (("small", "labels"), given(lambda x: x[:, permuted(x.shape[1])]), "the input's columns in another order"),
    # Input
    "255": (ALL, given(lambda x: x / 255), "another scale of the input: times 0.00392"),
    "times 3.7": (ALL, given(lambda x: x * 3.7), "another scale of the input: times 3.7"),
    "factor and shift": (ALL, given(lambda x: x * 0.9 + 0.3), "another scale of the input: times 0.9 plus 0.3"),
    "negative": (("digits",), given(lambda x: 255 - x), "another scale of the input: times -1 plus 255"),
    "standardised": (ALL, given(lambda x: (x - x.mean(0)) / np.where(x.std(0) == 0, 1, x.std(0))), "each column standardised"),
    "standardised as a whole": (("digits", "small"), given(lambda x: (x - x.mean()) / x.std()), "another scale of the input: times"),
    "one scale a column": (("small", "labels"), given(lambda x: x * np.linspace(0.5, 2, x.shape[1])), "another scale of each column of the input"),
    # Precision
    "TF32": (ALL[:-1], factors(11), "factors of products rounded to TF32"),
    "TF32 in layer 1": (FEW, factors(11, 1), "factors of products rounded to TF32 in layer 1"),
    "bfloat16 products": (ALL, factors(8), "factors of products rounded to bfloat16"),
    "bfloat16 products in layer 0": (FEW, factors(8, 0), "factors of products rounded to bfloat16 in layer 0"),
    "float16 weights": (ALL, weights(lambda w, b: (float16(w), b)), "float16"),
    "float16 weights in layer 1": (ALL, weights(lambda w, b: (float16(w), b), 1), "in layer 1: float16"),
    "bfloat16 weights": (ALL, weights(lambda w, b: (bfloat16(w), bfloat16(b))), "bfloat16, with the bias"),
    "int8 weights": (ALL, weights(lambda w, b: (int8(w), b)), "int8 per tensor"),
    "int8 per channel": (ALL, weights(lambda w, b: (int8(w, 0), b)), "int8 per output"),
    "int8 in layer 1": (ALL, weights(lambda w, b: (int8(w), b), 1), "in layer 1: int8 per tensor"),
    "3 decimals": (ALL, weights(lambda w, b: (np.round(w, 3), np.round(b, 3))), "3 decimals, with the bias"),
    "2 decimals in layer 0": (ALL, weights(lambda w, b: (np.round(w, 2), b), 0), "in layer 0: 2 decimals"),
    "decimals of the result": (ALL, result(lambda y: np.round(y, 3)), "3 decimals"),
    "float16 result": (ALL, result(float16), "float16"),
    "float32": (("square64", "digits64"), lambda n, x: by_hand(n.to(np, dtype="float32"), x.astype("float32")).astype(x.dtype), "float64 cut to float32"),
    "float32 weights": (("square64",), weights(lambda w, b: (w.astype("f4").astype(w.dtype), b.astype("f4").astype(w.dtype))), "float64 cut to float32, the weights"),
    # Training left on
    "dropout": (("digits", "square", "deep"), dropped(0.5, 0), "dropout left on in layer 0, of about 0.5"),
    "dropout in layer 1": (("digits", "square", "deep"), dropped(0.2, 1), "dropout left on in layer 1, of about 0.2"),
    "batch": (ALL, normalised(0), "normalisation over the batch in layer 0"),
    "layer": (FEW, normalised(0, axis=-1), "normalisation over the units of a row in layer 0"),
    # What says nothing of the network
    "zeros": (ALL, result(lambda y: 0 * y), "the result is 0 everywhere"),
    "one-hot": (("digits", "square", "small"), result(lambda y: (y == y.max(-1, keepdims=True)) * 1.0), "the result is one-hot, of the right classes"),
    "constant": (ALL, result(lambda y: np.tile(y[:1], (len(y), 1))), "the result is the same in all rows"),
    "NaN": (ALL, result(lambda y: np.where(np.arange(len(y))[:, None] == 7, np.nan, y)), "row 7"),
    "infinity": (ALL, result(lambda y: np.where(np.arange(y.shape[1]) == 1, np.inf, y)), "column 1"),
    "one row": (ALL, result(lambda y: np.where(np.arange(len(y))[:, None] == 9, y + 0.25, y)), "unknown; in row 9 alone"),
    "one column": (ALL, result(lambda y: np.where(np.arange(y.shape[1]) == 2, y + np.random.default_rng(0).random(y.shape) / 10, y)), "unknown; in column 2 alone"),
    "one weight": (FEW, weights(lambda w, b: (w * np.where(np.arange(w.size).reshape(w.shape) == w.size // 2 + 3, 1.3, 1), b), 0), "unknown"),
    "another network's weights": (FEW, of_another_network(0), "unknown"),
}  # fmt: skip
del PLANTED["epsilon"]
# Where nothing is above 6, relu6 is relu; celu with its default is elu.
ALIAS = {"relu6": "relu", "celu": "elu in place of"}
for _f in ELEMENTWISE:
    PLANTED[f"{_f.__name__}, any"] = (
        ("digits", "square", "deep", "labels"),
        other(_f, 0),
        f"in layer 0: {ALIAS.get(_f.__name__, f'{_f.__name__} in place of')}",
    )


def planted():
    """Yield (name of the network, name of the fault) for all."""
    for fault, (networks, _, words) in PLANTED.items():
        for name in networks:
            own = network(name)[0].layers[0].activation
            if not (
                words.endswith(f"{own} in place of")
                or ("identity in place of" in words and own == "identity")
            ):
                yield name, fault


SMALLEST = ("small", "square64", "labels", "deep", "square", "wide", "digits64", "digits")


def one_network_each():
    """Return (network, fault) for every fault, on the smallest of its networks."""
    found = {}
    for name, fault in planted():
        if fault not in found or SMALLEST.index(name) < SMALLEST.index(found[fault]):
            found[fault] = name
    return [(name, fault) for fault, name in found.items()]


def explained(name, fault):
    """Return what `explain` says of a fault, and the words that name it."""
    n, x = network(name)
    _, compute, words = PLANTED[fault]
    with np.errstate(all="ignore"):
        y = compute(n, x).astype(x.dtype)
    return xpnn.explain(n, x, y), words
