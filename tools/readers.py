"""Writes docs/networks.md: what comes from where, and what goes out, from the tables of the readers and the rules.

python tools/readers.py          # prints the page; needs onnx, torch and jax
python tools/readers.py --write
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from xpnn._activations.table import RECORDS
from xpnn._convert import (
    aten_operations,
    jax_function,
    keras_config,
    keras_layers,
    lwtnn_file,
    onnx_export,
    onnx_ml_operators,
    onnx_operators,
    sklearn_estimator,
    state_dict,
)
from xpnn._convert.extras import ADVICE, READERS
from xpnn._convert.graph import OPERATIONS
from xpnn._convert.rules import RULES
from xpnn.cli._conversion import WRITERS

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"

TEXT = """\
# Networks from elsewhere, and for others

Written by `python tools/readers.py --write`, from the tables of the code.

| from | how | what is read |
| --- | --- | --- |
| a model file of xpnn | `xpnn.load("mine.safetensors")` | docs/format.md |
| an ONNX model, opset 7 to the newest | `xpnn.load("model.onnx", output=None)`; `pip install 'xpnn[onnx]'` | \
{onnx} operators, {onnx_ml} of ai.onnx.ml |
| a program of PyTorch, as `torch.export.save` writes it | `xpnn.load("model.pt2", output=None)`; nothing to install, \
nothing is unpickled | the same operations of ATen as of a module |
| a module of PyTorch | `Network.from_torch(module, example=None, output=None)` | {torch} operations of ATen, through torch.export |
| a function of JAX | `Network.from_jax(function, example)` | {jax} primitives, through the jaxpr |
| a module of Flax, linen or nnx | `Network.from_flax(module, variables, example, train=False)`, `Network.from_flax(module, example)` | the same |
| a module of Equinox, of one sample | `Network.from_equinox(module, example, state=None)` | the same |
| a model of Keras 3 or 2 | `Network.from_keras(model, output=None)` | {keras} layers and {keras_activations} activations, through \
the configuration |
| its file, without Keras | `xpnn.load("model.keras")`, `xpnn.load("model.h5")`; `pip install 'xpnn[keras]'` | the same |
| an estimator of scikit-learn | `Network.from_sklearn(estimator)` | {sklearn} |
| its file, without scikit-learn and skops | `xpnn.load("model.skops")` | the same |
| an emulator of CosmoPower | `xpnn.load("emulator.npz")` | W, b, alphas, betas, means and deviations, PCA; parameters and modes are names |
| a network of lwtnn, the sequential form or a graph that is a chain | `xpnn.load("network.json", output=None)` | {lwtnn}; {lwtnn_activations}, hard_sigmoid, swish |
| weights and biases | `Network.from_weights(weights, biases)`, `Network.from_weights({{"W1": ..., "b1": ...}})` | |
| a state dict, of PyTorch or Flax | `Network.from_state_dict(tensors, layers)` | {roles} |
| a safetensors file of others | `xpnn.load("weights.safetensors", layers={{"fc1": "relu", "fc2": "softmax"}})` | the same |

| to | how |
| --- | --- |
| a model file of xpnn | `network.save("mine.safetensors")` |
| ONNX, opset {opset} | `network.to_onnx("model.onnx")` |
| a module of PyTorch, which trains | `network.to_torch()` |
| from file to file, proved | `xpnn convert SRC DST`, DST being {targets} |

## Your own

Weights are `(in, out)`, as scikit-learn's `coefs_` are; torch.nn.Linear holds the transpose.

```python
import numpy as np
import xpnn

weights = [
    np.array([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]),
    np.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
]
biases = [np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2])]
network = xpnn.Network.from_weights(weights, biases, hidden="sigmoid", output="softmax")
print(network(np.array([1.0, 0.5])).round(4))  # [0.3323 0.6677]
network.save("mine.safetensors")  # safetensors and JSON, never a pickle: format.md
print(xpnn.load("mine.safetensors").parameters)  # 17
print(xpnn.softmax(np.array([1010, 1000, 990])).round(6))  # [9.99955e-01 4.50000e-05 0.00000e+00]
```

A network is any sequence of `Dense`, `Affine` (scale and shift), `Flatten`, `LayerNorm`, `PReLU` and `Residual`; a file, a bound, `parity` and
every way of running take them all. `Function` is a layer of your own: any function of arrays, in every way of running, and in
bounds and `parity` where you say how it errs. `network.fold()` makes each `Affine` a part of the `Dense` beside it, and its bound
covers what that adds. Beside NumPy, PyTorch, JAX and CuPy it runs on MLX, ndonnx (which makes ONNX of
it), Dask, array-api-strict and what else follows the Array API standard.

## Files

Endings that `load` knows beside its own: {endings}. Pickles, {refused}, are not read: the error says what to do.

## One graph, one table of rules

Each reader turns what it reads into the same graph: values made of values by {operations} operations of NumPy, and by the \
{activations}
activations of xpnn. What is constant in it is computed. From the output back to the input, a table of rules says what is a
layer:

{rules}

