"""Estimators of scikit-learn, by what they have learnt: nothing of scikit-learn is imported."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn._convert.parts import Parts
from xpnn._convert.rules import joined
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.layer import Layer
from xpnn.errors import XpnnTypeError, XpnnValueError

_ACTIVATIONS = {"logistic": "sigmoid", "relu": "relu", "tanh": "tanh", "identity": "identity"}
_OUTPUTS = {"logistic": "sigmoid", "softmax": "softmax", "identity": "identity", "exp": "exp"}


def _plain(classes: Any) -> list[Any]:
    """Return class labels as Python's own."""
    own = (c.item() if hasattr(c, "item") else c for c in classes)
    return [int(c) if isinstance(c, float) and c.is_integer() else _label(c) for c in own]


def _label(c: Any) -> Any:
    return str(c) if isinstance(c, bool | float) else c


def _of_two(layer: Dense) -> Dense:
    """Return softmax of (0, z) for a layer that gives sigmoid(z), the probability of the second class."""
    bias: Any = layer.bias
    weight = np.concatenate([0 * layer.weight, layer.weight], axis=1)
    return Dense(weight, np.concatenate([0 * bias, bias]), "softmax")


def _mlp(one: Any) -> Parts:
    hidden, output = _ACTIVATIONS[one.activation], _OUTPUTS[one.out_activation_]
    pairs = list(zip(one.coefs_, one.intercepts_, strict=True))
    layers = [
        Dense(w, b, output if i == len(pairs) - 1 else hidden) for i, (w, b) in enumerate(pairs)
    ]
    classes = getattr(one, "classes_", None)
    if classes is None:
        return Parts(list(layers))
    if output == "sigmoid" and layers[-1].weight.shape[1] == 1:
        return Parts([*layers[:-1], _of_two(layers[-1])], _plain(classes))
    # Several labels at once: each has a probability of its own, and there is no one class.
    return Parts(list(layers), _plain(classes) if output == "softmax" else None)


def _logistic(one: Any) -> Parts:
    classes = _plain(one.classes_)
    weight, bias = np.asarray(one.coef_).T, np.broadcast_to(one.intercept_, len(one.coef_))
    if weight.shape[1] == 1:
        return Parts([_of_two(Dense(weight, np.array(bias), "sigmoid"))], classes)
    if getattr(one, "solver", "") == "liblinear" or getattr(one, "multi_class", "") == "ovr":
        raise XpnnValueError(
            "from_sklearn: expected softmax of the classes, got one class against all others"
        )
    return Parts([Dense(weight, np.array(bias), "softmax")], classes)


def _linear(one: Any) -> Parts:
    weight = np.atleast_2d(one.coef_).T
    bias = np.broadcast_to(np.asarray(one.intercept_, weight.dtype), weight.shape[1])
    return Parts([Dense(weight, np.array(bias))])


def _centre(scaler: Any) -> Any:
    """Return what a scaler takes away; None for nothing. A StandardScaler knows the mean without taking it."""
    if not getattr(scaler, "with_mean", True):
        return None
    return getattr(scaler, "mean_", getattr(scaler, "center_", None))


def _less_and_divided(one: Any) -> Parts:
    if getattr(one, "clip", False):
        raise XpnnValueError(f"from_sklearn: {_CLIPS}")
    shift, scale = _centre(one), one.scale_
    less = [] if shift is None else [Affine(None, -np.asarray(shift))]
    divided = [] if scale is None else [Affine(1 / np.asarray(scale))]
    return Parts([*less, *divided] or [Affine(np.ones(one.n_features_in_))])


_CLIPS = "expected a scaler that does not clip, got clip=True"


def _min_max(one: Any) -> Parts:
    if one.clip:
        raise XpnnValueError(f"from_sklearn: {_CLIPS}")
    return Parts([Affine(one.scale_), Affine(None, one.min_)])


def _inverse(scaler: Any) -> list[Layer]:
    """Return what a scaler of targets does backwards."""
    name = type(scaler).__name__
    if name == "MinMaxScaler":
        return [Affine(None, -scaler.min_), Affine(1 / scaler.scale_)]
    if name == "FunctionTransformer" and scaler.func is None:
        return []
    if name not in {"StandardScaler", "MaxAbsScaler", "RobustScaler"}:
        raise XpnnValueError(f"from_sklearn: expected a scaler of the targets, got {name}")
    shift = _centre(scaler)
    scaled = [] if scaler.scale_ is None else [Affine(scaler.scale_)]
    return [*scaled, *([] if shift is None else [Affine(None, shift)])]


def _pipeline(one: Any) -> Parts:
    layers, classes = list[Layer](), None
    for _, step in one.steps:
        if step not in (None, "passthrough"):
            found = _found(step)
            layers, classes = [*layers, *found.layers], found.classes
    return Parts(layers, classes)


def _of_targets(one: Any) -> Parts:
    return Parts([*_found(one.regressor_).layers, *_inverse(one.transformer_)])


ESTIMATORS: dict[str, Callable[[Any], Parts]] = {
    "MLPClassifier": _mlp,
    "MLPRegressor": _mlp,
    "LogisticRegression": _logistic,
    "LinearRegression": _linear,
    "Ridge": _linear,
    "RidgeCV": _linear,
    "ElasticNet": _linear,
    "StandardScaler": _less_and_divided,
    "RobustScaler": _less_and_divided,
    "MaxAbsScaler": _less_and_divided,
    "MinMaxScaler": _min_max,
    "Pipeline": _pipeline,
    "TransformedTargetRegressor": _of_targets,
}
"""What each estimator of scikit-learn is, by the name of its class."""


def _found(estimator: Any) -> Parts:
    name = next((c.__name__ for c in type(estimator).__mro__ if c.__name__ in ESTIMATORS), None)
    if name is None:
        raise XpnnTypeError(
            f"from_sklearn: expected one of {', '.join(ESTIMATORS)}, got {type(estimator).__qualname__}"
        )
    try:
        return ESTIMATORS[name](estimator)
    except AttributeError as error:
        raise XpnnValueError(f"from_sklearn: expected a {name} that was fitted: {error}") from None
    except KeyError as error:
        raise XpnnValueError(f"from_sklearn: {name}: there is no activation {error}") from None


def read(estimator: Any) -> Parts:
    """Return what a fitted estimator is here: its layers, its classes, the names of its features."""
    found = _found(estimator)
    return found._replace(layers=joined(found.layers), inputs=_names(estimator))


def _names(estimator: Any) -> list[str] | None:
    """Return what the columns were called that an estimator, or the first inside of it, was fitted to."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        steps = getattr(estimator, "steps", None)
        inside = steps[0][1] if steps else getattr(estimator, "regressor_", None)
        return None if inside is None else _names(inside)
    return [str(name) for name in names]
