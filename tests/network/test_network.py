"""Dense and Network: meaning, where the weights are, dtypes, bad input."""

import copy
import math
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from labels import label

import xpnn
from xpnn._activations.table import ACTIVATIONS, RECORDS
from xpnn._arrays.library import key_of
from xpnn._arrays.transfer import to_numpy
from xpnn._execution.plans import kind_of

# The network of 'Deep Learning from Scratch', chapter 3.
X = [1.0, 0.5]
WEIGHTS = (
    [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
    [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]],
    [[0.1, 0.3], [0.2, 0.4]],
)
BIASES = ([0.1, 0.2, 0.3], [0.1, 0.2], [0.1, 0.2])


def book(output="identity", dtype="float64", **options):
    weights = [np.asarray(w, dtype) for w in WEIGHTS]
    biases = [np.asarray(b, dtype) for b in BIASES]
    return xpnn.Network.from_weights(weights, biases, output=output, **options)


def one_layer(activation, width=1, dtype="float64"):
    return xpnn.Network([xpnn.Dense(np.ones((2, width), dtype), activation=activation)])


def test_the_books_numbers(backend):
    x = backend.asarray(X)
    (a1, z1), (_, _), (_, y) = book().layer_outputs(x)
    for got, desired in (
        (a1, [0.3, 0.7, 1.1]),
        (z1, [0.57444252, 0.66818777, 0.75026011]),
        (y, [0.31682708, 0.69627909]),
        (book()(x), [0.31682708, 0.69627909]),
    ):
        values = backend.numpy(got, shape=(len(desired),), dtype="float64")
        np.testing.assert_allclose(values, desired, rtol=0, atol=5e-9)


def test_batches_and_leading_axes(backend, dtype):
    network = book(dtype=dtype)
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(dtype)
    whole = backend.numpy(network(backend.asarray(values)), shape=(3, 4, 2), dtype=dtype)
    one = backend.numpy(network(backend.asarray(values[1, 2])), shape=(2,), dtype=dtype)
    np.testing.assert_allclose(whole[1, 2], one, rtol=8 * np.finfo(dtype).eps)
    backend.numpy(network(backend.asarray(values[:0])), shape=(0, 4, 2), dtype=dtype)


def test_softmax_network(backend):
    network = book("softmax", classes=["no", "yes"])
    x = backend.asarray([X, [0.0, 0.0], [-30.0, 4.0]])
    p = backend.numpy(network(x), shape=(3, 2), dtype="float64")
    logits = backend.numpy(network.logits(x), shape=(3, 2), dtype="float64")
    log_p = backend.numpy(network.log_proba(x), shape=(3, 2), dtype="float64")
    np.testing.assert_allclose(logits[0], [0.31682708, 0.69627909], atol=5e-9)
    np.testing.assert_allclose(
        p, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), rtol=1e-14
    )
    np.testing.assert_allclose(log_p, np.log(p), rtol=1e-14)
    np.testing.assert_array_equal(to_numpy(network.classify(x)), p.argmax(-1))
    assert network.classes == ("no", "yes")


def test_one_sigmoid_is_binary(backend):
    network = one_layer("sigmoid")
    x = backend.asarray([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0], [800.0, 0.0]])
    classes = network.classify(x)
    assert [int(classes[i]) for i in range(4)] == [1, 0, 0, 1]
    assert classes.shape == (4,)
    log_p = backend.numpy(network.log_proba(x * -1), shape=(4, 1), dtype="float64")
    np.testing.assert_allclose(log_p[3], -800.0)
    assert network.classify(backend.asarray([1.0, 1.0])).shape == ()


def test_several_sigmoids_are_labels_of_their_own(backend):
    x = backend.asarray([[1.0, 2.0], [-1.0, 0.5]])
    classes = one_layer("sigmoid", 3).classify(x)
    assert classes.shape == (2, 3)
    assert [[int(classes[i, j]) for j in range(3)] for i in range(2)] == [[1] * 3, [0] * 3]


