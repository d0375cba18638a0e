"""Measures what docs/parity.md says, and writes it there.

    python tools/parity.py mnist10k.npz

Run it where NumPy, PyTorch, JAX and array-api-strict are installed. The file is the one that
`tools/train_digits.py` takes; its rows 9,000 to 9,999, which `digits` was not trained on, are classified.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

import xpnn
from xpnn import models
from xpnn._parity.case import rounded
from xpnn.cli._app import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
sys.path.insert(0, str(ROOT / "tests"))
from networks import random_network

BACKENDS = ("numpy", "torch", "jax")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def command() -> str:
    chosen = [f"--backend={name}" for name in (*BACKENDS, "array-api-strict")]
    shown = CliRunner().invoke(app, ["parity", *chosen]).stdout
    lines = "\n".join(line.rstrip() for line in shown.splitlines())
    return f"```console\n$ xpnn parity\n{lines}\n```"


def tightness() -> str:
    network, (x, _) = xpnn.load("digits"), models.sample("digits")
    rows = []
    for of in ("output", "logits", "log_proba"):
        for dtype in ("float32", "float64"):
            report = xpnn.parity(network, x, of=of, dtypes=[dtype], backends=BACKENDS)
            for r in report.results:
                errors, bounds, _ = zip(*r.comparison.points, strict=True)
                rows.append(
                    [
                        of, dtype, r.backend, r.way, f"1/{1 / r.comparison.of_bound:.0f}",
                        f"1/{max(bounds) / max(errors):.0f}", f"{r.comparison.of_expected:.2f}",
                    ]
                )  # fmt: skip
                print(*rows[-1], flush=True)
    head = [
        "of", "dtype", "backend", "way", "largest error / its bound", "largest error / largest bound",
        "error / expected",
    ]  # fmt: skip
    return table(head, rows)


def by_hand(network: xpnn.Network, x: np.ndarray, bits: int) -> np.ndarray:
    """A float32 pass with the factors of its products rounded to fewer bits."""
    for layer in network.layers:
        narrow = [rounded(f.astype("float64"), bits) for f in (x, layer.weight)]
        x = layer.activate((narrow[0] @ narrow[1] + layer.bias).astype("float32"))
    return x


NETWORKS = {
    "digits": None,
    "4-16-3, relu": ((4, 16, 3), "relu", "softmax"),
    "64-32-10, relu": ((64, 32, 10), "relu", "softmax"),
    "784-50-100-10, sigmoid": ((784, 50, 100, 10), "sigmoid", "softmax"),
    "10-512-512-512-100, gelu": ((10, 512, 512, 512, 100), "gelu", "softmax"),
    "4096-64-10, tanh": ((4096, 64, 10), "tanh", "identity"),
}


def expectation() -> str:
    rows = []
    for name, what in NETWORKS.items():
        if what is None:
            network, x = xpnn.load("digits"), models.sample("digits")[0].astype("float32")
        else:
            network = random_network(*what)
            x = np.random.default_rng(1).normal(size=(64, what[0][0])).astype("float32")
        report = xpnn.parity(network, x, backends=BACKENDS)
        cells = [f"{r.comparison.of_expected:.2f}" for r in report.results if r.way == "fast"]
        for bits in (11, 8):
            c = xpnn.explain(network, x, by_hand(network, x, bits).astype("float32")).comparison
            cells.append(f"{c.of_expected:,.0f} ({c.of_bound:.2g} of the bound)")
        rows.append([name, *cells])
        print(*rows[-1], flush=True)
    return table(["network", *BACKENDS, "factors of TF32", "factors of bfloat16"], rows)


def certain(path: Path) -> str:
    with np.load(path) as file:
        x, labels = file["images"][9000:].reshape(-1, 784), file["labels"][9000:]
    network, rows = xpnn.load("digits"), []
    for dtype in ("float64", "float32"):
        classes, sure = network.classify(x.astype(dtype), certain=True)
        right = int((classes == labels).sum())
        rows.append([dtype, f"{int(sure.sum()):,}", f"{len(x):,}", f"{right:,}"])
    return table(["dtype", "certain", "of rows", "classified rightly"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    parts = {
        "command": command(),
        "tightness": tightness(),
        "expectation": expectation(),
        "certain": certain(data),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(marks, rf"\1\n{part}\n\n\2", text, flags=re.DOTALL)
        if count != 1:
            sys.exit(f"{PAGE} has no place for {name}")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
