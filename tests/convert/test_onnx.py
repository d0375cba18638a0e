"""ONNX models: what exporters write, operator by operator, and what nobody may take."""

import contextlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from golden_cases import LAYERED, layered, samples

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS
from xpnn._arrays.arguments import options_of
from xpnn._arrays.transfer import to_numpy

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper

from xpnn._convert.onnx_ml_operators import ML_OPERATORS
from xpnn._convert.onnx_operators import OPERATORS

FOLDER = Path(__file__).parent / "models"
OUTPUTS = dict(np.load(FOLDER / "outputs.npz"))
pytestmark = pytest.mark.libraries


def rows(network):
    shape = network.layers[0].takes or (5,)
    return (np.random.default_rng(0).normal(size=(20, *shape)) * 3).astype("float32")


@pytest.mark.parametrize("file", OUTPUTS)
def test_what_exporters_write(file):
    """The numbers of ONNX Runtime, inside the bound."""
    network = xpnn.load(FOLDER / file)
    x = rows(network)
    bound = xpnn.error_bound(network, x)
    assert np.all(np.abs(network(x) - OUTPUTS[file]) <= bound)
    assert np.max(bound) < 1e-3 * (1 + np.max(np.abs(OUTPUTS[file])))


@pytest.mark.parametrize("file", sorted(f for f in OUTPUTS if f.split(".")[0] in RECORDS))
def test_an_activation_that_was_taken_apart_is_one_again(file):
    assert xpnn.load(FOLDER / file).layers[-1].activate.name == file.split(".")[0]


def test_files_are_of_every_activation():
    """Of those that are not, the test below makes models."""
    there = {f.split(".")[0] for f in OUTPUTS}
    assert set(RECORDS) - there == {"identity"}


def test_on_every_backend(backend):
    for file in ("residual.dynamo.onnx", "flatten.script.onnx", "two_classes.dynamo.onnx"):
        network = xpnn.load(FOLDER / file)
        x = rows(network)
        y = to_numpy(network(backend.asarray(x)))
        assert np.all(np.abs(y - OUTPUTS[file]) <= xpnn.error_bound(network, x))


@pytest.mark.filterwarnings("ignore:.*is not implemented for .float64. in onnxruntime:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if not r.of_rows])
def test_formulas_are_known_by_what_they_compute(name, dtype):
    """Those of xpnn itself, operation by operation, as ndonnx writes them down."""
    ndx = pytest.importorskip("ndonnx")
    if (name, dtype) == ("tanhshrink", "float64"):
        pytest.skip("ndonnx writes cosh in float32, which is another function")
    x = ndx.argument(shape=("N", 4), dtype=getattr(ndx, dtype))
    model = ndx.build({"x": x}, {"y": RECORDS[name].function(x, xp=ndx)})
    (layer,) = _loaded(model).layers
    assert str(layer.activate) == {"celu": "elu"}.get(name, name)  # the same where alpha is 1


def _loaded(model, **options):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model.SerializeToString())
        return xpnn.load(file, **options)


# Operators


def model(
    *nodes,
    constants=None,
    shape=("N", 4),
    outputs=("y",),
    opset=21,
    dtype=TensorProto.FLOAT,
    ml=None,
    inputs=None,
):
    """A model of nodes of x, or of inputs of so many columns each, with constants by name."""
    shapes = {"x": shape} if inputs is None else {name: ("N", n) for name, n in inputs.items()}
    given = [helper.make_tensor_value_info(n, dtype, shape) for n, shape in shapes.items()]
    made = [helper.make_tensor_value_info(n, dtype, None) for n in outputs]
    for i, one in enumerate(nodes):
        one.name += f"_{i}" * (one.name in {n.name for n in nodes[:i]})
    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", given, made, tensors)
    opsets = [helper.make_opsetid("", opset)]
    if ml is not None:
        opsets.append(helper.make_opsetid("ai.onnx.ml", ml))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def node(op, inputs, outputs="y", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"/{op}", **attributes)


W = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
B = np.float32([0.5, -1, 2, 3])
INDICES = np.int64([2, 0])
CASES = {
    "Gemm": (node("Gemm", "x w b", transB=1, alpha=2.0, beta=0.5), {"w": W, "b": B}),
    "Gemm alone": (node("Gemm", "x w"), {"w": W}),
    "MatMul": (node("MatMul", "x w"), {"w": W}),
    "Sum": (node("Sum", "x b b"), {"b": B}),
    "Clip": (node("Clip", "x low"), {"low": np.float32(0)}),
    "Clip to 6": (node("Clip", "x low high"), {"low": np.float32(0), "high": np.float32(6)}),
    "Max": (node("Max", "x zero"), {"zero": np.float32(0)}),
    "Div": (node("Div", "x b"), {"b": B}),
    "Sub from": (node("Sub", "b x"), {"b": B}),
    "Neg": (node("Neg", "x"), {}),
    "Swish": (node("Swish", "x"), {}),
    "HardSigmoid": (node("HardSigmoid", "x", alpha=1 / 6), {}),
    "ThresholdedRelu": (node("ThresholdedRelu", "x", alpha=1.5), {}),
    "Shrink": (node("Shrink", "x", lambd=0.5, bias=0.5), {}),
    "Selu": (node("Selu", "x"), {}),
    "Gather": (node("Gather", "x i", axis=1), {"i": INDICES}),
    "GatherND": (
        [
            node("Transpose", "x", "t"),
            node("GatherND", "t places", "g"),
            node("Transpose", "g", "u"),
            node("CastLike", "u x"),
        ],
        {"places": np.int64([[1], [3], [0]])},
    ),
    "Slice": (
        node("Slice", "x start end axes"),
        {"start": np.int64([1]), "end": np.int64([2**40]), "axes": np.int64([1])},
    ),
    "Reshape": (node("Reshape", "x s"), {"s": np.int64([-1, 4])}),
    "Reshape by 0": (node("Reshape", "x s"), {"s": np.int64([0, -1])}),
    "Flatten": (node("Flatten", "x"), {}),
    "Identity": (node("Identity", "x"), {}),
    "PRelu": (node("PRelu", "x b"), {"b": B}),
    "LayerNormalization": (node("LayerNormalization", "x b w", epsilon=0.1), {"b": B, "w": B}),
    "BatchNormalization": (
        node("BatchNormalization", "x b w m v"),
        {"b": B, "w": B, "m": B, "v": B * B + 1},
    ),
    "choices": (
        [
            node("Greater", "x zero", "g"),
            node("GreaterOrEqual", "zero x", "l"),
            node("Not", "l", "n"),
            node("LessOrEqual", "zero x", "m"),
            node("And", "n m", "a"),
            node("Or", "a g", "o"),
            node("Equal", "x zero", "e"),
            node("Where", "e zero x", "z"),
            node("Where", "o z zero", "p"),
            node("Min", "p p"),
        ],
        {"zero": np.float32(0)},
    ),
    "softsign": (
        [
            node("Mul", "x x", "s"),
            node("Sqrt", "s", "a"),
            node("Abs", "a", "b"),
            node("Exp", "zero", "one"),
            node("Add", "b one", "c"),
            node("Reciprocal", "c", "d"),
            node("Mul", "d x"),
        ],
        {"zero": np.float32(0)},
    ),
    "relu by sign": (
        [
            node("Sign", "x", "s"),
            node("Add", "s one", "t"),
            node("Mul", "t x", "u"),
            node("Constant", "", "half", value_float=0.5),
            node("Mul", "u half"),
        ],
        {"one": np.float32(1)},
    ),
    "softmax": (
        [
            node("ReduceMax", "x axes", "m"),
            node("Sub", "x m", "d"),
            node("Exp", "d", "e"),
            node("ReduceSum", "e axes", "s"),
            node("Log", "s", "l"),
            node("Sub", "d l"),
        ],
        {"axes": np.int64([1])},
    ),
    "axes": (
        [
            node("Unsqueeze", "x one", "a"),
            node("Squeeze", "a one", "b"),
            node("Shape", "b", "s"),
            node("Expand", "v s", "w"),
            node("ConstantOfShape", "four", "c"),
            node("Add", "w c", "z"),
            node("Cast", "b", "d", to=TensorProto.DOUBLE),
            node("Cast", "d", "f", to=TensorProto.FLOAT),
            node("Split", "f", "g h", axis=1, num_outputs=2),
            node("Concat", "g h", "i", axis=1),
            node("Slice", "z zero one zero", "k"),
            node("Add", "i k"),
        ],
        {
            "one": np.int64([1]),
            "zero": np.int64([0]),
            "four": np.int64([1, 4]),
            "v": np.float32([[1, 2, 3, 4]]),
        },
    ),
    "Transpose": (
        [node("Transpose", "w", "v"), node("MatMul", "x v", "z"), node("Dropout", "z")],
        {"w": W},
    ),
    "Softsign": (node("Softsign", "x"), {}),
    "Softmax": (node("Softmax", "x"), {}),
    "LogSoftmax": (node("LogSoftmax", "x", axis=1), {}),
}


def _listed(nodes):
    return nodes if isinstance(nodes, list) else [nodes]


