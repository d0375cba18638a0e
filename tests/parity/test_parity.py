"""parity and explain: sound results pass, each planted fault is caught, and named where it can be."""

import functools
import json
import sys

import numpy as np
import pytest
from golden_cases import LAYERED, layered, samples
from networks import random_network

import xpnn
import xpnn.models
from xpnn._arrays.library import library_of_namespace
from xpnn._arrays.transfer import to_numpy
from xpnn._execution import functions, plans
from xpnn._parity import parity
from xpnn._parity.case import rounded


@functools.cache
def digits():
    return xpnn.load("digits"), xpnn.models.sample("digits")[0].astype("float32")


@functools.cache
def gated():
    """A network of gelu, with a square weight."""
    network = random_network((20, 30, 30, 4), "gelu", "softmax", seed=1, scale=2.0)
    return network, np.random.default_rng(2).normal(size=(40, 20)).astype("float32")


def narrowed(bits):
    """A product of float32 matrices whose factors are rounded to fewer bits."""

    def matmul(a, b):
        narrow = [rounded(f.astype("float64"), bits).astype("float32") for f in (a, b)]
        return narrow[0] @ narrow[1]

    return matmul


def by_hand(network, x, *, matmul=np.matmul, bias=True, hidden=None, output=None):
    """The forward pass that somebody else wrote."""
    z = x
    for layer in network.layers:
        last = layer is network.layers[-1]
        a = matmul(z, layer.weight) + (layer.bias if bias else 0)
        z = ((output if last else hidden) or layer.activate)(a)
    return z


def changed(network, i, make):
    """The network with another weight in layer i."""
    layers = list(network.layers)
    layers[i] = xpnn.Dense(make(layers[i].weight.copy()), layers[i].bias, layers[i].activation)
    return xpnn.Network(layers)


def by_a_tenth(weight):
    weight[400 % len(weight), 3] *= np.float32(1.1)
    return weight


def softmax_with(epsilon):
    def softmax(a):
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        return e / (e.sum(axis=-1, keepdims=True) + np.float32(epsilon))

    return softmax


