"""Networks as estimators of scikit-learn: what its own checks say, and what stands around an estimator there."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from estimators import MODELS, data, fitted

import xpnn
from xpnn._arrays.transfer import to_numpy

pytestmark = pytest.mark.libraries

sklearn = pytest.importorskip("sklearn")

from xpnn.sklearn import NetworkClassifier, NetworkRegressor


@pytest.fixture(autouse=True)
def whole_standard():
    """scikit-learn indexes by booleans, which xpnn's own tests of array-api-strict do without."""
    strict = sys.modules.get("array_api_strict")
    if strict is None:
        yield
        return
    with strict.ArrayAPIStrictFlags(boolean_indexing=True, data_dependent_shapes=True):
        yield


LIBRARIES = ["array_api_strict", "jax.numpy", "torch"]


def columns(x, xp):
    """Five columns of any x that has one."""
    x = x[:, 0] / 8
    return xp.stack([x, -x, 0 * x, x - 1, -1 - x], axis=1)


def of_any_width(outputs, activation):
    """A network that takes any number of columns, as scikit-learn's checks have many."""
    layers = [xpnn.Function(columns, outputs=5), xpnn.Dense(np.eye(5)[:, :outputs])]
    return xpnn.Network([layers[0], xpnn.Dense(layers[1].weight, activation=activation)])


OF_NETWORK = "the classes are those of the network, whatever fit is given"
FOLLOWS = "the network follows its input, whatever fit was given"
TWO_OF_FIVE = "the network has five classes, the data two"
ONE_AND_TWO = "the data's classes are 1 and 2, the network's 0 and 1"
CHECKED = {
    "five classes": (
        NetworkClassifier(of_any_width(5, "softmax")),
        {
            "check_array_api_same_namespace": FOLLOWS,
            "check_classifiers_classes": OF_NETWORK,
            "check_classifiers_one_label": OF_NETWORK,
            "check_classifiers_train": TWO_OF_FIVE,
        },
    ),
    "two classes": (
        NetworkClassifier(of_any_width(1, "sigmoid")),
        {
            "check_array_api_same_namespace": FOLLOWS,
            "check_classifier_data_not_an_array": ONE_AND_TWO,
            "check_classifier_not_supporting_multiclass": "the error names the class that is too many",
            "check_classifiers_classes": OF_NETWORK,
            "check_estimators_dtypes": ONE_AND_TWO,
            "check_fit2d_1feature": ONE_AND_TWO,
        },
    ),
    "values": (
        NetworkRegressor(of_any_width(1, "identity")),
        {"check_array_api_same_namespace": FOLLOWS},
    ),
}
"""Estimators, and the checks of scikit-learn that one which learns nothing does not pass."""


@pytest.fixture
def dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKED)
def test_checks_of_scikit_learn(name, monkeypatch):
    """All pass but those of the table, which fail."""
    from sklearn.utils.estimator_checks import check_estimator

    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    estimator, expected = CHECKED[name]
    done = check_estimator(estimator, expected_failed_checks=expected, on_fail=None)
    of = {status: [r["check_name"] for r in done if r["status"] == status] for status in STATUS}
    assert of["failed"] == []
    assert set(of["xfail"]) == set(expected)
    assert not set(of["passed"]) & set(expected)
    assert len(of["passed"]) > 40


STATUS = ("passed", "xfail", "failed")


@pytest.mark.parametrize("what", ["predict", "predict_proba", "decision_function"])
def test_checks_of_several_labels(what):
    from sklearn.utils import estimator_checks as checks

    estimator = NetworkClassifier(of_any_width(5, "sigmoid"))
    check = getattr(checks, f"check_classifiers_multilabel_output_format_{what}")
    check("NetworkClassifier", estimator)
    checks.check_classifiers_multilabel_representation_invariance("NetworkClassifier", estimator)