@pytest.mark.parametrize("name", CASES)
def test_operators(name, tmp_path):
    """As ONNX Runtime computes them."""
    runtime = pytest.importorskip("onnxruntime")
    nodes, constants = CASES[name]
    given = model(*_listed(nodes), constants=constants, opset=24 if name == "Swish" else 21)
    network = _loaded(given)
    x = (np.random.default_rng(1).normal(size=(30, 4)) * 3).astype("float32")
    if name == "Swish":  # newer than the runtime
        expected = x / (1 + np.exp(-x))
    else:
        session = runtime.InferenceSession(given.SerializeToString())
        (expected,) = session.run(None, {"x": x})
    wrong = np.abs(network(x) - expected)
    assert np.all(wrong <= xpnn.error_bound(network, x) + 1e-6 * (name == "Swish"))


def ml(op, inputs, output="y", **attributes):
    outputs = output.split()
    return helper.make_node(
        op, inputs.split(), outputs, name=f"/{op}", domain="ai.onnx.ml", **attributes
    )


TWO = {
    "coefficients": [-0.5, 1, 2, -0.25, 0.5, -1, -2, 0.25],
    "intercepts": [-0.1, 0.1],
    "classlabels_ints": [3, 5],
    "post_transform": "LOGISTIC",
}
"""What a file says of two classes: each one's numbers are the other's, negative."""
ML_CASES = {
    "Scaler": [ml("Scaler", "x", offset=[1.0, 2, 3, 4], scale=[0.5, 1, 2, 3])],
    "Scaler of one number": [ml("Scaler", "x", offset=[1.0], scale=[0.5])],
    "Binarizer": [ml("Binarizer", "x", threshold=0.5)],
    "LinearRegressor": [
        ml(
            "LinearRegressor",
            "x",
            coefficients=[0.5] * 4 + [2.0] * 4,
            intercepts=[1.0, 2],
            targets=2,
        )
    ],
    "LinearClassifier": [
        ml(
            "LinearClassifier",
            "x",
            "label s",
            coefficients=np.linspace(-1, 1, 12).tolist(),
            intercepts=[0.1, 0.2, 0.3],
            classlabels_strings=["a", "b", "c"],
            post_transform="SOFTMAX",
        ),
        ml("Normalizer", "s", norm="L1"),
    ],
    "LinearClassifier of two": [ml("LinearClassifier", "x", "label y", **TWO)],
    "ArrayFeatureExtractor": [ml("ArrayFeatureExtractor", "x columns")],
    "FeatureVectorizer": [
        node("MatMul", "x w", "a"),
        ml("FeatureVectorizer", "a a", "b", inputdimensions=[4, 4]),
        node("Relu", "b"),
    ],
}


def ml_model(*nodes, **options):
    return model(*nodes, constants={"columns": np.int64([2, 0]), "w": W}, ml=3, **options)


@pytest.mark.parametrize("name", ML_CASES)
def test_operators_of_estimators(name):
    runtime = pytest.importorskip("onnxruntime")
    given = ml_model(*ML_CASES[name])
    network = _loaded(given)
    x = (np.random.default_rng(1).normal(size=(30, 4)) * 3).astype("float32")
    (expected,) = runtime.InferenceSession(given.SerializeToString()).run(["y"], {"x": x})
    wrong = np.abs(network(x) - expected)
    lost = 2.0**-22 if "of two" in name else 0  # of 1 - p
    assert np.all(wrong <= xpnn.error_bound(network, x) + lost)


def test_what_classes_are_called():
    assert _loaded(ml_model(*ML_CASES["LinearClassifier"])).classes == ("a", "b", "c")
    assert _loaded(ml_model(*ML_CASES["LinearClassifier of two"])).classes == (3, 5)
    names = {"keys_int64s": [3, 5], "values_strings": ["no", "yes"]}
    encoded = [
        ml("LinearClassifier", "x", "label y", **TWO),
        ml("LabelEncoder", "label", "name", **names),
        ml("ZipMap", "y", "z", classlabels_strings=["no", "yes"]),
    ]
    assert _loaded(ml_model(*encoded[:2])).classes == (3, 5)
    assert _loaded(ml_model(*encoded, outputs=("name", "z")), output="z").classes == (3, 5)
    by_place = [
        node("MatMul", "x w", "s"),
        node("Softmax", "s", axis=1),
        node("ArgMax", "y", "i", axis=1),
        ml("LabelEncoder", "i", "name", keys_int64s=[0, 1, 2, 3], values_strings=list("abcd")),
        node("Reshape", "name columns", "flat"),
        node("Cast", "flat", "last", to=TensorProto.STRING),
    ]
    network = _loaded(ml_model(*by_place, outputs=("last", "y")))
    assert network.classes == ("a", "b", "c", "d")  # the labels are no output of numbers


