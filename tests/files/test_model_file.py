"""The model file, the networks that come with xpnn, and every way in which a file can be wrong."""

import errno
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as safetensors_save

import xpnn
from xpnn import models
from xpnn._arrays.transfer import to_numpy
from xpnn._convert.extras import READERS
from xpnn._files import model_file

WEIGHT = np.asarray([[0.1, 0.2, 0.3], [-1.5, 2.5, 1e-30]], "float32")
BIAS = np.asarray([1, 2, 3], "float32")
TENSORS = {"layers.0.weight": WEIGHT, "layers.0.bias": BIAS}


def description(**changes):
    layers = [{"activation": "identity", "options": {}}]
    return {"format_version": 1, "layers": layers, "classes": None, "metadata": {}, **changes}


def activated(name, **options):
    return description(layers=[{"activation": name, "options": options}])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.safetensors"


@pytest.fixture
def write(path):
    """Write a model file of any description and tensors, and return its path."""

    def write(content=None, tensors=None):
        text = content if isinstance(content, str) else json.dumps(content or description())
        tensors = TENSORS if tensors is None else tensors
        path.write_bytes(safetensors_save(tensors, metadata={"xpnn": text}))
        return path

    return write


def stored(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["xpnn"])


def network(activation="softmax", dtype="float32"):
    first = xpnn.Dense(np.arange(6.0, dtype=dtype).reshape(2, 3) / 7, activation="relu")
    second = xpnn.Dense(np.ones((3, 2), dtype), np.asarray([0.1, -0.2], dtype), activation)
    return xpnn.Network([first, second], classes=["cat", 7])


# Round trip


@pytest.mark.parametrize("float_", ["float16", "float32", "float64"])
def test_round_trip_keeps_every_bit(path, float_):
    before = network(dtype=float_)
    before.save(path)
    after = xpnn.load(path)
    assert repr(after) == repr(before)
    assert after.classes == ("cat", 7)
    assert after.layers[0].bias is None
    for old, new in zip(before.layers, after.layers, strict=True):
        assert old.arrays.keys() == new.arrays.keys()
        assert [a.dtype for a in new.arrays.values()] == [float_] * len(new.arrays)
        assert [a.tobytes() for a in new.arrays.values()] == [
            a.tobytes() for a in old.arrays.values()
        ]


def test_network_of_any_backend_is_saved(path, backend):
    weight = backend.asarray(WEIGHT)
    xpnn.Network([xpnn.Dense(weight)]).save(path)
    np.testing.assert_array_equal(xpnn.load(path).layers[0].weight, WEIGHT)


def test_bfloat16_is_stored_as_float32(path, torch):
    weight = torch.tensor([[1.0, 2**-100]], dtype=torch.bfloat16)
    xpnn.Network([xpnn.Dense(weight)]).save(path)
    loaded = xpnn.load(path).layers[0].weight
    assert loaded.dtype == "float32"
    assert loaded.tolist() == [[1.0, 2**-100]]


@pytest.mark.parametrize(
    ("activation", "written"),
    [
        ("gelu", {"activation": "gelu", "options": {"approximate": "none"}}),
        (
            "gelu(approximate='tanh')",
            {"activation": "gelu", "options": {"approximate": "tanh"}},
        ),
        (
            "leaky_relu(negative_slope=0.2)",
            {"activation": "leaky_relu", "options": {"negative_slope": 0.2}},
        ),
        ("softmax", {"activation": "softmax", "options": {}}),
    ],
)
def test_options_of_activations_are_stated(path, activation, written):
    network(activation).save(path)
    assert stored(path)["layers"][1] == written
    assert xpnn.load(path).layers[1].activation == activation


def test_metadata_is_stored(path):
    network().save(path, metadata={"from": "naïve\nnotes"})
    assert stored(path)["metadata"] == {"from": "naïve\nnotes"}
    assert stored(path)["format_version"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a * np.nan, "layers.0.weight: expected finite values, got NaN .* 6 of 6"),
        (lambda a: a / np.zeros(1, "f4"), "expected finite values"),
        (lambda a: np.stack([a, a]), r"layer 0: Dense: expected weight of shape \(in, out\)"),
        (lambda _: None, "expected a tensor layers.0.weight, which is missing"),
        (lambda a: a > 0, "layer 0: Dense: expected real floating values in weight, got .* bool"),
        (lambda a: a.T, "layer 1: Dense: expected bias of shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*encountered in divide:RuntimeWarning")
