"""Estimators of scikit-learn, fitted to its own data: what the readers of estimators are tried on."""

import functools
import warnings

import numpy as np


@functools.cache
def data(name):
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x, y


def scaled(model, scaler="StandardScaler", **options):
    from sklearn import pipeline, preprocessing

    return pipeline.make_pipeline(getattr(preprocessing, scaler)(**options), model)


def mlp(kind, **options):
    from sklearn import neural_network

    return getattr(neural_network, kind)(
        hidden_layer_sizes=(12, 7), max_iter=15, random_state=0, **options
    )


def linear(name, **options):
    from sklearn import linear_model

    return getattr(linear_model, name)(**options)


def of_targets(model, scaler, **options):
    from sklearn import compose, preprocessing

    scaler = getattr(preprocessing, scaler)(**options)
    return compose.TransformedTargetRegressor(model, transformer=scaler)


MODELS = {
    "digits": lambda: mlp("MLPClassifier"),
    "digits, tanh": lambda: scaled(mlp("MLPClassifier", activation="tanh"), "MaxAbsScaler"),
    "breast_cancer": lambda: scaled(mlp("MLPClassifier", activation="logistic")),
    "wine": lambda: scaled(linear("LogisticRegression")),
    "wine, names": lambda: scaled(linear("LogisticRegression")),
    "wine, labels": lambda: mlp("MLPClassifier"),
    "wine, several labels": lambda: scaled(mlp("MLPClassifier")),
    "breast_cancer, logistic": lambda: scaled(linear("LogisticRegression"), "RobustScaler"),
    "diabetes": lambda: scaled(mlp("MLPRegressor", activation="identity"), "MinMaxScaler"),
    "breast_cancer, not centred": lambda: scaled(
        linear("LogisticRegression"), "StandardScaler", with_mean=False
    ),
    "breast_cancer, not scaled": lambda: scaled(
        linear("LogisticRegression"), "RobustScaler", with_scaling=False, with_centering=False
    ),
    "breast_cancer, not divided": lambda: scaled(
        linear("LogisticRegression"), "StandardScaler", with_std=False
    ),
    "diabetes, elastic": lambda: linear("ElasticNet"),
    "diabetes, chosen": lambda: linear("RidgeCV"),
    "diabetes, targets as they are": lambda: of_targets(linear("Ridge"), "FunctionTransformer"),
    "diabetes, targets not centred": lambda: of_targets(
        linear("Ridge"), "StandardScaler", with_mean=False
    ),
    "diabetes, linear": lambda: linear("LinearRegression"),
    "diabetes, ridge": lambda: linear("Ridge", fit_intercept=False),
    "diabetes, targets": lambda: of_targets(scaled(mlp("MLPRegressor")), "StandardScaler"),
    "diabetes, targets in a range": lambda: of_targets(linear("Ridge"), "MinMaxScaler"),
    "diabetes, robust targets": lambda: of_targets(linear("Ridge"), "RobustScaler"),
    "diabetes, poisson": lambda: scaled(mlp("MLPRegressor", loss="poisson")),
}
"""By the data, and what is particular."""


@functools.cache
def fitted(name):
    """Return an estimator and the rows that it was fitted to."""
    x, y = data(name.partition(",")[0])
    if name.endswith("names"):
        from sklearn import datasets

        y = np.asarray(["barolo", "grignolino", "barbera"])[y]
        x = datasets.load_wine(as_frame=True).data
    if name.endswith("several labels"):
        y = np.stack([y > 0, y > 1, y != 1], axis=1).astype(int)
    elif name.endswith("labels"):
        y = np.asarray(["barolo", "grignolino", "barbera"])[y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]().fit(x, y), np.asarray(x)


def expected(name, model, x):
    """Return what an estimator says of rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "predict_proba"):
            return model.predict_proba(x)
        return model.predict(x).reshape(len(x), -1)


def file(name):
    """Return what the files of an estimator are called."""
    return name.replace(", ", "-").replace(" ", "_")
