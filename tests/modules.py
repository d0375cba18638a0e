"""Modules of PyTorch that people write, each after a linear layer of 5 inputs and 8 outputs: for readers of them."""

import torch
from torch import nn


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


def networks():
    """Networks by name, and the shape of their samples."""
    torch.manual_seed(0)
    found = {name: (nn.Sequential(nn.Linear(5, 8), one), (5,)) for name, one in modules().items()}
    pixels = Of(lambda x: torch.relu(x / 255 - 0.001))
    return found | {
        "flatten": (nn.Sequential(nn.Flatten(), nn.Linear(20, 3)), (4, 5)),
        "pixels": (nn.Sequential(pixels, nn.Flatten(), nn.Linear(20, 3)), (4, 5)),
    }
