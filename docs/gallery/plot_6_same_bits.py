"""
The same bits on NumPy and JAX
==============================

Two libraries add in different orders and round differently, so their last digits differ. In the reproducible way they do not.
"""

# %%
# The usual way
# -------------

import jax
import matplotlib.pyplot as plt
import numpy as np

import xpnn
import xpnn.models

network = xpnn.load("digits")
images, labels = xpnn.models.sample("digits")
x = images.astype("float32")
passes = {
    "NumPy": lambda **way: network(x, **way),
    "NumPy, row by row": lambda **way: np.stack(
        [network(row, **way) for row in x]
    ),
    "JAX": lambda **way: np.asarray(network(jax.numpy.asarray(x), **way)),
    "JAX, under jit": lambda **way: np.asarray(
        jax.jit(lambda x: network(x, **way))(jax.numpy.asarray(x))
    ),
}
usual = {name: compute() for name, compute in passes.items()}
for name, y in usual.items():
    print(
        f"{name:18} {y[0, 7]!r} {(y == usual['NumPy']).mean():.1%} the same bits"
    )

# %%
# The reproducible way
# --------------------
# ``xp`` names the namespace to compute with. In that of :func:`xpnn.reproducible` every function of float32 is correctly rounded, and
# sums are exact on a grid before they are rounded, so that no order of adding can change them.

same = {
    name: compute(
        xp=xpnn.reproducible(np if name.startswith("NumPy") else jax.numpy)
    )
    for name, compute in passes.items()
}
for name, y in same.items():
    print(
        f"{name:18} {y[0, 7]!r} {(y == same['NumPy']).mean():.1%} the same bits"
    )

# %%
# How far each of 2,000 probabilities is from NumPy's, in units in its last place: dots beside the middle are other bits.

figure, pictures = plt.subplots(2, 1, figsize=(7, 4.4), sharex=True)
for picture, results, title in (
    (pictures[0], usual, "usual"),
    (pictures[1], same, "reproducible"),
):
    for i, y in enumerate(list(results.values())[1:]):
        apart = (y - results["NumPy"]) / np.spacing(results["NumPy"])
        jitter = np.random.default_rng(0).uniform(-0.3, 0.3, apart.size)
        picture.plot(apart.ravel(), i + jitter, ".", markersize=2, alpha=0.6)
    picture.set_yticks(range(3), list(results)[1:])
    picture.set(title=title, xlim=(-60, 60))
pictures[1].set_xlabel("units in the last place from NumPy, whole batch")

# %%
# A digest stands for all bits: a cache, a golden file or an audit can compare it, whatever computed it.

import hashlib

for name, y in same.items():
    print(hashlib.sha256(y.tobytes()).hexdigest()[:16], name)
