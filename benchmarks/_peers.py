"""The same network in what people would pick instead: scikit-learn, ONNX, PyTorch, Keras, by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Layers = Sequence[tuple[np.ndarray, np.ndarray]]

ONNX_THREADS = 2


def by_hand(layers: Sequence[tuple[Any, Any]], xp: Any) -> Callable[[Any], Any]:
    """What people write with NumPy."""

    def run(x: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = 1 / (1 + xp.exp(-(x @ weight + bias)))
        a = x @ layers[-1][0] + layers[-1][1]
        e = xp.exp(a - xp.max(a, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    return run


def by_jax_nn(layers: Sequence[tuple[Any, Any]]) -> Callable[[Any], Any]:
    """What people write with jax.nn."""
    import jax

    def run(x: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = jax.nn.sigmoid(x @ weight + bias)
        return jax.nn.softmax(x @ layers[-1][0] + layers[-1][1])

    return run


def sequential(layers: Layers) -> Any:
    """torch.nn.Sequential, which holds each weight transposed."""
    import torch

    model = torch.nn.Sequential()
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape)
        linear.load_state_dict(
            {"weight": torch.from_numpy(weight).T.contiguous(), "bias": torch.from_numpy(bias)}
        )
        model.extend([linear, torch.nn.Sigmoid()])
    model[-1] = torch.nn.Softmax(dim=-1)
    return model.eval()


def scikit_learn(layers: Layers) -> Callable[[np.ndarray], np.ndarray]:
    """MLPClassifier.predict_proba, with these weights in the place of trained ones."""
    from sklearn.neural_network import MLPClassifier

    hidden = tuple(len(bias) for _, bias in layers[:-1])
    classes = np.arange(len(layers[-1][1]))
    model = MLPClassifier(hidden, activation="logistic")
    nothing = np.zeros((len(classes), len(layers[0][0])), "float32")
    model.partial_fit(nothing, classes, classes=classes)  # makes what predict_proba looks for
    model.coefs_ = [weight for weight, _ in layers]
    model.intercepts_ = [bias for _, bias in layers]
    return model.predict_proba


def onnx_runtime(layers: Layers) -> Callable[[np.ndarray], np.ndarray]:
    """An ONNX model of Gemm, Sigmoid and Softmax, on the CPU with `ONNX_THREADS` threads."""
    import onnxruntime
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants, name = [], [], "x"
    for i, layer in enumerate(layers):
        names = [f"weight{i}", f"bias{i}"]
        constants += map(numpy_helper.from_array, layer, names)
        last = i == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [name, *names], [f"a{i}"]))
        name = "y" if last else f"z{i}"
        nodes.append(helper.make_node("Softmax" if last else "Sigmoid", [f"a{i}"], [name]))
    ends = [("x", len(layers[0][0])), ("y", len(layers[-1][1]))]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", m]) for n, m in ends)
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = ONNX_THREADS
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x})[0]


def keras(layers: Layers) -> Any:
    """keras.Sequential of Dense layers, on the backend that KERAS_BACKEND names."""
    import keras

    widths = [len(bias) for _, bias in layers]
    activations = ["sigmoid"] * (len(layers) - 1) + ["softmax"]
    model = keras.Sequential(
        [
            keras.Input((len(layers[0][0]),)),
            *(
                keras.layers.Dense(n, activation=f)
                for n, f in zip(widths, activations, strict=True)
            ),
        ]
    )
    model.set_weights([array for layer in layers for array in layer])
    return model