**Functions are known by what they compute.** Between two values that depend on nothing else but numbers, whatever stands there is
compared with every activation of the table, at numbers on either side of every kink and far from it: x * sigmoid(x), x / (1 + exp(-x))
and `Swish` are all `silu`; a softmax written out in five operations is `softmax`. It must be the same to the last place that the
numbers in it leave: in float32 a factor that is one unit in the last place from 1 stays a factor, in float64 one of 1 + 2e-13; what
changes nothing at all is left out. An activation that is new in the table is known by that. A stable function takes the place of one that overflows: -log(1 + exp(-x)) is `log_sigmoid`.

**What is kept.** Weights and their dtype, bit for bit. A batch normalization becomes two `Affine` layers, so that the bound holds for
the ways in which frameworks compute it; `network.fold()` makes the shift part of a `Dense` after it, and leaves the scale, which was rounded. 1 - p beside p becomes softmax of (0, z), which
has digits that 1 - p has lost. An output of one number a row is a column here.

**What things are called.** Columns of the input and of the output keep their names, one for each or one for all (`network.inputs`,
`network.outputs`), and classes theirs; model files and ONNX models of xpnn hold them. Keras makes up
names; kept are those of several inputs, and of outputs that are asked for. Several inputs of an ONNX or Keras model are columns of
one, in its order. `network.table` takes the columns of a dict or of a table of pandas, polars or pyarrow by these names; so does the
command of a CSV file with a header. `load(path, output=["a", "b"])` puts outputs beside each other.

**Functions beside each other.** Heads of one kind become one product. Heads of several kinds, and an input beside what is made of it, are put
in their places by products with zeros and ones, and added; so are differences. A limit (`Clip`, `Hardtanh`) at other numbers than those of an
activation is c + relu(x - c), with the bound of that.

**What comes out a little different.** A function of JAX that computes in float32 and goes on in float64 is taken as if all of it were
float64. Sums that cancel inside of a function that has a name are those of the function. scikit-learn scales float32 rows in float32 and computes with float64 weights; here all of it is float64.

**What is refused** says so: the operation, the node that it stands in, and what is expected. What an output that was not asked for
needs is left out. What PyTorch changes in place (`relu_`) is taken, unless what shared its memory is used afterwards. Nothing in a file runs, constants are computed up to a limit, and data beside an ONNX file is read from its own
folder alone. In an archive each size is checked before it is read, and pickles are never opened: sample inputs are left where they
are, and numbers that are in one are refused, as in the files of PyTorch before it wrote plain bytes.

## Operators of ONNX

{onnx_names}

Written: what of these the activations are, and Gemm, Mul, Add, LayerNormalization, PRelu, Flatten, Cast.

Of ai.onnx.ml, as skl2onnx writes estimators: {onnx_ml_names}. Labels are no output here: they become the network's `classes`.

## Layers of Keras

{keras_names}

Models in models, and layers that are called several times. Several inputs are columns of one, in the model's order, and keep their
names (`a.0` and `a.1` where `a` has two); of several outputs `output` names the layer that makes it.

Activations:

{keras_activation_names}

A model that is written in Python has no configuration: `from_jax` of its call, or an export to ONNX, reads what it computes. Refused by
name are also layers of others, Lambda, mixed precision, quantized layers and LoRA, and a call that trains (`training=True`). `hard_sigmoid`
is that of the version of Keras that wrote the file.

## Operations of PyTorch

{torch_names}

## Primitives of JAX

{jax_names}
"""


def listed(names: Iterable[str]) -> str:
    """Names as text, in lines of no more than 130 characters."""
    lines = [""]
    for name in sorted(names, key=str.lower):
        if len(lines[-1]) + len(name) > 126:
            lines.append("")
        lines[-1] += f"`{name}` "
    return "\n".join(line.rstrip() for line in lines)


def page() -> str:
    """Return the page."""
    return TEXT.format(
        onnx=len(onnx_operators.OPERATORS),
        onnx_ml=len(onnx_ml_operators.ML_OPERATORS),
        onnx_ml_names=listed(onnx_ml_operators.ML_OPERATORS),
        lwtnn=", ".join(lwtnn_file.KINDS),
        lwtnn_activations=", ".join(lwtnn_file.ACTIVATIONS),
        targets=", ".join(f"`{ending}`" for ending in WRITERS),
        torch=len(aten_operations.OPERATIONS),
        jax=len(jax_function.PRIMITIVES),
        keras=len(keras_layers.LAYERS) + len(keras_config.MODELS[:2]),
        keras_activations=len(keras_layers.ACTIVATIONS),
        sklearn=", ".join(sklearn_estimator.ESTIMATORS),
        opset=onnx_export.OPSET,
        endings=", ".join(f"`{ending}`" for ending in READERS),
        refused=", ".join(f"`{ending}`" for ending in ADVICE),
        roles=", ".join(f"`{role}`" for role in state_dict.ROLES),
        operations=len(OPERATIONS),
        activations=len(RECORDS),
        rules="\n".join(f"- {(rule.__doc__ or '').strip()}" for rule in RULES),
        onnx_names=listed(onnx_operators.OPERATORS),
        torch_names=listed(aten_operations.OPERATIONS),
        keras_names=listed([*keras_layers.LAYERS, *keras_config.MODELS[:2]]),
        keras_activation_names=listed(keras_layers.ACTIVATIONS),
        jax_names=listed(jax_function.PRIMITIVES),
    )


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
