"""Models of Keras: what Keras writes, layer by layer, what it has in memory, and what nobody may take."""

import contextlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import xpnn

h5py = pytest.importorskip("h5py")

from xpnn._convert import keras_file
from xpnn._convert.keras_layers import ACTIVATIONS, LAYERS

FOLDER = Path(__file__).parent / "models_keras"
OUTPUTS = dict(np.load(FOLDER / "outputs.npz"))
CASES = [
    (file.name, key.partition(":")[2])
    for file in sorted(FOLDER.glob("*.[hk]*"))
    for key in OUTPUTS
    if key.partition(":")[0] == file.stem
]
pytestmark = pytest.mark.libraries


def golden(file, output):
    """The rows and outputs of a model that Keras wrote."""
    name = Path(file).stem
    return OUTPUTS[f"{name}.x"], OUTPUTS[f"{name}:{output}".rstrip(":")]


def check(network, x, expected):
    bound = xpnn.error_bound(network, x)
    assert np.all(np.abs(network(x) - expected) <= bound)
    assert np.max(bound) < 1e-3 * (1 + np.max(np.abs(expected)))
    assert network(x).dtype == expected.dtype


@pytest.mark.parametrize(("file", "output"), CASES)
def test_what_keras_writes(file, output):
    """The numbers of Keras, inside the bound."""
    check(xpnn.load(FOLDER / file, output=output or None), *golden(file, output))


