"""
Products of matrices, and a network of three layers
===================================================

A layer is a product of matrices, a shift, and an activation. With that, a whole network is a few lines, and it
takes one sample or a thousand without a change.
"""

# %%
# What fits what
# --------------
# In ``x @ weight`` the inner lengths must agree: ``(rows, in) @ (in, out)`` is ``(rows, out)``. Weights here are of shape
# ``(in, out)``, so a layer reads from left to right; :func:`xpnn.linear` adds the bias.

import matplotlib.pyplot as plt
import numpy as np

import xpnn

x = np.array([1.0, 0.5])
weight = np.array([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]])
bias = np.array([0.1, 0.2, 0.3])
print(xpnn.linear(x, weight, bias))

# %%
# What does not fit is refused, with both shapes:

try:
    xpnn.linear(np.ones(3), weight, bias)
except xpnn.XpnnValueError as error:
    print(error)

# %%
# Three layers
# ------------
# Two inputs, three neurons, two neurons, two outputs: sigmoid on the way, and nothing (the identity) at the end.

weights = [
    weight,
    np.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
    np.array([[0.1, 0.3], [0.2, 0.4]]),
]
biases = [bias, np.array([0.1, 0.2]), np.array([0.1, 0.2])]
network = xpnn.Network.from_weights(
    weights, biases, hidden="sigmoid", output="identity"
)
print(network)
print(network(x))

# %%
# Looked at from inside: ``layer_outputs`` gives of each layer the sum ``a``, before its activation, and ``z``, after it.

for i, (a, z) in enumerate(network.layer_outputs(x), start=1):
    print(f"layer {i}: a = {a.round(4)}, z = {z.round(4)}")

# %%
# The same as a picture: each circle is a number, as dark as it is large, each line a weight, as wide as it is large.

columns = [x, *(z for _, z in network.layer_outputs(x))]
places = [
    [(i, -(j - (len(z) - 1) / 2)) for j in range(len(z))]
    for i, z in enumerate(columns)
]

figure, picture = plt.subplots(figsize=(7, 3.4))
for before, after, w in zip(places, places[1:], weights, strict=False):
    for i, start in enumerate(before):
        for j, end in enumerate(after):
            picture.plot(
                *zip(start, end, strict=True),
                color="#7d828a",
                linewidth=6 * w[i, j],
                zorder=1,
            )
for place, column in zip(places, columns, strict=True):
    for at, value in zip(place, column, strict=True):
        picture.scatter(
            *at, s=1500, color=plt.cm.Blues(0.3 + 0.6 * value), zorder=2
        )
        dark = value > 0.5
        picture.annotate(
            f"{value:.3f}",
            at,
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
picture.set(xlim=(-0.4, 3.4), ylim=(-1.5, 1.5))
picture.set_xticks(range(4), ["input", "layer 1", "layer 2", "output"])
picture.set_yticks([])
picture.grid(visible=False)

# %%
# Many at once
# ------------
# Rows are independent, so a matrix of samples goes through as one does: a network is the same function for one row and for a
# hundred thousand.

samples = np.stack([x, 2 * x, -x])
print(network(samples))

# %%
# Kept in a file
# --------------
# ``save`` writes a safetensors file: the weights, and which activation follows each layer. Nothing in it is run when it is read.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "three.safetensors"
    network.save(file)
    print(xpnn.load(file)(x) == network(x))
