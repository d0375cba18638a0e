"""Random networks and inputs for tests that hold for all of them."""

import itertools
import random

import numpy as np
from activation_cases import CASES
from hypothesis import strategies as st

import xpnn
from xpnn._activations.table import ACTIVATIONS

OPTIONS = tuple(form for case in CASES.values() for form in case.forms)
ALL = (*ACTIVATIONS, *OPTIONS)


@st.composite
def cases(draw, dtype="float64", activations=ALL, structures=2**32):
    """A network of weights of this dtype, and four rows for it.

    Of its structures there are so many; a compiler takes each for a program of its own.
    """
    one = random.Random(f"{dtype} {draw(st.integers(0, structures - 1))}")  # noqa: S311 -- no secret
    widths = [one.randint(1, 8) for _ in range(one.randint(2, 4))]
    if one.random() < 0.1:
        widths[0] = one.choice((100, 500, 4096))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10 ** draw(st.floats(-3, 1.3))
    layers = []
    for n, m in itertools.pairwise(widths):
        weight = (rng.normal(size=(n, m)) * scale).astype(dtype)
        bias = (rng.normal(size=m) * scale).astype(dtype) if one.random() < 0.5 else None
        layers.append([weight, bias, one.choice(activations)])
    x = rng.normal(size=(4, widths[0])) * 10 ** draw(st.floats(-2, 2))
    kind = draw(st.sampled_from(("any", "zeros", "whole", "small", "small weights")))
    if kind == "zeros":
        x[rng.random(x.shape) < 0.5] = 0
    elif kind == "whole":
        x = np.round(x)
    elif kind == "small":
        x *= 10.0 ** draw(st.floats(-42, 0))
    elif kind == "small weights":
        layers[0][0] *= np.asarray(10.0 ** draw(st.floats(-42, 0)), dtype)
    return xpnn.Network([xpnn.Dense(*parts) for parts in layers]), x.astype(dtype)


def random_network(widths, hidden, output, *, seed=0, scale=1.0, dtype="float32"):
    """A network of normal weights that keep the size of values, times `scale`."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    weights = [(rng.normal(size=(n, m)) * scale / n**0.5).astype(dtype) for n, m in pairs]
    biases = [(rng.normal(size=m) * 0.1).astype(dtype) for _, m in pairs]
    return xpnn.Network.from_weights(weights, biases, hidden=hidden, output=output)
