"""The libraries that formats belong to, as they run a file: what a conversion is held to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]


class Runner(NamedTuple):
    """A library that runs files of a format."""

    name: str
    run: Callable[[Path, Numbers, str | None], Numbers]
    """Of a file, rows, and the name of an output; ModuleNotFoundError if the library is not installed."""
    runs_no_code: bool
    """Whether it may be given a file that nobody knows."""


def _onnx_runtime(path: Path, x: Numbers, output: str | None) -> Numbers:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path))
        inputs, outputs = session.get_inputs(), [o.name for o in session.get_outputs()]
        widths = [1 if len(i.shape) < 2 else i.shape[1] for i in inputs]
        ends = np.cumsum([0, *widths]) if len(inputs) > 1 else [0, *x.shape[1:2]]
        rows = [x[i : i + 1] for i in range(len(x))] if isinstance(inputs[0].shape[0], int) else [x]
        found = [
            session.run(
                [output] if output else outputs[-1:],
                {i.name: part[:, a:b] for i, a, b in zip(inputs, ends, ends[1:], strict=False)},
            )[0]
            for part in rows
        ]
    except Exception as error:  # noqa: BLE001 -- it raises errors of its own, and RuntimeError
        raise XpnnValueError(str(error).partition("\n")[0]) from None
    if isinstance(found[0], list):  # a table for each row
        found = [np.asarray([list(row.values()) for row in part]) for part in found]
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in found])


def _torch(path: Path, x: Numbers, _: str | None) -> Numbers:
    import torch

    program = torch.export.load(path)  # which unpickles
    with torch.no_grad():
        found: Numbers = program.module()(torch.asarray(x)).numpy()
    return found


RUNNERS = {
    ".onnx": Runner("ONNX Runtime", _onnx_runtime, runs_no_code=True),
    ".pt2": Runner("PyTorch", _torch, runs_no_code=False),
}
"""By the ending of a file's name."""
