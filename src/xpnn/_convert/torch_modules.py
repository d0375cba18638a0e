"""Layers as modules of PyTorch: one table of the kinds of layers, one of the activations."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import promote
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array
from xpnn._convert.parts import ASIDE, Parts
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.flatten import Flatten
from xpnn._network.layers.layer import Layer, Layers, taken_by
from xpnn._network.layers.normalization import LayerNorm
from xpnn._network.layers.prelu import PReLU
from xpnn._network.layers.residual import Residual
from xpnn.errors import XpnnValueError

_OVERFLOWS = 80.0
"""From which argument on torch's own softplus may give infinity in float32, unless it is past its threshold."""


FUNCTIONS: dict[str, Callable[[Any], Any]] = {"exp": torch.exp, "erf": torch.erf}
"""What torch has as a function, though no module of it."""


class Activated(nn.Module):  # type: ignore[misc]
    """An activation that torch.nn has not, computed by a function of torch or, without one, by xpnn's."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Any) -> Any:
        """Return the activation of x."""
        return FUNCTIONS.get(self.activation.name, self.activation)(x)

    def extra_repr(self) -> str:
        """Return the text for the activation."""
        return str(self.activation)


class Scaled(nn.Module):  # type: ignore[misc]
    """x * scale + shift, column by column."""

    def __init__(self, scale: Any, shift: Any) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Any) -> Any:
        """Return x * scale + shift, each where it is there."""
        y = x if self.scale is None else x * self.scale
        return y if self.shift is None else y + self.shift


class Added(nn.Module):  # type: ignore[misc]
    """shortcut(x) + layers(x), each of modules one after the other; of none it is x."""

    def __init__(self, layers: list[Any], shortcut: list[Any]) -> None:
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Sequential(*shortcut)

    def forward(self, x: Any) -> Any:
        """Return what both give, added."""
        return self.shortcut(x) + self.layers(x)


def _softplus(beta: float, threshold: float | None) -> Any:
    """torch's own has a threshold, or it overflows."""
    if threshold is None or threshold > _OVERFLOWS:
        options = {"beta": beta, "threshold": threshold}
        return Activated(
            Activation("softplus", {n: o for n, o in options.items() if o is not None})
        )
    return nn.Softplus(beta, threshold)


def _own(name: str) -> Callable[[], Any]:
    return lambda: Activated(Activation(name))


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": nn.Identity,
    "step": _own("step"),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "hard_tanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
    "log_sigmoid": nn.LogSigmoid,
    "tanh": nn.Tanh,
    "softplus": _softplus,
    "softsign": nn.Softsign,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "exp": _own("exp"),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hard_shrink": nn.Hardshrink,
    "softshrink": nn.Softshrink,
    "threshold": nn.Threshold,
    "tanhshrink": nn.Tanhshrink,
    "erf": _own("erf"),
    "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(-1),
}
"""The module of every activation of the table, made of its options."""


class _Maker:
    """Makes modules of layers, with parameters of one dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = getattr(torch, dtype)

    def parameter(self, a: Array | None) -> Any:
        """Return a copy that trains: of a tensor where it is, of others on the CPU."""
        if a is None:
            return None
        tensor = a.detach() if isinstance(a, torch.Tensor) else torch.as_tensor(to_numpy(a))
        return nn.Parameter(tensor.to(self.dtype, copy=True, memory_format=torch.contiguous_format))

    def filled(self, module: Any, **arrays: Array | None) -> Any:
        """Return a module, made without numbers, with these as its parameters."""
        for name, a in arrays.items():
            setattr(module, name, self.parameter(a))
        return module

    def dense(self, layer: Dense) -> Any:
        """nn.Linear, which holds the weight transposed."""
        n, m = layer.weight.shape
        linear = nn.Linear(n, m, bias=layer.bias is not None, device="meta")
        return self.filled(linear, weight=layer.weight.T, bias=layer.bias)

    def affine(self, layer: Affine) -> Any:
        """What torch.nn has not; of an activation alone, nothing."""
        if layer.first is None:
            return None
        return Scaled(self.parameter(layer.scale), self.parameter(layer.shift))

    def layer_norm(self, layer: LayerNorm) -> Any:
        """nn.LayerNorm of the last axis."""
        n, given = layer.weight.shape[0], layer.bias is not None
        module = nn.LayerNorm(n, layer.epsilon, bias=given, device="meta")
        return self.filled(module, weight=layer.weight, bias=layer.bias)

    def prelu(self, layer: PReLU) -> Any:
        """nn.PReLU with a slope for each column."""
        return self.filled(nn.PReLU(layer.slope.shape[0], device="meta"), weight=layer.slope)

    def flatten(self, layer: Flatten) -> Any:
        """nn.Flatten of the axes of a sample, whatever is before them."""
        return nn.Flatten(-len(layer.shape))

    def residual(self, layer: Residual) -> Any:
        """The modules of the layers inside, and a sum."""
        return Added(self.modules(layer.layers), self.modules(layer.shortcut))

    def modules(self, layers: Layers) -> list[Any]:
        """Return the modules of layers, one for each and one for each activation."""
        made = []
        for layer in layers:
            if type(layer) not in KINDS:
                raise XpnnValueError(
                    f"to_torch: expected layers that are no code, got a {type(layer).__name__}"
                )
            made.append(KINDS[type(layer)](self, layer))
            if layer.activate.name != "identity":
                made.append(ACTIVATIONS[layer.activate.name](**dict(layer.activate.options)))
        return [module for module in made if module is not None]


KINDS: dict[type[Layer], Callable[[_Maker, Any], Any]] = {
    Dense: _Maker.dense,
    Affine: _Maker.affine,
    LayerNorm: _Maker.layer_norm,
    PReLU: _Maker.prelu,
    Flatten: _Maker.flatten,
    Residual: _Maker.residual,
}
"""The module of each kind of layer, without its activation."""


def module_of(layers: Layers) -> Any:
    """Return layers as one module, whose parameters are copies."""
    dtypes = set().union(*(layer.dtypes for layer in layers)) or {"float32"}
    with torch.inference_mode(False), torch.no_grad():
        return nn.Sequential(*_Maker(promote(dtypes)).modules(layers))


def save(parts: Parts, path: Path) -> None:
    """Write layers as a program of torch.export, of any number of rows; what things are called stands aside."""
    layers = tuple(parts.layers)
    module = module_of(layers)
    like = next(module.parameters(), torch.zeros(()))
    shape = taken_by(layers)
    if shape is None:
        raise XpnnValueError("expected layers that say how many columns they take, for a program")
    rows = torch.zeros((2, *shape), dtype=like.dtype)
    sizes = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(module, (rows,), dynamic_shapes=sizes)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={ASIDE: parts.names()})
    path.write_bytes(content.getvalue())  # whose errors are the system's