TANH = functools.partial(xpnn.gelu, approximate="tanh")
ORDER = [3, 0, 1, 2]
FAULTY = {
    "TF32": (digits, lambda n, x: by_hand(n, x, matmul=narrowed(11)), "factors of products rounded to TF32"),
    "bfloat16": (digits, lambda n, x: by_hand(n, x, matmul=narrowed(8)), "factors of products rounded to bfloat16"),
    "gelu": (gated, lambda n, x: by_hand(n, x, hidden=TANH), "gelu's other form in layers 0, 1"),
    "axis": (
        gated,
        lambda n, x: by_hand(n, x, output=lambda a: xpnn.softmax(a, axis=0)),
        "softmax over the wrong axis",
    ),
    "bias": (digits, lambda n, x: by_hand(n, x, bias=False), "a missing bias in layers 0, 1, 2"),
    "order": (gated, lambda n, x: n(x)[:, ORDER], "the classes in another order: 3, 0, 1, 2"),
    "transposed": (
        gated,
        lambda n, x: changed(n, 1, lambda w: w.T)(x),
        "a transposed weight in layer 1",
    ),
    "first weight": (digits, lambda n, x: changed(n, 0, by_a_tenth)(x), "unknown"),
    "last weight": (digits, lambda n, x: changed(n, 2, by_a_tenth)(x), "unknown"),
    "epsilon": (
        gated,
        lambda n, x: by_hand(n, x, output=softmax_with(1e-3)),
        "an epsilon of 0.001 added to the sum of the probabilities",
    ),
    "left out": (gated, lambda n, x: n.logits(x), "the output layer's activation: softmax left out"),
    "twice": (gated, lambda n, x: xpnn.softmax(n(x)), "the output layer's activation: softmax twice"),
    "scale": (digits, lambda n, x: n(x / 255), "another scale of the input: times 0.00392"),
    "another activation": (
        gated,
        lambda n, x: by_hand(n, x, hidden=xpnn.relu),
        "another activation in layers 0, 1: relu in place of gelu",
    ),
    "a NaN": (digits, lambda n, x: np.where(np.arange(len(x))[:, None] == 7, np.nan, n(x)), "y has NaN at 10 places: row 7, all 10 columns"),
    "one row": (gated, lambda n, x: np.where(np.arange(len(x))[:, None] == 9, 0.25, n(x)), "unknown; in row 9 alone, 1 of 40"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_is_caught(name):
    make, compute, words = FAULTY[name]
    network, x = make()
    found = xpnn.explain(network, x, compute(network, x).astype("float32"))
    assert not found.passed
    assert found.faults
    assert words in found.cause
    assert "FAILED" in repr(found)
    assert found.cause in repr(found)


def test_rows_outside_the_bound_are_counted():
    network, x = gated()
    y = network(x)
    y[[3, 9, 30], 1] += np.float32(0.01)
    y[11, 0] = np.nan
    assert xpnn.explain(network, x, y).comparison.outside == 4
    many = np.tile(x, (10, 1))  # of which not all are compared with exact values
    y = network(many)
    y[:, 2] += np.float32(0.01)
    found = xpnn.explain(network, many, y)
    assert found.comparison.outside == 400
    assert len(found.comparison.points) == 128 * 4


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda n, x: n(x.astype("float32")), "float64 cut to float32"),
        (lambda n, x: n(x.astype("float32").astype("float64")), "float32, the input"),
        (
            lambda n, x: n.to(np, dtype="float32").to(np, dtype="float64")(x),
            "float32, the weights",
        ),
    ],
)
def test_float64_cut_to_float32_is_caught(compute, words):
    network = random_network((20, 30, 4), "sigmoid", "softmax", dtype="float64")
    x = np.random.default_rng(2).normal(size=(40, 20))
    assert xpnn.explain(network, x, network(x)).passed
    cut = compute(network, x).astype("float64")
    if words == "float64 cut to float32":
        single = network.to(np, dtype="float32")
        cut = single(x.astype("float32")).astype("float64")
    found = xpnn.explain(network, x, cut)
    assert not found.passed
    assert words in found.cause


def test_another_slope_and_a_logarithm_with_an_epsilon():
    network = random_network((8, 16, 4), "leaky_relu", "softmax")
    x = np.random.default_rng(2).normal(size=(40, 8)).astype("float32")
    slope = functools.partial(xpnn.leaky_relu, negative_slope=0.2)
    found = xpnn.explain(network, x, by_hand(network, x, hidden=slope))
    assert found.cause == "another slope of leaky_relu in layer 0: 0.2"
    y = np.log(network(x) + np.float32(1e-5))
    found = xpnn.explain(network, x, y, of="log_proba")
    assert found.cause == "an epsilon of 1e-05 added to the probabilities"
    assert xpnn.explain(network, x, network.log_proba(x), of="log_proba").passed
    assert xpnn.explain(network, x, network.logits(x), of="logits").passed


def test_products_that_are_inside_the_bound_and_not_of_this_precision():
    """At a width of 4,096 TF32 hides in the bound: its errors average out."""
    network = random_network((4096, 16, 4), "tanh", "identity", seed=5)
    x = np.random.default_rng(2).normal(size=(20, 4096)).astype("float32")
    found = xpnn.explain(network, x, by_hand(network, x, matmul=narrowed(11)))
    assert found.comparison.of_bound < 1
    assert found.comparison.outside == 0
    beyond, fault = found.faults
    assert beyond.startswith(
        "20 rows inside the bound with errors more than 16 times those expected"
    )
    assert fault.startswith("errors ")
    assert fault.endswith("times those expected of float32, sound ones stay below 8")
    assert "TF32" in found.cause
    assert xpnn.explain(network, x, network(x)).passed


