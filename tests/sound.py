"""Sound ways to compute a forward pass, which nobody may accuse: other orders of sums, other forms, other libraries."""

import importlib

import numpy as np

import xpnn


def by_hand(n, x, *, matmul=np.matmul, activate=None, bias_first=False, dtype=None):
    z = x
    for layer in n.layers:
        w = layer.weight.astype(dtype or x.dtype)
        b = layer.bias.astype(dtype or x.dtype)
        if bias_first:  # as a column of the weights
            ones = np.ones((len(z), 1), z.dtype)
            a = matmul(np.concatenate([ones, z], axis=1), np.concatenate([b[None, :], w]))
        else:
            a = matmul(z, w) + b
        name = layer.activation.partition("(")[0]
        z = (activate or {}).get(name, layer.activate)(a)
    return z.astype(x.dtype)


def in_parts(size, backwards=False):
    """Sums over blocks of the inner axis, added one after the other."""

    def matmul(a, b):
        starts = range(0, a.shape[1], size)
        y = np.zeros((len(a), b.shape[1]), a.dtype)
        for i in reversed(starts) if backwards else starts:
            y = y + a[:, i : i + size] @ b[i : i + size, :]
        return y

    return matmul


def in_order(order):
    def matmul(a, b):
        those = order(a.shape[1])
        y = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in those:
            y = y + a[:, k, None] * b[None, k, :]
        return y

    return matmul


def fma(a, b):
    """Products that are not rounded before they are added."""
    y = np.zeros((len(a), b.shape[1]), a.dtype)
    wide = np.longdouble if a.dtype == np.float64 else np.float64
    for k in range(a.shape[1]):
        y = (y.astype(wide) + a[:, k, None].astype(wide) * b[None, k, :]).astype(a.dtype)
    return y


def pairwise(a, b):
    terms = [a[:, k, None] * b[None, k, :] for k in range(a.shape[1])]
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = [p + q for p, q in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]


def kahan(a, b):
    y = np.zeros((len(a), b.shape[1]), a.dtype)
    c = np.zeros_like(y)
    for k in range(a.shape[1]):
        t = a[:, k, None] * b[None, k, :] - c
        s = y + t
        c = (s - y) - t
        y = s
    return y


def in_float64(a, b):
    return (a.astype("float64") @ b.astype("float64")).astype(a.dtype)


def transposed(a, b):
    return (np.ascontiguousarray(b.T) @ np.ascontiguousarray(a.T)).T


def einsum(a, b):
    return np.einsum("ik,kj->ij", a, b)


def row_by_row(a, b):
    return np.stack([row @ b for row in a])


def fortran(a, b):
    return np.asfortranarray(a) @ np.asfortranarray(b)


def lanes(count):
    """Several sums at a time, as vector instructions keep them."""

    def matmul(a, b):
        parts = [a[:, i::count] @ b[i::count, :] for i in range(min(count, a.shape[1]))]
        return sum(parts[1:], parts[0])

    return matmul


def off_by(ulps, seed):
    """Elementary functions that are off by up to so many units in the last place."""
    rng = np.random.default_rng(seed)

    def worse(y):
        return (y * (1 + ulps * np.finfo(y.dtype).eps * rng.uniform(-1, 1, y.shape))).astype(
            y.dtype
        )

    def sigmoid(a):
        return 1 / (1 + worse(np.exp(-a)))

    def softmax(a):
        e = worse(np.exp(a - a.max(axis=-1, keepdims=True)))
        return e / e.sum(axis=-1, keepdims=True)

    return {
        "sigmoid": sigmoid,
        "softmax": softmax,
        "tanh": lambda a: worse(np.tanh(a)),
        "silu": lambda a: a * sigmoid(a),
        "elu": lambda a: np.where(a > 0, a, worse(np.expm1(np.minimum(a, 0)))),
        "log_softmax": lambda a: (
            (a - a.max(-1, keepdims=True))
            - worse(np.log(worse(np.exp(a - a.max(-1, keepdims=True))).sum(-1, keepdims=True)))
        ),
    }