NAMES = {
    "swish": "silu",
    "exponential": "exp",
    "linear": "identity",
    "celu": "elu",
    "hard_silu": "hard_swish",
    "leaky_relu": "leaky_relu(negative_slope=0.2)",
    "soft_shrink": "softshrink",
    "tanh_shrink": "tanhshrink",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    """Each is one of xpnn's, with the defaults of Keras; each layer has weights of its own."""
    (layer,) = xpnn.load(FOLDER / "activations.keras", output=f"to_{name}").layers
    assert layer.activation == NAMES.get(name, name)


def test_names_and_formats():
    wine = xpnn.load(FOLDER / "wine.keras")
    assert wine.inputs[:2] == ("alcohol", "malic_acid")
    assert wine.inputs[11] == "od280_od315_of_diluted_wines"
    nested = xpnn.load(FOLDER / "nested.keras", output="classes")
    assert nested.inputs == ("a.0", "a.1", "a.2", "b.0", "b.1")
    assert nested.outputs == ("classes",)
    assert wine.outputs is None
    beside = xpnn.load(FOLDER / "activations.keras", output=["to_swish", "to_silu"])
    widths = [OUTPUTS[f"activations:to_{name}"].shape[1] for name in ("swish", "silu")]
    assert beside.outputs[0] == ("to_swish" if widths[0] == 1 else "to_swish.0")
    assert len(beside.outputs) == sum(widths)
    x = OUTPUTS["activations.x"]
    both = [OUTPUTS[f"activations:to_{name}"] for name in ("swish", "silu")]
    check(beside, x, np.concatenate(both, axis=1))
    assert xpnn.load(FOLDER / "digits.keras").layers[0].takes == (8, 8)
    with pytest.raises(
        xpnn.XpnnValueError, match="output to be one of 'classes', 'functional_1', got"
    ):
        xpnn.load(FOLDER / "nested.keras")


@pytest.mark.parametrize("name", ["kinds", "nested", "float64", "wine"])
def test_both_formats_say_the_same(name):
    outputs = [output for file, output in CASES if file == f"{name}.h5"]
    for output in outputs:
        new, old = (
            xpnn.load(FOLDER / f"{name}.{e}", output=output or None) for e in ("keras", "h5")
        )
        same(new, old)


def same(a, b):
    assert [layer.words for layer in a.layers] == [layer.words for layer in b.layers]
    x = np.ones((1, *a.layers[0].takes), "float32")
    assert a(x).tobytes() == b(x).tobytes()
    assert a.inputs == b.inputs


# The framework itself


BY_KERAS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


# Keras itself cannot read kinds.h5, where an operation has the name of a layer; JAX has no float64 unless it is asked.
@BY_KERAS
@pytest.mark.parametrize(
    "file", sorted({f for f, _ in CASES if f not in {"kinds.h5", "float64.h5", "float64.keras"}})
)
def test_objects_are_read_as_files_are(file, keras):
    model = keras.models.load_model(FOLDER / file, compile=False)
    for output in [output for name, output in CASES if name == file]:
        from_object = xpnn.Network.from_keras(model, output=output or None)
        same(from_object, xpnn.load(FOLDER / file, output=output or None))


@BY_KERAS
def test_objects(keras):
    """As they predict; trained further, they are read as they are then."""
    layers = keras.layers
    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    parts = [keras.Input((4,)), layers.Dense(5, "gelu"), layers.BatchNormalization()]
    model = keras.Sequential([*parts, layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(2):
        model.fit(x, x[:, :1], verbose=0)
        network = xpnn.Network.from_keras(model)
        expected = model.predict(x, verbose=0)
        assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))


@BY_KERAS
def test_objects_that_are_none(keras):
    class Written(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(
        xpnn.XpnnValueError, match="Sequential or Functional model, got 'Written'.*jax"
    ):
        xpnn.Network.from_keras(Written())
    with pytest.raises(xpnn.XpnnTypeError, match="from_keras: expected a model of Keras, got list"):
        xpnn.Network.from_keras([])
    with pytest.raises(xpnn.XpnnValueError, match="rows of a known shape"):
        xpnn.Network.from_keras(keras.Sequential([keras.layers.Dense(2)]))


@BY_KERAS
def test_objects_with_layers_that_are_none(keras):
    layers = keras.layers
    adapted = layers.Dense(4)
    adapted.build((None, 4))
    adapted.enable_lora(2)
    for words, layer in {
        "Lambda is not among": layers.Lambda(lambda x: x + 1),
        "mixed_float16": layers.Dense(2, dtype="mixed_float16"),
        "without lora_rank": adapted,
        "activation 'glu' is not among": layers.Dense(4, "glu"),
    }.items():
        with pytest.raises(xpnn.XpnnValueError, match=words):
            xpnn.Network.from_keras(keras.Sequential([keras.Input((4,)), layer]))


@BY_KERAS
def test_quantized_objects(keras):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.quantize("int8")
    with pytest.raises(xpnn.XpnnValueError, match="QuantizedDTypePolicy"):
        xpnn.Network.from_keras(model)


@BY_KERAS
def test_a_call_that_trains(keras):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dropout(0.5)(x, training=True))
    with pytest.raises(xpnn.XpnnValueError, match="call with inputs alone, got training=True"):
        xpnn.Network.from_keras(model)


# Files by hand


def layer(kind, name=None, *, module="keras.layers", registered=None, **config):
    config = {"name": name or kind.lower(), "dtype": "float32", **config}
    return {
        "module": module,
        "class_name": kind,
        "config": config,
        "registered_name": registered,
    }


def given(*shape, name="x", **config):
    return layer("InputLayer", name, batch_shape=[None, *shape], **config)


def dense(name="dense", units=3, **config):
    return layer("Dense", name, units=units, **config)


def sequential(*layers, name="m", **config):
    return layer("Sequential", name, module="keras", layers=list(layers), **config)


def functional(*layers, ends, starts=(("x", 0, 0),), name="m"):
    """A functional model of layers, each with the calls of it: [(layer, call), ...] each."""
    entries = []
    for one, *calls in layers:
        nodes = [{"args": [tensors(call)], "kwargs": {}} for call in calls]
        entries.append({**one, "name": one["config"]["name"], "inbound_nodes": nodes})
    config = {"layers": entries, "input_layers": [list(s) for s in starts], "output_layers": ends}
    return layer("Functional", name, module="keras", **config)


def tensors(refs):
    made = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [name, node, 0]}}
        for name, node in refs
    ]
    return made[0] if len(made) == 1 else made


W = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
B = np.float32([0.5, -1, 2])
ARRAYS = {"layers/dense/vars/0": W, "layers/dense/vars/1": B}
SMALL = sequential(given(4), dense())