@pytest.mark.parametrize("method", ["classify", "log_proba", "logits"])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_regression_has_no_classes(method, output):
    has_them = [name for name, one in RECORDS.items() if one.log_probability]
    has_them += ["identity"] * (method == "logits")
    call = getattr(one_layer(output), method)
    if output in has_them:
        assert call(np.ones(2)).dtype == (int if method == "classify" else float)
        return
    named = f"{', '.join(has_them[:-1])} or {has_them[-1]}, got {output}: .* regression"
    with pytest.raises(ValueError, match=rf"network.{method}: .* of {named}"):
        call(np.ones(2))


def test_logits_of_identity_and_of_others(backend):
    x = backend.asarray(X)
    got = backend.numpy(one_layer("identity").logits(x), shape=(1,), dtype="float64")
    np.testing.assert_array_equal(got, [1.5])
    with pytest.raises(ValueError, match="network.logits: .* got tanh"):
        one_layer("tanh").logits(x)


def test_log_softmax_output(backend):
    x = backend.asarray(X)
    network = book("log_softmax")
    a = backend.numpy(network(x), shape=(2,), dtype="float64")
    b = backend.numpy(network.log_proba(x), shape=(2,), dtype="float64")
    np.testing.assert_array_equal(a, b)
    assert int(network.classify(x)) == 1


def test_promotion(backend):
    for weights, x, desired in (
        ("float32", "float32", "float32"),
        ("float64", "float32", "float64"),
        ("float32", "float64", "float64"),
        ("float32", "int32", "float32"),
        ("float64", "uint8", "float64"),
    ):
        y = book(dtype=weights)(backend.asarray([1, 0], x))
        backend.numpy(y, shape=(2,), dtype=desired)


@pytest.mark.parametrize("low", ["float16", "bfloat16"])
def test_low_precision_is_rounded_once(low, backend):
    if not hasattr(backend.xp, low):
        pytest.skip(f"{backend.name} has no {low}")
    network = book(dtype="float32").to(backend.xp, device=backend.device, dtype=low)
    x = backend.asarray(X, low)
    got = backend.numpy(network(x), shape=(2,), dtype=low)
    wide = network.to(backend.xp, dtype="float32")(backend.asarray(X, "float32"))
    rounded = backend.xp.astype(wide, getattr(backend.xp, low))
    np.testing.assert_array_equal(got, backend.numpy(rounded, shape=(2,), dtype=low))
    pairs = network.layer_outputs(x)
    np.testing.assert_array_equal(backend.numpy(pairs[-1][1], shape=(2,), dtype=low), got)


def test_a_low_result_overflows_without_a_warning(backend):
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    network = one_layer("identity", dtype="float16").to(backend.xp, device=backend.device)
    y = network(backend.asarray([60000.0, 60000.0], "float16"))
    assert backend.numpy(y, shape=(1,), dtype="float16").tolist() == [math.inf]


def test_weights_follow_and_are_remembered(backend):
    network = book()
    x = backend.asarray(X)
    network(x)
    copies = dict(network._copies)
    assert len(copies) == 1
    # How the pass runs, too; not on JAX in float64, which a setting may forbid the next time.
    assert len(network._plans) == (0 if backend.name == "jax" else 1)
    network(x)
    assert network._copies == copies
    network(backend.asarray(X, "float32"))
    network(np.asarray(X))
    assert network.follows
    assert network.layers[0].weight.dtype == np.float64


class NoKey:
    """A device as CuPy has them."""

    __hash__ = None

    def __str__(self):
        return "<CUDA Device 0>"


def test_devices_that_cannot_be_keys():
    assert key_of(NoKey()) == "<CUDA Device 0>"
    assert key_of("cpu") == "cpu"
    assert key_of(None) is None
    x = SimpleNamespace(dtype="float32", shape=(2, 3), device=NoKey())
    assert {kind_of(x, None): 1} == {("float32", 2, (3,), "<CUDA Device 0>", (None,)): 1}