def test_other_libraries_results_pass(torch, jax):
    network, x = gated()
    layers = []
    for layer in network.layers:
        linear = torch.nn.Linear(*layer.weight.shape)
        linear.weight.data = torch.from_numpy(layer.weight.T.copy())
        linear.bias.data = torch.from_numpy(layer.bias.copy())
        layers += [linear, torch.nn.GELU()]
    model = torch.nn.Sequential(*layers[:-1], torch.nn.Softmax(-1))
    assert xpnn.explain(network, x, model(torch.from_numpy(x))).passed
    low = xpnn.explain(network, x, model.bfloat16()(torch.from_numpy(x).bfloat16()))
    assert low.passed
    assert low.dtype == "bfloat16"
    z = jax.numpy.asarray(x)
    for layer in network.layers[:-1]:
        z = jax.nn.gelu(z @ layer.weight + layer.bias, approximate=False)
    last = network.layers[-1]
    assert xpnn.explain(network, x, jax.nn.softmax(z @ last.weight + last.bias)).passed


@pytest.mark.slow
@pytest.mark.parametrize("of", ["output", "logits", "log_proba"])
def test_every_backend_passes(backend, of, dtype):
    network, x = digits()
    # As many rows as tests of the command take: programs of JAX are compiled for a number of rows.
    report = xpnn.parity(network, x[:20], of=of, **backend.alone, dtypes=[dtype])
    assert report.passed, report
    assert [(r.backend, r.dtype, r.way) for r in report.results] == [
        (backend.name, dtype, "fast"),
        (backend.name, dtype, "reproducible"),
    ]
    assert report.certain == {dtype: 20}
    for r in report.results:
        assert 0 < r.comparison.of_bound < 0.2
        assert 0.05 < r.comparison.of_expected < 2
        assert r.comparison.agreement == 1
        assert r.seconds > 0
        assert (r.digest is None) == (r.way == "fast")


def calls_that(monkeypatch, change):
    """Have every call of a network go through change(call, network, x, xp)."""
    call = xpnn.Network.__call__
    monkeypatch.setitem(
        parity.METHODS, "output", lambda network, x, *, xp: change(call, network, x, xp)
    )


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["fast", "reproducible"])
def test_the_network_itself_is_called_with_all_rows(monkeypatch, backend, bad):
    """A fault of calls that follow the input is none of calls that network.to has prepared."""
    network, x = gated()

    def change(call, called, x, xp):
        if called is network and (xp is not None) == (bad == "reproducible"):
            raise ValueError(f"too many rows:\n{x.shape[0]}")
        return call(called, x, xp=xp)

    calls_that(monkeypatch, change)
    report = xpnn.parity(network, x, **backend.alone)
    for result in report.results:
        assert result.passed == (result.way != bad)
        if result.way == bad:
            assert result.faults == ("ValueError: too many rows: 40",)
    assert f"{bad}: ValueError: too many rows: 40" in repr(report)
    json.loads(json.dumps(report.to_dict(), allow_nan=False))


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["fast", "reproducible"])
def test_a_second_call_has_the_same_bits(monkeypatch, backend, bad):
    network, x = gated()
    seen = set()

    def change(call, called, x, xp):
        y = call(called, x, xp=xp)
        way = "fast" if xp is None else "reproducible"
        again = (called, way) in seen
        seen.add((called, way))
        return y * (1 + 2**-22) if again and way == bad and called is network else y

    calls_that(monkeypatch, change)
    report = xpnn.parity(network, x, **backend.alone)
    words = "a later call gave other bits than the first"
    assert [words in r.faults for r in report.results] == [r.way == bad for r in report.results]


