"""What the same bits cost: networks in the reproducible way beside the same networks written by hand.

Every round calls each of them twice, one after the other, and times the second call; the table has
medians and ratios of one run.

    python benchmarks/reproducible.py [--rounds N]

Writes reproducible.json and reproducible.md beside this file. RepDL (reproducible networks for
PyTorch, github.com/microsoft/RepDL) takes part where it is installed.
"""

import argparse
import importlib
import importlib.util
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

import xpnn

HERE = Path(__file__).parent
NETWORKS = ((784, 50, 100, 10), (10, 512, 512, 512, 512, 1000))
ROWS = (1, 10_000)

Calls = dict[str, Callable[[], Any]]
Weights = list[tuple[Any, Any]]


def weights_of(widths: tuple[int, ...]) -> Weights:
    """Random weights and biases, float32."""
    rng = np.random.default_rng(0)
    return [
        (
            (rng.standard_normal((n, m)) / n**0.5).astype("float32"),
            rng.standard_normal(m).astype("float32"),
        )
        for n, m in itertools.pairwise(widths)
    ]


def by_hand(xp: Any, x: Any, layers: Weights) -> Any:
    """What people write with NumPy or jax.numpy: sigmoids, and a softmax."""
    for weight, bias in layers[:-1]:
        x = 1 / (1 + xp.exp(-(x @ weight + bias)))
    a = x @ layers[-1][0] + layers[-1][1]
    e = xp.exp(a - xp.max(a, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def by_hand_torch(x: torch.Tensor, layers: Weights) -> torch.Tensor:
    """What people write with PyTorch."""
    for weight, bias in layers[:-1]:
        x = torch.sigmoid(torch.addmm(bias, x, weight))
    return torch.softmax(torch.addmm(layers[-1][1], x, layers[-1][0]), dim=-1)


def on_numpy(network: xpnn.Network, layers: Weights, x: np.ndarray) -> Calls:
    """NumPy's."""
    wide = [(w.astype("f8"), b) for w, b in layers]
    inputs = [np.zeros((len(x), w.shape[0])) for w, _ in layers]
    xp = xpnn.reproducible(np)
    return {
        "by hand": lambda: by_hand(np, x, layers),
        "reproducible": lambda: network(x, xp=xp),
        "products alone": lambda: [
            a @ w for a, (w, _) in zip(inputs, wide, strict=True) for _ in "12"
        ],
    }


def on_torch(network: xpnn.Network, layers: Weights, x: np.ndarray) -> Calls:
    """PyTorch's, and RepDL's."""
    tensors = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in layers]
    wide = [w.double() for w, _ in tensors]
    inputs = [torch.zeros((len(x), w.shape[0]), dtype=torch.float64) for w in wide]
    xp, given = xpnn.reproducible(torch), torch.from_numpy(x)
    calls: Calls = {
        "by hand": lambda: by_hand_torch(given, tensors),
        "reproducible": lambda: network(given, xp=xp),
        "products alone": lambda: [a @ w for a, w in zip(inputs, wide, strict=True) for _ in "12"],
    }
    if importlib.util.find_spec("repdl"):
        repdl = importlib.import_module("repdl")

        model = torch.nn.Sequential()
        for weight, bias in tensors:
            linear = torch.nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = weight.T.contiguous(), bias
            model.extend([linear, torch.nn.Sigmoid()])
        model = repdl.from_torch_module(model[:-1])
        calls["RepDL"] = lambda: model(given)
    return calls


def on_jax(network: xpnn.Network, layers: Weights, x: np.ndarray) -> Calls:
    """JAX's."""
    jnp = jax.numpy
    arrays = [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers]
    given, xp = jnp.asarray(x), xpnn.reproducible(jnp)
    hand = jax.jit(lambda x, layers: by_hand(jnp, x, layers))
    jitted = jax.jit(lambda x: network(x, xp=xp))
    with jax.enable_x64(True):
        wide = [jnp.asarray(w, dtype="float64") for w, _ in layers]
        inputs = [jnp.zeros((len(x), w.shape[0]), "float64") for w in wide]
        dots = jax.jit(lambda a, b: [p @ q for p, q in zip(a, b, strict=True)])

    def products() -> None:
        with jax.enable_x64(True):
            for _ in "12":
                jax.block_until_ready(dots(inputs, wide))

    return {
        "by hand": lambda: hand(given, arrays).block_until_ready(),
        "reproducible": lambda: jitted(given).block_until_ready(),
        "not jitted": lambda: network(given, xp=xp).block_until_ready(),
        "products alone": products,
    }


BACKENDS = {"NumPy": on_numpy, "PyTorch": on_torch, "JAX, jitted": on_jax}


def medians(calls: Calls, rounds: int, pause: float) -> dict[str, float]:
    """Milliseconds of each, called in turn."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(pause)  # threads of the library before keep spinning for a while
            call()
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) * 1e3 for name, seconds in taken.items()}


def table(results: list[dict[str, Any]]) -> str:
    """The results as text."""
    names = ["reproducible", "not jitted", "products alone", "RepDL"]
    lines = [f"| network | rows | on | by hand, ms | {' | '.join(names)} |", "| --- " * 8 + "|"]
    for r in results:
        ms = r["milliseconds"]
        ratios = [f"{ms[n] / ms['by hand']:.1f}" if n in ms else "" for n in names]
        start = [r["network"], f"{r['rows']:,}", r["on"], f"{ms['by hand']:.3g}"]
        lines.append(f"| {' | '.join(start + ratios)} |")
    return "\n".join(lines)


def main() -> None:
    """Run all, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    results = []
    for widths, rows in itertools.product(NETWORKS, ROWS):
        layers = weights_of(widths)
        weights, biases = zip(*layers, strict=True)
        network = xpnn.Network.from_weights(weights, biases, hidden="sigmoid", output="softmax")
        x = np.random.default_rng(1).random((rows, widths[0]), dtype="float32")
        for name, on in BACKENDS.items():
            with torch.inference_mode():
                calls = on(network, layers, x)
                one = rows == 1
                ms = medians(calls, options.rounds * (30 if one else 1), 0 if one else 0.1)
            results.append(
                {
                    "network": "-".join(map(str, widths)),
                    "rows": rows,
                    "on": name,
                    "milliseconds": ms,
                }
            )
            print(table(results[-1:]).splitlines()[-1], flush=True)
    versions = {n: version(n) for n in ("xpnn", "numpy", "torch", "jax")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    document = {"machine": machine, "versions": versions, "results": results}
    (HERE / "reproducible.json").write_text(json.dumps(document, indent=1) + "\n")
    libraries = ", ".join(f"{n} {v}" for n, v in versions.items())
    (HERE / "reproducible.md").write_text(
        "# What the same bits cost\n\n"
        "Written by `python benchmarks/reproducible.py`: medians of interleaved calls, float32, "
        "sigmoids and a softmax. From the fifth column on, times as long as by hand. 'Products "
        "alone' are the two products in binary64 of each layer by the library itself.\n\n"
        f"{machine}; {libraries}.\n\n{table(results)}\n"
    )


if __name__ == "__main__":
    main()
