"""
What rounding does, and what it cannot do
=========================================

Every operation on a computer is rounded. How far can the result of a network be off? xpnn computes a bound, for this network
and these inputs, that no sound computation can leave, on any library or device.
"""

# %%
# Errors, and what is allowed
# ---------------------------
# What came out in float32 is held to what comes out in float64, which is 2**29 times as exact: the difference is float32's error.
# :func:`xpnn.error_bound` says what the error of each output can be at most, :func:`xpnn.expected_error` what it usually is.

import matplotlib.pyplot as plt
import numpy as np

import xpnn
import xpnn.models

network = xpnn.load("digits")
images, labels = xpnn.models.sample("digits")
x = images.astype("float32")

single = network(x)
double = network.to(np, dtype="float64")(images.astype("float64"))
errors = np.abs(single - double)
bound = xpnn.error_bound(network, x)
expected = xpnn.expected_error(network, x)
print(f"{(errors <= bound).mean():.0%} are inside of the bound")
print(f"the largest is {(errors / bound).max():.1%} of what is allowed")

# %%
# Each point is one of 2,000 probabilities. Nothing is above the line of the bound; the errors are about as large as expected, which is
# far less: rounding errors seldom all point in one direction, and a bound must allow for it.

order = np.argsort(bound, axis=None)
figure, picture = plt.subplots()
picture.plot(np.sort(bound, axis=None), label="bound: no sound result is above")
picture.plot(errors.ravel()[order], ".", markersize=2, label="error of float32")
picture.plot(
    expected.ravel()[order],
    ".",
    markersize=1.5,
    alpha=0.6,
    label="expected error",
)
picture.set(
    yscale="log", ylim=(1e-16, 1), xlabel="outputs, by their bound", ylabel="size"
)
picture.legend(loc="upper left", markerscale=4)

# %%
# Certain classes
# ---------------
# Where the gap between the two largest sums is wider than what their bounds allow, no rounding can change the class: the answer
# holds on every library, in whatever order it adds. ``classify(..., certain=True)`` says of which rows.

classes, certain = network.classify(x, certain=True)
print(f"{certain.sum()} of {len(certain)} classes are certain in float32")

# %%
# Below the grey line, what the two sums may move by is less than the gap between them. In float32 that is so for every image, by far. With weights
# rounded to float16, whose numbers have eleven binary digits, it is so for none: if all roundings conspired, any class might change.

logits = network.logits(x)
two = np.sort(logits, axis=-1)[:, -2:]
gap = two[:, 1] - two[:, 0]

figure, picture = plt.subplots()
for dtype, colour in (("float32", "#3a86c8"), ("float16", "#e0703a")):
    allowed = 2 * xpnn.error_bound(network, x, of="logits", dtype=dtype).max(
        axis=-1
    )
    picture.plot(
        gap,
        allowed,
        ".",
        color=colour,
        label=f"what two sums may move by, {dtype}",
    )
line = np.geomspace(gap.min(), gap.max(), 2)
picture.plot(
    line,
    line,
    color="grey",
    linewidth=1,
    label="as wide as the gap: below, certain",
)
picture.set(
    xscale="log",
    yscale="log",
    xlabel="gap between the two largest sums",
    ylabel="bound",
)
picture.legend(fontsize=8)

# %%
# A mistake is no rounding error
# ------------------------------
# Somebody wrote the pass again, and left out the biases. Most classes are still right, so that nobody may notice. The bound does, and
# :func:`xpnn.explain` says what is wrong.

z = x
for layer in network.layers:
    z = layer.activate(z @ layer.weight)
found = xpnn.explain(network, x, z)
print(f"{(z.argmax(axis=-1) == labels).mean():.1%} right")
print(found.passed, "-", found.cause)

# %%
# The largest error of four computations, beside what is allowed. Two are sound.

half = xpnn.Network(
    [
        xpnn.Dense(
            d.weight.astype("float16").astype("float32"), d.bias, d.activation
        )
        for d in network.layers
    ]
)
ways = {
    "float32": single,
    "float64, rounded": double.astype("float32"),
    "weights in 16 bits": half(x),
    "biases left out": z,
}
figure, picture = plt.subplots(figsize=(7, 2.6))
ratio = [(np.abs(y - double) / bound).max() for y in ways.values()]
picture.barh(
    list(ways), ratio, color=["#2f9e6e" if r <= 1 else "#c0529a" for r in ratio]
)
picture.axvline(1, color="grey", linestyle=":")
picture.set(xscale="log", xlabel="largest error / bound")
picture.invert_yaxis()
