"""Estimators of scikit-learn on its own data."""

import warnings

import numpy as np
import pytest
from estimators import MODELS, data, expected, fitted, linear, mlp

import xpnn

pytestmark = pytest.mark.libraries


@pytest.mark.parametrize("name", MODELS)
def test_estimators(name):
    """Their own numbers, inside the bound; their classes; what their columns are called."""
    pytest.importorskip("sklearn")
    model, x = fitted(name)
    network = xpnn.Network.from_sklearn(model)
    bound = xpnn.error_bound(network, x)
    if name.endswith("several labels"):
        assert (network.output, network.classes) == ("sigmoid", None)
    elif hasattr(model, "predict_proba"):
        assert network.classes == tuple(model.classes_.tolist())
        labels = np.asarray(network.classes)[network.classify(x)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert labels.tolist() == model.predict(x).tolist()
        bound = bound + 2.0**-52  # 1 - p has lost what is smaller
    assert np.all(np.abs(network(x) - expected(name, model, x)) <= bound)
    assert (network.inputs is not None) == name.endswith("names")


def test_scalers_alone():
    """Of which nothing is left, too; and classes that are truth values."""
    pytest.importorskip("sklearn")
    from sklearn import preprocessing

    x, y = data("wine")
    scaler = preprocessing.StandardScaler(with_mean=False, with_std=False).fit(x)
    np.testing.assert_array_equal(xpnn.Network.from_sklearn(scaler)(x), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = linear("LogisticRegression").fit(x, y > 0)
        of_numbers = linear("LogisticRegression").fit(x, y.astype(float))
    assert xpnn.Network.from_sklearn(model).classes == ("False", "True")
    assert xpnn.Network.from_sklearn(of_numbers).classes == (0, 1, 2)


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
    for scaler in ("MinMaxScaler", "MaxAbsScaler"):
        clipping = getattr(preprocessing, scaler)(clip=True).fit(x)
        with pytest.raises(xpnn.XpnnValueError, match="does not clip"):
            convert(clipping)
    from sklearn import compose

    odd = compose.TransformedTargetRegressor(linear("Ridge"), func=np.log1p, inverse_func=np.expm1)
    with pytest.raises(
        xpnn.XpnnValueError, match="a scaler of the targets, got FunctionTransformer"
    ):
        convert(odd.fit(x, y))
