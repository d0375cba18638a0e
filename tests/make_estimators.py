"""Writes tests/convert/estimators: estimators of scikit-learn in the files that skops and skl2onnx write.

    python tests/make_estimators.py    # needs scikit-learn, skops and skl2onnx

Beside them in expected.npz: the first rows of what each was fitted to, and what it says of them.
"""

import warnings
from pathlib import Path

import numpy as np
import skops.io
from estimators import MODELS, expected, file, fitted
from skl2onnx import to_onnx

FOLDER = Path(__file__).parent / "convert" / "estimators"


def onnx_of(model, x):
    """Return models of ONNX by ending: of a classifier with tables for probabilities, and without."""
    if not hasattr(model, "predict_proba"):
        return {"": to_onnx(model, x)}
    return {
        f".{kind}": to_onnx(model, x, options={id(model): {"zipmap": zipmap}})
        for kind, zipmap in (("tables", True), ("array", False))
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    arrays = {}
    for name in MODELS:
        model, x = fitted(name)
        x = x[:20]
        arrays[f"{name} x"], arrays[f"{name} y"] = x, expected(name, model, x)
        skops.io.dump(model, FOLDER / f"{file(name)}.skops", compression=8)
        if name.endswith(("poisson", "names")) or "targets" in name or ", not " in name:
            continue  # skl2onnx fails there, or wants names in another way; and few are enough
        for kind, made in onnx_of(model, x[:1].astype("float32")).items():
            (FOLDER / f"{file(name)}{kind}.onnx").write_bytes(made.SerializeToString())
    np.savez_compressed(FOLDER / "expected.npz", **arrays)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
