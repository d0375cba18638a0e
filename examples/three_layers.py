"""The three-layer network of 'Deep Learning from Scratch', chapter 3, on every installed backend.

Prints a = x @ weight + bias and z = activation(a) of each layer: A1, Z1, A2, Z2, A3, Y of the book.
"""

import importlib

import numpy as np

import xpnn

X = np.array([1.0, 0.5])
WEIGHTS = [
    np.array([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]),
    np.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
    np.array([[0.1, 0.3], [0.2, 0.4]]),
]
BIASES = [np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2]), np.array([0.1, 0.2])]
NAMESPACES = {"numpy": "numpy", "torch": "torch", "jax": "jax.numpy", "cupy": "cupy"}


def numbers(values) -> str:
    return " ".join(f"{float(values[i]):<10.8g}" for i in range(values.shape[0]))


def main() -> None:
    network = xpnn.Network.from_weights(WEIGHTS, BIASES, hidden="sigmoid", output="identity")
    print(network)
    for backend in xpnn.backends():
        if backend.version is None:
            continue
        if backend.name == "jax":  # which otherwise has no float64
            importlib.import_module("jax").config.update("jax_enable_x64", True)
        name = backend.name.replace("-", "_")
        xp = importlib.import_module(NAMESPACES.get(backend.name, name))
        x = xp.asarray(X)
        print(f"\n{backend.name} {backend.version}")
        for i, (a, z) in enumerate(network.layer_outputs(x), start=1):
            print(f"  layer {i}  a  {numbers(a)}")
            print(f"           z  {numbers(z)}")


if __name__ == "__main__":
    main()