def test_placed_weights_stay(torch):
    placed = book().to(torch)
    assert not placed.follows
    assert placed(torch.tensor(X)).dtype == torch.float64
    with pytest.raises(
        TypeError, match=r"x of numpy on cpu, .* stay with torch on cpu; network.to"
    ):
        placed(np.asarray(X))
    assert placed.to(np.asarray(X))(np.asarray(X)).tolist() == book()(np.asarray(X)).tolist()
    with pytest.raises(TypeError, match="stay with numpy"):
        book().to(np)(torch.tensor(X))


def test_placed_weights_on_another_device(backend):
    if backend.name != "array-api-strict":
        pytest.skip("needs two devices")
    placed = book().to(backend.xp, device=backend.xp.Device("device2"))
    with pytest.raises(
        ValueError, match="got x of array_api_strict on .* stay with array_api_strict"
    ):
        placed(backend.asarray(X))


def test_to_keeps_gradients_within_torch(torch):
    weight = torch.ones((2, 1), requires_grad=True)
    network = xpnn.Network([xpnn.Dense(weight)])
    network.to(torch, dtype=torch.float64)(torch.tensor(X)).sum().backward()
    assert weight.grad.tolist() == [[1.0], [0.5]]


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("float64")], ids=str)
def test_to_takes_dtypes_as_people_write_them(dtype):
    moved = book().to(np, dtype=dtype)
    assert moved.layers[0].weight.dtype == np.dtype(dtype)


def test_to_takes_jax_dtypes(jax):
    moved = book().to(jax.numpy, dtype=jax.numpy.float32, device="cpu")
    assert moved.layers[0].weight.dtype == "float32"
    with pytest.raises(ValueError, match="jax.numpy has no device 'tpu' here; it has"):
        book().to(jax.numpy, device="tpu")


def test_to_bad(torch):
    with pytest.raises(TypeError, match="dtype to be one of float16, .* got int32"):
        book().to(np, dtype="int32")
    with pytest.raises(ValueError, match="torch has no device 'cuda:7' here; it has cpu"):
        book().to(torch, device="cuda:7")
    with pytest.raises(
        TypeError, match="expected an array, or a namespace .*, got the text 'torch'"
    ):
        book().to("torch")
    with pytest.raises(TypeError, match="expected like to be an array"):
        book().to(None)


def test_float64_without_x64_is_an_error(jax):
    with jax.enable_x64(False):
        x = jax.numpy.asarray([1.0, 0.5])
        assert x.dtype == "float32"
        with pytest.raises(TypeError, match="jax_enable_x64.*jax_explicit_x64_dtypes.*network.to"):
            book()(x)
        with pytest.raises(TypeError, match="jax_enable_x64"):
            book().to(jax.numpy)
        assert book(dtype="float32")(x).dtype == "float32"
        assert book().to(jax.numpy, dtype="float32")(x).dtype == "float32"


SETTINGS = {
    "network": lambda n, x, xp: n(x),
    "plain": lambda n, x, xp: n(x, xp=xp),
    "reproducible": lambda n, x, xp: n(x, xp=xpnn.reproducible(xp)),
    "logits": lambda n, x, xp: n.logits(x),
    "layer_outputs": lambda n, x, xp: n.layer_outputs(x)[-1][1],
    "error_bound": lambda n, x, xp: xpnn.error_bound(n, x),
    "softmax": lambda n, x, xp: xpnn.softmax(x),
    "plain softmax": lambda n, x, xp: xpnn.softmax(x, xp=xp),
    "logsumexp": lambda n, x, xp: xpnn.logsumexp(x),
    "sigmoid": lambda n, x, xp: xpnn.sigmoid(x),
}


def outcome(call, network, x, xp):
    try:
        return call(network, x, xp).dtype
    except xpnn.XpnnError as error:
        return str(error)