def test_weights_that_stay_give_the_same_bits(monkeypatch, backend):
    network, x = gated()

    def change(call, called, x, xp):
        y = call(called, x, xp=xp)
        return y if called is network or xp is None else y * (1 + 2**-22)

    calls_that(monkeypatch, change)
    report = xpnn.parity(network, x, **backend.alone)
    words = "other bits where network.to put the weights"
    assert [words in r.faults for r in report.results] == [False, True] * (len(report.results) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("low", ["float16", "bfloat16"])
def test_low_precision_passes(backend, low):
    network, x = gated()
    if not hasattr(backend.xp, low):
        with pytest.raises(ValueError, match=f"{backend.name} has no {low}"):
            xpnn.parity(network, x, **backend.alone, dtypes=[low])
        return
    report = xpnn.parity(network, x, **backend.alone, dtypes=[low])
    assert report.passed, report


def edges(dtype):
    """Rows of 5 at the edges of a dtype: subnormal, the least normal and the largest numbers, zeros, NaN."""
    limits, rng = np.finfo(dtype), np.random.default_rng(3)
    least, most = float(limits.smallest_normal), float(limits.max)
    sizes = [1, 30, 400, 1e-3, 3 * least, least, least / 3, least * 1e-4, 0, most / 50, most * 0.9]
    x = rng.normal(size=(4 * len(sizes), 5)) * np.repeat(sizes, 4)[:, None]
    x = np.clip(x, -most, most)
    x[::7, 1], x[5, :], x[9, 2] = 0, np.nan, np.nan
    return x.astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERED)
def test_sound_results_pass_at_the_edges_of_a_dtype(backend, kind, dtype):
    """Squares of small errors underflow, numbers are flushed, and rows overflow, in the middle, too."""
    network = layered(kind, dtype)
    with np.errstate(all="ignore"):
        report = xpnn.parity(network, samples(kind, edges(dtype)), **backend.alone)
    assert report.passed, report


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", LAYERED)
def test_single_layers_at_the_edges_of_a_dtype(kind, dtype):
    """Of many of them a column has nothing to do with its neighbours, be they NaN."""
    network = xpnn.Network(layered(kind, dtype).layers[:1])
    with np.errstate(all="ignore"):
        x = samples(kind, edges(dtype))
        report = xpnn.parity(network, x, backends=["numpy"])
        assert report.passed, report
        found = xpnn.explain(network, x, network(x))
    assert found.passed, found


def test_columns_beside_nan_are_held():
    network = xpnn.Network([xpnn.Affine(np.asarray([2.0, 3.0]))])
    x = np.ones((50, 2))
    x[:, 0] = np.nan
    right = network(x)
    assert xpnn.explain(network, x, right).passed
    for value, fault in ((-7.0, "50 rows outside the bound"), (np.nan, "y has NaN at 50 places")):
        y = right.copy()
        y[:, 1] = value
        found = xpnn.explain(network, x, y)
        assert found.faults[0].startswith(fault)
        assert found.comparison.held == 50


@pytest.mark.parametrize(("low", "count"), [("bfloat16", 0), ("float16", 3), ("float32", 3)])
def test_classes_that_rounding_of_the_input_may_change_are_not_certain(low, count, torch):
    weight = np.asarray([[1.0, 1.004]], "float32")
    network = xpnn.Network([xpnn.Dense(weight, None, "softmax")])
    x = np.asarray([[1.0], [-1.0], [5.0]], "float32")
    report = xpnn.parity(network, x, backends=["torch"], dtypes=[low])
    assert report.certain == {low: count}
    assert report.passed, report


def test_all_together(torch, jax):
    network, x = gated()
    report = xpnn.parity(
        network, x[:, None, :], backends=["numpy", "torch", "jax"], devices=["cpu"]
    )
    assert report.passed, report
    assert len(report.results) == 6
    assert len(report.digests["float32"]) == 1
    assert report.rows == 40


def test_regressions_and_multi_label_networks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 3))
    for output, classes in (("identity", None), ("sigmoid", {"float64": 10}), ("tanh", None)):
        network = random_network((3, 5, 1), "relu", output, dtype="float64")
        report = xpnn.parity(network, x, backends=["numpy"])
        assert report.passed
        assert report.certain == classes
    many = random_network((3, 5, 4), "relu", "sigmoid", dtype="float64")
    assert xpnn.parity(many, x, backends=["numpy"]).passed


def tampered(monkeypatch, torch, name, change):
    """Make a function of PyTorch's namespace wrong, for floats of 32 bits."""
    import array_api_compat.torch as xp

    right = getattr(xp, name)

    def wrong(*arguments):
        y = right(*arguments)
        return change(y, *arguments) if y.dtype == torch.float32 else y

    monkeypatch.setattr(xp, name, wrong)