def weights(arrays=None, change=None):
    """An HDF5 file with arrays at their paths."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for path, array in (ARRAYS if arrays is None else arrays).items():
            file[path] = array
        if change is not None:
            change(file)
    return memory.getvalue()


def archive(folder, model=SMALL, arrays=None, *, change=None, entries=(), metadata=None):
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        text = model if isinstance(model, str) else json.dumps(model)
        file.writestr("metadata.json", json.dumps(metadata or {"keras_version": "3.15.1"}))
        file.writestr("config.json", text)
        file.writestr("model.weights.h5", weights(arrays, change))
        for name, content in entries:
            file.writestr(name, content)
    return path


def legacy(folder, model, groups, version="2.15.0"):
    """As Keras 2 writes a model: groups of layers with names and arrays."""
    path = folder / "model.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = version
        for name, arrays in groups.items():
            group = file.create_group(f"model_weights/{name}")
            names = [n.encode() for n in arrays]
            group.attrs["weight_names"] = names
            for at, array in arrays.items():
                group[at] = array
    return path


def rows(n=4):
    return np.random.default_rng(1).normal(size=(20, n)).astype("float32") * 3


def test_by_hand(tmp_path):
    network = xpnn.load(archive(tmp_path))
    np.testing.assert_array_equal(network.layers[0].weight, W)
    assert network.layers[0].weight.dtype == np.float32


def bare(entry, **more):
    """An entry as Keras 2 writes it."""
    return {"class_name": entry["class_name"], "config": entry["config"], **more}


def test_what_keras_2_writes(tmp_path):
    """Names with numbers, options under their old names, references in lists that count a model's own call."""
    square = W[:3]
    inner = sequential(
        bare(layer("InputLayer", "i", batch_input_shape=[None, 3])),
        bare(dense("d1")),
        bare(layer("BatchNormalization", "bn", axis=[1])),
        bare(dense("d2", use_bias=False)),
        name="inner",
    )
    entries = [
        bare(layer("InputLayer", "x", batch_input_shape=[None, 4]), inbound_nodes=[]),
        bare(dense("first", activation="hard_sigmoid"), inbound_nodes=[[["x", 0, 0, {}]]]),
        bare(inner, inbound_nodes=[[["first", 0, 0, {}]], [["leaky", 0, 0, {}]]]),
        bare(layer("LeakyReLU", "leaky", alpha=0.25), inbound_nodes=[[["inner", 1, 0, {}]]]),
        bare(layer("ThresholdedReLU", "above", theta=0.5), inbound_nodes=[[["inner", 2, 0, {}]]]),
    ]
    for one in entries:
        one["name"] = one["config"]["name"]
    config = {
        "name": "model",
        "layers": entries,
        "input_layers": [["x", 0, 0]],
        "output_layers": [["above", 0, 0]],
    }
    inside = {"d1/kernel:0": square, "d1/bias:0": B, "bn/gamma:0": B, "bn/beta:0": B + 1}
    inside |= {"d2/kernel:0": square.T, "bn/moving_mean:0": B * 2, "bn/moving_variance:0": B * B}
    groups = {"first": {"first/kernel:0": W, "first/bias:0": B}, "inner": inside}
    model = {"class_name": "Functional", "config": config}
    x = rows()

    def inner_of(y):
        z = (y @ square + B - 2 * B) / np.sqrt(B * B + 1e-3) * B + B + 1
        return z @ square.T

    y = inner_of(np.clip(0.2 * (x @ W + B) + 0.5, 0, 1))
    y = inner_of(np.where(y > 0, y, 0.25 * y))
    expected = np.where(y > 0.5, y, 0)
    network = xpnn.load(legacy(tmp_path, model, groups))
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))


def test_names_that_one_attribute_does_not_hold(tmp_path):
    path = legacy(tmp_path, SMALL, {"dense": {"dense/kernel:0": W, "dense/bias:0": B}})
    with h5py.File(path, "a") as file:
        attrs = file["model_weights/dense"].attrs
        del attrs["weight_names"]
        attrs["weight_names0"], attrs["weight_names1"] = ["dense/kernel:0"], ["dense/bias:0"]
    np.testing.assert_array_equal(xpnn.load(path).layers[0].bias, B)


def test_the_order_in_a_model_in_a_legacy_file(tmp_path):
    model = sequential(given(4), sequential(given(4), dense(), name="inner"))
    wrong = {"inner": {"inner/dense/bias": B, "inner/dense/kernel": W}}
    with pytest.raises(
        xpnn.XpnnValueError, match="expected kernel of the layer.*'inner/dense/bias'"
    ):
        xpnn.load(legacy(tmp_path, model, wrong))


def test_what_keras_2_12_writes(tmp_path):
    """Its archives have another name for layers."""
    path = archive(
        tmp_path,
        arrays={
            k.replace("layers", "_layer_checkpoint_dependencies"): a for k, a in ARRAYS.items()
        },
        metadata={"keras_version": "2.12.0"},
    )
    np.testing.assert_array_equal(xpnn.load(path).layers[0].weight, W)