def test_checks_of_several_values():
    from sklearn.utils import estimator_checks as checks

    estimator = NetworkRegressor(of_any_width(5, "identity"))
    checks.check_regressor_multioutput("NetworkRegressor", estimator)


@pytest.mark.parametrize("name", MODELS)
def test_in_the_place_of_an_estimator(name):
    """The network of an estimator has its attributes and its methods, without a fit."""
    model, x = fitted(name)
    network = xpnn.Network.from_sklearn(model)
    of = NetworkClassifier if hasattr(model, "predict_proba") else NetworkRegressor
    ours = of(network)
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    for method in filter(lambda method: hasattr(model, method), methods):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(model, method)(x)
            found = getattr(ours, method)(x)
        if method == "predict" and of is NetworkClassifier:
            assert found.dtype.kind == expected.dtype.kind
            np.testing.assert_array_equal(found, expected)
        else:
            assert found.shape == (expected.shape if expected.shape != (len(x), 1) else (len(x),))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert ours.n_features_in_ == model.n_features_in_
    if of is NetworkClassifier:
        np.testing.assert_array_equal(ours.classes_, model.classes_)
    if name.endswith("names"):
        assert ours.feature_names_in_.tolist() == model.feature_names_in_.tolist()
    else:
        assert not hasattr(ours, "feature_names_in_")


WEIGHT = np.asarray([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0]], dtype="float32")
X = np.asarray([[1.0, 2.0], [-3.0, 0.5], [0.0, -1.0], [2.5, 0.0]])


def classifier(outputs, activation, classes=None, **options):
    layer = xpnn.Dense(WEIGHT[:, :outputs], activation=activation)
    return NetworkClassifier(xpnn.Network([layer], classes, **options))


def test_classes_are_sorted_with_their_columns():
    """Metrics of scikit-learn take that for granted."""
    from sklearn.metrics import log_loss, roc_auc_score

    ours = classifier(3, "softmax", ("c", "a", "b"))
    probabilities = ours.network(X)
    assert ours.classes_.tolist() == ["a", "b", "c"]
    for method, columns in {
        "predict_proba": probabilities,
        "predict_log_proba": ours.network.log_proba(X),
        "decision_function": ours.network.logits(X),
    }.items():
        np.testing.assert_array_equal(getattr(ours, method)(X), columns[:, [1, 2, 0]])
    y = np.asarray(["a", "c", "b", "c"])
    np.testing.assert_array_equal(
        ours.predict(X), np.asarray(["c", "a", "b"])[ours.network.classify(X)]
    )
    of_y = probabilities[np.arange(4), [1, 0, 2, 0]]
    np.testing.assert_allclose(log_loss(y, ours.predict_proba(X)), -np.mean(np.log(of_y)))
    known = ours.predict(X)
    assert roc_auc_score(known == "c", ours.predict_proba(X)[:, 2]) == 1
    assert ours.score(X, known) == 1


@pytest.mark.parametrize("activation", ["sigmoid", "log_sigmoid"])
@pytest.mark.parametrize("classes", [(0, 1), ("yes", "no"), (False, True), (0.5, 0.25)])
def test_one_sigmoid(classes, activation):
    """Two classes, the second one the likelier where the logit is positive; no digit lost on either side."""
    network = classifier(1, activation).network
    ours = NetworkClassifier(network, classes=classes)
    x = np.concatenate([X, X * 100])
    z = network.logits(x)[:, 0]
    sign = 1 if classes[0] < classes[1] else -1
    first, second = xpnn.sigmoid(-sign * z), xpnn.sigmoid(sign * z)
    assert ours.classes_.tolist() == sorted(classes)
    np.testing.assert_array_equal(ours.decision_function(x), sign * z)
    np.testing.assert_allclose(ours.predict_proba(x), np.stack([first, second], 1), rtol=1e-15)
    assert np.all(ours.predict_proba(x) > 0)
    log = np.stack([xpnn.log_sigmoid(-sign * z), xpnn.log_sigmoid(sign * z)], 1)
    np.testing.assert_allclose(ours.predict_log_proba(x), log, rtol=1e-15)
    np.testing.assert_array_equal(ours.predict(x), np.where(z > 0, classes[1], classes[0]))
    if activation == "sigmoid":
        np.testing.assert_allclose(second if sign > 0 else first, network(x)[:, 0], rtol=1e-15)