def forms():
    """Other usual forms of the same functions."""

    def logsumexp(a):
        m = a.max(-1, keepdims=True)
        return m + np.log(np.exp(a - m).sum(-1, keepdims=True))

    return {
        "sigmoid": lambda a: a.dtype.type(0.5) + a.dtype.type(0.5) * np.tanh(a / 2),
        "softmax": lambda a: np.exp(a - logsumexp(a)),
        "log_softmax": lambda a: a - logsumexp(a),
        "tanh": lambda a: 1 - 2 / (np.exp(2 * a) + 1),
        "relu": lambda a: (a + np.abs(a)) / 2,
        "silu": lambda a: a / (1 + np.exp(-a)),
        "softplus": lambda a: np.logaddexp(0, a),
        "elu": lambda a: np.maximum(a, 0) + np.minimum(np.exp(np.minimum(a, 0)) - 1, 0),
    }


def reciprocal():
    def softmax(a):
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        return e * (1 / e.sum(axis=-1, keepdims=True))

    return {"softmax": softmax, "sigmoid": lambda a: np.exp(-np.logaddexp(0, -a))}


def computed_in_float64(n, x):
    return n.to(np, dtype="float64")(x.astype("float64")).astype(x.dtype)


def in_batches(size):
    return lambda n, x: np.concatenate([n(x[i : i + size]) for i in range(0, len(x), size)])


def torch_module(n, dtype):
    torch = importlib.import_module("torch")
    nn = torch.nn
    kinds = {
        "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "elu": nn.ELU,
        "softplus": nn.Softplus, "identity": nn.Identity, "softmax": lambda: nn.Softmax(-1),
        "log_softmax": lambda: nn.LogSoftmax(-1),
    }  # fmt: skip
    parts = []
    for layer in n.layers:
        linear = nn.Linear(*layer.weight.shape, dtype=getattr(torch, dtype))
        linear.weight.data = torch.tensor(layer.weight.T.copy())
        linear.bias.data = torch.tensor(layer.bias.copy())
        parts += [linear, kinds[layer.activation]()]
    return torch, nn.Sequential(*parts)


def with_torch(how):
    def compute(n, x):
        torch, module = torch_module(n, str(x.dtype))
        with torch.no_grad():
            return how(torch, module, torch.tensor(x)).numpy()

    return compute


def with_jax(jit, precision=None):
    def compute(n, x):
        jax = importlib.import_module("jax")
        nn = jax.nn
        kinds = {
            "gelu": lambda a: nn.gelu(a, approximate=False), "identity": lambda a: a, "tanh": jax.numpy.tanh,
        }  # fmt: skip

        def run(x):
            for layer in n.layers:
                a = jax.numpy.matmul(x, layer.weight, precision=precision) + layer.bias
                x = (kinds.get(layer.activation) or getattr(nn, layer.activation))(a)
            return x

        return np.asarray((jax.jit(run) if jit else run)(jax.numpy.asarray(x)))

    return compute