@pytest.mark.parametrize("call", SETTINGS)
@pytest.mark.parametrize("layer", [xpnn.Flatten((2,)), xpnn.Dense(np.ones((2, 2)))])
def test_64_bits_in_an_earlier_call_change_nothing(call, layer, x64, jax):
    """Nor that there were none: results and errors are those of a network that was never called."""
    x, xp, call = jax.numpy.ones((3, 2), "int32"), jax.numpy, SETTINGS[call]
    used = xpnn.Network([layer])
    outcome(call, used, x, xp)
    with jax.enable_x64(not x64):
        for _ in "12":
            outcome(call, used, x, xp)
    assert outcome(call, used, x, xp) == outcome(call, xpnn.Network([layer]), x, xp)


@pytest.mark.parametrize("call", SETTINGS)
def test_torchs_default_dtype_in_an_earlier_call_changes_nothing(call, torch):
    x, used = torch.torch.ones((3, 2), dtype=torch.int32), xpnn.Network([xpnn.Flatten((2,))])
    for name in ("float32", "float64", "float32"):
        torch.torch.set_default_dtype(getattr(torch, name))
        try:
            found = [
                outcome(SETTINGS[call], n, x, torch)
                for n in (used, used, xpnn.Network([xpnn.Flatten((2,))]))
            ]
        finally:
            torch.torch.set_default_dtype(torch.float32)
        assert found[0] == found[1] == found[2]


def test_float64_allowed_explicitly(jax):
    del jax
    code = """
import jax, numpy as np, xpnn
jax.config.update("jax_explicit_x64_dtypes", "allow")
network = xpnn.Network([xpnn.Dense(np.full((2, 2), 0.1)), xpnn.Dense(np.eye(2), None, "softmax")])
x = np.asarray([1.0, 0.7])
place = lambda a: jax.numpy.asarray(a, dtype=jax.numpy.float64)
for f in (network, network.log_proba, xpnn.gelu, xpnn.erf, xpnn.logsumexp, xpnn.softmax):
    for g in (f, jax.jit(f)):
        y = g(place(x))
        assert str(y.dtype) == "float64", y
        np.testing.assert_allclose(np.asarray(y), f(x), rtol=1e-14)
    derivative = np.asarray(jax.grad(lambda a: f(a).sum())(place(x)))
    step = 1e-6
    near = [(f(x + d).sum() - f(x - d).sum()) / (2 * step) for d in np.eye(2) * step]
    np.testing.assert_allclose(derivative, near, rtol=1e-8, atol=1e-9)
assert int(network.classify(place(x))) == int(jax.jit(network.classify)(place(x))) == 0
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_network_made_before_jax_is_imported(jax):
    del jax
    code = """
import numpy as np, xpnn
network = xpnn.Network([xpnn.Dense(np.full((1, 1), 0.5, "float32"))])
import jax
placed = network.to(jax.numpy)
assert float(jax.jit(lambda n, x: n(x))(placed, jax.numpy.ones(1))[0]) == 0.5
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_frozen_hashable_picklable():
    network = book("softmax", classes=[3, 7])
    with pytest.raises(AttributeError):
        network.layers = ()
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].weight[0, 0] = 1
    assert len({network, network}) == 1
    for again in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert again.classes == (3, 7)
        assert again.follows
        np.testing.assert_array_equal(again(np.asarray(X)), network(np.asarray(X)))
    assert not pickle.loads(pickle.dumps(network.to(np))).follows


def jax_map(f, network):
    return pytest.importorskip("jax").tree.map(f, network)


def torch_map(f, network):
    return pytest.importorskip("torch").utils._pytree.tree_map(f, network)