def multiplying_in_tf32(monkeypatch, torch):
    def tf32(y, a, b):
        return torch.from_numpy(narrowed(11)(a.numpy(), b.numpy()))

    tampered(monkeypatch, torch, "matmul", tf32)
    monkeypatch.setattr(torch, "addmm", lambda bias, a, b: tf32(None, a, b) + bias)


def test_a_backend_whose_products_are_rounded(monkeypatch, torch):
    multiplying_in_tf32(monkeypatch, torch)
    network, x = digits()
    report = xpnn.parity(network, x, backends=["numpy", "torch"], devices=["cpu"])
    assert not report.passed
    assert [r.passed for r in report.results] == [True, True, False, True]
    faults = report.results[2].faults
    assert any("rows outside the bound" in f for f in faults)
    # The first layer alone is where it is seen first.
    assert any(f.startswith("layer 0, x @ weight + bias: ") for f in faults)
    assert "likely cause: factors of products rounded to TF32" in faults
    assert f"FAILED: 1 of {len(report.results)} results" in repr(report)


def test_a_layer_inside_its_bound_whose_errors_are_too_large(monkeypatch, torch):
    multiplying_in_tf32(monkeypatch, torch)
    network = random_network((4096, 16, 4), "tanh", "identity", seed=5)
    x = np.random.default_rng(2).normal(size=(20, 4096)).astype("float32")
    faults = xpnn.parity(network, x, backends=["torch"], devices=["cpu"]).results[0].faults
    assert any(f.startswith("layer 0, x @ weight + bias: errors ") for f in faults)


@pytest.mark.parametrize("output", ["silu", "tanh"])
def test_a_backend_whose_function_is_worse_than_stated(monkeypatch, torch, output):
    """A millionth, which the errors of wide products hide in the result, shows in the layer alone."""
    found = library_of_namespace(torch)
    right = found.kernels[output]
    wrong = right._replace(compute=lambda x: right.compute(x) * (1 + 2.0**-17))
    monkeypatch.setattr(found, "kernels", {**found.kernels, output: wrong})
    monkeypatch.setattr(functions.Planner, "find", lambda *_: None)  # what was found before
    monkeypatch.setattr(plans.PlanCache, "keep", lambda self, kind, key, plan: plan)
    wide = random_network((784, 50, 3), output, "identity", scale=1.0)
    x = np.random.default_rng(0).normal(size=(20, 784)).astype("float32")
    report = xpnn.parity(wide, x, backends=["torch"], devices=["cpu"])
    fast, reproducible = report.results
    assert fast.comparison.outside == 0
    assert any(f.startswith(f"layer 0, {output}: ") for f in fast.faults), fast.faults
    assert any(fault.startswith("likely cause: unknown") for fault in fast.faults)
    assert reproducible.passed


def test_digests_must_be_alike(monkeypatch, torch):
    digests = iter(["a" * 64, "b" * 64])
    monkeypatch.setattr(parity, "digest", lambda y: next(digests))
    report = xpnn.parity(*gated(), backends=["numpy", "torch"], devices=["cpu"])
    assert not report.passed
    assert report.results[-1].faults == ("another digest than numpy's",)
    assert report.digests == {"float32": {"a" * 64, "b" * 64}}


def test_a_wrong_class_that_was_certain_is_a_fault(monkeypatch, torch):
    wrong = xpnn.Network.classify
    monkeypatch.setattr(
        xpnn.Network, "classify", lambda self, x, **options: (wrong(self, x, **options) + 1) % 4
    )
    report = xpnn.parity(*gated(), backends=["numpy"])
    assert "40 rows of another class than the certain one" in report.results[0].faults


def test_rows_of_nan_are_left_alone():
    network, x = gated()
    x = x.copy()
    x[3, 2], x[7, 1] = np.nan, np.inf
    report = xpnn.parity(network, x, backends=["numpy"])
    assert report.passed, report
    assert report.results[0].comparison.unbounded == 2
    with pytest.raises(ValueError, match="at least one row of finite numbers, got none in 2 rows"):
        xpnn.parity(network, x[[3, 7]], backends=["numpy"])