ML_BAD = {
    "Normalizer: expected rows that add up to 1, .* got L2": ml("Normalizer", "x", norm="L2"),
    "expected no transform, got LOGISTIC": ml(
        "LinearRegressor", "x", coefficients=[1.0] * 4, post_transform="LOGISTIC"
    ),
    "Scaler: expected offset of 4 numbers, got 3": ml("Scaler", "x", offset=[1.0, 2, 3]),
    "transform of NONE, SOFTMAX, LOGISTIC, got PROBIT": ml(
        "LinearClassifier", "x", "l y", **{**TWO, "post_transform": "PROBIT"}
    ),
    "each other's negative": ml("LinearClassifier", "x", "l y", **{**TWO, "intercepts": [1.0, 1]}),
    "two rows of coefficients with SOFTMAX": ml(
        "LinearClassifier",
        "x",
        "l y",
        **{**TWO, "coefficients": [1.0] * 4, "intercepts": [1.0], "post_transform": "SOFTMAX"},
    ),
    "expected the labels of the classes, got none": ml("ZipMap", "x"),
    "LabelEncoder: expected the labels": ml("LabelEncoder", "x", keys_int64s=[1]),
    "ArrayFeatureExtractor: expected constant": ml("ArrayFeatureExtractor", "w x"),
    "TreeEnsembleRegressor is not among": ml("TreeEnsembleRegressor", "x"),
}


@pytest.mark.parametrize("words", ML_BAD)
def test_what_is_refused_of_estimators(words):
    with pytest.raises(xpnn.XpnnValueError, match=words):
        _loaded(ml_model(ML_BAD[words]))


def test_columns_that_come_one_by_one():
    """They stand beside each other, in the order of the inputs."""
    runtime = pytest.importorskip("onnxruntime")
    inputs = {"age": 1, "size": 2, "b": 1}
    nodes = [node("Concat", "age size b", "x", axis=1), node("MatMul", "x w")]
    given = model(*nodes, constants={"w": W}, inputs=inputs)
    network = _loaded(given)
    assert network.inputs == ("age", "size.0", "size.1", "b")
    assert [layer.words for layer in network.layers] == [["4 -> 4", "identity"]]
    x = np.random.default_rng(1).normal(size=(30, 4)).astype("float32")
    columns = {"age": x[:, :1], "size": x[:, 1:3], "b": x[:, 3:]}
    (expected,) = runtime.InferenceSession(given.SerializeToString()).run(None, columns)
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))
    turned = model(
        node("Concat", "b age size", "x", axis=1), *nodes[1:], constants={"w": W}, inputs=inputs
    )
    (expected,) = runtime.InferenceSession(turned.SerializeToString()).run(None, columns)
    found = _loaded(turned)
    assert np.all(np.abs(found(x) - expected) <= 2 * xpnn.error_bound(found, x))


def test_several_outputs_as_one():
    nodes = [
        node("MatMul", "x w", "h"),
        node("Relu", "h", "z"),
        node("MatMul", "z w", "a"),
        node("MatMul", "z v", "b"),
    ]
    two = model(*nodes, constants={"w": W, "v": W[:, :1]}, outputs=("a", "b"))
    network = _loaded(two, output=["b", "a"])
    assert network.outputs == ("b", "a.0", "a.1", "a.2", "a.3")
    x = np.random.default_rng(1).normal(size=(30, 4)).astype("float32")
    each = np.concatenate([_loaded(two, output=name)(x) for name in ("b", "a")], axis=1)
    assert np.all(np.abs(network(x) - each) <= 2 * xpnn.error_bound(network, x))
    with pytest.raises(xpnn.XpnnValueError, match=r"one of 'a', 'b', got \['a', 'c'\]"):
        _loaded(two, output=["a", "c"])


def test_a_shortcut_through_a_product():
    nodes = [
        node("MatMul", "x w", "a"),
        node("Tanh", "a", "b"),
        node("MatMul", "x v", "c"),
        node("Add", "c b"),
    ]
    (layer,) = _loaded(model(*nodes, constants={"w": W, "v": W[::-1].copy()})).layers
    assert layer.words == ["(4 -> 4, identity) + (4 -> 4, tanh)"]


def test_one_of_several_outputs():
    two = model(
        node("MatMul", "x w", "a"),
        node("Conv", "a w", "z"),
        node("Relu", "a", "y"),
        constants={"w": W},
        outputs=("z", "y"),
    )
    assert _loaded(two, output="y").layers[0].activation == "relu"
    with pytest.raises(xpnn.XpnnValueError, match=r"output to be one of 'z', 'y', got None"):
        _loaded(two)
    with pytest.raises(xpnn.XpnnValueError, match=r"node /Conv: Conv is not among the operations"):
        _loaded(two, output="z")