def test_logarithms_of_probabilities_as_output():
    soft, log = classifier(3, "softmax"), classifier(3, "log_softmax")
    for method in ("predict", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(log, method)(X), getattr(soft, method)(X))
    np.testing.assert_allclose(log.predict_proba(X), soft.predict_proba(X), rtol=1e-15)


def test_two_columns_of_two_classes():
    ours = classifier(2, "softmax", ("b", "a"))
    z = ours.network.logits(X)
    np.testing.assert_array_equal(ours.decision_function(X), z[:, 0] - z[:, 1])
    np.testing.assert_array_equal(
        ours.predict(X), np.where(ours.decision_function(X) > 0, "b", "a")
    )


def test_several_labels():
    ours = classifier(3, "sigmoid", ("z", "y", "x"))
    assert ours.classes_.tolist() == ["z", "y", "x"]
    np.testing.assert_array_equal(ours.predict_proba(X), ours.network(X))
    np.testing.assert_array_equal(ours.predict(X), (ours.network.logits(X) > 0).astype(int))
    assert ours.fit(X, ours.predict(X)).score(X, ours.predict(X)) == 1


@pytest.mark.parametrize("x", [X.astype(int), X.astype("float32"), X > 0, X.tolist()], ids=str)
def test_any_numbers(x):
    """As the network has it; truth values are 0 and 1, as in other estimators."""
    ours = classifier(3, "softmax")
    array = np.asarray(x) * 1 if np.asarray(x).dtype == bool else np.asarray(x)
    np.testing.assert_array_equal(ours.predict_proba(x), ours.network(array))


