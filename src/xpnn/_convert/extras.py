"""The files of this room that read and write the formats of others, and what they need."""

import importlib
from typing import Any

from xpnn._files import extras

EXTRAS = {
    "onnx_file": "onnx",
    "onnx_operators": "onnx",
    "onnx_ml_operators": "onnx",
    "onnx_export": "onnx",
    "torch_program": "torch",
    "torch_modules": "torch",
    "jax_function": "jax",
    "keras_file": "keras",
    "jax_modules": "jax",
}
"""The extra of each file of this room that needs one."""

READERS = {
    ".onnx": "onnx_file",
    ".skops": "skops_file",
    ".npz": "emulator_file",
    ".json": "lwtnn_file",
    ".pt2": "pt2_file",
    ".keras": "keras_file",
    ".h5": "keras_file",
    ".hdf5": "keras_file",
}
"""The file that reads each format, by the ending of a file's name; each has `read(path, output)`."""

_PICKLE = "a pickle may run code and is not read; "
_TORCH = (
    f"{_PICKLE}give the module to Network.from_torch(module), or write its numbers with "
    "safetensors.torch.save_file(module.state_dict(), 'weights.safetensors') for "
    "load('weights.safetensors', layers={...}), or all of it with torch.export.save"
)
_PYTHON = (
    f"{_PICKLE}give the object to Network.from_sklearn(estimator) or Network.from_torch(module), or "
    "write an estimator with skops.io.dump(estimator, 'model.skops')"
)
ADVICE = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PYTHON),
}
"""What to do about files that are not read, by the ending of a file's name."""


def needing(file: str) -> Any:
    """Return a file of this room; XpnnError says what to install for it."""
    module = f"xpnn._convert.{file}"
    return (
        extras.needing(module, EXTRAS[file]) if file in EXTRAS else importlib.import_module(module)
    )