MADE = {
    "as it is": lambda n: n,
    "jax.tree.map": lambda n: jax_map(np.array, n),
    "torch's tree_map": lambda n: torch_map(np.array, n),
    "to": lambda n: n.to(np),
    "to float32": lambda n: n.to(np, dtype="float32"),
    "pickle": lambda n: pickle.loads(pickle.dumps(n)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.libraries
@pytest.mark.parametrize("made", MADE)
def test_weights_of_numpy_cannot_be_changed(made):
    # First, as what is made afterwards is a tree of theirs.
    pytest.importorskip(next((n for n in ("jax", "torch") if made.startswith(n)), "numpy"))
    given = [np.asarray(w) for w in WEIGHTS], [np.asarray(b) for b in BIASES]
    network = MADE[made](xpnn.Network.from_weights(*given))
    x = np.asarray(X, network.layers[0].weight.dtype)
    ways = {None: network(x), "np": network(x, xp=np)}
    same = network(x, xp=xpnn.reproducible(np))
    for layer in network.layers:
        for a in layer.arrays.values():
            with pytest.raises(ValueError, match="read-only"):
                a[...] = 0
    for part in given:
        for a in part:
            a[...] = 7
    np.testing.assert_array_equal(network(x), ways[None])
    np.testing.assert_array_equal(network(x, xp=np), ways["np"])
    np.testing.assert_array_equal(network(x, xp=xpnn.reproducible(np)), same)


def test_what_a_tree_map_gives_is_copied(jax):
    other = book()
    arrays = []
    network = jax_map(lambda a: arrays.append(a.copy()) or arrays[-1], other)
    before = network(np.asarray(X))
    for a in arrays:
        a[...] = 7
    np.testing.assert_array_equal(network(np.asarray(X)), before)


LAYOUTS = {
    "rows first": np.ascontiguousarray,
    "columns first": np.asfortranarray,
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, -1)[::2, ..., ::3] if a.ndim > 1 else a,
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "subclass": lambda a: a.view(type("Marked", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weights_in_any_layout(layout, dtype, tmp_path):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=(4, 3)).astype(dtype)]
    biases = [rng.normal(size=4).astype(dtype), rng.normal(size=3).astype(dtype)]
    plain = xpnn.Network.from_weights(weights, biases, output="softmax")
    change = LAYOUTS[layout]
    network = xpnn.Network.from_weights(
        [change(w) for w in weights], [change(b) for b in biases], output="softmax"
    )
    x = rng.normal(size=(7, 5)).astype(dtype)
    for xp in (xpnn.reproducible(np), np, None):
        y, desired = network(x, xp=xp), plain(x, xp=xp)
        assert (type(y), y.dtype) == (np.ndarray, dtype)
        rtol = 0 if getattr(xp, "native_namespace", None) else 1e-3 if dtype == "float16" else 1e-5
        np.testing.assert_allclose(y, desired, rtol=rtol)
    network.save(tmp_path / "m")
    for old, new in zip(plain.layers, xpnn.load(tmp_path / "m").layers, strict=True):
        np.testing.assert_array_equal(old.weight, new.weight)
        assert new.weight.dtype == np.dtype(dtype)


def test_weights_of_a_mapped_file(tmp_path):
    np.save(tmp_path / "w.npy", np.ones((2, 1)))
    mapped = np.load(tmp_path / "w.npy", mmap_mode="r+")
    network = xpnn.Network([xpnn.Dense(mapped)])
    mapped[...] = 7
    assert network(np.ones(2)).tolist() == [2.0]


def test_a_tree_of_anything_is_pickled(jax):
    for f in (lambda a: np.stack([a, a]), lambda _: None, lambda a: a > 0):
        network = jax_map(f, book())
        for again in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
            for old, new in zip(network.layers, again.layers, strict=True):
                np.testing.assert_array_equal(old.weight, new.weight)


@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_in_place_is_followed_whole(torch, way, dtype):
    """By an optimizer, through `data`, without and with a record of gradients."""
    xp = {"fast": None, "plain": torch, "reproducible": xpnn.reproducible(torch)}[way]
    network = book("tanh").to(torch, dtype=dtype)
    leaves = [a.requires_grad_() for layer in network.layers for a in layer.arrays.values()]
    optimizer = torch.optim.SGD(leaves, lr=0.1)
    x = torch.tensor(X, dtype=torch.float64)

    def check():
        weights = [layer.weight.detach().numpy().copy() for layer in network.layers]
        biases = [layer.bias.detach().numpy().copy() for layer in network.layers]
        fresh = xpnn.Network.from_weights(weights, biases, output="tanh")
        desired = fresh(np.asarray(X), xp=xpnn.reproducible(np))
        for enabled in (True, False):
            with torch.set_grad_enabled(enabled):
                got = network(x, xp=xp).detach().numpy()
            if way == "reproducible":
                np.testing.assert_array_equal(got, desired)
            np.testing.assert_allclose(got, desired, rtol=1e-14)
        return desired

    seen = [check()]
    network(x, xp=xp).sum().backward()
    optimizer.step()
    seen.append(check())
    for a in leaves:
        a.data.mul_(1.5)
    seen.append(check())
    with torch.no_grad():
        for a in leaves:
            a.add_(0.25)
    seen.append(check())
    assert len({y.tobytes() for y in seen}) == len(seen)


def test_weights_of_a_reproducible_namespace(backend, rxp):
    weight = rxp.asarray(backend.asarray([[1.0], [2.0]]))
    network = xpnn.Network([xpnn.Dense(weight)])
    x = backend.asarray(X)
    for _ in "12":
        assert to_numpy(network(x)).tolist() == [2.0]
        assert to_numpy(network(x, xp=rxp)).tolist() == [2.0]
        assert to_numpy(network(rxp.asarray(x)).native).tolist() == [2.0]


@pytest.mark.parametrize(
    ("classes", "desired"),
    [
        (np.asarray([3, 7]), (3, 7)),
        (np.asarray([3, 7], ">u2"), (3, 7)),
        (np.asarray(["no", "yes"]), ("no", "yes")),
        (np.asarray(["no", 7], object), ("no", 7)),
        ([np.int64(3), np.str_("yes")], (3, "yes")),
        (["", ""], ("", "")),
    ],
)
def test_classes_become_pythons(classes, desired, tmp_path):
    network = book("softmax", classes=classes)
    assert network.classes == desired
    assert {type(c) for c in network.classes} <= {int, str}
    network.save(tmp_path / "m")
    assert xpnn.load(tmp_path / "m").classes == desired


@pytest.mark.parametrize(
    "classes",
    [
        [True, False],
        np.asarray([True, False]),
        np.asarray([0.0, 1.0]),
        "ab",
        [b"a", b"b"],
        np.asarray([[0, 1], [2, 3]]),
        np.asarray([1, 2], "m8[s]"),
    ],
    ids=repr,
)
def test_bad_classes(classes):
    with pytest.raises(TypeError, match="classes"):
        book("softmax", classes=classes)


def test_no_inputs():
    shapes = [(0, 2), (2, 3)]
    network = xpnn.Network([xpnn.Dense(np.ones(s), np.ones(s[1]), "tanh") for s in shapes])
    for xp in (None, np, xpnn.reproducible(np)):
        np.testing.assert_allclose(
            network(np.ones((4, 0)), xp=xp),
            np.tanh(np.full((4, 3), 1 + 2 * np.tanh(1))),
            rtol=1e-15,
        )


def test_repr(torch):
    text = repr(book("softmax", classes=["no", "yes"]))
    for part in (
        "3 layers",
        "23 parameters",
        "float64",
        "follow the input",
        "3 -> 2, bias, sigmoid",
    ):
        assert part in text
    assert "classes no, yes" in text
    assert "float32, torch weights on cpu" in repr(book().to(torch, dtype="float32"))
    dense = xpnn.Dense(np.ones((2, 3)), None, "leaky_relu(negative_slope=0.2)")
    assert repr(dense) == "Dense(2 -> 3, leaky_relu(negative_slope=0.2), float64)"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("gelu", "gelu"),
        ("gelu(approximate='none')", "gelu"),
        ("gelu( approximate = 'tanh' )", "gelu(approximate='tanh')"),
        ("leaky_relu(negative_slope=0.2)", "leaky_relu(negative_slope=0.2)"),
        ("elu(alpha=2)", "elu(alpha=2.0)"),
        (" relu ", "relu"),
        ("softplus(beta=2, threshold=20)", "softplus(beta=2.0, threshold=20.0)"),
        ("softplus(threshold=None)", "softplus"),
    ],
)
def test_activation_options(text, canonical, backend):
    dense = xpnn.Dense(np.eye(2), None, text)
    assert dense.activation == canonical
    x = backend.asarray([-1.5, 2.0])
    name, _, rest = text.partition("(")
    options = eval(f"dict({rest or ')'}")
    direct = backend.numpy(getattr(xpnn, name.strip())(x, **options), shape=(2,), dtype="float64")
    layer = backend.numpy(xpnn.Network([dense])(x), shape=(2,), dtype="float64")
    np.testing.assert_array_equal(layer, direct)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("swish", ValueError, "expected one of identity, .* got 'swish'"),
        ("gelu(fast=True)", ValueError, "gelu: expected options approximate, got 'fast'"),
        ("relu(alpha=1)", ValueError, "relu: expected options none, got 'alpha'"),
        ("elu(alpha='x')", TypeError, "elu: expected alpha to be a finite number, got 'x'"),
        ("elu(alpha=True)", TypeError, "elu: expected alpha to be a finite number, got True"),
        ("elu(2)", ValueError, "expected a form like"),
        ("elu(alpha=__import__('os'))", ValueError, "expected a form like"),
        ("elu(alpha=1", ValueError, "expected a form like"),
        (xpnn.relu, TypeError, "expected the name of an activation"),
        (None, TypeError, "expected the name of an activation"),
    ],
    ids=label,
)
def test_bad_activation(text, error, words):
    with pytest.raises(error, match=words):
        xpnn.Dense(np.eye(2), None, text)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: xpnn.Dense([[1.0]]), TypeError, "Dense: expected weight to be an array"),
        (lambda: xpnn.Dense(np.ones(2)), ValueError, r"weight of shape \(in, out\), got .*\(2,\)"),
        (lambda: xpnn.Dense(np.eye(2), np.ones(3)), ValueError, r"bias of shape \(2,\) .*\(3,\)"),
        (lambda: xpnn.Dense(np.eye(2, dtype=int)), TypeError, "floating values in weight, got"),
        (
            lambda: xpnn.Dense(np.eye(2, dtype=complex)),
            TypeError,
            "in weight, got dtype complex128",
        ),
        (lambda: xpnn.Dense(np.eye(2), np.ones(2, bool)), TypeError, "in bias, got dtype bool"),
        (lambda: xpnn.Network([]), ValueError, "at least one layer"),
        (
            lambda: xpnn.Network([np.eye(2)]),
            TypeError,
            "layer 0 to be an xpnn.Dense or another layer, got ndarray",
        ),
        (
            lambda: xpnn.Network([xpnn.Dense(np.ones((2, 3))), xpnn.Dense(np.ones((4, 1)))]),
            ValueError,
            r"layer 1 to take the 3 outputs of layer 0, got Dense\(2 -> 3, .* and Dense\(4 -> 1",
        ),
        (lambda: book(classes=["a"]), ValueError, "expected 2 classes for 2 outputs"),
        (lambda: book(classes=[None, 1.5]), TypeError, "classes of str or int"),
        (
            lambda: xpnn.Network.from_weights([np.eye(2)], [None, None]),
            ValueError,
            "got 1 weights and 2 biases",
        ),
        (
            lambda: xpnn.Network.from_weights([np.eye(2), [[1]]], None),
            TypeError,
            "layer 1: Dense: expected weight to be an array",
        ),
    ],
)
def test_bad_layers(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_binary_classes():
    dense = xpnn.Dense(np.ones((2, 1)), activation="sigmoid")
    assert xpnn.Network([dense], classes=["no", "yes"]).classes == ("no", "yes")


def test_mixed_libraries_in_layers(torch):
    with pytest.raises(TypeError, match="weight of numpy and bias of torch"):
        xpnn.Dense(np.eye(2), torch.ones(2))
    with pytest.raises(TypeError, match="layer 0 of numpy and layer 1 of torch"):
        xpnn.Network([xpnn.Dense(np.eye(2)), xpnn.Dense(torch.eye(2, dtype=torch.float64))])


@pytest.mark.parametrize("method", ["__call__", "logits", "log_proba", "classify", "layer_outputs"])
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([1.0, 0.5], TypeError, "expected x to be an array"),
        (
            np.ones(3),
            ValueError,
            r"layer 0: .* \(\.\.\., 2\) for weight of shape \(2, 3\), got .*\(3,\)",
        ),
        (np.ones((4, 1)), ValueError, r"got shape \(4, 1\)"),
        (np.asarray(1.0), ValueError, r"got shape \(\)"),
        (np.ones(2, bool), TypeError, "in x, got dtype bool"),
        (np.ones(2, complex), TypeError, "in x, got dtype complex128"),
    ],
    ids=repr,
)
def test_bad_input(method, x, error, words):
    with pytest.raises(error, match=words):
        getattr(book("softmax"), method)(x)