@pytest.mark.parametrize("leading", [1, 7, 0, None, "batch"])
def test_rows_may_be_fixed(leading):
    """And are any number then."""
    shape = np.int64([leading if leading in {1, 7} else -1, 4])
    reshaped = node("Reshape", "x s", "z")
    fixed = model(
        reshaped, node("MatMul", "z w"), constants={"s": shape, "w": W}, shape=(leading, 4)
    )
    (layer,) = _loaded(fixed).layers
    assert layer.weight.shape == (4, 4)


@pytest.mark.parametrize(
    ("op", "number", "kept"),
    [
        ("Add", 1e-7, "shift"),
        ("Mul", 1 + 2.0**-23, "scale"),
        ("Mul", 1 - 2.0**-24, "scale"),
        ("Sub", 2.0**-40, "shift"),
    ],
)
def test_small_numbers_are_not_left_out(op, number, kept):
    """What is nearly nothing is something."""
    near = model(node(op, "x c"), constants={"c": np.float32(number)})
    (layer,) = _loaded(near).layers
    given = np.float32(-number if op == "Sub" else number)
    assert {n: a.tolist() for n, a in layer.arrays.items()} == {kept: [given] * 4}
    scaled = model(node("Mul", "x c", "z"), node("Relu", "z"), constants={"c": np.float32(number)})
    assert len(_loaded(scaled).layers) == 1
    assert _loaded(scaled).layers[0].arrays
    after = model(node("Softmax", "x", "p"), node("Add", "p c"), constants={"c": np.float32(1e-7)})
    assert len(_loaded(after).layers) == 2


def test_a_conversion_that_rounds_is_something():
    """It may stand at the ends alone."""
    narrow, wide = TensorProto.FLOAT16, TensorProto.FLOAT
    nodes = [node("Cast", "x", "n", to=narrow), node("Relu", "n", "r"), node("Cast", "r", to=wide)]
    with pytest.raises(xpnn.XpnnValueError, match="node /Cast: astype of what comes before it"):
        _loaded(model(*nodes))
    whole = [node("Cast", "x", "n", to=TensorProto.INT64), node("Cast", "n", to=wide)]
    with pytest.raises(xpnn.XpnnValueError, match="astype of what comes before it"):
        _loaded(model(*whole))
    wider = [node("Cast", "x", "d", to=TensorProto.DOUBLE), node("Relu", "d", "r")]
    (layer,) = _loaded(model(*wider, node("Cast", "r", to=wide))).layers
    assert layer.activation == "relu"
    entry = model(node("Cast", "x", "s", to=wide), node("Relu", "s"), dtype=TensorProto.DOUBLE)
    assert len(_loaded(entry).layers) == 1


def test_an_input_is_added_to_its_activation():
    (layer,) = _loaded(model(node("Relu", "x", "r"), node("Add", "x r"))).layers
    assert layer.words == ["x + (relu)"]


def nested(depth, *nodes, first):
    """Nodes again and again, of a0 and what is made of it: {i} is one value, {j} the next."""
    found = [first]
    for i in range(depth):
        found += [
            node(op, inputs.format(i=i, j=i + 1), output.format(i=i, j=i + 1), **attributes)
            for op, inputs, output, attributes in nodes
        ]
    return model(
        *found, node("Identity", f"a{depth}"), constants={"w": W, "u": W[:, :2], "v": W[:, 2:]}
    )


def test_branches_are_followed_to_where_they_meet():
    """And no further: to go back to the input from each took twice as long a level."""
    branches = ("MatMul", "a{i} u", "b{i}", {}), ("MatMul", "a{i} v", "c{i}", {})
    beside = ("Concat", "b{i} c{i}", "a{j}", {"axis": 1})
    given = nested(40, *branches, beside, first=node("MatMul", "x w", "a0"))
    assert len(_loaded(given).layers) == 41


@pytest.mark.parametrize(
    ("depth", "words"), [(60, "at most 50 of them"), (3000, "expected fewer sums")]
)
def test_sums_inside_of_each_other(depth, words):
    given = nested(depth, ("Add", "x a{i}", "a{j}", {}), first=node("Relu", "x", "a0"))
    with pytest.raises(xpnn.XpnnValueError, match=words):
        _loaded(given)


@pytest.mark.parametrize(("op", "count"), [("Tanh", 200), ("Relu", 5000), ("Add", 300)])
def test_rows_of_functions_end_soon(op, count):
    """What each of them may be part of is tried for a while."""
    one = "a{i} a{i}" if op == "Add" else "a{i}"
    given = nested(count, (op, one, "a{j}", {}), first=node("MatMul", "x w", "a0"))
    with contextlib.suppress(xpnn.XpnnValueError):
        assert _loaded(given).layers
    begin = time.process_time()
    with contextlib.suppress(xpnn.XpnnValueError):
        _loaded(given)
    assert time.process_time() - begin < 60  # hours, where it is not counted


