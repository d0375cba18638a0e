"""NetworkClassifier: a network whose outputs are classes."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from xpnn._activations.sigmoids import log_sigmoid, sigmoid
from xpnn._activations.softmax import softmax
from xpnn._arrays.library import device_of
from xpnn._arrays.transfer import is_numpy, to_numpy
from xpnn._arrays.types import Array
from xpnn._network.checks import OF_LOGITS
from xpnn._network.network import Network
from xpnn.errors import XpnnTypeError, XpnnValueError
from xpnn.sklearn._estimator import NetworkEstimator

Labels = np.ndarray[Any, Any]


class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """A trained network as a fitted classifier of scikit-learn.

    Parameters
    ----------
    network : Network, str or path
        A network whose output layer is softmax, of a class each; one sigmoid, of two classes; or
        several sigmoids, of a label each. Also what `xpnn.load` reads.
    classes : array-like of str or numbers, optional
        What the classes are called, in the order of the network's outputs. By default
        ``network.classes``, or 0, 1, 2, ...
    reproducible : bool, optional
        Whether to compute in the reproducible way, with the same bits everywhere. Default False.

    Attributes
    ----------
    network_ : Network
        The network, read from its file.
    classes_ : ndarray
        The classes in sorted order, which is that of the columns of `predict_proba`: metrics of
        scikit-learn take it for granted. Of several labels: the labels in the network's order.
    n_features_in_ : int
        Number of columns that it takes.
    feature_names_in_ : ndarray of str
        What they are called, if the network or `fit` knows it.
    n_outputs_ : int
        Number of columns that the network gives.

    Raises
    ------
    TypeError, ValueError
        From the methods: if the network is none, gives no probabilities or takes other columns, or
        `classes` does not fit it.

    See Also
    --------
    NetworkRegressor : For networks whose outputs are values.

    Notes
    -----
    Nothing has to be fitted: `fit` checks that data and network fit each other. With scikit-learn's
    array API dispatch, arrays of other libraries are computed in these; without it all becomes NumPy's.
    Classes that are text are NumPy's in both.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> from xpnn.sklearn import NetworkClassifier
    >>> network = xpnn.Network([xpnn.Dense(np.asarray([[1.0, -1.0]]), activation="softmax")])
    >>> classifier = NetworkClassifier(network, classes=["warm", "cold"])
    >>> classifier.predict([[2.0], [-1.0]])
    array(['warm', 'cold'], dtype='<U4')
    >>> classifier.classes_
    array(['cold', 'warm'], dtype='<U4')
    >>> classifier.predict_proba([[2.0], [-1.0]])
    array([[0.01798621, 0.98201379],
           [0.88079708, 0.11920292]])
    """

    def __init__(
        self,
        network: Network | str | PathLike[str],
        *,
        classes: Sequence[Any] | None = None,
        reproducible: bool = False,
    ) -> None:
        self.network = network
        self.classes = classes
        self.reproducible = reproducible

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        tags.classifier_tags.multi_label = self._is_of_labels
        tags.classifier_tags.multi_class = self._is_of_labels or len(self._labels) > 2
        return tags

    @property
    def classes_(self) -> Labels:
        """The classes in sorted order; of several labels these, in the network's order."""
        return self._labels if self._is_of_labels else np.sort(self._labels)

    @property
    def _of_rows(self) -> bool:
        """Whether the outputs are classes of which a sample has one; an error if they are none."""
        last = self.network_.layers[-1].activate
        if last.log_probability is None:
            raise XpnnValueError(
                f"{type(self).__name__}: expected an output layer of softmax or sigmoid, which give "
                f"probabilities, got {last.name}; {OF_LOGITS}"
            )
        return last.record.of_rows

    @property
    def _is_of_labels(self) -> bool:
        return not self._of_rows and self.n_outputs_ > 1

    @property
    def _labels(self) -> Labels:
        """What the classes are called, in the order of the network's outputs."""
        expected = max(self.n_outputs_, 1 if self._of_rows else 2)
        named = self.network_.classes if self.classes is None else self.classes
        if named is None:
            return np.arange(expected)
        labels = np.asarray(list(named))
        if labels.dtype.kind not in "biufU" or len({isinstance(c, str) for c in named}) > 1:
            raise XpnnTypeError(
                f"{type(self).__name__}: expected classes that are all text or all numbers, got {named!r}"
            )
        if labels.shape != (expected,) or len(np.unique(labels)) != expected:
            raise XpnnValueError(
                f"{type(self).__name__}: expected {expected} classes, each another one, got {named!r}"
            )
        return labels

    @property
    def _targets(self) -> dict[str, bool]:
        return {"multi_output": self._is_of_labels}

    def _check_targets(self, y: Any) -> None:
        name = type(self).__name__
        check_classification_targets(y)
        if self._is_of_labels:
            fits = type_of_target(y) == "multilabel-indicator" and y.shape[1] == self.n_outputs_
            if not fits or not np.isin(to_numpy(y), (0, 1)).all():
                raise XpnnValueError(
                    f"{name}: expected y of shape (samples, {self.n_outputs_}) that holds 0 and 1, got "
                    f"{type_of_target(y)} targets of shape {tuple(y.shape)}"
                )
            return
        given = to_numpy(y).tolist()
        unknown = set(given).difference(self._labels.tolist())
        if unknown:
            frozen = ""
            if unknown <= set(range(len(self._labels))):
                frozen = f", or if scikit-learn numbered them give it FrozenEstimator({name}(...))"
            raise XpnnValueError(
                f"{name}: expected targets among the classes {self.classes_.tolist()}, got "
                f"{sorted(unknown, key=str)[:5]}; give the network's own with classes=[...]{frozen}"
            )

    def predict(self, X: Any) -> Array:
        """Return the class of each sample, or of each label whether the sample has it.

        Parameters
        ----------
        X : array-like or table, shape (samples, features)
            Real numbers; NaN and infinities are refused.

        Returns
        -------
        array, shape (samples,) or (samples, labels)
            Values of `classes_`; of several labels 0 and 1.
        """
        x, xp, own = self._taken(X)
        found, labels = self.network_.classify(x, xp=xp), self._labels
        if self._is_of_labels:
            return found
        if labels.dtype.kind == "U" or is_numpy(found):
            return labels[to_numpy(found)]
        return own.take(own.asarray(labels, device=device_of(found)), found)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, or of each label; `X` as in `predict`.

        Returns
        -------
        array, shape (samples, classes)
            In the dtype that X and the weights promote to.
        """
        of = softmax if self._of_rows else sigmoid
        whole = self.network_ if self.network_.output == of.__name__ else None
        return self._columns(X, whole, of)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of the probabilities, finite where they underflow; as `predict_proba`."""
        return self._columns(X, self.network_.log_proba, log_sigmoid)

    def decision_function(self, X: Any) -> Array:
        """Return the logit of each class, or of each label; `X` as in `predict`.

        Returns
        -------
        array, shape (samples, classes) or (samples,)
            Of two classes one number, positive where ``classes_[1]`` is the likelier.
        """
        x, xp, own = self._taken(X)
        z = self.network_.logits(x, xp=xp)
        if self._is_of_labels or len(self._labels) != 2:
            return self._sorted(z, own)
        first, second = np.argsort(self._labels).tolist()
        if z.shape[1] == 2:
            return (own if xp is None else xp).subtract(z[:, second], z[:, first])
        return z[:, 0] if second else own.negative(z[:, 0])

    def _columns(
        self, X: Any, whole: Callable[..., Array] | None, of_logits: Callable[..., Array]
    ) -> Array:
        """Return a column for each class: `whole` of the samples, or a function of the logits.

        The one logit z of two classes stands for -z and z.
        """
        x, xp, own = self._taken(X)
        if whole is not None and (self._of_rows or self.n_outputs_ > 1):
            return self._sorted(whole(x, xp=xp), own)
        z = self.network_.logits(x, xp=xp)
        if not self._of_rows and z.shape[1] == 1:
            z = own.concat([own.negative(z), z], axis=1)
        return self._sorted(of_logits(z, xp=xp), own)

    def _sorted(self, y: Array, xp: Any) -> Array:
        """Return columns in the order of `classes_`."""
        order = np.argsort(self._labels)
        if self._is_of_labels or np.all(order[:-1] < order[1:]):
            return y
        return xp.take(y, xp.asarray(order, device=device_of(y)), axis=1)
