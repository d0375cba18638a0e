"""Writes tests/convert/models_keras: models as Keras saves them, in both formats, and what Keras makes of them.

    python tests/make_keras.py    # needs keras, torch, h5py and scikit-learn

The archives .keras are compressed, which Keras does not do; their entries are as it writes them. Each activation and each kind of layer is an output of one model, so that there are few files. Outputs stand in
outputs.npz under `file`, or `file:output` where there are several, the rows that they are of under `model.x`.
"""

import os
import zipfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers, ops
from sklearn import datasets

FOLDER = Path(__file__).parent / "convert" / "models_keras"
ACTIVATIONS = """
relu relu6 selu elu celu gelu silu swish mish tanh sigmoid hard_sigmoid log_sigmoid softmax log_softmax softplus
softsign hard_tanh hard_shrink linear exponential hard_silu hard_swish leaky_relu soft_shrink tanh_shrink
""".split()


def randomized(model):
    """Return a model with weights of all signs; variances are positive, what counts is a count."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        spread = rng.normal(size=weight.shape)
        positive = "variance" in weight.path
        if "count" not in weight.path:
            weight.assign(0.5 + np.abs(spread) if positive else spread)
    # Normalization computes with a copy of its variables.
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop()
        waiting += getattr(layer, "layers", [])
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def activations():
    x = keras.Input((5,), name="x")
    made = [layers.Dense(4, activation=name, name=f"to_{name}")(x) for name in ACTIVATIONS]
    return randomized(keras.Model(x, made))


def kinds():
    """Every layer that has options of its own, after one product."""
    x = keras.Input((5,), name="x")
    y = layers.Dense(4, use_bias=False, name="product")(x)
    z = layers.Dense(4, activation=layers.LeakyReLU(0.1), name="a_layer_as_activation")(y)
    made = [z]
    numbers = {"mean": [0.5, 1, 2, 3], "variance": [1, 2, 3, 4.0]}
    for name, layer in {
        "relu": layers.ReLU(),
        "relu_to_6": layers.ReLU(6.0),
        "relu_to_1": layers.ReLU(1.0),
        "relu_leaky": layers.ReLU(negative_slope=0.3),
        "relu_above": layers.ReLU(threshold=0.7),
        "leaky": layers.LeakyReLU(),
        "leaky_more": layers.LeakyReLU(0.45),
        "elu": layers.ELU(0.7),
        "prelu": layers.PReLU(),
        "softmax": layers.Softmax(),
        "activation": layers.Activation("swish"),
        "batch": layers.BatchNormalization(),
        "batch_bare": layers.BatchNormalization(center=False, scale=False, epsilon=0.1),
        "batch_scaled": layers.BatchNormalization(center=False),
        "batch_centred": layers.BatchNormalization(scale=False, axis=1),
        "rows": layers.LayerNormalization(),
        "rows_bare": layers.LayerNormalization(center=False, scale=False, epsilon=0.1),
        "rows_scaled": layers.LayerNormalization(center=False),
        "rows_centred": layers.LayerNormalization(scale=False),
        "normal": layers.Normalization(),
        "normal_in_all": layers.Normalization(axis=None),
        "normal_back": layers.Normalization(invert=True),
        "normal_given": layers.Normalization(**numbers),
        "normal_by_two": layers.Normalization(mean=0.5, variance=4.0),
        "rescaled": layers.Rescaling(1 / 255, offset=-1.0),
        "rescaled_each": layers.Rescaling(np.float32([1, 2, 3, 4]), offset=[0.0, 1, 2, 3]),
        "shaped": keras.Sequential(
            [layers.Reshape((2, -1)), layers.PReLU(shared_axes=[1]), layers.Flatten()]
        ),
        "pixels": keras.Sequential(
            [
                layers.Reshape((2, 2)),
                layers.BatchNormalization(),
                layers.Normalization(),
                layers.Flatten(),
            ]
        ),
        "nothing": keras.Sequential(
            [
                layers.Dropout(0.5),
                layers.GaussianNoise(0.5),
                layers.GaussianDropout(0.5),
                layers.AlphaDropout(0.5),
                layers.ActivityRegularization(0.1),
                layers.Identity(),
            ]
        ),
    }.items():
        made.append(layers.Identity(name=f"{name}_made")(layer(y)))
    merged = {
        "sum": layers.Add()([y, z]),
        "difference": layers.Subtract()([y, z]),
        "difference_back": layers.Subtract()([z, y]),
        "mean": layers.Average()([z, y]),
        "product_with_sigmoid": layers.Multiply()([y, layers.Activation("sigmoid")(y)]),
        "beside": layers.Concatenate()([layers.Dense(2)(y), layers.Dense(3)(y)]),
        "numbers": ops.maximum((y * 2.0 + 1) - 0.5, 0),
    }
    made += [layers.Identity(name=f"{name}_made")(value) for name, value in merged.items()]
    return randomized(keras.Model(x, made))


def nested():
    """Models in models, layers that are called twice, a part that is not trained, two inputs of several columns."""
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    inner = keras.Sequential(
        [
            layers.Dense(4, "relu"),
            layers.BatchNormalization(trainable=False),
            layers.Dense(4),
            layers.BatchNormalization(),
        ],
        name="inner",
    )
    i = keras.Input((4,))
    branch = layers.Dense(4, "tanh")(inner(i))
    outer = keras.Model(i, [layers.Add()([i, branch]), layers.Dense(2, name="two")(branch)])
    y = layers.Dense(4, name="first")(layers.Concatenate()([a, b]))
    y, _ = outer(y)
    y, two = outer(y)
    shared = layers.Dense(4, "silu", name="shared")
    y = shared(shared(y))
    ends = [layers.Dense(3, "softmax", name="classes")(y), two]
    return randomized(keras.Model([a, b], ends, name="nested"))


def in_float64():
    """Products of float64, which Keras computes in float32 without TensorFlow: NumPy says what they are."""
    wide = [keras.Input((5,), dtype="float64")]
    wide += [layers.Dense(n, "tanh", dtype="float64") for n in (6, 3)]
    return randomized(keras.Sequential(wide))


def by_numpy(model, x):
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        x = np.tanh(x @ kernel + bias)
    return x


def trained(model, x, y):
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=8, verbose=0)
    return model


def digits():
    x, y = datasets.load_digits(return_X_y=True)
    keras.utils.set_random_seed(0)
    parts = [
        *(keras.Input((8, 8)), layers.Rescaling(1 / 16), layers.Flatten()),
        *(layers.Dense(24), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.1)),
        layers.Dense(10, "softmax"),
    ]
    return trained(keras.Sequential(parts), x.reshape(-1, 8, 8).astype("float32"), y)


def wine():
    """An input for each feature, by its name."""
    data = datasets.load_wine()
    x = data.data.astype("float32")
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((1,), name=name.replace("/", "_")) for name in data.feature_names]
    scaler = layers.Normalization()
    scaler.adapt(x)
    y = scaler(layers.Concatenate()(inputs))
    y = layers.Dense(3, "softmax")(layers.Dense(16, "gelu")(y))
    return trained(keras.Model(inputs, y), list(x.T[..., None]), data.target)


MODELS = {
    "activations": (activations, ["keras"]),
    "kinds": (kinds, ["keras", "h5"]),
    "nested": (nested, ["keras", "h5"]),
    "float64": (in_float64, ["keras", "h5"]),
    "digits": (digits, ["keras"]),
    "wine": (wine, ["keras", "h5"]),
}


def compress(path):
    with zipfile.ZipFile(path) as archive:
        entries = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def main():
    FOLDER.mkdir(exist_ok=True)
    outputs = {}
    for name, (make, formats) in MODELS.items():
        keras.backend.clear_session()
        model = make()
        rng = np.random.default_rng(0)
        given = [(rng.normal(size=(20, *i.shape[1:])) * 3).astype(i.dtype) for i in model.inputs]
        made = model(given if len(given) > 1 else given[0])
        if name == "float64":
            made = by_numpy(model, *given)
        made = made if isinstance(made, list) else [made]
        x = given[0] if len(given) == 1 else np.concatenate(given, 1)
        outputs[f"{name}.x"] = x
        names = model.output_names if len(made) > 1 else [""]
        for one, y in zip(names, made, strict=True):
            outputs[f"{name}:{one}".rstrip(":")] = keras.ops.convert_to_numpy(y)
        for ending in formats:
            path = FOLDER / f"{name}.{ending}"
            model.save(path, include_optimizer=False)
            if ending == "keras":
                compress(path)
    np.savez_compressed(FOLDER / "outputs.npz", **outputs)


if __name__ == "__main__":
    main()
