"""
Handwritten digits
==================

xpnn ships a trained network, and images that it has not seen: pictures of 28 x 28 grey levels in, one share for each of ten digits out.
"""

# %%
# The network and its images
# --------------------------

import matplotlib.pyplot as plt
import numpy as np

import xpnn
import xpnn.models

network = xpnn.load("digits")
images, labels = xpnn.models.sample("digits")
print(network)
print(images.shape, images.dtype, images.min(), images.max())

# %%
# An image is a row of 784 numbers; drawn in 28 rows of 28 it can be read.


def show(picture, image, title):
    picture.imshow(image.reshape(28, 28), cmap="Greys")
    picture.set_title(title, fontsize=9)
    picture.set_axis_off()


figure, pictures = plt.subplots(2, 8, figsize=(7.5, 2.2))
for picture, image, label in zip(pictures.flat, images, labels, strict=False):
    show(picture, image, f"a {label}")

# %%
# Arg max
# -------
# One image in, ten probabilities out. The place of the largest is the answer.

x = images.astype("float32")
p = network(x[0])
print(p.round(4))
print(p.argmax(), network.classify(x[0]), labels[0])

# %%
# How sure is it? Below each image, the ten probabilities; orange is the largest.

unsure = np.argsort(network(x).max(axis=-1))[:3]
chosen = np.array([0, 1, 2, *unsure])

figure, pictures = plt.subplots(
    2, len(chosen), figsize=(7.5, 2.7), height_ratios=[3, 2]
)
for column, i in zip(pictures.T, chosen, strict=True):
    p = network(x[i])
    show(column[0], images[i], f"a {labels[i]}")
    column[1].bar(
        range(10),
        p,
        color=["#e0703a" if j == p.argmax() else "#3a86c8" for j in range(10)],
    )
    column[1].set_ylim(0, 1)
    column[1].set_xticks(range(10), range(10), fontsize=7)
    column[1].set_yticks([0, 1])

# %%
# How often is it right?
# ----------------------

correct = network.classify(x) == labels
print(f"{correct.mean():.1%} of {len(labels)}")

# %%
# Those that it gets wrong:

wrong = np.flatnonzero(~correct)
figure, pictures = plt.subplots(1, len(wrong), figsize=(7.5, 1.8))
for picture, i in zip(pictures, wrong, strict=True):
    show(picture, images[i], f"a {labels[i]}, not a {network.classify(x[i])}")

# %%
# Batches
# -------
# A network does not need one image at a time: a matrix of images is one call. That is faster than its rows one by one, as one product of
# matrices does the work of many small ones, and the classes are the same. Their last digits need not be:
# :ref:`sphx_glr_tutorial_plot_6_same_bits.py`.

batches = [network.classify(x[i : i + 100]) for i in range(0, len(x), 100)]
print((np.concatenate(batches) == network.classify(x)).all())

# %%
# What the first layer looks at
# -----------------------------
# Each of its 50 neurons weighs the 784 grey levels. Drawn as images: orange counts for the neuron, purple against it. What is flat is
# the rim of the pictures, where no digit ever had ink.

weight = network.layers[0].weight
figure, pictures = plt.subplots(2, 8, figsize=(7.5, 2.0))
for picture, column in zip(pictures.flat, weight.T, strict=False):
    largest = np.abs(column).max()
    picture.imshow(
        column.reshape(28, 28), cmap="PuOr_r", vmin=-largest, vmax=largest
    )
    picture.set_axis_off()
