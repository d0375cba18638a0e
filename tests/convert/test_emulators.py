"""Emulators as CosmoPower saves them, whose formula is written out here once more."""

import numpy as np
import pytest

import xpnn

WIDTHS = ((3, 8), (8, 8), (8, 5))


def emulator(*, pca=False, seed=0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype("float32")

    arrays = {"parameters": np.asarray(["omega_b", "h", "n_s"]), "modes": np.arange(2, 7)}
    arrays |= {"n_layers": np.asarray(3), "architecture": np.asarray([3, 8, 8, 5])}
    for what, width in (("parameters", 3), ("features", 7 if pca else 5)):
        arrays[f"{what}_mean"], arrays[f"{what}_std"] = normal(width), np.exp(normal(width))
    for i, (n, m) in enumerate(WIDTHS):
        arrays[f"W_{i}"], arrays[f"b_{i}"] = normal(n, m) / np.float32(n**0.5), normal(m)
        if i < len(WIDTHS) - 1:
            arrays[f"alphas_{i}"], arrays[f"betas_{i}"] = normal(m), normal(m)
    if pca:
        arrays["pca_mean"], arrays["pca_std"] = normal(5), np.exp(normal(5))
        arrays["pca_transform_matrix"], arrays["modes"] = normal(5, 7), np.linspace(0, 1, 7)
    return arrays


def predictions(arrays, x):
    """What CosmoPower computes, in float64."""
    a = {name: v.astype("float64") if v.dtype.kind == "f" else v for name, v in arrays.items()}
    y = (x.astype("float64") - a["parameters_mean"]) / a["parameters_std"]
    for i in range(len(WIDTHS)):
        y = y @ a[f"W_{i}"] + a[f"b_{i}"]
        if i < len(WIDTHS) - 1:
            alpha, beta = a[f"alphas_{i}"], a[f"betas_{i}"]
            y = (beta + (1 - beta) / (1 + np.exp(-alpha * y))) * y
    if "pca_mean" in a:
        y = (y * a["pca_std"] + a["pca_mean"]) @ a["pca_transform_matrix"]
    return y * a["features_std"] + a["features_mean"]


def saved(folder, arrays):
    path = folder / "emulator.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("pca", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_emulators(pca, seed, tmp_path):
    arrays = emulator(pca=pca, seed=seed)
    network = xpnn.load(saved(tmp_path, arrays))
    x = np.random.default_rng(1).normal(size=(200, 3)).astype("float32")
    wrong = np.abs(network(x) - predictions(arrays, x))
    assert np.all(wrong <= xpnn.error_bound(network, x))
    assert np.max(wrong) < 1e-3
    assert network.inputs == ("omega_b", "h", "n_s")
    assert network.outputs == tuple(map(str, arrays["modes"].tolist()))


def test_an_alpha_of_zero(tmp_path):
    """Half of 1 + beta is left of its column."""
    arrays = emulator()
    arrays["alphas_0"][[0, 3]] = 0
    network = xpnn.load(saved(tmp_path, arrays))
    x = np.random.default_rng(1).normal(size=(200, 3)).astype("float32")
    assert np.all(np.abs(network(x) - predictions(arrays, x)) <= xpnn.error_bound(network, x))


def test_other_names(tmp_path):
    other = {"parameters": "param_train", "features": "feature_train"}
    arrays = emulator()
    x = np.ones((2, 3), "float32")
    expected = xpnn.load(saved(tmp_path, arrays))(x)
    for one, name in other.items():
        for part in ("mean", "std"):
            arrays[f"{name}_{part}"] = arrays.pop(f"{one}_{part}")
    assert np.array_equal(xpnn.load(saved(tmp_path, arrays))(x), expected)


BAD = {
    "an array b_1 of 3 layers, which is missing": lambda a: a.pop("b_1"),
    "an array alphas_1 of": lambda a: a.pop("alphas_1"),
    "W_0: expected floating numbers, got dtype int64": lambda a: a.update(
        W_0=np.ones((3, 8), "int64")
    ),
    "layer 4 to take the 8 outputs": lambda a: a.update(W_1=np.ones((9, 8), "float32")),
    "numbers or text, got dtype object": lambda a: a.update(
        alphas_0=np.asarray([None] * 8, object)
    ),
    "expected an emulator of arrays, got one of pickled objects": lambda a: (
        a.clear() or a.update(arr_0=np.asarray({}, object))
    ),
    "nothing but what CosmoPower saves, got 'pca_matrix'": lambda a: a.update(
        pca_matrix=np.ones((5, 7))
    ),
    "parameters_std: expected no deviation of 0": lambda a: a.update(
        parameters_mean=np.ones(3), parameters_std=np.asarray([1.0, 0, 2])
    ),
    "from_weights": lambda a: a.clear() or a.update(W1=np.ones((2, 2)), b1=np.ones(2)),
    "got x": lambda a: a.clear() or a.update(x=np.ones(2)),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    arrays = emulator()
    BAD[words](arrays)
    path = saved(tmp_path, arrays)
    with pytest.raises(xpnn.XpnnValueError, match=words) as error:
        xpnn.load(path)
    assert str(error.value).startswith(f"{path}: ")