FAR = {
    "Clip": ([node("Clip", "x low high")], {"low": np.float32(-2000), "high": np.float32(2000)}),
    "Relu": ([node("Relu", "x", "r"), node("Min", "r c")], {"c": np.float32(1e4)}),
    "where": (
        [node("Greater", "x c", "g"), node("Where", "g zero x")],
        {"c": np.float32(1500), "zero": np.float32(0)},
    ),
    "Exp": ([node("Exp", "x", "e"), node("Min", "e c")], {"c": np.float32(1e20)}),
    "guarded": (
        [node("Sigmoid", "x", "p"), node("Max", "p c", "q"), node("Log", "q")],
        {"c": np.float32(1e-30)},
    ),
    "guarded by a sum": (
        [node("Sigmoid", "x", "p"), node("Add", "p c", "q"), node("Log", "q")],
        {"c": np.float32(1e-30)},
    ),
    "guarded rows": (
        [node("Softmax", "x", "p"), node("Max", "p c", "q"), node("Log", "q")],
        {"c": np.float32(1e-37)},
    ),
    "scaled": (
        [node("Mul", "x s", "a"), node("Clip", "a zero six", "b"), node("Div", "b s")],
        {"s": np.float32(1 / 16), "zero": np.float32(0), "six": np.float32(6)},
    ),
    "slope": (node("LeakyRelu", "x", alpha=1e-9), {}),
    "NaN": (
        [node("IsNaN", "x", "n"), node("Where", "n zero x")],
        {"zero": np.float32(0)},
    ),
}
"""Functions that are those of the table on all but few numbers, or large ones."""


@pytest.mark.parametrize("name", FAR)
def test_functions_that_are_others_far_away(name):
    """They are known as what they are, or refused."""
    runtime = pytest.importorskip("onnxruntime")
    nodes, constants = FAR[name]
    given = model(*_listed(nodes), constants=constants)
    x = np.float32([[-6e3, -130, -1e3, 0.1], [6e3, 1e4, 100, 70], [np.nan, 1, 2, 3]])
    (expected,) = runtime.InferenceSession(given.SerializeToString()).run(None, {"x": x})
    if name in {"where", "guarded", "guarded by a sum", "guarded rows", "NaN"}:
        with pytest.raises(xpnn.XpnnValueError, match="comes before it is not among the layers"):
            _loaded(given)
        return
    network = _loaded(given)
    y = network(x)
    fine = np.isfinite(expected)
    assert np.array_equal(np.isnan(y), np.isnan(expected))
    assert np.all(np.abs(y - expected)[fine] <= xpnn.error_bound(network, x)[fine] + 1e-30)


def test_branches_that_meet_again_and_again(tmp_path):
    nodes, names = [node("Tanh", "x", "v1")], ["x", "v1"]
    for i in range(40):
        a, b = names[-2:]
        nodes += [node("Tanh", a, f"t{i}"), node("Sigmoid", b, f"s{i}")]
        nodes.append(node("Add", f"t{i} s{i}", f"w{i}"))
        names.append(f"w{i}")
    with pytest.raises(xpnn.XpnnValueError, match="fewer operations in a row, and fewer branches"):
        _loaded(model(*nodes, node("Identity", names[-1])))


def test_heads_of_several_kinds():
    """Each in its place, added to zeros."""
    runtime = pytest.importorskip("onnxruntime")
    nodes = [
        node("MatMul", "x w", "h"),
        node("Tanh", "h", "t"),
        node("MatMul", "t v", "mean"),
        node("MatMul", "t u", "s"),
        node("Softplus", "s", "width"),
        node("Sub", "mean width", "less"),
        node("Concat", "mean width x less", axis=1),
    ]
    given = model(*nodes, constants={"w": W, "v": W[:, :2].copy(), "u": W[:, 2:].copy()})
    network = _loaded(given)
    x = np.random.default_rng(1).normal(size=(30, 4)).astype("float32")
    (expected,) = runtime.InferenceSession(given.SerializeToString()).run(None, {"x": x})
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))


def test_limits_of_columns():
    runtime = pytest.importorskip("onnxruntime")
    nodes = [node("MatMul", "x w", "a"), node("Max", "a low", "b"), node("Min", "b high high")]
    given = model(*nodes, constants={"w": W, "low": -B, "high": np.float32(2.5)})
    network = _loaded(given)
    x = (np.random.default_rng(1).normal(size=(50, 4)) * 3).astype("float32")
    (expected,) = runtime.InferenceSession(given.SerializeToString()).run(None, {"x": x})
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))
    none = model(node("Min", "x c"), constants={"c": np.float32(np.inf)})
    assert _loaded(none).layers[0].words == ["4", "scale"]
    for wrong in (-np.inf, np.nan):
        with pytest.raises(xpnn.XpnnValueError, match="minimum of what comes before"):
            _loaded(model(node("Min", "x c"), constants={"c": np.float32(wrong)}))


