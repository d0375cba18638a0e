"""Writes tests/convert/models: small models as PyTorch's exporters write them, and what ONNX Runtime makes of them.

    python tests/make_onnx.py    # needs torch, onnxscript and onnxruntime

Each activation and module of `modules` stands after a linear layer of 5 inputs and 8 outputs. What an exporter says of
itself is left out; nothing else is changed.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import modules
import numpy as np
import onnx
import onnxruntime
import torch

FOLDER = Path(__file__).parent / "convert" / "models"


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
    FOLDER.mkdir(exist_ok=True)
    outputs = {}
    for name, (network, shape) in modules.networks().items():
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
