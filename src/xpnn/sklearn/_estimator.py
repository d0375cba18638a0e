"""What the two estimators have in common: the network, what it takes, what `fit` has seen."""

import math
from os import PathLike
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.layer import outputs_of, taken_by
from xpnn._network.load import load
from xpnn._network.network import Network
from xpnn._reproducible import reproducible
from xpnn.errors import XpnnTypeError, XpnnValueError


class NetworkEstimator(BaseEstimator):  # type: ignore[misc] # of a library without types
    """A network as a fitted estimator; the parameters are `network` and `reproducible`."""

    network: Any
    reproducible: bool

    @property
    def network_(self) -> Network:
        """The network; one of a file is read when it is first needed."""
        given = self.network
        if isinstance(given, Network):
            return given
        if not isinstance(given, str | PathLike):
            raise XpnnTypeError(
                f"{type(self).__name__}: expected network to be a Network, a path or the name of a "
                f"shipped network, got {type(given).__name__}"
            )
        path, network = vars(self).get("_loaded", (None, None))
        if path != given:
            network = load(given)
            self._loaded = given, network
        return network

    @property
    def n_features_in_(self) -> int:
        """Number of columns that the network takes, or that `fit` saw where it takes any."""
        seen: int = self._width or self._seen.n_features_in_
        return seen

    @property
    def feature_names_in_(self) -> "np.ndarray[Any, Any]":
        """What the columns are called: those that `fit` saw, before it those of the network."""
        if "_seen" in vars(self):
            seen: np.ndarray[Any, Any] = self._seen.feature_names_in_
            return seen
        names = self._input_names
        if names is None:
            raise AttributeError(f"{type(self).__name__}: the network has no names for its inputs")
        return np.asarray(names, dtype=object)

    @property
    def n_outputs_(self) -> int:
        """Number of columns that the network gives."""
        outputs = outputs_of(self.network_.layers)
        if outputs is None:
            raise AttributeError(f"{type(self).__name__}: the network does not say its outputs")
        return outputs[-1]

    @property
    def _width(self) -> int | None:
        """Number of columns that the network takes; None for any."""
        taken = taken_by(self.network_.layers)
        return None if taken is None else math.prod(taken)

    @property
    def _input_names(self) -> tuple[str, ...] | None:
        names = self.network_.inputs
        # One name may stand for all columns.
        return names if names and self._width in {None, len(names)} else None

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.array_api_support = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check that the network fits the data; nothing is trained.

        Parameters
        ----------
        X : array-like or table, shape (samples, features)
            The columns that the network takes. What they are called is remembered, and held against
            tables that come later.
        y : array-like, optional
            The targets: checked where they are given, and used for nothing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the network takes another number of columns or columns of other names, or `y` is
            nothing that it gives.
        """
        name, own = type(self).__name__, self._input_names
        seen = BaseEstimator()
        validate_data(seen, X, skip_check_array=True)
        names = getattr(seen, "feature_names_in_", None)
        if names is not None and own is not None and tuple(names) != own:
            raise XpnnValueError(
                f"{name}: expected the columns that the network takes, {', '.join(own)}, in this order, "
                f"got {', '.join(names)}; pass X[list(network.inputs)]"
            )
        self._seen = seen
        if y is None:
            validate_data(self, X, reset=False)
        else:
            self._check_targets(validate_data(self, X, y, reset=False, **self._targets)[1])
        return self

    @property
    def _targets(self) -> dict[str, bool]:
        """How scikit-learn is to check targets."""
        raise NotImplementedError

    def _check_targets(self, y: Any) -> None:
        raise NotImplementedError

    def _taken(self, X: Any) -> tuple[Array, Namespace | None, Namespace]:
        """Return samples as the network takes them, the `xp` to compute with, and the samples' own."""
        x = validate_data(self, X, reset=False)
        own = library(x, "X", type(self).__name__).xp
        if dtype_name(x.dtype) == "bool":
            x = own.astype(x, own.uint8)
        if self.network_.layers[0].axes > 1:
            x = own.reshape(x, (x.shape[0], *(taken_by(self.network_.layers) or ())))
        return x, reproducible(x) if self.reproducible else None, own
