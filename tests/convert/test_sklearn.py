"""Estimators of scikit-learn on its own data."""

import functools
import warnings

import numpy as np
import pytest

import xpnn

pytestmark = pytest.mark.libraries


@functools.cache
def data(name):
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x, y


def scaled(model, scaler="StandardScaler"):
    from sklearn import pipeline, preprocessing

    return pipeline.make_pipeline(getattr(preprocessing, scaler)(), model)


def mlp(kind, **options):
    from sklearn import neural_network

    return getattr(neural_network, kind)(
        hidden_layer_sizes=(12, 7), max_iter=15, random_state=0, **options
    )


def linear(name, **options):
    from sklearn import linear_model

    return getattr(linear_model, name)(**options)


def of_targets(model, scaler):
    from sklearn import compose, preprocessing

    scaler = getattr(preprocessing, scaler)()
    return compose.TransformedTargetRegressor(model, transformer=scaler)


MODELS = {
    "digits": lambda: mlp("MLPClassifier"),
    "digits, tanh": lambda: scaled(mlp("MLPClassifier", activation="tanh"), "MaxAbsScaler"),
    "breast_cancer": lambda: scaled(mlp("MLPClassifier", activation="logistic")),
    "wine": lambda: scaled(linear("LogisticRegression")),
    "breast_cancer, logistic": lambda: scaled(linear("LogisticRegression"), "RobustScaler"),
    "diabetes": lambda: scaled(mlp("MLPRegressor", activation="identity"), "MinMaxScaler"),
    "diabetes, linear": lambda: linear("LinearRegression"),
    "diabetes, ridge": lambda: linear("Ridge", fit_intercept=False),
    "diabetes, targets": lambda: of_targets(scaled(mlp("MLPRegressor")), "StandardScaler"),
    "diabetes, targets in a range": lambda: of_targets(linear("Ridge"), "MinMaxScaler"),
    "diabetes, robust targets": lambda: of_targets(linear("Ridge"), "RobustScaler"),
    "diabetes, poisson": lambda: scaled(mlp("MLPRegressor", loss="poisson")),
}


@functools.cache
def fitted(name):
    pytest.importorskip("sklearn")
    x, y = data(name.partition(",")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]().fit(x, y), x


@pytest.mark.parametrize("name", MODELS)
def test_estimators(name):
    """Their own numbers, inside the bound; their classes."""
    model, x = fitted(name)
    network = xpnn.Network.from_sklearn(model)
    bound = xpnn.error_bound(network, x)
    if hasattr(model, "predict_proba"):
        expected = model.predict_proba(x)
        assert network.classes == tuple(model.classes_.tolist())
        assert network.classify(x).tolist() == model.predict(x).tolist()
        bound = bound + 2.0**-52  # 1 - p has lost what is smaller
    else:
        expected = model.predict(x).reshape(len(x), -1)
    assert np.all(np.abs(network(x) - expected) <= bound)


def test_several_labels_at_once():
    pytest.importorskip("sklearn")
    x, y = data("wine")
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlp("MLPClassifier").fit(x, labels)
    network = xpnn.Network.from_sklearn(model)
    assert network.output == "sigmoid"
    assert network.classes is None
    assert np.all(np.abs(network(x) - model.predict_proba(x)) <= xpnn.error_bound(network, x))


def test_of_float32():
    pytest.importorskip("sklearn")
    x, y = data("wine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlp("MLPClassifier").fit(x.astype("float32"), y)
    assert xpnn.Network.from_sklearn(model).layers[0].weight.dtype == "float32"


def test_what_is_refused():
    pytest.importorskip("sklearn")
    from sklearn import preprocessing, svm

    convert = xpnn.Network.from_sklearn
    with pytest.raises(
        xpnn.XpnnTypeError, match="from_sklearn: expected one of MLPClassifier, .*, got SVC"
    ):
        convert(svm.SVC())
    with pytest.raises(xpnn.XpnnValueError, match="expected a MLPClassifier that was fitted"):
        convert(mlp("MLPClassifier"))
    x, y = data("wine")
    clipping = preprocessing.MinMaxScaler(clip=True).fit(x)
    with pytest.raises(xpnn.XpnnValueError, match="does not clip"):
        convert(clipping)
    from sklearn import compose

    odd = compose.TransformedTargetRegressor(linear("Ridge"), func=np.log1p, inverse_func=np.expm1)
    with pytest.raises(
        xpnn.XpnnValueError, match="a scaler of the targets, got FunctionTransformer"
    ):
        convert(odd.fit(x, y))
