"""Writes tests/convert/onnx: small models as PyTorch's exporters write them, and what ONNX Runtime makes of them.

    python tests/make_onnx.py    # needs torch, onnxscript and onnxruntime

Each activation and module of `MODULES` stands after a linear layer of 5 inputs and 8 outputs. What an exporter says of
itself is left out; nothing else is changed.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

FOLDER = Path(__file__).parent / "convert" / "onnx"


class Of(nn.Module):
    """A module that is a function, of modules that it trains."""

    def __init__(self, f, *parts):
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x):
        return self.f(x, *self.parts)


def two_classes(x, linear):
    p = torch.sigmoid(linear(x))
    return torch.cat([1 - p, p], -1)


def softmax_by_hand(x):
    e = torch.exp(x - x.max(-1, keepdim=True).values)
    return e / e.sum(-1, keepdim=True)


def rows_normalized_by_hand(x):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-3)


def batch_norm():
    norm = nn.BatchNorm1d(8)
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


def modules():
    return {
        "relu": nn.ReLU(),
        "relu6": nn.ReLU6(),
        "leaky_relu": nn.LeakyReLU(0.2),
        "elu": nn.ELU(1.5),
        "selu": nn.SELU(),
        "celu": nn.CELU(0.7),
        "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU(approximate="tanh"),
        "silu": nn.SiLU(),
        "mish": nn.Mish(),
        "hard_swish": nn.Hardswish(),
        "hard_sigmoid": nn.Hardsigmoid(),
        "hard_tanh": nn.Hardtanh(),
        "sigmoid": nn.Sigmoid(),
        "log_sigmoid": nn.LogSigmoid(),
        "tanh": nn.Tanh(),
        "softplus": nn.Softplus(),
        "softplus_beta": nn.Softplus(beta=2.0),
        "softsign": nn.Softsign(),
        "tanhshrink": nn.Tanhshrink(),
        "softshrink": nn.Softshrink(),
        "hard_shrink": nn.Hardshrink(),
        "threshold": nn.Threshold(0.3, -1.0),
        "prelu": nn.PReLU(8),
        "softmax": nn.Softmax(-1),
        "log_softmax": nn.LogSoftmax(-1),
        "exp": Of(lambda x: torch.exp(x / 10)),
        "erf": Of(torch.erf),
        "step": Of(lambda x: (x > 0).float()),
        "batch_norm": batch_norm(),
        "layer_norm": nn.LayerNorm(8),
        "layer_norm_plain": nn.LayerNorm(8, elementwise_affine=False, eps=1e-3),
        "layer_norm_by_hand": Of(rows_normalized_by_hand),
        "softmax_by_hand": Of(softmax_by_hand),
        "sigmoid_by_hand": Of(lambda x: 1 / (1 + torch.exp(-x))),
        "silu_by_hand": Of(lambda x: x / (1 + torch.exp(-x))),
        "relu_by_clamp": Of(lambda x: x.clamp(min=0)),
        "scaled": Of(lambda x: (x - 0.5) / 0.25),
        "negative": Of(lambda x: 1 - 2 * x),
        "chunk": Of(lambda x: torch.sigmoid(x.chunk(2, -1)[0])),
        "columns": Of(lambda x: torch.index_select(x, 1, torch.tensor([3, 1, 1]))),
        "cat": Of(lambda x, a, b: torch.cat([a(x), b(x)], -1), nn.Linear(8, 3), nn.Linear(8, 5)),
        "two_classes": Of(two_classes, nn.Linear(8, 1)),
        "residual": Of(
            lambda x, f: torch.relu(x + f(x)),
            nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)),
        ),
        "residual_norm": Of(lambda x, f: x + f(x), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))),
        "dropout": nn.Dropout(0.5),
    }


def export(network, x, *, dynamo):
    """Return the model as one of PyTorch's exporters writes it; None where it cannot."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "model.onnx"
        options = {} if dynamo else {"opset_version": 17}
        try:
            torch.onnx.export(network, (x,), str(path), dynamo=dynamo, verbose=False, **options)
        except torch.onnx.errors.OnnxExporterError:
            return None
        return onnx.load(path)


def bare(model):
    """Return a model without what its exporter says of it."""
    for thing in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        thing.doc_string = ""
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
    del model.graph.value_info[:]
    return model


def main():
    torch.manual_seed(0)
    FOLDER.mkdir(exist_ok=True)
    outputs = {}
    networks = {n: (nn.Sequential(nn.Linear(5, 8), m), (5,)) for n, m in modules().items()}
    networks["flatten"] = nn.Sequential(nn.Flatten(), nn.Linear(20, 3)), (4, 5)
    for name, (network, shape) in networks.items():
        for exporter in ("dynamo", "script"):
            model = export(network.eval(), torch.randn(1, *shape), dynamo=exporter == "dynamo")
            if model is None:
                continue
            file = f"{name}.{exporter}.onnx"
            (FOLDER / file).write_bytes(bare(model).SerializeToString())
            rows = (np.random.default_rng(0).normal(size=(20, *shape)) * 3).astype("float32")
            session = onnxruntime.InferenceSession(str(FOLDER / file))
            (given,) = session.get_inputs()
            outputs[file] = np.concatenate(
                [session.run(None, {given.name: r[None]})[0] for r in rows]
            )
    np.savez_compressed(FOLDER / "outputs.npz", **outputs)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    main()