def test_what_was_rounded_stays_marked():
    """A batch normalization between a product and the classes that it ends in."""
    one = {name: np.float32([0.3]) for name in "smcv"} | {"w": W[:, :1], "one": np.float32(1)}
    given = model(
        node("MatMul", "x w", "a"),
        node("BatchNormalization", "a s c m v", "n"),
        node("Sigmoid", "n", "p"),
        node("Sub", "one p", "q"),
        node("Concat", "q p", axis=1),
        constants=one,
    )
    layers = _loaded(given).layers
    assert [layer.rounded for layer in layers] == [None, "float32", None]
    assert [layer.activation for layer in layers] == ["identity", "identity", "softmax"]


def test_a_value_and_itself():
    (layer,) = _loaded(model(node("Add", "x x"))).layers
    assert layer.scale.tolist() == [2, 2, 2, 2]


BAD = {
    "constant of what comes before it|Constant": model(
        node("Constant", "", "c", value_float=0.0), node("Identity", "c")
    ),
    "no computing with the number of rows": model(
        node("Shape", "x", "s"),
        node("Cast", "s", "f", to=TensorProto.FLOAT),
        node("Gather", "f i", "n"),
        node("Div", "x n"),
        constants={"i": np.int64([0])},
    ),
    "expected an ONNX model": b"no model",
    "opset 7 or newer, got 6": model(node("Relu", "x"), opset=6),
    "expected an input, got none": model(node("Relu", "x"), constants={"x": W}),
    r"floating rows.* shape \(4\)": model(node("Relu", "x"), shape=(4,)),
    r"floating rows.* shape \(\?, \?\)": model(node("Relu", "x"), shape=("N", None)),
    "floating rows.*int64": model(node("Relu", "x"), dtype=TensorProto.INT64),
    "made before it, got 'z'": model(node("Add", "x z"), node("Relu", "y", "z")),
    "two values named 'y'": model(node("Relu", "x"), node("Tanh", "x")),
    "node that makes the output 'y'": model(node("Relu", "x", "z")),
    "rows of at most": model(node("Relu", "x"), shape=("N", 2**40)),
    "and 8 axes": model(node("Relu", "x"), shape=("N", *[1] * 40)),
    "Unsqueeze: expected different axes": model(
        node("Unsqueeze", "x a"), constants={"a": np.int64([1, 1])}
    ),
    "node /PRelu: prelu of": model(node("PRelu", "x x")),
    "Loop is not among": model(node("Loop", "x x x")),
    "If is not among": model(node("If", "x")),
    "node /Add: ": model(node("Add", "x b"), constants={"b": np.zeros((5, 9), "float32")}),
    "node /Softmax: Softmax: expected the last axis": model(node("Softmax", "x", axis=0)),
    "Softmax: expected the last axis, got axis 0": model(node("Softmax", "x", axis=0), opset=11),
    "Dropout: expected a network that is trained": model(
        node("Dropout", "x r t"), constants={"r": np.float32(0.5), "t": np.array(True)}
    ),
    "expected all rows, got those from 0 to 97": model(
        node("Slice", "x start end start"),
        constants={"start": np.int64([0]), "end": np.int64([97])},
    ),
    "node /Pow: pow of": model(node("Pow", "x b"), constants={"b": np.float32(3.5)}),
    "at most .* numbers": model(
        node("ConstantOfShape", "s", "c"),
        node("Add", "x c"),
        constants={"s": np.int64([2**20, 2**20])},
    ),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    given = BAD[words]
    path = tmp_path / "model.onnx"
    path.write_bytes(given if isinstance(given, bytes) else given.SerializeToString())
    with pytest.raises(xpnn.XpnnValueError, match=words) as error:
        xpnn.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_domains_of_others_are_named():
    other = helper.make_node("Gelu", ["x"], ["y"], name="/g", domain="com.microsoft")
    with pytest.raises(xpnn.XpnnValueError, match=r"node /g: com.microsoft:Gelu is not among"):
        _loaded(model(other))


def test_constants_that_double_are_stopped():
    nodes = [node("Concat", "w w", "c0", axis=0)]
    nodes += [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)]
    with pytest.raises(xpnn.XpnnValueError, match="numbers"):
        _loaded(model(*nodes, node("MatMul", "x c40"), constants={"w": W}))


def external(folder, location, **entries):
    """A model whose weight stands in a file beside it."""
    given = model(node("MatMul", "x w"), constants={"w": W})
    (tensor,) = given.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "model.onnx"
    path.write_bytes(given.SerializeToString())
    return path


