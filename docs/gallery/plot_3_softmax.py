"""
What stands at the end: identity and softmax
============================================

A network that predicts numbers ends in the identity: its last sums are the answer. One that chooses among classes ends in softmax,
which makes of any numbers shares that are positive and add up to 1.
"""

# %%
# Shares of one
# -------------
# ``softmax(x)`` is ``exp(x) / sum(exp(x))``. The largest number gets the largest share.

import matplotlib.pyplot as plt
import numpy as np

import xpnn

a = np.array([0.3, 2.9, 4.0])
y = xpnn.softmax(a)
print(y, y.sum())

# %%
# What happens to three shares while the third number moves:

moving = np.linspace(-6.0, 10.0, 321)
numbers = np.stack(
    [np.full_like(moving, 0.3), np.full_like(moving, 2.9), moving], axis=-1
)

figure, picture = plt.subplots()
picture.stackplot(moving, xpnn.softmax(numbers).T, alpha=0.8)
for text, place in {"0.3": (-4, 0.03), "2.9": (-4, 0.5), "x": (6, 0.5)}.items():
    picture.text(*place, text, color="black", va="center")
picture.set(xlabel="x", ylabel="share", xlim=(-6, 10), ylim=(0, 1))
picture.set_title("softmax([0.3, 2.9, x])")

# %%
# Overflow
# --------
# Written as above, it fails for numbers that any network may produce: ``exp(1000)`` is infinite, and infinity over infinity is not a
# number.

a = np.array([1010.0, 1000.0, 990.0])
with np.errstate(over="ignore", invalid="ignore"):
    print(np.exp(a) / np.exp(a).sum())

# %%
# A share does not change when the same number is taken from all: ``exp(a - c) / sum(exp(a - c))`` has the factor ``exp(-c)`` above and
# below. Take the largest, and no exponent is above 0. That is what :func:`xpnn.softmax` does.

print(np.exp(a - a.max()) / np.exp(a - a.max()).sum())
print(xpnn.softmax(a))

# %%
# float32 ends at 88, float16 at 11. What the two formulas make of ``[x, 0]``:

x = np.linspace(0.0, 120.0, 481, dtype="float32")
pair = np.stack([x, np.zeros_like(x)], axis=-1)
with np.errstate(over="ignore", invalid="ignore"):
    naive = np.exp(pair) / np.exp(pair).sum(axis=-1, keepdims=True)

figure, picture = plt.subplots()
picture.plot(x, xpnn.softmax(pair)[:, 1], label="xpnn.softmax")
picture.plot(x, naive[:, 1], "--", label="exp(x) / sum(exp(x))")
picture.axvline(88.72, color="grey", linestyle=":", linewidth=1)
picture.annotate("exp overflows: no number", (89.5, 1e-10), color="grey")
picture.set(xlabel="x", ylabel="the smaller share", yscale="log", title="float32")
picture.legend()

# %%
# Logarithms
# ----------
# A loss needs the logarithm of a share. Taken afterwards, it has lost what the share had lost: here a share that is 0 in float32. In
# one piece it is exact to the last digits.

a = np.array([0.0, -200.0], dtype="float32")
with np.errstate(divide="ignore"):
    print(np.log(xpnn.softmax(a)))
print(xpnn.log_softmax(a))

# %%
# Left out
# --------
# Masked entries (``where``) get exactly 0, and what they hold never reaches the result.

a = np.array([0.3, np.nan, 4.0])
print(xpnn.softmax(a, where=np.array([True, False, True])))

# %%
# The order stays
# ---------------
# exp rises, so the largest sum has the largest share: to *choose*, softmax is not needed. ``network.classify`` leaves it out.

random = np.random.default_rng(0).normal(size=(1000, 10))
print((xpnn.softmax(random).argmax(axis=-1) == random.argmax(axis=-1)).all())
