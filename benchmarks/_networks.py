"""The networks, by xpnn and by what people would call instead."""

import itertools
from typing import Any

import _peers
import numpy as np
from _cases import Network
from _timing import Contender

import xpnn

COMPILED_ROWS = (1, 10_000)
"""torch.compile takes seconds: these are enough to see by."""


def layers_of(case: Network) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random weights and biases."""
    rng = np.random.default_rng(0)
    return [
        (
            (rng.standard_normal((n, m)) / n**0.5).astype(case.dtype),
            rng.standard_normal(m).astype(case.dtype),
        )
        for n, m in itertools.pairwise(case.widths)
    ]


def sample(case: Network) -> np.ndarray:
    """Rows of numbers between 0 and 1, as scaled pixels are."""
    return np.random.default_rng(1).random((case.rows, case.widths[0]), dtype=case.dtype)


def ours(case: Network) -> xpnn.Network:
    """xpnn's network."""
    weights, biases = zip(*layers_of(case), strict=True)
    return xpnn.Network.from_weights(weights, biases, hidden="sigmoid", output="softmax")


def contenders(backend: str, case: Network) -> list[Contender]:
    """All that compute this network on this backend's arrays."""
    if backend.startswith("keras-"):
        return _by_keras(backend.removeprefix("keras-"), case)
    on = {
        "numpy": _on_numpy,
        "numpy-only": _on_numpy_only,
        "torch": _on_torch,
        "jax": _on_jax,
    }
    return on[backend](case, layers_of(case), sample(case))


def _on_numpy_only(case: Network, layers: Any, x: np.ndarray) -> list[Contender]:
    network, theirs = ours(case), _peers.by_hand(layers, np)
    return [Contender("xpnn", lambda: network(x), None), Contender("by hand", lambda: theirs(x))]


def _on_numpy(case: Network, layers: Any, x: np.ndarray) -> list[Contender]:
    import torch

    tensor, model = torch.from_numpy(x), _peers.sequential(layers)
    peers = {
        "scikit-learn": _peers.scikit_learn(layers),
        "ONNX Runtime": _peers.onnx_runtime(layers),
    }
    return [
        *_on_numpy_only(case, layers, x),
        *(Contender(name, lambda peer=peer: peer(x)) for name, peer in peers.items()),
        Contender("torch eager", lambda: model(tensor)),
    ]


def _on_torch(case: Network, layers: Any, given: np.ndarray) -> list[Contender]:
    import torch

    network, model, x = ours(case), _peers.sequential(layers), torch.from_numpy(given)
    found = [
        Contender("xpnn", lambda: network(x), None),
        Contender("nn.Sequential", lambda: model(x)),
    ]
    if case.rows in COMPILED_ROWS:
        # With NumPy weights, which follow, torch.compile's guards fail under inference_mode.
        mine = torch.compile(network.to(x), dynamic=False)
        theirs = torch.compile(model, dynamic=False)
        found += [
            Contender("xpnn compiled", lambda: mine(x), None),
            Contender("torch.compile", lambda: theirs(x), "xpnn compiled"),
        ]
    return found


def _on_jax(case: Network, layers: Any, given: np.ndarray) -> list[Contender]:
    import jax

    network, x = ours(case), jax.numpy.asarray(given)
    arrays = [(jax.numpy.asarray(w), jax.numpy.asarray(b)) for w, b in layers]
    theirs = _peers.by_jax_nn(arrays)
    my_jitted, their_jitted = jax.jit(network), jax.jit(theirs)
    return [
        Contender("xpnn", lambda: network(x).block_until_ready(), None),
        Contender("jax.nn", lambda: theirs(x).block_until_ready()),
        Contender("xpnn jitted", lambda: my_jitted(x).block_until_ready(), None),
        Contender("jax.nn jitted", lambda: their_jitted(x).block_until_ready(), "xpnn jitted"),
    ]


def _by_keras(backend: str, case: Network) -> list[Contender]:
    """Keras's two ways: the model called on the backend's array, and predict, one batch of all."""
    network, model, rows = ours(case), _peers.keras(layers_of(case)), sample(case)
    if backend == "jax":
        import jax

        x = jax.numpy.asarray(rows)
        mine, theirs = (
            lambda: network(x).block_until_ready(),
            lambda: model(x).block_until_ready(),
        )
    else:
        import torch

        x = torch.from_numpy(rows) if backend == "torch" else rows
        mine, theirs = lambda: network(x), lambda: model(x)
    return [
        Contender("xpnn", mine, None),
        Contender("Keras model(x)", theirs),
        Contender("Keras predict", lambda: model.predict(rows, batch_size=case.rows, verbose=0)),
    ]
