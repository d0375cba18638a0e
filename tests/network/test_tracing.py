"""jit, vmap, torch.compile and torch.func: the same numbers as eager, traced whole."""

import contextlib
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from golden_cases import LAYERED, layered
from labels import label

import xpnn
from xpnn._activations.table import ELEMENTWISE
from xpnn._arrays import transfer
from xpnn._arrays.arguments import Choice, options_of
from xpnn._arrays.transfer import to_numpy

FUNCTIONS = [
    *ELEMENTWISE,
    partial(xpnn.gelu, approximate="tanh"),
    partial(xpnn.softplus, beta=2.0, threshold=5.0),
    xpnn.softmax,
    partial(xpnn.softmax, axis=0),
    partial(xpnn.softmax, axis=(0, 1)),
    xpnn.log_softmax,
    xpnn.logsumexp,
    partial(xpnn.logsumexp, axis=1, keepdims=True),
]
X = np.linspace(-6, 6, 12).reshape(3, 4)
# A compiler may contract a * b + c and take the reciprocal of a divisor: a few units, times the
# error of exp that docs/accuracy.md has.
RTOL = 40 * np.finfo("float64").eps


@pytest.mark.parametrize("f", FUNCTIONS, ids=label)
def test_jax_jit_and_vmap(f, jax):
    x = jax.numpy.asarray(X)
    np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=RTOL, atol=1e-15)
    batch = jax.numpy.stack([x, 2 * x])
    each = jax.numpy.stack([f(x), f(2 * x)])
    np.testing.assert_allclose(jax.vmap(f)(batch), each, rtol=RTOL, atol=1e-15)