def test_samples_of_several_axes():
    network = xpnn.Network([xpnn.Flatten((2, 3)), xpnn.Dense(np.ones((6, 2)))])
    ours, x = NetworkRegressor(network), np.arange(12.0).reshape(2, 6)
    assert (ours.n_features_in_, ours.n_outputs_) == (6, 2)
    np.testing.assert_array_equal(ours.predict(x), network(x.reshape(2, 2, 3)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_columns(library):
    """Of the network before a fit, and then those that it saw."""
    table = pytest.importorskip(library).DataFrame
    named = classifier(3, "softmax", inputs=("low", "high"))
    known = table({"low": X[:, 0], "high": X[:, 1]})
    turned = table({"high": X[:, 1], "low": X[:, 0]})
    expected = named.network(X)
    np.testing.assert_array_equal(named.predict_proba(known), expected)
    with pytest.raises(ValueError, match="must be in the same order"):
        named.predict(turned)
    with pytest.raises(
        xpnn.XpnnValueError, match="low, high, in this order, got high, low; pass X"
    ):
        named.fit(turned)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.predict(X)
    # As the last step of a pipeline, which hands on arrays.
    np.testing.assert_array_equal(named.fit(X).predict_proba(X), expected)

    of_any = classifier(3, "softmax").fit(turned[["high", "low"]])
    assert of_any.feature_names_in_.tolist() == ["high", "low"]
    with pytest.raises(ValueError, match="must be in the same order"):
        of_any.predict(known)
    assert of_any.fit(known).predict(known).shape == (4,)


REGRESSOR = NetworkRegressor(xpnn.Network([xpnn.Dense(WEIGHT)]))
REFUSED = {
    "another width": (classifier(3, "softmax"), X[:, :1], [0] * 4, "X has 1 features, .* 2 features"),
    "an unknown class": (classifier(3, "softmax"), X, [0, 1, 2, 7], r"\[0, 1, 2\], got \[7\]; .*classes="),
    "a number for a name": (classifier(2, "softmax", ("0", "1")), X, [0, 1, 1, 0], r"got \[0, 1\]"),
    "a name for a number": (classifier(2, "softmax"), X, ["0", "1", "1", "0"], "got .'0', '1'."),
    "values as classes": (classifier(3, "softmax"), X, X[:, 0] / 7, "Unknown label type: continuous"),
    "classes as labels": (classifier(3, "sigmoid"), X, [0, 1, 1, 0], r"\(samples, 3\).*got binary"),
    "fewer labels": (classifier(3, "sigmoid"), X, np.eye(4)[:, :2], r"got .*of shape \(4, 2\)"),
    "fewer targets": (REGRESSOR, X, X, r"3 targets, which the network gives, got y of shape \(4, 2\)"),
    "one target": (REGRESSOR, X, X[:, 0], r"3 targets.*got y of shape \(4,\)"),
    "values": (NetworkClassifier(REGRESSOR.network), X, None, "softmax or sigmoid.*got identity; .*replace"),
    "too few classes": (NetworkClassifier(REGRESSOR.network, classes="ab"), X, None, "got identity"),
    "no network": (NetworkRegressor(WEIGHT), X, None, "expected network to be a Network.*got ndarray"),
    "not there": (NetworkRegressor("nowhere.onnx"), X, None, "'nowhere.onnx', which is not there"),
    "NaN": (REGRESSOR, X * np.nan, None, "contains NaN"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    estimator, x, y, match = REFUSED[name]
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=match):
        estimator.fit(x, y)


@pytest.mark.parametrize(
    ("classes", "error", "match"),
    [
        (["a", "b"], ValueError, "expected 3 classes, each another one, got .'a', 'b'."),
        (["a", "b", "a"], ValueError, "each another one"),
        ([["a", "b", "c"]], ValueError, "expected 3 classes"),
        (["a", "b", 1], TypeError, "all text or all numbers"),
        ([None, 1, 2], TypeError, "all text or all numbers"),
    ],
)
def test_classes_that_are_none(classes, error, match):
    ours = NetworkClassifier(classifier(3, "softmax").network, classes=classes)
    with pytest.raises(error, match=match):
        ours.predict(X)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("classes", [None, (3, 1, 2), ("c", "a", "b")], ids=str)
def test_arrays_of_other_libraries(name, classes, dispatch):
    """They stay there, on their device, computed by the network; text alone is NumPy's."""
    xp = pytest.importorskip(name)
    device = {"device": xp.Device("device1")} if name == "array_api_strict" else {}
    x = xp.asarray(X.astype("float32"), **device)
    ours = classifier(3, "softmax", classes)
    network, order = ours.network, np.argsort(ours.network.classes or range(3))
    for method, whole in {
        "predict_proba": network,
        "predict_log_proba": network.log_proba,
        "decision_function": network.logits,
    }.items():
        found = getattr(ours, method)(x)
        assert type(found) is type(x)
        assert (found.device, found.dtype) == (x.device, whole(x).dtype)
        expected = xp.asarray(whole(x), **device)
        assert all(bool(xp.all(found[:, i] == expected[:, int(j)])) for i, j in enumerate(order))
    y = ours.predict(x)
    labels = np.asarray(network.classes or range(3))
    if labels.dtype.kind == "U":
        assert type(y) is np.ndarray
    else:
        assert type(y) is type(x)
        assert y.device == x.device
    expected = labels[np.argmax(np.asarray(network(X)), axis=1)]
    assert (y if labels.dtype.kind == "U" else to_numpy(y)).tolist() == expected.tolist()
    assert ours.fit(x, y).score(x, y) == 1
    values = NetworkRegressor(xpnn.Network([xpnn.Dense(WEIGHT[:, :1])]))
    assert values.predict(x).shape == (4,)
    if name != "jax.numpy":  # of which scikit-learn's own scores know nothing
        assert values.fit(x, values.predict(x)).score(x, values.predict(x)) == 1


def test_without_dispatch_all_is_numpys():
    torch = pytest.importorskip("torch")
    ours = classifier(3, "softmax")
    np.testing.assert_array_equal(ours.predict_proba(torch.asarray(X)), ours.network(X))


@pytest.mark.parametrize("outputs", [1, 2])
def test_reproducible(outputs, dispatch):
    """The same bits on every library, those of the network in the reproducible way."""
    ours = classifier(
        outputs,
        "sigmoid" if outputs == 1 else "softmax",
        (7, 3, 5)[: outputs or 2] if outputs > 1 else None,
    )
    ours.set_params(reproducible=True)
    x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    methods = ("predict_proba", "predict_log_proba", "decision_function", "predict")
    expected = {method: getattr(ours, method)(x) for method in methods}
    own = ours.network(x, xp=xpnn.reproducible(x))
    found = expected["predict_proba"][:, 1:] if outputs == 1 else expected["predict_proba"]
    np.testing.assert_array_equal(found, own[:, np.argsort(ours.network.classes or range(outputs))])
    for name in LIBRARIES:
        xp = pytest.importorskip(name)
        for method in methods:
            y = np.asarray(getattr(ours, method)(xp.asarray(x)))
            np.testing.assert_array_equal(y, expected[method])


def test_reproducible_differences_of_logits(dispatch):
    """Below the smallest normal number they are 0, as all is there; NumPy alone would keep them."""
    tiny = np.asarray([[2.0**-126]], dtype="float32")
    network = xpnn.Network([xpnn.Dense(np.asarray([[1.0, 1.5]], "float32"), activation="softmax")])
    assert NetworkClassifier(network).decision_function(tiny) > 0
    assert NetworkClassifier(network, reproducible=True).decision_function(tiny) == 0


def test_tags():
    from sklearn.utils import get_tags

    for outputs, activation in ((3, "softmax"), (1, "sigmoid"), (3, "sigmoid")):
        tags = get_tags(classifier(outputs, activation))
        assert not tags.requires_fit
        assert tags.array_api_support
        assert tags.classifier_tags.multi_label == ((outputs, activation) == (3, "sigmoid"))
        assert tags.classifier_tags.multi_class == (outputs > 1)
    assert get_tags(REGRESSOR).target_tags.multi_output


@pytest.fixture
def wine():
    """A table, classes by name, a network of its scaled rows, and the pipeline which that is of."""
    model, x = fitted("wine, names")
    table = pytest.importorskip("pandas").DataFrame(x, columns=model.feature_names_in_)
    y = np.asarray(["barolo", "grignolino", "barbera"])[data("wine")[1]]
    return table, y, xpnn.Network.from_sklearn(model[-1]), model


def test_at_the_end_of_a_pipeline(wine):
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, network, model = wine
    pipeline = make_pipeline(StandardScaler(), NetworkClassifier(network)).fit(x, y)
    np.testing.assert_array_equal(pipeline.predict(x), model.predict(x))
    scores = cross_val_score(pipeline, x, y, scoring="neg_log_loss", error_score="raise")
    assert np.all(scores > -0.2)
    ready = make_pipeline(model[0], NetworkClassifier(network))
    np.testing.assert_array_equal(ready.predict(x), model.predict(x))


def test_a_search_among_networks(wine, tmp_path):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, network, _ = wine
    file = tmp_path / "turned.safetensors"
    dense = network.layers[0]
    xpnn.Network([xpnn.Dense(-dense.weight, dense.bias, "softmax")], network.classes).save(file)
    pipeline = make_pipeline(StandardScaler(), NetworkClassifier(network))
    given = {"networkclassifier__network": [file, str(file), network]}
    search = GridSearchCV(pipeline, given, error_score="raise").fit(x, y)
    assert search.best_index_ == 2
    assert search.best_score_ > 0.95
    assert search.cv_results_["mean_test_score"][0] < 0.2


def test_calibrated_and_beside_others(wine):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import VotingClassifier
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    table, y, _, model = wine
    ours = NetworkClassifier(xpnn.Network.from_sklearn(model))
    calibrated = CalibratedClassifierCV(FrozenEstimator(ours)).fit(table, y)
    assert calibrated.score(table, y) > 0.95
    both = [("network", FrozenEstimator(ours)), ("other", LogisticRegression(max_iter=10**4))]
    voted = VotingClassifier(both, voting="soft").fit(table, y)
    assert voted.score(table, y) > 0.95
    with pytest.raises(
        ValueError, match=r"or if scikit-learn numbered them give it FrozenEstimator"
    ):
        cross_val_predict(ours, table, y, method="predict_proba")
    assert cross_val_predict(both[0][1], table, y, method="predict_proba").shape == (len(y), 3)
    numbered = NetworkClassifier(ours.network, classes=[1, 2, 0])
    voted = VotingClassifier([("network", numbered), both[1]]).fit(table, data("wine")[1])
    assert voted.score(table, data("wine")[1]) > 0.3


def test_copies_of_an_estimator(tmp_path):
    joblib = pytest.importorskip("joblib")
    from sklearn.base import clone
    from sklearn.utils.validation import check_is_fitted

    x = np.random.default_rng(0).random((5, 784)).astype("float32")
    ours = NetworkClassifier("digits", classes=list("abcdefghij"))
    expected = ours.predict_proba(x)
    copies = [
        clone(ours),
        pickle.loads(pickle.dumps(ours)),
        clone(ours).set_params(network=ours.network_),
    ]
    joblib.dump(ours, tmp_path / "ours.joblib")
    for copy in (*copies, joblib.load(tmp_path / "ours.joblib")):
        check_is_fitted(copy)
        np.testing.assert_array_equal(copy.predict_proba(x), expected)
    assert b"xpnn.sklearn._" not in pickle.dumps(ours)
    assert ours.set_params(network="digits").get_params() == {
        "network": "digits", "classes": list("abcdefghij"), "reproducible": False,
    }  # fmt: skip
    assert (
        repr(clone(ours))
        == "NetworkClassifier(classes=['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'],\n                  network='digits')"
    )
    assert "NetworkClassifier" in ours._repr_html_()
    ours.set_params(network=classifier(3, "softmax").network, classes=None)
    assert ours.predict(X).shape == (4,)


def test_files_are_read_once(tmp_path):
    ours = NetworkRegressor(tmp_path / "one.safetensors")
    for name, factor in (("one", 1), ("two", 2)):
        xpnn.Network([xpnn.Dense(WEIGHT * factor)]).save(tmp_path / f"{name}.safetensors")
    assert ours.network_ is ours.network_
    one = ours.predict(X)
    ours.set_params(network=tmp_path / "two.safetensors")
    np.testing.assert_array_equal(ours.predict(X), one * 2)


def test_without_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None; import xpnn.sklearn"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: xpnn.sklearn: " in done.stderr
    assert "pip install 'xpnn[sklearn]'" in done.stderr


def test_one_class_is_certain():
    network = xpnn.Network([xpnn.Dense(np.asarray([[1.0], [2.0]]), activation="softmax")])
    estimator = NetworkClassifier(network)
    assert estimator.predict_proba([[1.0, 2.0]]).tolist() == [[1.0]]
    assert estimator.predict_log_proba([[1.0, 2.0]]).tolist() == [[0.0]]


def test_targets_that_the_network_never_gives():
    labels = xpnn.Network([xpnn.Dense(np.ones((2, 3)), activation="sigmoid")])
    with pytest.raises(ValueError, match="holds 0 and 1"):
        NetworkClassifier(labels).fit(np.ones((4, 2)), np.full((4, 3), 2))
    with pytest.raises(ValueError, match="expected numbers in y"):
        NetworkRegressor(xpnn.Network([xpnn.Dense(np.ones((2, 1)))])).fit(
            np.ones((4, 2)), ["a"] * 4
        )