def test_report(torch):
    network, x = gated()
    report = xpnn.parity(
        network, x, dtypes=["float32", "float64"], backends=["numpy", "torch"], devices=["cpu"]
    )
    content = json.loads(json.dumps(report.to_dict()))
    assert content["passed"] is True
    assert len(content["results"]) == 8
    assert content["results"][1]["sha256"] == report.results[1].digest
    text = repr(report)
    for words in ("numpy cpu", "/bound", "exact integers", "passed: all 8 results", "sha256"):
        assert words in text
    page = report._replace(network="<script>")._repr_html_()
    assert "&lt;script&gt;" in page
    assert page.count("<tr>") == 9
    figure = report.plot()
    assert len(figure.axes) == 8
    assert figure.axes[0].get_title() == "numpy cpu\nfloat32, fast"
    failed = report.results[0]._replace(faults=("broken",))
    assert "FAILED" in repr(report._replace(results=(failed,)))
    assert "FAILED" in report._replace(results=(failed,)).plot().axes[0].get_title()


def test_explanations_as_json():
    network, x = gated()
    found = xpnn.explain(network, x, network(x))
    content = json.loads(json.dumps(found.to_dict()))
    assert content["passed"] is True
    assert content["cause"] is None
    assert "passed: float32, largest error" in repr(found)


def test_missing_mpmath_is_said(monkeypatch):
    from xpnn._rounding.exact import context

    for name in [n for n in sys.modules if n.split(".")[0] == "mpmath"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mpmath", None)
    context.cache_clear()
    with pytest.raises(xpnn.XpnnError, match=r"pip install 'xpnn\[parity\]'"):
        xpnn.parity(*gated(), backends=["numpy"])
    context.cache_clear()


def test_missing_matplotlib_is_said(monkeypatch):
    import importlib.util

    report = xpnn.parity(*gated(), backends=["numpy"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(xpnn.XpnnError, match=r"pip install 'xpnn\[plot\]'"):
        report.plot()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backends": ["tensorflow"]}, ValueError, "expected a backend of numpy"),
        ({"backends": []}, ValueError, "expected some backend"),
        (
            {"backends": ["numpy"], "devices": ["cuda:9"]},
            ValueError,
            "numpy has no device 'cuda:9'",
        ),
        ({"dtypes": ["int8"]}, TypeError, "expected dtype to be one of float16"),
        ({"of": "proba"}, ValueError, "of: expected 'output'"),
    ],
)
def test_bad_options(options, error, words):
    with pytest.raises(error, match=words):
        xpnn.parity(*gated(), **options)


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        (np.ones((40, 3), "float32"), ValueError, r"expected y of shape \(40, 4\) .* got shape \(40, 3\)"),
        (np.ones((40, 4), int), TypeError, "y of a real floating dtype, got int64"),
        ([[1.0]], TypeError, "expected y to be an array"),
    ],
)  # fmt: skip
def test_bad_results(y, error, words):
    with pytest.raises(error, match=words):
        xpnn.explain(*gated(), y)


@pytest.mark.parametrize(
    "activation",
    [
        "threshold(threshold=0.1, value=20)",
        "threshold(threshold=-0.7, value=-0.3)",
        "hard_shrink(lambd=0.1)",
        "softshrink(lambd=0.1)",
        "step",
    ],
)
def test_numbers_at_a_limit_that_float32_rounds(activation, backend):
    """The number beside 0.1 in float32 is above 0.1, and equal to it once that is rounded."""
    network = xpnn.Network([xpnn.Dense(np.eye(4, dtype="float32"), activation=activation)])
    x = (np.arange(-12, 12).reshape(6, 4) / np.float32(10)).astype("float32")
    assert xpnn.parity(network, x, **backend.alone).passed
    assert xpnn.explain(network, x, to_numpy(network(backend.asarray(x)))).passed