def test_numbers_beside_the_file(tmp_path):
    (tmp_path / "weights").write_bytes(b"1234" + W.tobytes())
    path = external(tmp_path, "weights", offset=4, length=64)
    np.testing.assert_array_equal(xpnn.load(path).layers[0].weight, W)


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("../secret", {}),
        ("/etc/passwd", {}),
        ("link", {}),
        ("", {}),
        (".", {}),
        ("a\0b", {}),
        ("nothing", {}),
        ("short", {}),
        ("short", {"offset": -4}),
        ("short", {"length": 10**18}),
        ("short", {"offset": "x"}),
    ],
)
def test_no_file_outside_the_folder_is_read(location, entries, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(W.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "short").write_bytes(W.tobytes()[:-1])
    with pytest.raises(xpnn.XpnnValueError, match="tensor 'w': expected"):
        xpnn.load(external(folder, location, **entries))


# The way out


def exported(network, folder):
    path = folder / "exported.onnx"
    network.to_onnx(path)
    return path


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", [kind for kind in LAYERED if kind != "function"])
def test_layers_go_out_and_come_back(kind, dtype, tmp_path):
    """ONNX Runtime computes them within the bound; they come back as they were."""
    runtime = pytest.importorskip("onnxruntime")
    network = layered(kind, dtype)
    x = samples(kind, (np.random.default_rng(2).normal(size=(20, 5)) * 3).astype(dtype))
    path = exported(network, tmp_path)
    if dtype != "float64" or kind not in {
        "prelu",
        "activation",
    }:  # ONNX Runtime has no such PRelu and Elu
        (y,) = runtime.InferenceSession(path).run(None, {"x": x})
        assert np.all(np.abs(y - network(x)) <= 2 * xpnn.error_bound(network, x))
    back = xpnn.load(path)
    assert [layer.words for layer in back.layers] == [layer.words for layer in network.layers]
    rxp = xpnn.reproducible(np)
    assert back(x, xp=rxp).tobytes() == network(x, xp=rxp).tobytes()


# Of binary64 that ONNX Runtime has not.
NO_FLOAT64 = {"elu", "selu", "celu", "erf", "gelu", "mish", "softplus", "log_sigmoid"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RECORDS)
def test_activations_go_out_and_come_back(name, dtype, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    for options in ({}, *OPTIONS.get(name, ())):
        activation = str(Activation(name, options))
        network = xpnn.Network([xpnn.Dense(weight, bias, activation)])
        path = exported(network, tmp_path)
        (layer,) = xpnn.load(path).layers
        assert layer.activation == {"celu": "elu"}.get(activation, activation)
        if dtype == "float32" or name not in NO_FLOAT64:
            x = rng.normal(size=(50, 5)).astype(dtype)
            (y,) = runtime.InferenceSession(path).run(None, {"x": x})
            assert np.all(np.abs(y - network(x)) <= 2 * xpnn.error_bound(network, x))


OPTIONS = {
    "leaky_relu": [{"negative_slope": 0.1}],
    "elu": [{"alpha": 0.7}],
    "celu": [{"alpha": 1.7}],
    "gelu": [{"approximate": "tanh"}],
    "softplus": [{"beta": 0.3}, {"beta": 2.0, "threshold": 5.0}],
    "hard_shrink": [{"lambd": 0.1}],
    "softshrink": [{"lambd": 0.3}],
    "threshold": [{"threshold": 0.1, "value": -3.0}],
}


def test_every_option_is_tried():
    assert {name for name in RECORDS if options_of(name)} == set(OPTIONS)


def test_code_does_not_go_out(tmp_path):
    with pytest.raises(xpnn.XpnnValueError, match="to_onnx: expected .* got a Function"):
        layered("function", "float32").to_onnx(tmp_path / "no.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "xpnn._convert.onnx_file")
    monkeypatch.delattr("xpnn._convert.onnx_file")
    with pytest.raises(xpnn.XpnnError, match=r"onnx needs the package onnx; .*'xpnn\[onnx\]'"):
        xpnn.load(FOLDER / "relu.dynamo.onnx")


def test_every_operator_is_in_a_test():
    written = {n.op_type for f in FOLDER.glob("*.onnx") for n in onnx.load(f).graph.node}
    made = {one.op_type for nodes, _ in CASES.values() for one in _listed(nodes)}
    formulas = set("Ceil Floor Round IsInf IsNaN Sinh Cosh Sin Cos".split())
    estimators = {one.op_type for nodes in ML_CASES.values() for one in nodes} | {"ArgMax"}
    classes = {"ZipMap", "LabelEncoder"}
    assert set(OPERATORS) - written - made - formulas - estimators == set()
    assert set(ML_OPERATORS) - estimators == classes
