"""
The border between two classes
==============================

A small network trained by scikit-learn, drawn over the plane: what it answers, where rounding could change the answer, and that it
is the same network in xpnn.
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
model = make_pipeline(
    StandardScaler(),
    MLPClassifier((16, 16), solver="lbfgs", max_iter=300, random_state=0),
)
model.fit(points, labels)
network = xpnn.Network.from_sklearn(model)
print(network)
print(xpnn.explain(network, points, model.predict_proba(points)).passed)

# %%
# What it answers
# ---------------

side = np.linspace(-1.8, 2.8, 301)
plane = np.stack(np.meshgrid(side, np.linspace(-1.4, 1.8, 301)), axis=-1)
log_odds = network.logits(plane)[..., -1]

figure, picture = plt.subplots(figsize=(7, 4.2))
picture.contourf(
    *np.moveaxis(plane, -1, 0),
    xpnn.sigmoid(log_odds),
    levels=20,
    cmap="PuOr",
    alpha=0.8,
)
picture.contour(*np.moveaxis(plane, -1, 0), log_odds, levels=[0], colors="grey")
picture.scatter(
    *points[labels == 0].T,
    s=12,
    color="#e0703a",
    edgecolor="white",
    linewidth=0.5,
)
picture.scatter(
    *points[labels == 1].T,
    s=12,
    color="#8577d8",
    edgecolor="white",
    linewidth=0.5,
)
picture.set(title="probability of the second class")
picture.grid(visible=False)

# %%
# Where rounding could decide
# ---------------------------
# Along the border the two classes are so close that the last digits decide. How wide is that strip? Everywhere else the class is
# certain, on every library. In float64 and float32 it is thinner than a line; in float16 it can be seen.

figure, pictures = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for picture, dtype in zip(
    pictures, ("float64", "float32", "float16"), strict=True
):
    bound = xpnn.error_bound(network, plane, of="logits", dtype=dtype)[..., -1]
    open_to_rounding = np.abs(log_odds) <= bound
    picture.contourf(
        *np.moveaxis(plane, -1, 0),
        log_odds > 0,
        levels=[-0.5, 0.5, 1.5],
        cmap="PuOr",
        alpha=0.3,
    )
    picture.contourf(
        *np.moveaxis(plane, -1, 0),
        open_to_rounding,
        levels=[0.5, 1.5],
        colors=["#c0529a"],
    )
    picture.set(title=f"{dtype}: {open_to_rounding.mean():.2%} open")
    picture.grid(visible=False)
