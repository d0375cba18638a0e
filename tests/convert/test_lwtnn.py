"""Files of lwtnn, whose layers are written out here once more, in float64 as lwtnn computes."""

import json

import numpy as np
import pytest

import xpnn
from xpnn._convert.lwtnn_file import ACTIVATIONS, KINDS

RNG = np.random.default_rng(5)
INPUTS = [{"name": "pt", "offset": -20.0, "scale": 0.1}, {"name": "eta", "offset": 0, "scale": 2}]
FORMULAS = {
    "linear": lambda x: x,
    "none": lambda x: x,
    "rectified": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softmax": lambda x: (e := np.exp(x - x.max(-1, keepdims=True))) / e.sum(-1, keepdims=True),
    "elu": lambda x: np.where(x > 0, x, 0.3 * np.expm1(x)),
    "leakyrelu": lambda x: np.where(x > 0, x, 0.3 * x),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "swish": lambda x: x / (1 + np.exp(-1.7 * x)),
}


def written(folder, *layers, outputs=("y",), **more):
    path = folder / "net.json"
    given = {"defaults": {}, "inputs": INPUTS, "layers": list(layers), "outputs": list(outputs)}
    path.write_text(json.dumps({**given, **more}))
    return path


def dense(n, m, activation="linear", *, bias=True):
    numbers = RNG.normal(size=n * m).tolist(), RNG.normal(size=m).tolist() if bias else []
    return dict(zip(("weights", "bias"), numbers, strict=True)) | {
        "architecture": "dense",
        "activation": activation,
    }


def test_every_activation_has_a_formula():
    assert set(FORMULAS) == {*ACTIVATIONS, "hard_sigmoid", "swish"}


@pytest.mark.parametrize("name", FORMULAS)
def test_activations(name, tmp_path):
    alpha = {"elu": 0.3, "leakyrelu": 0.3, "swish": 1.7}.get(name)
    activation = name if alpha is None else {"function": name, "alpha": alpha}
    first, last = dense(2, 4, activation), dense(4, 3, bias=False)
    middle = {"architecture": "normalization", "weights": [2.0, 1, 3, 1], "bias": [0.5, 0, 1, 2]}
    outputs = ("b", "c", "light")
    network = xpnn.load(written(tmp_path, first, middle, last, outputs=outputs))
    assert (network.inputs, network.outputs) == (("pt", "eta"), outputs)
    x = RNG.normal(size=(50, 2)) * [30, 2] + [20, 0]
    y = np.add(x, [-20.0, 0]) * [0.1, 2]
    y = FORMULAS[name](y @ np.reshape(first["weights"], (4, 2)).T + first["bias"])
    y = np.add(y, middle["bias"]) * middle["weights"] @ np.reshape(last["weights"], (3, 4)).T
    assert np.all(np.abs(network(x) - y) <= 2 * xpnn.error_bound(network, x))


def test_dense_layers_of_an_activation_or_a_bias_alone(tmp_path):
    """As lwtnn's own converters write what follows a product."""
    product, bias, last = dense(2, 4, bias=False), dense(0, 4), dense(4, 3)
    activation = dense(0, 0, "rectified")
    softmax = dense(0, 0, "softmax")
    apart = written(tmp_path, product, bias, activation, last, softmax, outputs="abc")
    network = xpnn.load(apart)
    together = {**product, "bias": bias["bias"], "activation": "rectified"}
    x = RNG.normal(size=(20, 2))
    same = xpnn.load(written(tmp_path, together, {**last, "activation": "softmax"}, outputs="abc"))
    assert [str(layer) for layer in network.layers] == [str(layer) for layer in same.layers]
    np.testing.assert_array_equal(network(x), same(x))


def test_swish_of_alpha_one_is_silu(tmp_path):
    network = xpnn.load(written(tmp_path, dense(2, 3, {"function": "swish", "alpha": 1})))
    assert [layer.activate.name for layer in network.layers][-1] == "silu"


def test_outputs_of_softmax_are_classes(tmp_path):
    network = xpnn.load(written(tmp_path, dense(2, 3, "softmax"), outputs="abc"))
    assert network.classes == ("a", "b", "c")


