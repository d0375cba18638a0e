"""
Step, sigmoid, ReLU and the others
==================================

A neuron adds up its weighted inputs and hands the sum to an *activation function*. Which function that is, is most of what makes
one kind of network differ from another. This page draws them.
"""

# %%
# From the perceptron's step to the sigmoid
# -----------------------------------------
# A perceptron fires or does not: its activation is the step function, 0 up to 0 and 1 above. A step tells nothing of *how far* from the
# threshold a sum is, and its slope is 0 wherever it has one, so no training by slopes can use it. The sigmoid, ``1 / (1 + exp(-x))``,
# runs from 0 to 1 as well, but smoothly. ReLU hands positive sums through and cuts off the others.

import matplotlib.pyplot as plt
import numpy as np

import xpnn

x = np.linspace(-6.0, 6.0, 601)

figure, pictures = plt.subplots(1, 3, figsize=(7.5, 2.5))
for picture, function in zip(
    pictures, (xpnn.step, xpnn.sigmoid, xpnn.relu), strict=True
):
    picture.plot(x, function(x))
    picture.set(title=function.__name__, xlabel="x")

# %%
# Each of them takes an array of any shape, of any library, and returns one of the same shape and dtype:

print(xpnn.step(np.array([-1.0, 1.0, 2.0])))
print(xpnn.sigmoid(np.array([-1.0, 1.0, 2.0])))
print(xpnn.relu(np.array([[-1.0], [1.0], [2.0]])))

# %%
# The sigmoid is a soft step: the larger the weight before it, the steeper.

figure, picture = plt.subplots()
for weight in (1, 2, 5, 20):
    picture.plot(x, xpnn.sigmoid(weight * x), label=f"sigmoid({weight} x)")
picture.plot(x, xpnn.step(x), ":", color="grey", label="step(x)")
picture.set(xlabel="x", xlim=(-4, 4))
picture.legend()

# %%
# Far out
# -------
# The formula as it stands in a book is right on paper. On a computer, ``exp(1000)`` is no number of float64 any more, and its slope by
# the textbook's ``s * (1 - s)`` is lost to rounding long before. xpnn takes the exponential of numbers below 0 alone, so that nothing
# overflows; the small end keeps its digits.

far = np.array([-1000.0, -700.0, -30.0, 30.0, 1000.0])
print(xpnn.sigmoid(far))
print(xpnn.log_sigmoid(far))

# %%
# Why it must not be a straight line
# ----------------------------------
# Without an activation between them, two layers are one: ``(x @ A) @ B`` is ``x @ (A @ B)``. However many straight layers stand one
# after the other, what comes out is a straight line of what went in.

random = np.random.default_rng(0)
A, B = random.normal(size=(1, 8)), random.normal(size=(8, 1))
points = np.linspace(-2.0, 2.0, 201)[:, None]
straight = xpnn.Network([xpnn.Dense(A), xpnn.Dense(B)])
bent = xpnn.Network([xpnn.Dense(A, random.normal(size=8), "relu"), xpnn.Dense(B)])

figure, picture = plt.subplots()
picture.plot(points, straight(points), label="two layers, identity between")
picture.plot(points, bent(points), label="two layers, ReLU between")
picture.set(xlabel="x")
picture.legend()

# %%
# All of them
# -----------
# Those with options are drawn as they are by default. A network's layer takes any of them by name,
# ``xpnn.Dense(weight, bias, "gelu")``, with options, ``"leaky_relu(negative_slope=0.2)"``.

NAMES = """
identity step relu relu6 leaky_relu hard_sigmoid hard_swish hard_tanh
sigmoid log_sigmoid tanh softplus softsign elu selu celu exp gelu silu mish
hard_shrink softshrink tanhshrink erf
""".split()

figure, pictures = plt.subplots(6, 4, figsize=(7.5, 9.1), sharex=True)
for name, picture in zip(NAMES, pictures.flat, strict=True):
    x = np.linspace(-4.0, 1.5 if name == "exp" else 4.0, 401)
    picture.plot(x, getattr(xpnn, name)(x))
    picture.set_title(name)
