"""
The border between two classes
==============================

A small network trained by scikit-learn, drawn over the plane: what it answers, where rounding could change the answer, and
what a comparison with scikit-learn's own numbers brings to light.
"""

# %%
# Trained by scikit-learn, taken over as it is
# --------------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xpnn

points, labels = make_moons(300, noise=0.2, random_state=0)
mlp = MLPClassifier(
    (16, 16), solver="lbfgs", alpha=1, max_iter=2000, random_state=0
)
model = make_pipeline(StandardScaler(), mlp).fit(points, labels)
network = xpnn.Network.from_sklearn(model)
print(network)
print((network.classify(points) == model.predict(points)).all())

# %%
# What it answers
# ---------------

x, y = np.meshgrid(np.linspace(-1.8, 2.8, 301), np.linspace(-1.4, 1.8, 301))
plane = np.stack([x, y], axis=-1)
p = network(plane)[..., 1]

figure, picture = plt.subplots(figsize=(7, 4.2))
picture.contourf(x, y, p, levels=20, cmap="PuOr", vmin=-0.6, vmax=1.6)
picture.contour(x, y, p, levels=[0.5], colors="white")
for label, colour in enumerate(("#a04a10", "#4b3a9b")):
    picture.scatter(*points[labels == label].T, s=12, color=colour)
picture.set(title="probability of the second class")
picture.grid(visible=False)

# %%
# Where rounding could decide
# ---------------------------
# Along the border the two sums are so close that their last digits decide. How wide is that strip? Everywhere else the class
# is certain: the same on every library. In float64 and float32 the strip is thinner than a line; with inputs and weights
# rounded to float16 it can be seen.

figure, pictures = plt.subplots(1, 3, figsize=(7.5, 2.6), sharey=True)
sums = network.logits(plane)
gap = np.abs(sums[..., 1] - sums[..., 0])
for picture, dtype in zip(
    pictures, ("float64", "float32", "float16"), strict=True
):
    bound = xpnn.error_bound(network, plane, of="logits", dtype=dtype)
    is_open = gap <= bound.sum(axis=-1)
    picture.contourf(
        x, y, p, levels=[0, 0.5, 1], cmap="PuOr", vmin=-0.6, vmax=1.6
    )
    picture.contourf(x, y, is_open, levels=[0.5, 1.5], colors=["#c0529a"])
    picture.set(title=f"{dtype}: {is_open.mean():.2%} open")
    picture.grid(visible=False)

# %%
# Are these scikit-learn's numbers?
# ---------------------------------
# For the second class they are, inside of the bound. For the first they are not: scikit-learn takes ``1 - p``, which leaves
# few digits of a small probability, and :func:`xpnn.explain` notices.

theirs = model.predict_proba(points)
apart = np.abs(network(points) - theirs) / xpnn.error_bound(network, points)
print((apart <= 1).mean(axis=0))
print(xpnn.explain(network, points, theirs).cause)