def test_options_that_a_configuration_leaves_out(tmp_path):
    """Have the defaults of Keras's layers."""
    for one, expected in {
        "LeakyReLU": "leaky_relu(negative_slope=0.3)",
        "ELU": "elu",
        "ReLU": "relu",
        "ThresholdedReLU": "threshold",
        "Softmax": "softmax",
    }.items():
        (found,) = xpnn.load(archive(tmp_path, sequential(given(4), dense(), layer(one)))).layers
        assert found.activation == expected


def test_dtypes_that_meet(tmp_path):
    """An input of float64 and a layer of float32: rounded as it enters."""
    wide = given(4, dtype="float64")
    assert len(xpnn.load(archive(tmp_path, sequential(wide, dense()))).layers) == 1


def test_a_model_that_is_not_trained_in_a_legacy_file(tmp_path):
    """Its variables stand as its layers do, whatever those say of themselves."""
    inner = sequential(given(4), layer("BatchNormalization", "bn"), dense(), name="i")
    inner["config"]["trainable"] = False
    names = ["bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"]
    arrays = {f"i/{n}": np.float32([1, 2, 3, 4]) for n in names}
    arrays |= {"i/dense/kernel": W, "i/dense/bias": B}
    network = xpnn.load(legacy(tmp_path, sequential(given(4), inner), {"i": arrays}))
    np.testing.assert_array_equal(network.layers[-1].bias, B)


def test_numbers_for_two_axes(tmp_path):
    """Those of Normalization that a configuration gives have the last axes."""
    mean = np.float32([[1, 2, 3], [4, 5, 6]])
    variance = mean**2
    one = layer("Normalization", axis=[1, 2], mean=mean.tolist(), variance=variance.tolist())
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    network = xpnn.load(archive(tmp_path, sequential(given(2, 3), one, layer("Flatten"))))
    expected = ((x - mean) / mean).reshape(5, 6)
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))


def test_what_another_output_needs_is_left_out(tmp_path):
    model = functional(
        (given(4),),
        (dense(), [("x", 0)]),
        (layer("Conv2D", "conv"), [("x", 0)]),
        ends=[["dense", 0, 0], ["conv", 0, 0]],
    )
    path = archive(tmp_path, model)
    assert xpnn.load(path, output="dense").layers[0].weight.shape == (4, 3)
    with pytest.raises(
        xpnn.XpnnValueError, match="layer 'conv': Conv2D is not among the layers that"
    ):
        xpnn.load(path, output="conv")


# What is refused


