"""Libraries beside those that all tests run on: what works on MLX and ndonnx, what is refused by name."""

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ACTIVATIONS
from xpnn._arrays.backends.table import REFUSED

pytestmark = pytest.mark.libraries

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5)).astype("float32")
NETWORK = xpnn.Network.from_weights(
    [RNG.normal(size=(5, 4)).astype("float32"), RNG.normal(size=(4, 3)).astype("float32")],
    [np.ones(4, "float32"), None],
    output="softmax",
)
NORMALIZED = xpnn.Network([xpnn.Flatten((5,)), xpnn.LayerNorm(X[0], X[1]), *NETWORK.layers])
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # two computations in float32, of some 10 roundings each
FUNCTIONS = {
    **{name: getattr(xpnn, name) for name in ACTIVATIONS},
    "logsumexp": xpnn.logsumexp,
    "logsumexp of rows": lambda x: xpnn.logsumexp(x, axis=-1, keepdims=True),
    "network": NETWORK,
    "normalized": NORMALIZED,
    "images": lambda x: xpnn.Network([xpnn.Flatten((5, 1)), *NORMALIZED.layers[1:]])(x[..., None]),
    "log_proba": NETWORK.log_proba,
    "classify": NETWORK.classify,
    "layer_outputs": lambda x: NETWORK.layer_outputs(x)[1][0],
}


@pytest.mark.parametrize("package", REFUSED)
def test_what_cannot_work_is_refused_by_name(package):
    x = type("Array", (), {"__module__": f"{package}.core", "__array_namespace__": lambda _: np})()
    for function in (xpnn.relu, xpnn.logsumexp, NETWORK, NETWORK.classify):
        with pytest.raises(xpnn.XpnnTypeError, match=rf"x is a {package}\.Array, which .*; pass x"):
            function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_mlx(name):
    mx = pytest.importorskip("mlx.core")
    function = FUNCTIONS[name]
    y = function(mx.array(X))
    assert isinstance(y, mx.array)
    np.testing.assert_allclose(np.array(y), function(X), **CLOSE)


def test_mlx_bits_bounds_and_no_float64(monkeypatch):
    mx = pytest.importorskip("mlx.core")
    x = mx.array(X)
    same = np.array(NETWORK(x, xp=xpnn.reproducible(mx)))
    np.testing.assert_array_equal(same, NETWORK(X, xp=xpnn.reproducible(np)))
    bound = xpnn.error_bound(NETWORK, X)
    np.testing.assert_array_equal(np.array(xpnn.error_bound(NETWORK, x)), bound)
    adapter = "xpnn._arrays.backends.mlx.MLX"
    monkeypatch.setattr(f"{adapter}.lacks", lambda _, dtype: "no" if dtype == "float64" else None)
    np.testing.assert_array_equal(np.array(xpnn.error_bound(NETWORK, x)), bound)
    with pytest.raises(xpnn.XpnnTypeError, match="no"):
        NETWORK.to(mx, dtype="float64")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ndonnx_of_any_number_of_rows(name):
    ndx, ort = pytest.importorskip("ndonnx"), pytest.importorskip("onnxruntime")
    x = ndx.argument(shape=("N", 5), dtype=ndx.float32)
    model = ndx.build({"x": x}, {"y": FUNCTIONS[name](x)}).SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    for rows in (3, 2):
        (y,) = session.run(None, {"x": X[:rows]})
        np.testing.assert_allclose(y, FUNCTIONS[name](X[:rows]), **CLOSE)


def test_torch_compiles_whole_after_another_library_was_met():
    mx, torch = pytest.importorskip("mlx.core"), pytest.importorskip("torch")
    NETWORK(mx.array(X))
    torch.compiler.reset()
    function = torch.compile(xpnn.gelu, fullgraph=True, backend="aot_eager")
    np.testing.assert_allclose(np.asarray(function(torch.asarray(X))), xpnn.gelu(X), **CLOSE)