def test_what_load_would_refuse_is_not_saved(path, change, words, jax):
    network().save(path)
    good = path.read_bytes()
    bad = jax.tree.map(change, network())
    with pytest.raises(ValueError, match=f"^save: .*{words}.*; nothing was written"):
        bad.save(path)
    assert path.read_bytes() == good
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}])
def test_metadata_is_of_strings(path, metadata):
    with pytest.raises(ValueError, match="expected metadata of str to str"):
        network().save(path, metadata=metadata)
    assert not path.exists()


def test_same_network_same_bytes(path, tmp_path):
    network().save(path, metadata={"b": "1", "a": "2"})
    network().save(tmp_path / "again", metadata={"a": "2", "b": "1"})
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_columns_first_weights(path):
    weight = np.asfortranarray(WEIGHT)
    xpnn.Network([xpnn.Dense(weight)]).save(path)
    np.testing.assert_array_equal(xpnn.load(path).layers[0].weight, WEIGHT)


# Writing whole or not at all


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_save_leaves_the_old_file_alone(path, monkeypatch, error):
    path.write_text("old")

    def fail(_):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        network().save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_save_replaces_and_leaves_nothing_else(path):
    path.write_text("old")
    network().save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert xpnn.load(path).parameters == 14


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_mode_of_the_file_is_what_umask_says(path, umask):
    old = os.umask(umask)
    try:
        network().save(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o200])
def test_what_is_replaced_keeps_its_mode(path, mode):
    path.touch()
    path.chmod(mode)
    with model_file.replacing(path) as file:
        part = next(p for p in path.parent.iterdir() if p != path)
        assert part.stat().st_mode & 0o077 == 0  # nobody else reads it meanwhile
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="attributes of files are Linux's")
def test_what_is_replaced_keeps_its_attributes(path):
    path.touch()
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    network().save(path)
    assert os.getxattr(path, "user.note") == b"mine"


def test_the_umask_of_the_process_is_left_alone(path, monkeypatch):
    """It belongs to all threads: files that another one makes meanwhile would be open to all."""
    monkeypatch.setattr(os, "umask", None)
    network().save(path)
    network().save(path)


def test_a_read_only_file_stays(path):
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=f"read-only.*{re.escape(path.name)}"):
        network().save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "old"


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path, there, relative):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "m.safetensors"
    if there:
        target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(Path("far", target.name) if relative else target)
    again = tmp_path / "again"
    again.symlink_to("link")
    network().save(again)
    assert again.is_symlink()
    assert link.is_symlink()
    assert xpnn.load(target).parameters == 14
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_another_hard_link_keeps_the_old_content(path):
    path.write_text("old")
    path.with_name("other").hardlink_to(path)
    network().save(path)
    assert path.with_name("other").read_text() == "old"
    assert xpnn.load(path).parameters == 14


