"""State dicts: arrays by name, of any library, and safetensors files that others wrote."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._convert.extras import ADVICE

FOLDER = Path(__file__).parent / "models"
convert = xpnn.Network.from_state_dict


def normal(*shape, dtype="float32", seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def norm(prefix, n, dtype="float32"):
    means = {f"{prefix}.running_mean": normal(n, dtype=dtype)}
    return means | {f"{prefix}.running_var": abs(normal(n, dtype=dtype, seed=1)) + 1}


LINEAR = {"fc.weight": normal(4, 5), "fc.bias": normal(4)}
SECOND = {"bn.weight": normal(4, seed=2), "bn.bias": normal(4, seed=3)}
CASES = {
    "no bias": ({"fc.weight": normal(4, 5)}, {"fc": "silu"}, ["dense"]),
    "kernel": ({"fc.kernel": normal(5, 4), "fc.bias": normal(4)}, {"fc": "tanh"}, ["dense"]),
    "layer norm": (
        LINEAR | {"ln.weight": normal(4), "ln.bias": normal(4)},
        {"fc": "relu", "ln": "silu"},
        ["dense", "layer_norm", "affine"],
    ),
    "layer norm of Flax": (
        LINEAR | {"ln.scale": normal(4)},
        {"fc": "relu", "ln": "identity"},
        ["dense", "layer_norm"],
    ),
    "layer norm of Keras": (
        LINEAR | {"ln.gamma": normal(4), "ln.beta": normal(4)},
        {"fc": "relu", "ln": "identity"},
        ["dense", "layer_norm"],
    ),
    "batch norm": (
        LINEAR | SECOND | norm("bn", 4) | {"bn.num_batches_tracked": np.asarray(7)},
        {"fc": "relu", "bn": "sigmoid"},
        ["dense", "affine", "affine"],
    ),
    "plain batch norm": (
        LINEAR | norm("bn", 4),
        {"fc": "identity", "bn": "identity"},
        ["dense", "affine", "affine"],
    ),
    "prelu": (
        LINEAR | {"act.weight": normal(4)},
        {"fc": "identity", "act": "identity"},
        ["dense", "prelu"],
    ),
    "prelu of one": (
        LINEAR | {"act.weight": np.asarray([0.25], "float32")},
        {"fc": "identity", "act": "identity"},
        ["dense", "prelu"],
    ),
    "a layer alone": ({"weight": normal(4, 5), "bias": normal(4)}, {"": "softmax"}, ["dense"]),
    "inside": (
        {f"net.0.{name}": LINEAR[f"fc.{name}"] for name in ("weight", "bias")},
        [("net.0", "leaky_relu(negative_slope=0.2)")],
        ["dense"],
    ),
    "twice": (
        {"fc.weight": normal(5, 5)},
        [("fc", "tanh"), ("fc", "identity")],
        ["dense", "dense"],
    ),
}


def expected(tensors, layers, x, epsilon=1e-5):
    """Layer by layer in float64."""
    given = {name: np.asarray(a, "float64") for name, a in tensors.items()}
    x = x.astype("float64")
    for name, activation in layers.items() if isinstance(layers, dict) else layers:
        own = {n.rpartition(".")[2]: a for n, a in given.items() if n.rpartition(".")[0] == name}
        own.pop("num_batches_tracked", None)
        scale = own.get("scale", own.get("gamma", own.get("weight", np.ones(1))))
        bias = own.get("bias", own.get("beta", 0.0))
        if "running_mean" in own:
            d = (x - own["running_mean"]) / np.sqrt(own["running_var"] + epsilon)
            x = d * scale + bias
        elif "kernel" in own or scale.ndim == 2:
            x = x @ own.get("kernel", scale.T) + bias
        elif set(own) == {"weight"}:
            x = np.where(x > 0, x, x * scale)
        else:
            d = x - x.mean(-1, keepdims=True)
            x = d / np.sqrt((d * d).mean(-1, keepdims=True) + epsilon) * scale + bias
        x = xpnn.Affine(activation=activation).activate(x) if activation != "identity" else x
    return x


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("case", CASES)
def test_every_kind(case, epsilon):
    tensors, layers, kinds = CASES[case]
    network = convert(tensors, layers, epsilon=epsilon, classes=None)
    assert [layer.kind for layer in network.layers] == kinds
    x = normal(20, 5)
    wrong = np.abs(network(x) - expected(tensors, layers, x, epsilon))
    assert np.all(wrong <= xpnn.error_bound(network, x))


def test_of_every_library(backend):
    """Copied to NumPy, bit for bit."""
    network = convert(
        {name: backend.asarray(a) for name, a in LINEAR.items()}, {"fc": "relu"}, classes=range(4)
    )
    assert network.layers[0].weight.tobytes() == LINEAR["fc.weight"].T.tobytes()
    assert network.layers[0].bias.tobytes() == to_numpy(LINEAR["fc.bias"]).tobytes()
    assert network.classes == (0, 1, 2, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_modules_of_torch(dtype, torch):
    """Those of PyTorch in evaluation, with what it gave as their numbers."""
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6, bias=False)),
        *(nn.BatchNorm1d(6, affine=False), nn.PReLU(), nn.LayerNorm(6), nn.Linear(6, 3)),
        *(nn.Softmax(-1),),
    ).to(getattr(torch, dtype))
    x = torch.asarray(normal(50, 5, dtype=dtype))
    for _ in range(3):
        module(x + 1)
    layers = {"0": "identity", "1": "relu", "3": "identity", "4": "identity", "5": "identity"}
    network = convert(module.state_dict(), {**layers, "6": "identity", "7": "softmax"})
    with torch.no_grad():
        y = module.eval()(x).numpy()
    assert np.all(np.abs(network(to_numpy(x)) - y) <= xpnn.error_bound(network, to_numpy(x)))


def test_dicts_of_dicts():
    """As Flax has them, in two collections."""
    variables = {
        "params": {
            "Dense_0": {"kernel": normal(5, 4)},
            "BatchNorm_0": {"scale": normal(4), "bias": normal(4)},
        },
        "batch_stats": {"BatchNorm_0": {"mean": normal(4), "var": abs(normal(4)) + 1}},
    }
    layers = {"Dense_0": "identity", "BatchNorm_0": "relu"}
    flat = {"fc.weight": normal(5, 4).T, "bn.weight": normal(4), "bn.bias": normal(4)}
    same = flat | {"bn.running_mean": normal(4), "bn.running_var": abs(normal(4)) + 1}
    x = normal(20, 5)
    y = convert(same, {"fc": "identity", "bn": "relu"})(x)
    assert convert(variables, layers)(x).tobytes() == y.tobytes()
    names = {f"params.{name}": one for name, one in layers.items()}
    with pytest.raises(
        xpnn.XpnnValueError, match=r"of a layer 'params.Dense_0', got those of 'Den"
    ):
        convert(variables, names)


REFUSED = {
    "no mapping": ([], {"fc": "relu"}, "expected a mapping of names to arrays, .* got list"),
    "no layers": (LINEAR, {}, "expected layers to be the name of each and the activation"),
    "no pairs": (LINEAR, ["fc", "bn"], "expected layers to be the name of each and the activation"),
    "a number": (LINEAR, 3, "expected layers to be the name of each .* got 3"),
    "an activation": (LINEAR, {"fc": None}, "expected layers to be the name of each"),
    "missing": (LINEAR, {"fc": "relu", "out": "tanh"}, "layer 'out', got those of 'fc'"),
    "left over": (
        LINEAR | SECOND | {"conv.weight": normal(1)},
        {"fc": "relu"},
        "got those of 'bn', 'conv' besides",
    ),
    "alone": (
        LINEAR | {"log_std": normal(2)},
        {"fc": "relu"},
        "those of 'log_std' besides; give those of the layers alone",
    ),
    "unknown activation": (LINEAR, {"fc": "rrelu"}, "layer 'fc': activation: expected one of"),
    "unknown tensor": (LINEAR | {"fc.mask": normal(1)}, {"fc": "relu"}, "'fc': expected some of"),
    "two of a role": (
        LINEAR | {"fc.beta": normal(4)},
        {"fc": "relu"},
        "'fc': expected some of .* got weight, bias, beta",
    ),
    "a convolution": (
        {"conv.weight": normal(3, 2, 3, 3)},
        {"conv": "relu"},
        r"'conv': expected a weight of shape \(out, in\) or \(n,\), got shape \(3, 2, 3, 3\)",
    ),
    "a bias alone": (
        {"fc.bias": normal(3)},
        {"fc": "relu"},
        r"'fc': expected a weight and maybe a bias, .*, got bias of shape \(3,\)",
    ),
    "half a batch norm": (
        {"bn.weight": normal(3), "bn.running_mean": normal(3)},
        {"bn": "relu"},
        "'bn': expected a weight and maybe a bias, or a mean and a variance",
    ),
    "another size": (
        norm("bn", 3) | {"bn.weight": normal(4)},
        {"bn": "relu"},
        r"'bn': expected one number a column, of one shape \(n,\), got",
    ),
    "a scalar": (norm("bn", 3) | {"bn.weight": normal()}, {"bn": "relu"}, "one number a column"),
    "whole numbers": (
        {"fc.weight": np.ones((2, 2), int)},
        {"fc": "relu"},
        "tensor fc.weight: expected float16, float32 or float64, got int64",
    ),
    "a list": (
        {"fc.weight": [[1.0]]},
        {"fc": "relu"},
        "from_state_dict: expected tensor fc.weight",
    ),
    "widths": (
        LINEAR | {"out.weight": normal(3, 3)},
        {"fc": "relu", "out": "relu"},
        "expected layer 1 to take the 4 outputs of layer 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    tensors, layers, words = REFUSED[case]
    with pytest.raises((xpnn.XpnnTypeError, xpnn.XpnnValueError), match=words):
        convert(tensors, layers)


def test_short_dtypes_are_refused(torch):
    with pytest.raises(xpnn.XpnnTypeError, match=r"fc.weight: expected .* got bfloat16; convert"):
        convert(
            torch.nn.ModuleDict({"fc": torch.nn.Linear(2, 2)}).bfloat16().state_dict(),
            {"fc": "relu"},
        )


# Files


@pytest.mark.parametrize("case", [case for case in CASES if case != "a layer alone"])
def test_files_of_others(case, tmp_path):
    tensors, layers, _ = CASES[case]
    path = tmp_path / "weights.safetensors"
    save_file({n: np.ascontiguousarray(a) for n, a in tensors.items()}, path, {"format": "pt"})
    x = normal(20, 5)
    assert xpnn.load(path, layers=layers)(x).tobytes() == convert(tensors, layers)(x).tobytes()
    with pytest.raises(xpnn.XpnnValueError, match=r"no network of xpnn .* as load\(path, layers="):
        xpnn.load(path)


def test_files_of_other_dtypes(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"fc.weight": np.ones((2, 2), "int8")}, path)
    with pytest.raises(
        xpnn.XpnnValueError, match="tensor fc.weight: expected dtype F16, .* got I8"
    ):
        xpnn.load(path, layers={"fc": "relu"})


def test_layers_are_of_files_that_have_none(tmp_path):
    path = tmp_path / "own.safetensors"
    convert(LINEAR, {"fc": "relu"}).save(path)
    with pytest.raises(xpnn.XpnnValueError, match="expected no layers for a model file of xpnn"):
        xpnn.load(path, layers={"fc": "relu"})
    with pytest.raises(xpnn.XpnnValueError, match=r"expected no layers for a .onnx file"):
        xpnn.load(FOLDER / "relu.dynamo.onnx", layers={"fc": "relu"})
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(xpnn.XpnnValueError, match=r"no.safetensors: .* no safetensors file"):
        xpnn.load(tmp_path / "no.safetensors", layers={"fc": "relu"})


@pytest.mark.parametrize("ending", [*ADVICE, ".PT"])
def test_pickles_are_not_read(ending, tmp_path):
    """Whoever has one is told what to do; a model file may be called so."""

    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("it ran",)

    path = tmp_path / f"model{ending}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(xpnn.XpnnValueError, match=rf"model{ending}: a pickle may run code") as e:
        xpnn.load(path)
    assert "Network.from_torch(module)" in str(e.value)
    words = {"t": "safetensors.torch.save_file", "h": "save_file", "l": ".skops", "e": ".skops"}
    assert words.get(ending.lower()[-1], "") in str(e.value)
    network = convert(LINEAR, {"fc": "relu"})
    network.save(path)
    assert xpnn.load(path)(normal(3, 5)).tobytes() == network(normal(3, 5)).tobytes()