BAD = {
    "layer 'lstm': LSTM is not among the layers that xpnn reads: .*Dense.*Sequential": [
        layer("LSTM")
    ],
    "layer 'lambda': Lambda is not among": [layer("Lambda", function={"class_name": "__lambda__"})],
    "layer 'mine': Dense: pkg>Dense is no layer of Keras": [
        layer("Dense", "mine", module=None, registered="pkg>Dense")
    ],
    "layer 'theirs': .* is no layer of Keras": [layer("Dense", "theirs", module="__main__")],
    "mixed_float16": [
        dense(dtype={"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}})
    ],
    "QuantizedDTypePolicy": [dense(dtype={"class_name": "QuantizedDTypePolicy", "config": {}})],
    "bfloat16": [dense(dtype="bfloat16")],
    "expected kernel of float64, got float32": [dense(dtype="float64")],
    "without lora_rank": [dense(lora_rank=2)],
    "without quantization_config": [dense(quantization_config={})],
    "activation 'sparsemax' is not among": [dense(activation="sparsemax")],
    "activation 'mine' is not among": [
        dense(activation={"class_name": "function", "config": "mine", "module": "builtins"})
    ],
    "activation 'PReLU' is not among": [dense(activation=layer("PReLU"))],
    r"expected kernel of shape \(4, 5\), got \(4, 3\)": [dense(units=5)],
    r"expected 1 arrays \(kernel\), got 2": [dense(use_bias=False)],
    r"Dense: expected kernel of shape \(7, 3\)": [given(7), dense()],
    "expected 'layers/batch_normalization/vars'|got nothing": [layer("BatchNormalization")],
    "BatchNormalization: expected the last axis, got axis 1": [
        given(2, 4),
        layer("BatchNormalization", axis=1),
    ],
    "LayerNormalization: expected an epsilon of 0 or more, got -1.0": [
        layer("LayerNormalization", epsilon=-1)
    ],
    "Rescaling: overflow": [layer("Rescaling", scale=1e300)],
    "layer 'a': expected fewer columns": [
        functional(
            (given(2**13, name="a"),),
            (given(1, name="b"),),
            starts=[["a", 0, 0], ["b", 0, 0]],
            ends=[["a", 0, 0]],
        )
    ],
    "expected no renorm": [layer("BatchNormalization", renorm=True)],
    "expected no rms_scaling": [layer("LayerNormalization", rms_scaling=True)],
    "Softmax: expected the last axis, got axis 0": [layer("Softmax", axis=0)],
    "Normalization: expected axes of a sample": [layer("Normalization", axis=[0])],
    "one of max_value, negative_slope and threshold": [layer("ReLU", max_value=6, threshold=1.0)],
    "Dense: expected rows of one axis, got a shape of": [given(2, 4), dense()],
    "channels_last": [given(2, 4), layer("Flatten", data_format="channels_first")],
    r"expected a shape of \(rows, 4\), got \(3,\)": [layer("Reshape", target_shape=[3])],
    "expected rows of one axis, beside each other": [given(2, 4), layer("Concatenate")],
    "rows of a known shape, got": [given(None)],
    "rows of a known shape, got None": [dense("first"), dense()],
    "dense: 'units'|Dense: 'units'": [layer("Dense")],
    "Rescaling: expected numbers": [layer("Rescaling", scale="x")],
    "at most .* numbers": [given(2**30), dense()],
    "two layers named 'dense'": [dense(), dense()],
    "expected the name of a class": [{**dense(), "class_name": 3}],
    "Reshape: ": [layer("Reshape", target_shape="abc")],
    "multiply of what comes before": [
        functional(
            (given(4),),
            (layer("ReLU"), [("x", 0)]),
            (layer("Multiply"), [("x", 0), ("relu", 0)]),
            ends=[["multiply", 0, 0]],
            name="outer",
        )
    ],
    "'b': expected layers without a circle": [
        functional(
            (given(4),),
            (layer("ReLU", "a"), [("b", 0)]),
            (layer("ReLU", "b"), [("a", 0)]),
            ends=[["b", 0, 0]],
        )
    ],
    "expected one of 1 calls|expected one of 2 calls, got call 7": [
        functional(
            (given(4),),
            (layer("ReLU", "a"), [("x", 0)], [("a", 0)]),
            ends=[["a", 7, 0]],
        )
    ],
    "expected a layer of the model, got 'nowhere'": [
        functional((given(4),), ends=[["nowhere", 0, 0]])
    ],
    "expected a call, or an input": [
        functional((given(4),), (layer("ReLU"),), ends=[["relu", 0, 0]])
    ],
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    parts = BAD[words]
    starts = parts[0]["class_name"] in {"InputLayer", "Functional"} or "None" in words
    path = archive(tmp_path, sequential(*([] if starts else [given(4)]), *parts))
    with pytest.raises(xpnn.XpnnValueError, match=words) as error:
        xpnn.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_inputs_of_many_columns(tmp_path):
    """Beside each other they are the columns of one, whatever that would be as a product."""
    two = [(given(2000, name="a"),), (given(3000, name="b"),)]
    beside = layer("Concatenate"), [("a", 0), ("b", 0)]
    starts = [("a", 0, 0), ("b", 0, 0)]
    model = functional(*two, beside, starts=starts, ends=[["concatenate", 0, 0]])
    (one,) = xpnn.load(archive(tmp_path, model)).layers
    assert one.words == ["5000", "scale"]


def test_inputs_that_are_no_columns(tmp_path):
    two = [(given(4, name="a"),), (given(2, 2, name="b"),)]
    starts = [("a", 0, 0), ("b", 0, 0)]
    path = archive(tmp_path, functional(*two, starts=starts, ends=[["a", 0, 0]]))
    with pytest.raises(
        xpnn.XpnnValueError, match=r"inputs of one axis and one dtype, got 'a' of shape"
    ):
        xpnn.load(path)


def deep(depth):
    """The text of models in models."""
    before, after = json.dumps(sequential(given(4), "?")).split('"?"')
    return before * depth + json.dumps(dense()) + after * depth


def doubled(depth):
    """Models that call a model twice, again and again."""
    model = functional((given(4),), (layer("ReLU"), [("x", 0)]), ends=[["relu", 0, 0]], name="m")
    for _ in range(depth):
        twice = (model, [("x", 0)], [("m", 0)])
        model = functional((given(4),), twice, ends=[["m", 2, 0]], name="m")
    return model


TEXTS = {
    "expected a configuration in JSON": "[" * 10**5,
    "in JSON, got": "{",
    "Sequential or Functional model, got 'list'": "[]",
    "Sequential or Functional model, got 'Mine'": json.dumps({**SMALL, "class_name": "Mine"}),
    "is no layer of Keras": json.dumps({**SMALL, "module": "mine"}),
    "configuration of a model of Keras, got one with": json.dumps({"class_name": "Sequential"}),
    "expected a model with layers": json.dumps(sequential()),
    "fewer models inside of each other|JSON": deep(400),
    "calls of layers": json.dumps(doubled(40)),
}


@pytest.mark.parametrize("words", TEXTS)
def test_configurations_that_are_none(words, tmp_path):
    with pytest.raises(xpnn.XpnnValueError, match=words):
        xpnn.load(archive(tmp_path, TEXTS[words]))


# Archives and HDF5 files that are hostile


@pytest.mark.parametrize("length", [0, 2**40, 2**64 - 1])
@pytest.mark.parametrize("name", ["wine.h5", "wine.keras"])
def test_texts_that_never_end(name, length, tmp_path):
    """HDF5 itself would go on for ever, where no signal stops it."""
    path = tmp_path / name
    content = (FOLDER / name).read_bytes()
    if name.endswith("keras"):
        with zipfile.ZipFile(FOLDER / name) as old:
            entries = {entry: old.read(entry) for entry in old.namelist()}
        content = entries["model.weights.h5"]
    at = content.index(b"GCOL") + 16
    content = content[: at + 8] + length.to_bytes(8, "little") + content[at + 16 :]
    content = content[:at] + b"\0\0" * (not length) + content[at + 2 * (not length) :]
    if name.endswith("keras"):
        with zipfile.ZipFile(path, "w") as new:
            for entry, inside in {**entries, "model.weights.h5": content}.items():
                new.writestr(entry, inside)
    else:
        path.write_bytes(content)
    with pytest.raises(xpnn.XpnnValueError, match="a heap that is broken at byte"):
        xpnn.load(path)


def test_texts_longer_than_they_are(tmp_path):
    """HDF5 takes memory for what an attribute says of its length."""
    content = bytearray((FOLDER / "wine.h5").read_bytes())
    heap = content.index(b"GCOL")
    at = content.find(heap.to_bytes(8, "little"), heap + 4)
    while at >= 0:
        content[at - 4 : at] = (2**31).to_bytes(4, "little")
        at = content.find(heap.to_bytes(8, "little"), at + 1)
    path = tmp_path / "wine.h5"
    path.write_bytes(content)
    with pytest.raises(xpnn.XpnnValueError, match="got a text of 2147483648 bytes that has"):
        xpnn.load(path)


def test_archives_that_are_none(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK nothing")
    with pytest.raises(xpnn.XpnnValueError, match="expected a zip archive, got something else"):
        xpnn.load(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path, entries=[("config.json", "{}")])
    with pytest.raises(
        xpnn.XpnnValueError, match="expected each entry once, got two named 'config.json'"
    ):
        xpnn.load(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(xpnn.XpnnValueError, match="an entry 'metadata.json', which is missing"):
        xpnn.load(path)
    content = bytearray(archive(tmp_path).read_bytes())
    at = content.rindex(b"PK\x01\x02")  # of the weights
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(xpnn.XpnnValueError, match="and not encrypted"):
        xpnn.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (2**24 + 1))
    with pytest.raises(
        xpnn.XpnnValueError, match="'config.json': expected at most 16,777,216 bytes, got"
    ):
        xpnn.load(path)


def soft(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.SoftLink("/layers/dense/vars/1")


def external_link(file):
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink("other.h5", "/")


def external_data(file):
    del file["layers/dense/vars/0"]
    file.create_dataset(
        "layers/dense/vars/0", (4, 3), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file):
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4, 3))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def instead(**options):
    def change(file):
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", **options)

    return change


def a_group(file):
    del file["layers/dense/vars/0"]
    file.create_group("layers/dense/vars/0")


def empty(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.Empty("f4")


def circle(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = file["layers"]


HDF5 = {
    "in the file itself, got a SoftLink at '0'": soft,
    "in the file itself, got a ExternalLink at 'dense'": external_link,
    "kernel in the file itself, got what stands in another": external_data,
    "in the file itself, got what stands in another|expected a sound HDF5 file": virtual,
    "expected kernel of floating numbers, got int32": instead(shape=(4, 3), dtype="i4"),
    "expected kernel of floating numbers, got void": instead(shape=(4, 3), dtype="V2"),
    "expected kernel of floating numbers, got object": instead(
        shape=(4, 3), dtype=h5py.string_dtype()
    ),
    r"kernel of shape \(4, 3\), got \(1073741824, 1048576\)": instead(
        shape=(2**30, 2**20), dtype="f4", chunks=(64, 64), compression="gzip"
    ),
    "expected kernel as numbers, got a group": a_group,
    "expected kernel of shape .4, 3., got nothing": empty,
    "kernel as numbers, got a group|": circle,
}


@pytest.mark.parametrize("words", HDF5)
def test_hdf5_that_leads_elsewhere(words, tmp_path):
    path = archive(tmp_path, change=HDF5[words])
    with pytest.raises(xpnn.XpnnValueError, match=words):
        xpnn.load(path)


def test_arrays_that_a_small_file_claims(tmp_path, monkeypatch):
    """A compressed array of zeros takes no room in a file."""
    monkeypatch.setattr(keras_file, "MOST", 2**12)
    model = sequential(given(2000), dense(units=2000, use_bias=False))
    for chunk in (50, 500):
        big = instead(shape=(2000, 2000), dtype="f4", chunks=(chunk, chunk), compression="gzip")
        path = archive(tmp_path, model, {"layers/dense/vars/0": W}, change=big)
        with pytest.raises(xpnn.XpnnValueError, match="arrays of at most .* bytes in all"):
            xpnn.load(path)


def test_names_of_arrays_that_are_none(tmp_path):
    good = {"dense": {"dense/kernel:0": W, "dense/bias:0": B}}
    for words, names in {
        "expected 2 as weight_names, got an array": ["a"] * 3,
        "expected the names of 2 arrays, got 1": ["dense/kernel:0"],
        "got nothing of that name": ["a", "b"],
        "a text as weight_names|expected 2 as weight_names": "dense/kernel:0",
    }.items():
        path = legacy(tmp_path, SMALL, good)
        with h5py.File(path, "a") as file:
            file["model_weights/dense"].attrs["weight_names"] = names
        with pytest.raises(xpnn.XpnnValueError, match=words):
            xpnn.load(path)


def test_files_of_weights_alone(tmp_path):
    path = tmp_path / "m.weights.h5"
    path.write_bytes(weights())
    with pytest.raises(xpnn.XpnnValueError, match="expected a whole model, .* weights alone"):
        xpnn.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(xpnn.XpnnValueError, match="a file that is broken or another"):
        xpnn.load(path)


@pytest.mark.parametrize("file", ["float64.h5", "float64.keras"])
def test_broken_files(file, tmp_path):
    """Cut short, and with bytes that are others: read, or refused as a value, never anything else."""
    whole = (FOLDER / file).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / file
    for i in range(60):
        content = bytearray(whole)
        if i % 4 == 0:
            del content[rng.integers(len(whole)) :]
        for at in rng.integers(len(content) or 1, size=8 if content else 0):
            content[at] = rng.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(xpnn.XpnnValueError):
            xpnn.load(path)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "xpnn._convert.keras_file")
    monkeypatch.delattr("xpnn._convert.keras_file")
    with pytest.raises(xpnn.XpnnError, match=r"keras needs the package h5py; .*'xpnn\[keras\]'"):
        xpnn.load(FOLDER / "wine.keras")


def test_every_layer_is_in_a_test():
    """Those of the models that Keras wrote, and those of Keras 2 and of images by hand."""
    seen = set()

    def look(entry):
        if isinstance(entry, dict):
            seen.add(entry.get("class_name"))
        for one in entry.values() if isinstance(entry, dict) else entry:
            if isinstance(one, dict | list):
                look(one)

    for file in FOLDER.glob("*.keras"):
        with zipfile.ZipFile(file) as one:
            look(json.loads(one.read("config.json")))
    by_hand = {"ThresholdedReLU", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"}
    assert set(LAYERS) - seen - by_hand == {"Minimum"}
