"""Emulators of CosmoPower: what its `save` writes, arrays in a .npz archive.

Its activation is (beta + (1 - beta) * sigmoid(alpha * x)) * x, with an alpha and a beta for each column.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from xpnn._convert.parts import Parts
from xpnn._convert.rules import gated, joined
from xpnn._files.archive import archive
from xpnn._files.npy_array import array_of
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.layer import Layer
from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]

_NAMES = {
    "param_train_mean": "parameters_mean",
    "param_train_std": "parameters_std",
    "feature_train_mean": "features_mean",
    "feature_train_std": "features_std",
}
"""What other programs call the means and the deviations."""


def read(path: Path, output: object = None) -> Parts:
    """Return the layers of an emulator, and the names of its parameters and modes."""
    if output is not None:
        raise XpnnValueError(f"expected no output for an emulator, which has one, got {output!r}")
    with archive(path) as files:
        wanted = {name.removesuffix(".npy"): name for name in files.names}
        missing = [name for name in ("W_0", "b_0") if name not in wanted]
        if missing:
            raise XpnnValueError(_other(sorted(wanted)))
        unknown = [
            n for n in wanted if not (n in _ASIDE | _NAMES.keys() or _OF_LAYERS.fullmatch(n))
        ]
        if unknown:
            raise XpnnValueError(
                f"expected nothing but what CosmoPower saves, got {', '.join(map(repr, unknown[:20]))}"
            )
        arrays = {
            _NAMES.get(name, name): array_of(files.read(entry), f"entry {entry!r}")
            for name, entry in wanted.items()
            if name in _KNOWN or name in _NAMES or _OF_LAYERS.fullmatch(name)
        }
    return _parts(arrays)


_OF_LAYERS = re.compile(r"(W|b|alphas|betas)_\d+")
_KNOWN = (
    *("parameters", "modes", "parameters_mean", "parameters_std", "features_mean", "features_std"),
    *("pca_mean", "pca_std", "pca_transform_matrix"),
)

_ASIDE = {
    *_KNOWN,
    *("architecture", "n_layers", "n_hidden", "n_parameters", "n_modes", "n_pcas", "verbose"),
}
"""Numbers and names that an emulator may have; of those that are not known, the arrays say it all."""


def _other(names: list[str]) -> str:
    """Say what an archive is that is no emulator."""
    if names == ["arr_0"]:
        return (
            "expected an emulator of arrays, got one of pickled objects, which run code; save it with "
            "CosmoPower's own save, which writes W_0, b_0, alphas_0 and so on"
        )
    if "W1" in names:
        return (
            "expected an emulator; give the weights to Network.from_weights(dict(numpy.load(path)))"
        )
    return f"expected an emulator of CosmoPower, with W_0, b_0, alphas_0 and so on, got {', '.join(names[:20])}"


def _parts(arrays: dict[str, Numbers]) -> Parts:
    count = sum(1 for name in arrays if name.startswith("W_"))
    for name, a in arrays.items():
        if a.dtype.kind != "f" and name not in {"parameters", "modes"}:
            raise XpnnValueError(f"{name}: expected floating numbers, got dtype {a.dtype}")

    def given(name: str) -> Numbers:
        if name not in arrays:
            raise XpnnValueError(f"expected an array {name} of {count} layers, which is missing")
        return arrays[name]

    layers: list[Layer] = _scaled("parameters", arrays, into=True)
    for i in range(count):
        layers.append(Dense(given(f"W_{i}"), given(f"b_{i}")))
        if i < count - 1:
            alpha, beta = given(f"alphas_{i}"), given(f"betas_{i}")
            layers += gated(alpha, 1 - beta.astype("float64"), beta)
    if "pca_transform_matrix" in arrays:
        layers += [*_scaled("pca", arrays), Dense(given("pca_transform_matrix"))]
    layers += _scaled("features", arrays)
    inputs, outputs = (_names(arrays.get(name)) for name in ("parameters", "modes"))
    return Parts(joined(layers), None, inputs, outputs)


def _scaled(what: str, arrays: dict[str, Numbers], *, into: bool = False) -> list[Layer]:
    """Return what takes numbers into the units of a network, or back into their own."""
    mean, deviation = arrays.get(f"{what}_mean"), arrays.get(f"{what}_std")
    if mean is None or deviation is None:
        return []
    if into:
        if not deviation.all():
            raise XpnnValueError(
                f"{what}_std: expected no deviation of 0, by which inputs are divided"
            )
        return [Affine(None, -mean), Affine(1 / deviation)]
    return [Affine(deviation), Affine(None, mean)]


def _names(given: Numbers | None) -> list[str] | None:
    """Return names of columns, if each has another."""
    found = [] if given is None else [str(name) for name in given.reshape(-1).tolist()]
    return found if found and len(set(found)) == len(found) else None