def with_scikit_learn(n, x):
    """MLPClassifier.predict_proba, of networks that it can hold."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer

    hidden = {la.activation for la in n.layers[:-1]}
    names = {"sigmoid": "logistic", "relu": "relu", "tanh": "tanh"}
    if len(hidden) != 1 or not hidden <= set(names) or n.layers[-1].activation != "softmax":
        return None
    model = MLPClassifier(activation=names[hidden.pop()])
    model.coefs_, model.intercepts_ = [la.weight for la in n.layers], [la.bias for la in n.layers]
    model.n_layers_, model.out_activation_, model.n_outputs_ = (
        len(n.layers) + 1, "softmax", n.layers[-1].weight.shape[1]
    )  # fmt: skip
    model._label_binarizer = LabelBinarizer().fit(range(model.n_outputs_))
    return model.predict_proba(x)


def with_onnx(n, x):
    """ONNX Runtime, where onnx can build the model."""
    import onnx
    import onnxruntime

    if x.dtype != np.float32:
        return None
    kinds = {
        "relu": ("Relu", {}), "sigmoid": ("Sigmoid", {}), "tanh": ("Tanh", {}), "softmax": ("Softmax", {"axis": -1}),
        "log_softmax": ("LogSoftmax", {"axis": -1}), "elu": ("Elu", {}), "softplus": ("Softplus", {}),
        "identity": ("Identity", {}), "gelu": ("Gelu", {}),
    }  # fmt: skip
    h = onnx.helper
    nodes, arrays, name = [], [], "x"
    for i, layer in enumerate(n.layers):
        if layer.activation not in kinds:
            return None
        arrays += [
            onnx.numpy_helper.from_array(layer.weight.copy(), f"w{i}"),
            onnx.numpy_helper.from_array(layer.bias.copy(), f"b{i}"),
        ]
        kind, options = kinds[layer.activation]
        nodes += [
            h.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"a{i}"]),
            h.make_node(kind, [f"a{i}"], [f"z{i}"], **options),
        ]
        name = f"z{i}"
    float32 = onnx.TensorProto.FLOAT
    graph = h.make_graph(
        nodes, "network", [h.make_tensor_value_info("x", float32, [None, x.shape[1]])],
        [h.make_tensor_value_info(name, float32, [None, None])], arrays,
    )  # fmt: skip
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def hand(**options):
    return lambda n, x: by_hand(n, x, **options)


SOUND = {
    "as it is": lambda n, x: n(x),
    "reproducible": lambda n, x: n(x, xp=xpnn.reproducible(np)),
    "by hand": hand(),
    "float64, rounded": computed_in_float64,
    "products in float64": hand(matmul=in_float64),
    "bias first": hand(bias_first=True),
    "transposed": hand(matmul=transposed),
    "Fortran's layout": hand(matmul=fortran),
    "einsum": hand(matmul=einsum),
    "row by row": hand(matmul=row_by_row),
    "one after the other": hand(matmul=in_order(range)),
    "backwards": hand(matmul=in_order(lambda n: range(n)[::-1])),
    "shuffled": hand(matmul=in_order(lambda n: np.random.default_rng(0).permutation(n))),
    "even ones first": hand(matmul=in_order(lambda n: [*range(0, n, 2), *range(1, n, 2)])),
    "fused": hand(matmul=fma),
    "fused, bias first": hand(matmul=fma, bias_first=True),
    "pairwise": hand(matmul=pairwise),
    "pairwise, bias first": hand(matmul=pairwise, bias_first=True),
    "Kahan's sums": hand(matmul=kahan),
    "blocks of 8": hand(matmul=in_parts(8)),
    "blocks of 32": hand(matmul=in_parts(32)),
    "blocks of 64, backwards": hand(matmul=in_parts(64, backwards=True)),
    "blocks of 256": hand(matmul=in_parts(256)),
    "4 lanes": hand(matmul=lanes(4)),
    "8 lanes": hand(matmul=lanes(8)),
    "16 lanes": hand(matmul=lanes(16)),
    "functions off by 1 ulp": hand(activate=off_by(1, 1)),
    "functions off by 2 ulp": hand(activate=off_by(2, 2)),
    "functions off by 2 ulp, backwards": hand(
        activate=off_by(2, 3), matmul=in_order(lambda n: range(n)[::-1])
    ),
    "other forms": hand(activate=forms()),
    "other forms, fused": hand(activate=forms(), matmul=fma),
    "reciprocals": hand(activate=reciprocal()),
    "one row at a time": in_batches(1),
    "7 rows at a time": in_batches(7),
    "torch": with_torch(lambda torch, m, x: m(x)),
    "torch, one row at a time": with_torch(
        lambda torch, m, x: torch.cat([m(r) for r in x[:, None, :]])
    ),
    "torch, channels last": with_torch(lambda torch, m, x: m(x.T.contiguous().T)),
    "torch, traced": with_torch(lambda torch, m, x: torch.jit.trace(m, x, check_trace=False)(x)),
    "JAX": with_jax(jit=False),
    "JAX, jitted": with_jax(jit=True),
    "JAX, jitted, highest": with_jax(jit=True, precision="highest"),
    "scikit-learn": with_scikit_learn,
    "ONNX Runtime": with_onnx,
}
