"""Trained networks as fitted estimators of scikit-learn."""

try:
    from xpnn.sklearn._classifier import NetworkClassifier
    from xpnn.sklearn._regressor import NetworkRegressor
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise ImportError(
        f"xpnn.sklearn: {error}; get scikit-learn with: pip install 'xpnn[sklearn]'"
    ) from None

__all__ = ["NetworkClassifier", "NetworkRegressor"]

for _public in (NetworkClassifier, NetworkRegressor):
    _public.__module__ = __name__  # pickles outlive moves inside