def test_transposed_weight_is_hinted():
    with pytest.raises(ValueError, match=r"use weight\.T"):
        xpnn.linear(np.ones(3), np.ones((2, 3)))


def test_linear(backend):
    x, w = backend.asarray([[1.0, 2.0]], "float32"), backend.asarray([[3.0], [4.0]])
    got = backend.numpy(xpnn.linear(x, w), shape=(1, 1), dtype="float64")
    assert got.tolist() == [[11.0]]
    b = backend.asarray([0.5], "float32")
    got = backend.numpy(xpnn.linear(x, w, b, xp=backend.xp), shape=(1, 1), dtype="float64")
    assert got.tolist() == [[11.5]]
    got = backend.numpy(
        xpnn.linear(backend.asarray([1, 2], "int32"), backend.asarray([[3], [4]], "int32")),
        shape=(1,),
        dtype=str(
            backend.xp.__array_namespace_info__().default_dtypes()["real floating"]
        ).rpartition(".")[2],
    )
    assert got.tolist() == [11.0]


def test_nan_and_infinity_pass_through_a_product(backend):
    x = backend.asarray([[math.nan, 1.0], [math.inf, -math.inf], [1.0, 1.0]])
    got = backend.numpy(one_layer("identity")(x), shape=(3, 1), dtype="float64")
    np.testing.assert_array_equal(got[:, 0], [math.nan, math.nan, 2.0])


def test_empty_width(backend):
    network = xpnn.Network([xpnn.Dense(np.zeros((0, 2)), np.asarray([1.0, 2.0]))])
    got = backend.numpy(network(backend.asarray(np.zeros((3, 0)))), shape=(3, 2), dtype="float64")
    np.testing.assert_array_equal(got, [[1.0, 2.0]] * 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_stay_may_change(torch, dtype):
    """Trained in place; in x's own dtype, and in another, where each call makes a copy of them."""
    x = torch.asarray(X, dtype=torch.float64)
    network = book().to(torch, dtype=dtype)
    for layer in network.layers:
        layer.weight.requires_grad_()
    before = network(x)
    for _ in "12":  # each with a record of its own
        network(x).sum().backward()
    assert network.layers[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        network.layers[-1].weight.mul_(2)
        network.layers[-1].bias.mul_(2)
    np.testing.assert_allclose(network(x).detach(), 2 * before.detach(), rtol=1e-6)