@pytest.mark.parametrize("f", FUNCTIONS, ids=label)
def test_torch_func(f, torch):
    x = torch.from_numpy(X)
    batch = torch.stack([x, 2 * x])
    each = torch.stack([f(x), f(2 * x)])
    np.testing.assert_allclose(torch.func.vmap(f)(batch), each, rtol=RTOL, atol=1e-15)
    tangent = torch.func.jvp(f, (x,), (torch.ones_like(x),))[1]
    gradient = torch.func.grad(lambda v: f(v).sum())(x)
    np.testing.assert_allclose(tangent.sum(), gradient.sum(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("f", FUNCTIONS, ids=label)
def test_torch_compile_traces_one_graph(f, torch):
    x = torch.from_numpy(X)
    f(X)  # what is remembered of other libraries is nothing to the compiler
    desired = f(x)  # makes torch's namespace known, of whose look-up the compiler would warn
    torch.compiler.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    np.testing.assert_allclose(compiled(x), desired, rtol=RTOL, atol=1e-15)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return [rng.normal(size=s) for s in ((4, 5), (5, 3))], [rng.normal(size=s) for s in (5, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["sigmoid", "relu", "gelu", "tanh"])
def test_network_under_jit(hidden, weights, jax):
    network = xpnn.Network.from_weights(*weights, hidden=hidden, output="softmax")
    x = jax.numpy.asarray(X)
    # Traced first, eager second: what was remembered while tracing must not be a tracer.
    traced = jax.jit(network)(x)
    np.testing.assert_allclose(traced, network(x), rtol=RTOL)
    placed = network.to(jax.numpy)
    np.testing.assert_allclose(jax.jit(lambda n, v: n(v))(placed, x), network(x), rtol=RTOL)
    np.testing.assert_allclose(jax.vmap(network)(x), network(x), rtol=RTOL)
    np.testing.assert_array_equal(jax.jit(network.classify)(x), network.classify(x))


@pytest.mark.slow
def test_network_is_a_jax_pytree(weights, jax):
    network = xpnn.Network.from_weights(*weights, output="softmax", classes=list("abc")).to(
        jax.numpy
    )
    x = jax.numpy.asarray(X)
    leaves, structure = jax.tree.flatten(network)
    assert len(leaves) == 4
    assert hash(structure) == hash(jax.tree.structure(network))
    assert jax.tree.unflatten(structure, leaves).classes == ("a", "b", "c")
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(network)]
    assert names[:2] == [".layers[0].weight", ".layers[0].bias"]

    def loss(n):
        return -n.log_proba(x)[:, 0].mean()

    gradient = jax.grad(loss)(network)
    assert isinstance(gradient, xpnn.Network)
    step = 1e-6
    moved = jax.tree.map(lambda a, g: a - step * g, network, gradient)
    fall = sum(float((g**2).sum()) for g in jax.tree.leaves(gradient))
    assert float(loss(network) - loss(moved)) == pytest.approx(step * fall, rel=1e-4)
    several = jax.tree.map(lambda a: jax.numpy.stack([a, 2 * a]), network)
    both = jax.vmap(lambda n: n(x))(several)
    np.testing.assert_allclose(both[0], network(x), rtol=RTOL)
    assert "Network" in repr(jax.tree.map(lambda _: None, network))


@pytest.mark.parametrize(
    "kind", [k for k in LAYERED if k not in {"activation", "flatten", "function"}]
)
def test_networks_that_are_stacked_are_mapped_over(kind, jax):
    """As many rows as networks: arrays of two axes would be taken for one of each row."""
    network = xpnn.Network(layered(kind, "float32").layers[:1]).to(jax.numpy)
    stack = jax.tree.map(lambda a: jax.numpy.stack([a, 2 * a]), network)
    x = jax.numpy.ones((2, 5))
    for f in (stack, stack.layer_outputs, jax.jit(stack)):
        with pytest.raises(
            ValueError, match=r"layer 0: expected arrays of one network, got .* vmap"
        ):
            f(x)
    with pytest.raises(ValueError, match="error_bound, layer 0: expected arrays of one network"):
        xpnn.error_bound(stack, x)
    with pytest.raises(
        ValueError, match="network.to_torch, layer 0: expected arrays of one network"
    ):
        stack.to_torch()
    both = jax.vmap(lambda network: network(x))(stack)
    np.testing.assert_allclose(both[0], network(x), rtol=RTOL)


def test_network_under_torch_compile(weights, torch):
    network = xpnn.Network.from_weights(*weights, output="softmax")
    x = torch.from_numpy(X)
    desired = network(x)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    np.testing.assert_allclose(compiled(x), desired, rtol=RTOL)
    placed = network.to(torch)
    compiled = torch.compile(placed, fullgraph=True)
    np.testing.assert_allclose(compiled(x), desired, rtol=RTOL)


@pytest.mark.parametrize("dynamic", [True, None])  # None: of one size first, then of any
@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
def test_networks_that_nobody_has_called_under_torch_compile(way, dynamic, weights, torch):
    """Their weights are constants of one graph: of several shapes, and of two networks."""
    xp = {"fast": None, "plain": torch, "reproducible": xpnn.reproducible(torch)}[way]
    # Of softmax, once something called it, torch takes the axis for unknown: docs/scale/torch.md.
    first = "tanh" if (way, dynamic) == ("reproducible", True) else "softmax"
    networks = [xpnn.Network.from_weights(*weights, output=o) for o in (first, "erf")]

    def both(x):
        return networks[0](x, xp=xp) + networks[1](x, xp=xp)

    # Of any size at once, what Dynamo traced runs as it is; the other has both kinds of graph compiled.
    backend = "eager" if dynamic else "aot_eager"
    torch.compiler.reset()
    compiled = torch.compile(both, fullgraph=True, backend=backend, dynamic=dynamic)
    for x in (X, np.concatenate([X, X])):
        got = compiled(torch.from_numpy(x))
        desired = sum(n(torch.from_numpy(x), xp=xp) for n in networks)
        np.testing.assert_allclose(got, desired, rtol=RTOL)


# Every activation that has options, each option with another value than its default, in a layer's text.
OPTIONS = [
    (function, option, "tanh" if isinstance(known.kind, Choice) else 0.75)
    for function in ELEMENTWISE
    for option, known in options_of(function.__name__).items()
]


@pytest.mark.slow
def test_layers_with_options_under_torch_compile(torch):
    """A layer's options are constants of one graph, also where sizes vary."""
    rxp, weight = xpnn.reproducible(torch), np.random.default_rng(0).normal(size=(5, 3))
    networks = [
        xpnn.Network([xpnn.Dense(weight, activation=f"{function.__name__}({option}={value!r})")])
        for function, option, value in OPTIONS
    ]
    check_compiled(lambda x: [network(x, xp=rxp) for network in networks], [(4,), (7,)], torch)


@pytest.mark.slow
def test_options_that_change_under_torch_compile(torch):
    rxp = xpnn.reproducible(torch)
    numbers = [(function, option) for function, option, value in OPTIONS if value == 0.75]

    def f(x, number):
        return [function(x, **{option: number}, xp=rxp) for function, option in numbers]

    check_compiled(f, [(4, 0.5), (7, 1.25)], torch)


def check_compiled(f, calls, torch):
    """Hold f, compiled whole and for all sizes, to the bits of f for (rows, other arguments)."""
    torch.compiler.reset()
    compiled = torch.compile(f, fullgraph=True, backend="eager", dynamic=True)
    for rows, *others in calls:
        x = torch.linspace(-3, 3, 5 * rows, dtype=torch.float64).reshape(rows, 5)
        for y, desired in zip(compiled(x, *others), f(x, *others), strict=True):
            assert torch.equal(y, desired)


FIRST = """
import numpy as np, torch, xpnn
weights = [np.ones((4, 3), "f4"), np.ones((3, 2), "f4")]
network = xpnn.Network.from_weights(weights, [np.ones(3, "f4"), None], output="softmax")
def f(x):
    direct = xpnn.linear(x, torch.ones(4, 2), xp={xp})
    return network(x, xp={xp}) + xpnn.softmax(xpnn.gelu(network.logits(x)), axis=-1) + direct
x = torch.ones(2, 4)
y = torch.compile(f, fullgraph={fullgraph}, backend="aot_eager")(x)
torch.testing.assert_close(y, f(x))
"""


@pytest.mark.parametrize(
    ("xp", "fullgraph"), [("None", False), ("torch", True), ("xpnn.reproducible(torch)", True)]
)
def test_the_first_call_of_all_is_compiled(xp, fullgraph, torch):
    """What xpnn remembers of a library, it has not seen yet; the compiler warns of nothing in it."""
    code = FIRST.format(xp=xp, fullgraph=fullgraph)
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)


def test_network_is_a_torch_pytree(weights, torch):
    from torch.utils import _pytree

    network = xpnn.Network.from_weights(*weights, output="softmax").to(torch)
    x = torch.from_numpy(X)
    assert len(_pytree.tree_leaves(network)) == 4
    gradient = torch.func.grad(lambda n: n.log_proba(x)[:, 0].sum())(network)
    assert gradient.layers[0].weight.shape == (4, 5)
    stacked = _pytree.tree_map(lambda a: torch.stack([a, 2 * a]), network)
    both = torch.func.vmap(lambda n: n(x))(stacked)
    np.testing.assert_allclose(both[0], network(x), rtol=RTOL)


def test_weights_remembered_in_inference_mode_serve_gradients_later(weights, torch):
    network = xpnn.Network.from_weights(*weights, output="softmax")
    with torch.inference_mode():
        network(torch.from_numpy(X))
    x = torch.tensor(X, requires_grad=True)
    network.log_proba(x)[:, 0].sum().backward()
    assert x.grad.shape == X.shape


def test_weights_remembered_under_a_fake_mode_serve_real_arrays_later(weights, torch):
    fake_tensor = pytest.importorskip("torch._subclasses.fake_tensor")
    network = xpnn.Network.from_weights(*weights, output="softmax")
    x = torch.from_numpy(X)
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        assert network(x).shape == (X.shape[0], 3)
    desired = network(X)
    np.testing.assert_allclose(network(x), desired, rtol=RTOL)


def test_trains_with_torch_optim(torch):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 2, generator=generator)
    y = (x[:, 0] > x[:, 1]).to(torch.int64)
    leaves = [torch.randn(s, generator=generator).requires_grad_() for s in ((2, 8), (8, 2), 8, 2)]
    network = xpnn.Network.from_weights(leaves[:2], leaves[2:], hidden="tanh", output="softmax")
    optimizer = torch.optim.Adam(leaves, lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -network.log_proba(x)[torch.arange(64), y].mean()
        loss.backward()
        optimizer.step()
    assert (network.classify(x) == y).float().mean() > 0.95
    assert not network.follows


# The reproducible way under JAX's transforms, with 64-bit types and without

ROWS = np.linspace(-2, 2, 12, dtype="float32").reshape(3, 4)
WEIGHTS = [np.linspace(-1, 1.3, n * 2, dtype="float32").reshape(n, 2) ** 3 for n in (4, 2)]
NETWORK = xpnn.Network.from_weights(WEIGHTS, [np.ones(2, "float32")] * 2, output="softmax")
OF_ROWS = {
    "network": lambda x, xp, _: NETWORK(x, xp=xp),
    "linear": lambda x, xp, weight: xpnn.linear(x, weight, xp=xp),
    "matmul": lambda x, xp, weight: xp.matmul(x, weight),
    "log_softmax": lambda x, xp, _: xpnn.log_softmax(x, xp=xp),
}
TRANSFORMS = {
    "jit": lambda jax, f: jax.jit(f),
    "vmap": lambda jax, f: jax.vmap(f),
    "jit of vmap": lambda jax, f: jax.jit(jax.vmap(f)),
    "vmap of jit": lambda jax, f: jax.vmap(jax.jit(f)),
    "vmap of jit of vmap": lambda jax, f: lambda x: jax.vmap(jax.jit(jax.vmap(f)))(x[None])[0],
    "map in batches": lambda jax, f: lambda x: jax.lax.map(f, x, batch_size=2),
    "scan": lambda jax, f: lambda x: jax.lax.scan(lambda c, row: (c, f(row)), 0, x)[1],
    "checkpoint": lambda jax, f: jax.checkpoint(f),
}
# All functions in the hardest one, the two that have most parts in all.
CASES = [(t, f) for t in TRANSFORMS for f in OF_ROWS if t == "vmap of jit" or f == "network"]


@pytest.mark.slow
@pytest.mark.parametrize(("transform", "name"), CASES, ids=[f"{t}-{f}" for t, f in CASES])
def test_reproducible_in_jax_transforms(transform, name, x64, jax):
    expected = OF_ROWS[name](ROWS, xpnn.reproducible(np), WEIGHTS[0])
    rxp, weight = xpnn.reproducible(jax.numpy), jax.numpy.asarray(WEIGHTS[0])

    def f(x):
        return OF_ROWS[name](x, rxp, weight)

    got = to_numpy(TRANSFORMS[transform](jax, f)(jax.numpy.asarray(ROWS)))
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_reproducible_vmap_over_weights(x64, jax):
    rxp, x = xpnn.reproducible(jax.numpy), jax.numpy.asarray(ROWS)
    several = jax.tree.map(lambda a: jax.numpy.stack([a, -a]), NETWORK.to(jax.numpy))
    got = jax.vmap(lambda network: network(x, xp=rxp))(several)
    np.testing.assert_array_equal(got[0], NETWORK(ROWS, xp=xpnn.reproducible(np)))


DERIVATIVES = {
    "vmap of grad": lambda jax, f, x: jax.vmap(jax.grad(lambda row: (f(row) ** 2).sum()))(x),
    "jacrev": lambda jax, f, x: jax.jacrev(f)(x),
    "second": lambda jax, f, x: jax.jacrev(jax.grad(lambda row: f(row).sum()))(x[0]),
}


@pytest.mark.parametrize("transform", DERIVATIVES)
@pytest.mark.parametrize(
    "name", ["linear", pytest.param("log_softmax", marks=pytest.mark.slow), "sigmoid"]
)
def test_reproducible_derivatives_in_jax(name, transform, x64, jax):
    weight, x = jax.numpy.asarray(WEIGHTS[0]), jax.numpy.asarray(ROWS)
    functions = {**OF_ROWS, "sigmoid": lambda x, xp, _: xpnn.sigmoid(x, xp=xp)}

    def derivatives(x, xp):
        return DERIVATIVES[transform](jax, lambda x: functions[name](x, xp, weight), x)

    # As one program, what takes longest to compile; one operation at a time, a function of few.
    jitted = jax.jit(derivatives, static_argnums=1)
    compute = derivatives if name == "sigmoid" else jitted
    got = np.asarray(compute(x, xpnn.reproducible(jax.numpy)))
    expected = np.asarray(jitted(x, jax.numpy))
    assert got.dtype == expected.dtype
    # A few roundings of binary32 each, of numbers up to about 10.
    np.testing.assert_allclose(got, expected, rtol=20 * 2.0**-23, atol=20 * 2.0**-23)


# What a trace makes is not remembered


def exported(torch, module, x, **options):
    return torch.export.export(module, (x,), **options).module()(x)


def under_a_fake_mode(torch, module, x):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        assert module(x).shape == (3, 2)
    return module(x)


def in_inference_mode(torch, module, x):
    with torch.inference_mode():
        return module(x)


TRACES = {
    "export": exported,
    "draft export": lambda torch, module, x: torch.export.draft_export(module, (x,)).module()(x),
    "a fake mode": under_a_fake_mode,
    "inference mode": in_inference_mode,
    "make_fx": lambda torch, module, x: torch.fx.experimental.proxy_tensor.make_fx(module)(x)(x),
    "functionalize": lambda torch, module, x: torch.func.functionalize(module)(x),
    "vmap": lambda torch, module, x: torch.func.vmap(module)(x),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
@pytest.mark.parametrize("trace", TRACES)
def test_what_a_trace_of_torch_makes_is_not_remembered(trace, way, torch, monkeypatch):
    rxp = xpnn.reproducible(torch)
    xp = {"fast": None, "plain": torch, "reproducible": rxp}[way]
    x = torch.from_numpy(ROWS)
    expected = NETWORK(ROWS, xp=xpnn.reproducible(np))
    # As in a new process: neither the check nor a table of constants is there yet.
    monkeypatch.setattr(rxp.engine, "_checked", set())
    monkeypatch.setattr(transfer, "_constants", {})
    network = xpnn.Network(NETWORK.layers)

    class Module(torch.nn.Module):
        def forward(self, x):
            return network(x, xp=xp)

    exact = np.testing.assert_array_equal
    check = exact if way == "reproducible" else partial(np.testing.assert_allclose, rtol=1e-6)
    check(TRACES[trace](torch, Module(), x).numpy(), expected)
    check(network(x, xp=xp).numpy(), expected)
    leaf = x.clone().requires_grad_()
    network(leaf, xp=xp)[:, 0].sum().backward()
    assert bool((leaf.grad != 0).any())


@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
def test_jax_exports_functions_of_any_number_of_rows(way, jax):
    jnp = jax.numpy
    xp = {"fast": None, "plain": jnp, "reproducible": xpnn.reproducible(jnp)}[way]
    rows = jax.export.symbolic_shape("rows")
    shape = jax.ShapeDtypeStruct((*rows, ROWS.shape[1]), "float32")
    network = xpnn.Network(NETWORK.layers)
    program = jax.export.export(jax.jit(lambda x: network(x, xp=xp)))(shape)
    for x in (ROWS, np.concatenate([ROWS, ROWS])):
        got, expected = program.call(x), network(jnp.asarray(x), xp=xp)
        np.testing.assert_allclose(got, expected, rtol=0 if way == "reproducible" else 1e-6)


# JAX's settings, of a user who watches other code


@contextlib.contextmanager
def explicit_64_bits(jax):
    before = jax.config.jax_explicit_x64_dtypes
    jax.config.update("jax_explicit_x64_dtypes", "allow")
    try:
        yield
    finally:
        jax.config.update("jax_explicit_x64_dtypes", before.name.lower())


SETTINGS = {
    "64 bits by name": explicit_64_bits,
    "rank promotion": lambda jax: jax.numpy_rank_promotion("raise"),
    "dtype promotion": lambda jax: jax.numpy_dtype_promotion("strict"),
    "debug NaN": lambda jax: jax.debug_nans(True),
    "debug inf": lambda jax: jax.debug_infs(True),
    "no jit": lambda jax: jax.disable_jit(),
    "leaks": lambda jax: jax.checking_leaks(),
    "precision": lambda jax: jax.default_matmul_precision("BF16_BF16_F32"),
}


@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_jax(way, setting, jax, monkeypatch):
    rxp = xpnn.reproducible(jax.numpy)
    xp = {"fast": None, "plain": jax.numpy, "reproducible": rxp}[way]
    x, weight = jax.numpy.asarray(ROWS), jax.numpy.asarray(WEIGHTS[0])
    bias = jax.numpy.asarray(np.float32([0.5, -0.5]))

    def values():
        layer = xpnn.linear(x, weight, bias, xp=xp)
        return [layer, xpnn.logsumexp(layer, b=bias + 2.0, axis=-1, xp=xp)]

    before = [to_numpy(a) for a in values()]
    # As in a new process: neither the check nor a table of constants is there yet.
    monkeypatch.setattr(rxp.engine, "_checked", set())
    monkeypatch.setattr(transfer, "_constants", {})
    with SETTINGS[setting](jax):
        after = [to_numpy(a) for a in values()]
    for a, b in zip(before, after, strict=True):
        if way == "reproducible":
            np.testing.assert_array_equal(a, b)
        elif setting == "precision":  # which counts there
            np.testing.assert_allclose(a, b, rtol=0.05)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::Warning")  # that shapes become constants
@pytest.mark.parametrize("xp", [None, "torch", "reproducible"])
@pytest.mark.parametrize("name", ["softmax", "tanh", "logsumexp"])
def test_torch_jit_trace_bakes_no_values_in(name, xp, torch):
    function = getattr(xpnn, name)
    given = {"torch": torch, "reproducible": xpnn.reproducible(torch)}.get(xp)
    first, other = torch.from_numpy(X), torch.from_numpy(-X)
    traced = torch.jit.trace(lambda x: function(x, xp=given), first, check_trace=False)
    np.testing.assert_allclose(traced(other), function(other, xp=given), rtol=1e-12)
