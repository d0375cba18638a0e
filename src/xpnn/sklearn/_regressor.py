"""NetworkRegressor: a network whose outputs are values."""

from os import PathLike
from typing import Any

from sklearn.base import RegressorMixin

from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array
from xpnn._network.layers.layer import outputs_of
from xpnn._network.network import Network
from xpnn.errors import XpnnValueError
from xpnn.sklearn._estimator import NetworkEstimator


class NetworkRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]
    """A trained network as a fitted regressor of scikit-learn.

    Parameters
    ----------
    network : Network, str or path
        A network, or what `xpnn.load` reads.
    reproducible : bool, optional
        Whether to compute in the reproducible way, with the same bits everywhere. Default False.

    Attributes
    ----------
    network_ : Network
        The network, read from its file.
    n_features_in_ : int
        Number of columns that it takes.
    feature_names_in_ : ndarray of str
        What they are called, if the network or `fit` knows it.
    n_outputs_ : int
        Number of columns that it gives.

    Raises
    ------
    TypeError, ValueError
        From the methods: if the network is none, or takes other columns.

    See Also
    --------
    NetworkClassifier : For networks whose outputs are classes.

    Notes
    -----
    Nothing has to be fitted: `fit` checks that data and network fit each other. With scikit-learn's
    array API dispatch, arrays of other libraries are computed in these; without it all becomes NumPy's.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> from xpnn.sklearn import NetworkRegressor
    >>> network = xpnn.Network([xpnn.Dense(np.asarray([[2.0], [3.0]]))])
    >>> regressor = NetworkRegressor(network)
    >>> regressor.predict([[1.0, 1.0], [0.0, 1.0]])
    array([5., 3.])
    >>> regressor.score([[1.0, 1.0], [0.0, 1.0]], [5.0, 3.0])
    1.0
    """

    def __init__(
        self, network: Network | str | PathLike[str], *, reproducible: bool = False
    ) -> None:
        self.network = network
        self.reproducible = reproducible

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        outputs = outputs_of(self.network_.layers)
        tags.target_tags.multi_output = outputs != (1,)
        tags.target_tags.single_output = outputs in {None, (1,)}
        return tags

    @property
    def _targets(self) -> dict[str, bool]:
        return {"multi_output": outputs_of(self.network_.layers) != (1,), "y_numeric": True}

    def _check_targets(self, y: Any) -> None:
        if to_numpy(y).dtype.kind not in "biuf":
            raise XpnnValueError(f"{type(self).__name__}: expected numbers in y, got {y.dtype}")
        given, outputs = (1 if y.ndim == 1 else y.shape[1]), outputs_of(self.network_.layers)
        if outputs not in {None, (given,)}:
            raise XpnnValueError(
                f"{type(self).__name__}: expected {self.n_outputs_} targets, which the network gives, "
                f"got y of shape {tuple(y.shape)}"
            )

    def predict(self, X: Any) -> Array:
        """Return what the network gives for each sample.

        Parameters
        ----------
        X : array-like or table, shape (samples, features)
            Real numbers; NaN and infinities are refused.

        Returns
        -------
        array, shape (samples,) or (samples, outputs)
            Of one output the values alone, in the dtype that X and the weights promote to.
        """
        x, xp, _ = self._taken(X)
        y = self.network_(x, xp=xp)
        return y[:, 0] if y.shape[1] == 1 else y
