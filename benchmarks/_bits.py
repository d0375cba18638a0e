"""The networks in the reproducible way, by xpnn, and as plain as people write them.

RepDL (reproducible networks for PyTorch, github.com/microsoft/RepDL) takes part where it is installed;
it computes the layers without the softmax.
"""

import importlib
import importlib.util
from typing import Any

import _networks
import _peers
import numpy as np
from _cases import Network
from _timing import Contender

import xpnn


def contenders(backend: str, case: Network) -> list[Contender]:
    """xpnn's, the plain network, and the products in binary64 that are the least it takes."""
    on = {"bits-numpy": _on_numpy, "bits-torch": _on_torch, "bits-jax": _on_jax}
    return on[backend](_networks.ours(case), _networks.layers_of(case), _networks.sample(case))


def _on_numpy(network: xpnn.Network, layers: _peers.Layers, x: np.ndarray) -> list[Contender]:
    plain, xp = _peers.by_hand(layers, np), xpnn.reproducible(np)
    wide = [w.astype("float64") for w, _ in layers]
    inputs = [np.zeros((len(x), len(w))) for w in wide]
    return [
        Contender("xpnn", lambda: network(x, xp=xp), None),
        Contender("plain", lambda: plain(x)),
        _products(inputs, wide),
    ]


def _products(inputs: list[Any], weights: list[Any]) -> Contender:
    """Two of each layer, by the library itself."""
    pairs = [*zip(inputs, weights, strict=True)] * 2
    return Contender("products alone", lambda: [a @ b for a, b in pairs], alike=False)


def _on_torch(network: xpnn.Network, layers: _peers.Layers, x: np.ndarray) -> list[Contender]:
    import torch

    given, xp = torch.from_numpy(x), xpnn.reproducible(torch)
    plain = _peers.sequential(layers)
    wide = [torch.from_numpy(w).double() for w, _ in layers]
    inputs = [torch.zeros((len(x), len(w)), dtype=torch.float64) for w in wide]
    found = [
        Contender("xpnn", lambda: network(given, xp=xp), None),
        Contender("plain", lambda: plain(given)),
        _products(inputs, wide),
    ]
    if importlib.util.find_spec("repdl"):
        theirs = importlib.import_module("repdl").from_torch_module(_peers.sequential(layers)[:-1])
        found.append(Contender("RepDL", lambda: theirs(given), alike=False))
    return found


def _on_jax(network: xpnn.Network, layers: _peers.Layers, x: np.ndarray) -> list[Contender]:
    import jax

    given, xp = jax.numpy.asarray(x), xpnn.reproducible(jax.numpy)
    plain = jax.jit(_peers.by_jax_nn([tuple(map(jax.numpy.asarray, layer)) for layer in layers]))
    jitted = jax.jit(lambda x: network(x, xp=xp))
    return [
        Contender("xpnn", lambda: jitted(given).block_until_ready(), None),
        Contender("plain", lambda: plain(given).block_until_ready()),
        Contender("not jitted", lambda: network(given, xp=xp).block_until_ready()),
    ]