@pytest.mark.parametrize("letter", ["m", "ü"])
@pytest.mark.parametrize("length", [240, 241, 254, 255])
def test_names_as_long_as_they_can_be(tmp_path, letter, length):
    width = len(letter.encode())
    name = letter * (length // width) + "m" * (length % width)
    network().save(tmp_path / name)
    network().save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_not_replaced(path):
    os.mkfifo(path)
    with pytest.raises(PermissionError, match="pipe"):
        network().save(path)
    assert path.is_fifo()


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="a"):
        network().save(tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_save_where_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        network().save(tmp_path / "none" / "m.safetensors")


def test_save_over_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        network().save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


# Files that are wrong


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -100, -1])
def test_truncated(path, length):
    network().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*truncated or no safetensors"):
        xpnn.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not a model",
        b"\xff" * 1000,
        pickle.dumps({"layers.0.weight": WEIGHT}),
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY" + bytes(100),
    ],
    ids=["text", "ones", "pickle", "zip", "npy"],
)
def test_not_safetensors(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="truncated or no safetensors"):
        xpnn.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_foreign_safetensors(path, metadata):
    path.write_bytes(safetensors_save(TENSORS, metadata=metadata))
    with pytest.raises(ValueError, match=r"no network of xpnn .* Network.from_weights"):
        xpnn.load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "expected format version 1 or 2, got None"),
        (description(format_version=True), "expected format version 1 or 2, got True"),
        (description(format_version=1.0), r"expected format version 1 or 2, got 1\.0"),
        (description(scale=2), "expected the fields format_version, .* got 'scale'"),
        (
            description(layers=[{"activation": "relu", "options": {}, "scale": 2}]),
            "layer 0: expected the fields activation, options, got 'scale'",
        ),
        ('{"format_version": 1, "format_version": 1}', "each field of its description once"),
        (activated("celu", alpha=0), "layer 0: celu: expected alpha to be .* other than 0"),
        (description(classes=[True, 1, 2]), "expected classes of str or int"),
        ('"xpnn"', "expected format version 1 or 2, got None"),
        (description(format_version=3), "got 3; a newer xpnn"),
        (description(format_version=2), "layer 0: expected a kind of layer, got"),
        (
            description(format_version=2, layers=[{"kind": "conv"}]),
            "layer 0: expected one of the kinds affine",
        ),
        (
            description(format_version=2, layers=[{"kind": "affine"}]),
            "layer 0: expected .* of affine, got '(weight|bias)'",
        ),
        (
            description(format_version=2, layers=[{"kind": "dense", "activation": "relu"}]),
            "layer 0: expected an activation and options",
        ),
        (description(format_version="1"), "expected format version 1 or 2, got '1'"),
        (description(layers={}), "expected a list of layers"),
        (description(layers=[]), "expected a list of layers"),
        (description(layers=None), "expected a list of layers"),
        (description(layers=[1]), "layer 0: expected an activation and options"),
        (description(layers=[{"activation": 3, "options": {}}]), "layer 0: expected an act"),
        (description(layers=[{"activation": "relu", "options": []}]), "layer 0: expected an act"),
        (description(layers=[{"activation": "relu"}]), "layer 0: expected an activation and"),
        (activated("swoosh"), "expected one of identity, .* got 'swoosh'"),
        (activated("__import__('os')"), "expected one of identity"),
        (activated("relu", slope=1), "expected options none, got 'slope'"),
        (activated("leaky_relu", negative_slope="a"), "expected negative_slope to be a finite"),
        (activated("leaky_relu", negative_slope=None), "expected negative_slope to be a finite"),
        (activated("leaky_relu", negative_slope=float("nan")), "finite number, got nan"),
        (activated("gelu", approximate=["tanh"]), "approximate to be 'none' or 'tanh'"),
        (description(classes="abc"), "expected a list of classes, got 'abc'"),
        (description(classes=[None, 1, 2]), "expected classes of str or int"),
        (description(classes=[[1], 2, 3]), "expected classes of str or int"),
        (description(classes=["a"]), "expected 3 classes"),
        (description(metadata=[]), "expected metadata of str to str"),
        (description(metadata={"a": 1}), "expected metadata of str to str"),
    ],
)
def test_wrong_description(write, content, words):
    path = write(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{words}"):
        xpnn.load(path)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"layers.0.bias": BIAS}, "a tensor layers.0.weight, which is missing"),
        ({}, "a tensor layers.0.weight, which is missing"),
        ({**TENSORS, "layers.1.weight": WEIGHT}, "got a tensor layers.1.weight beside"),
        ({**TENSORS, "layers.0.weights": WEIGHT}, "got a tensor layers.0.weights beside"),
        ({**TENSORS, "layers.0.bias": BIAS * np.nan}, "layers.0.bias: expected finite .* 3 of 3"),
        ({**TENSORS, "layers.0.weight": np.full_like(WEIGHT, np.inf)}, "expected finite"),
        ({**TENSORS, "layers.0.bias": np.arange(3)}, "layers.0.bias: expected dtype F16, .* I64"),
        ({**TENSORS, "layers.0.bias": BIAS > 0}, "layers.0.bias: expected dtype F16, .* BOOL"),
        ({**TENSORS, "layers.0.bias": BIAS[:2]}, r"expected bias of shape \(3,\)"),
        ({"layers.0.weight": BIAS}, r"expected weight of shape \(in, out\), got shape \(3,\)"),
        ({"layers.0.weight": WEIGHT[None]}, "expected weight of shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_wrong_tensors(write, tensors, words):
    path = write(tensors=tensors)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{words}"):
        xpnn.load(path)


def test_bfloat16_of_others(path, torch):
    from safetensors.torch import save

    tensors = {"layers.0.weight": torch.ones(2, 3, dtype=torch.bfloat16)}
    path.write_bytes(save(tensors, metadata={"xpnn": json.dumps(description())}))
    with pytest.raises(ValueError, match=r"layers.0.weight: expected dtype F16, .* got BF16"):
        xpnn.load(path)


def test_layers_that_do_not_fit(write):
    layers = [{"activation": "relu", "options": {}}] * 2
    path = write(description(layers=layers), {"layers.0.weight": WEIGHT, "layers.1.weight": WEIGHT})
    with pytest.raises(ValueError, match=r"layer 1 to take the 3 outputs.*2 -> 3, .* and .*2 -> 3"):
        xpnn.load(path)


def test_too_large(path):
    network().save(path)
    size = path.stat().st_size
    assert xpnn.load(path, max_bytes=size).parameters == 14
    with pytest.raises(ValueError, match=rf"at most {size - 1:,} bytes, got {size:,}; pass max_"):
        xpnn.load(path, max_bytes=size - 1)


def test_folder(tmp_path):
    with pytest.raises(ValueError, match="expected a model file, got .* which is no file"):
        xpnn.load(tmp_path)


def test_missing(path):
    with pytest.raises(FileNotFoundError, match=r"shipped network \(digits\), got .*m.safetens"):
        xpnn.load(path)


@pytest.mark.parametrize("suffix", [".safetensors", *READERS])
@pytest.mark.parametrize("options", [{}, {"layers": {"fc": "identity"}}], ids=str)
def test_what_may_not_be_read(suffix, options, tmp_path, monkeypatch):
    """Whichever library reads it: some of them would call it broken, or not there."""
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"a model")

    def denied(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(PermissionError, match="Permission denied") as found:
        xpnn.load(path, **options)
    assert found.value.filename == str(path)


# The networks that come with xpnn


def test_digits_is_small_and_says_how_good_it_is():
    path = models.path("digits")
    assert path.stat().st_size < 300_000
    right, of = re.search(
        r"([\d,]+) of ([\d,]+) right", stored(path)["metadata"]["held out"]
    ).groups()
    assert int(right.replace(",", "")) >= 0.935 * int(of.replace(",", "")) == 935


def test_digits_is_the_network_that_is_promised():
    digits = xpnn.load("digits")
    assert [layer.weight.shape for layer in digits.layers] == [(784, 50), (50, 100), (100, 10)]
    assert [layer.activation for layer in digits.layers] == ["sigmoid", "sigmoid", "softmax"]
    assert {layer.weight.dtype.name for layer in digits.layers} == {"float32"}
    assert digits.classes == tuple(range(10))


def test_sample_has_its_labels():
    x, labels = models.sample("digits")
    assert (x.shape, x.dtype) == ((200, 784), "uint8")
    assert (labels.shape, labels.dtype) == ((200,), "uint8")
    assert set(labels.tolist()) == set(range(10))


def test_same_classes_on_every_backend(backend):
    x, labels = models.sample("digits")
    digits = xpnn.load("digits")
    got = to_numpy(digits.classify(backend.asarray(x, "float32")))
    np.testing.assert_array_equal(got, digits.classify(x))
    assert np.count_nonzero(got == labels) >= 0.935 * len(labels)


@pytest.mark.parametrize("function", [models.path, models.sample])
def test_no_such_network(function):
    with pytest.raises(ValueError, match="expected one of the networks digits, got 'letters'"):
        function("letters")


def test_a_file_named_like_a_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network().save("digits")
    assert xpnn.load("digits").parameters == 45_360
    assert xpnn.load("./digits").parameters == 14


@pytest.mark.parametrize("ending", [".onnx", ".pt2", ".keras", ".npz", ".H5"])
def test_names_of_other_formats_are_refused(tmp_path, ending):
    path = tmp_path / f"network{ending}"
    with pytest.raises(ValueError, match=r"ends in \.safetensors.*to_onnx"):
        xpnn.load("digits").save(path)
    assert not path.exists()