BAD = {
    "layer 0: lstm is not among the layers that xpnn reads: dense, normalization": [
        {**dense(2, 2), "architecture": "lstm"}
    ],
    "layer 1: maxout is not among": [dense(2, 2), {"architecture": "maxout", "sublayers": []}],
    "layer 0: expected an activation of linear, .*, got abs": [dense(2, 2, "abs")],
    "expected leakyrelu with its alpha, got 'leakyrelu'": [dense(2, 2, "leakyrelu")],
    "expected finite numbers, got NaN": [{**dense(2, 2), "bias": [float("nan"), 1.0]}],
    "weights of a dense layer in rows of 2, .*, got 3 numbers": [
        {**dense(2, 2), "weights": [1.0, 2, 3]}
    ],
    "expected a list of numbers": [{**dense(2, 2), "weights": [[1.0], [2]]}],
    "got one without 'architecture'": [{"weights": []}],
    "TypeError": [3],
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    path = written(tmp_path, *BAD[words])
    with pytest.raises(xpnn.XpnnValueError, match=words) as error:
        xpnn.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_other_files(tmp_path):
    path = tmp_path / "doubled.json"
    path.write_text('{"inputs": [], "layers": [], "layers": []}')
    with pytest.raises(xpnn.XpnnValueError, match="each field of its description once"):
        xpnn.load(path)
    graph = tmp_path / "net.json"
    graph.write_text('{"weights": []}')
    with pytest.raises(xpnn.XpnnValueError, match="expected a network of lwtnn, .*, got weights"):
        xpnn.load(graph)
    for content in (b"[]", b"3", b"{", b"\xff\xfe", b"[" * 100_000, b'{"layers": 1e999}'):
        graph.write_bytes(content)
        with pytest.raises(xpnn.XpnnValueError, match=r"expected .* lwtnn"):
            xpnn.load(graph)


def node(kind, *sources, **more):
    return {"type": kind, "sources": list(sources), **more}


LAYERS = [dense(2, 4, "rectified"), dense(4, 3, "softmax"), dense(4, 1)]
CHAIN = [
    *(node("input", 0, size=1), node("input", 1, size=1), node("concatenate", 1, 0)),
    *(node("feed_forward", i, layer_index=k) for i, k in ((2, 0), (3, 1), (3, 2))),
]
HEADS = {"flavour": {"labels": ["u", "c", "b"], "node_index": 4}, "mass": {"node_index": 5}}


def graph(folder, nodes=CHAIN, outputs=HEADS, names=("pt", "eta")):
    groups = [
        {"name": group, "variables": [{**one, "name": name}]}
        for group, one, name in zip(("jet", "track"), INPUTS, names, strict=True)
    ]
    path = folder / "graph.json"
    given = {"inputs": groups, "input_sequences": [], "layers": LAYERS, "nodes": nodes}
    path.write_text(json.dumps({**given, "outputs": outputs}))
    return path


def test_graphs_that_are_a_chain(tmp_path):
    """The layers from the inputs, in the order in which they stand beside each other, to an output."""
    network = xpnn.load(graph(tmp_path), output="flavour")
    assert (network.inputs, network.classes) == (("eta", "pt"), ("u", "c", "b"))
    same = xpnn.load(
        written(tmp_path, *LAYERS[:2], outputs=["u", "c", "b"], inputs=INPUTS[::-1]),
    )
    x = RNG.normal(size=(20, 2))
    np.testing.assert_array_equal(network(x), same(x))
    assert xpnn.load(graph(tmp_path), output="mass")(x).shape == (20, 1)
    one = xpnn.load(graph(tmp_path, outputs={"mass": HEADS["mass"]}, names=("a", "a")))
    assert one.inputs == ("track.a", "jet.a")


BAD_GRAPHS = {
    "output to be one of flavour, mass, got None": (CHAIN, HEADS),
    "got an input twice at their beginning": (
        [*CHAIN[:2], node("concatenate", 0, 0), *CHAIN[3:]],
        1,
    ),
    "got feed_forward at their beginning": (
        [*CHAIN[:3], *(node("feed_forward", 3, layer_index=0),) * 3],
        1,
    ),
    "got add at their beginning": ([*CHAIN[:2], node("add", 0, 1), *CHAIN[3:]], 1),
    "lstm is not among": (CHAIN, 1),
}


@pytest.mark.parametrize("words", BAD_GRAPHS)
def test_graphs_that_are_refused(words, tmp_path):
    nodes, outputs = BAD_GRAPHS[words]
    path = graph(tmp_path, nodes, {"mass": HEADS["mass"]} if outputs == 1 else outputs)
    if words.startswith("lstm"):
        path.write_text(path.read_text().replace('"dense"', '"lstm"'))
    with pytest.raises(xpnn.XpnnValueError, match=words):
        xpnn.load(path)


def test_kinds_are_tried():
    assert set(KINDS) == {"dense", "normalization"}
