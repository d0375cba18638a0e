"""The files of this room that read and write the formats of others, and what they need."""

import importlib
from typing import Any

from xpnn.errors import XpnnError

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


def needing(file: str) -> Any:
    """Return a file of this room; XpnnError says what to install for it."""
    try:
        return importlib.import_module(f"xpnn._convert.{file}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(file)
        if extra is None:
            raise
        raise XpnnError(
            f"{extra} needs the package {error.name}; get it with: pip install 'xpnn[{extra}]'"
        ) from None
