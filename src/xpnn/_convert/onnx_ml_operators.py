"""The operators of the domain ai.onnx.ml, in which others write estimators: one table."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnn._convert.graph import Value
from xpnn._convert.onnx_operators import Made, Node, named_classes
from xpnn.errors import XpnnValueError


def _columns(node: Node, x: Value, name: str, default: float) -> Value:
    """Return an attribute of one number, or one a column, in float32, as the operators have them."""
    given = np.asarray(node.attribute(name, [default]), "float32")
    if given.size not in {1, x.shape[-1]}:
        raise XpnnValueError(f"expected {name} of {x.shape[-1]} numbers, got {given.size}")
    return node.graph.constant(given, node.where)


def _single(node: Node, x: Value) -> Value:
    return x if x.dtype == "float32" else node.make("astype", x, dtype="float32")


def _scaler(node: Node) -> Made:
    x = _single(node, node.input(0))
    y = node.make("subtract", x, _columns(node, x, "offset", 0.0))
    return node.make("multiply", y, _columns(node, x, "scale", 1.0))


def _binarizer(node: Node) -> Made:
    x = node.input(0)
    return node.make(
        "step", node.make("subtract", x, node.number(node.attribute("threshold", 0.0), x))
    )


def _normalizer(node: Node) -> Made:
    """Rows divided by the sum of their magnitudes: nothing, where they are probabilities of one class each."""
    x, norm = node.input(0), node.attribute("norm", "MAX")
    if norm != "L1" or not _adds_up_to_one(x):
        raise XpnnValueError(
            f"expected rows that add up to 1, which L1 leaves as they are, got {norm}"
        )
    return x


def _adds_up_to_one(x: Value) -> bool:
    """Whether the entries of a row are the probabilities of classes: softmax, or 1 - p beside p."""
    if x.op == "concat" and len(x.args) == 2:
        rest, p = x.args
        one = rest.args[0].array if rest.op == "subtract" and rest.args[1] is p else None
        return one is not None and bool(np.all(one == 1))
    return x.op == "softmax"


def _product(node: Node, x: Value, outputs: int) -> Value:
    weight = np.asarray(node.attribute("coefficients"), "float32").reshape(outputs, -1).T
    y = node.make("matmul", x, node.graph.constant(weight, node.where))
    bias = node.attribute("intercepts")
    if not bias:
        return y
    return node.make("add", y, node.graph.constant(np.asarray(bias, "float32"), node.where))


def _regressor(node: Node) -> Made:
    if node.attribute("post_transform", "NONE") != "NONE":
        raise XpnnValueError(f"expected no transform, got {node.attribute('post_transform')}")
    return _product(node, _single(node, node.input(0)), node.attribute("targets", 1))


def _classifier(node: Node) -> Made:
    x, labels = _single(node, node.input(0)), _labels(node)
    rows = len(node.attribute("intercepts") or ()) or len(labels)
    transform = node.attribute("post_transform", "NONE")
    if transform not in _TRANSFORMS:
        raise XpnnValueError(f"expected a transform of {', '.join(_TRANSFORMS)}, got {transform}")
    z = _product(node, x, rows)
    scores = node.make(_TRANSFORMS[transform], z) if transform != "NONE" else z
    if len(labels) == 2 and transform == "LOGISTIC":
        scores = _of_two(node, x, rows)
    elif len(labels) == 2 and rows == 1:
        raise XpnnValueError(f"expected two rows of coefficients with {transform}, got one")
    return [named_classes(node, scores, labels), scores]


_TRANSFORMS = {"NONE": "", "SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}


def _of_two(node: Node, x: Value, rows: int) -> Value:
    """Return sigmoid(-z) beside sigmoid(z), which are softmax of (0, z)."""
    weight = np.asarray(node.attribute("coefficients"), "float32").reshape(rows, -1)
    bias = np.asarray(node.attribute("intercepts") or [0.0] * rows, "float32")
    if rows == 2 and not (np.array_equal(weight[0], -weight[1]) and bias[0] == -bias[1]):
        raise XpnnValueError("expected the coefficients of two classes to be each other's negative")
    both = (np.concatenate([0 * a[-1:], a[-1:]]) for a in (weight, bias))
    weight, bias = both
    z = node.make("matmul", x, node.graph.constant(weight.T, node.where))
    return node.make("softmax", node.make("add", z, node.graph.constant(bias, node.where)))


def _labels(node: Node) -> list[str | int]:
    """Return the labels of classes that an attribute has."""
    for name in _LABELS:
        if node.attribute(name):
            return [_text(label) for label in node.attribute(name)]
    raise XpnnValueError("expected the labels of the classes, got none")


_LABELS = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")


def _text(label: Any) -> str | int:
    return label.decode("utf-8", "replace") if isinstance(label, bytes) else int(label)


def _beside(node: Node) -> Made:
    return node.make("concat", *(_single(node, x) for x in node.inputs if x is not None), axis=1)


def _zip_map(node: Node) -> Made:
    """A table for each row, from labels to numbers: the numbers, and what the classes are called."""
    x = node.input(0)
    named_classes(node, x, _labels(node))
    return x


def _extractor(node: Node) -> Made:
    """Some of the columns; or the labels at the places of the largest."""
    x, places = node.input(0), node.input(1)
    if places.op == "labels" and x.array is not None:
        return named_classes(node, places.args[0], x.array.reshape(-1).tolist())
    if places.array is None:
        raise XpnnValueError("expected constant indices")
    return node.take(x, places.array.reshape(-1).tolist(), -1)


def _encoder(node: Node) -> Made:
    x = node.input(0)
    pairs = [
        (node.attribute(f"keys_{kind}s"), node.attribute(f"values_{other}s"))
        for kind in ("int64", "string")
        for other in ("int64", "string")
    ]
    found = next(((k, v) for k, v in pairs if k and v), None)
    classes = x.options.get("classes") if x.op == "labels" else None
    if found is None or x.op != "labels":
        raise XpnnValueError("expected the labels of classes, and other labels for them")
    table: Mapping[Any, Any] = dict(zip(map(_text, found[0]), map(_text, found[1]), strict=True))
    classes = range(x.args[0].shape[-1]) if classes is None else classes
    return named_classes(node, x.args[0], [table[c] for c in classes])


ML_OPERATORS: dict[str, Callable[[Node], Made]] = {
    "Scaler": _scaler,
    "Binarizer": _binarizer,
    "Normalizer": _normalizer,
    "LinearRegressor": _regressor,
    "LinearClassifier": _classifier,
    "FeatureVectorizer": _beside,
    "ArrayFeatureExtractor": _extractor,
    "LabelEncoder": _encoder,
    "ZipMap": _zip_map,
}
"""What each operator of ai.onnx.ml is in operations of a graph."""
