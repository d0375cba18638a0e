"""torch.export and torch.compile of modules that hold a network: any number of rows, saved and loaded."""

import io

import numpy as np
import pytest
from networks import random_network

import xpnn

X = (np.random.default_rng(0).normal(size=(9, 6)) * 2).astype("float32")


def held(torch, network, xp):
    """A module of a user's, which calls a network on what another layer gives."""

    class Held(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.ones(6))

        def forward(self, x):
            x = x + self.shift
            return network(x, xp=xp), network.classify(x, xp=xp), xpnn.softmax(x, axis=-1, xp=xp)

    return Held()


WAYS = {
    "default": lambda torch: None,
    "plain": lambda torch: torch,
    "reproducible": xpnn.reproducible,
}


@pytest.fixture(params=WAYS)
def way(request, torch):
    return WAYS[request.param](torch)


@pytest.fixture(autouse=True)
def nothing_compiled(torch):
    """Compilations of other tests count, of the same functions, to a limit."""
    torch.compiler.reset()


def a_network():
    return random_network((6, 5, 4), "gelu", "softmax")


def check(torch, module, function, rtol):
    with torch.no_grad():
        for count in (9, 3, 1):
            x = torch.asarray(X[:count])
            for y, expected in zip(function(x), module(x), strict=True):
                assert y.dtype == expected.dtype
                np.testing.assert_allclose(y, expected, rtol=rtol)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_a_module_that_holds_a_network_is_exported(way, strict, torch):
    if strict and way is not None:
        pytest.skip("the default way shows it")
    network = a_network()
    module = held(torch, network, way)
    rows = ({0: torch.export.Dim("rows")},)
    example = (torch.asarray(X[:4]),)
    program = torch.export.export(module, example, dynamic_shapes=rows, strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    # The default way may take another kernel while nobody can look at the values.
    exact = way is not None and way is not torch
    check(torch, module, torch.export.load(file).module(), 0 if exact else 1e-5)
    if exact:
        own = xpnn.reproducible(np)
        np.testing.assert_array_equal(
            program.module()(torch.asarray(X))[0].detach(), network(X + np.float32(1), xp=own)
        )


@pytest.mark.slow
def test_a_module_of_a_network_is_exported(torch):
    module = a_network().to_torch()
    rows = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(module, (torch.asarray(X[:4]),), dynamic_shapes=rows)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    check(torch, module, torch.export.load(file).module(), 0)


@pytest.mark.slow
def test_a_module_that_holds_a_network_is_compiled(torch):
    """The reproducible way has its tests in test_tracing.py."""
    module = held(torch, a_network(), None)
    function = torch.compile(module, fullgraph=True, backend="aot_eager")
    check(torch, module, function, 1e-5)


@pytest.mark.slow
def test_a_compiled_module_of_a_network(torch):
    module = a_network().to_torch()
    check(torch, module, torch.compile(module, fullgraph=True, backend="aot_eager"), 1e-6)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("elu", {"alpha": 1e300}),
        ("leaky_relu", {"negative_slope": -1e300}),
        ("celu", {"alpha": 1e-60}),
        ("softplus", {"beta": 1e300}),
        ("hard_shrink", {"lambd": 1e300}),
        ("softshrink", {"lambd": 1e300}),
        ("threshold", {"threshold": 1e300}),
    ],
)
def test_options_beyond_the_range_of_the_dtype(form, value, torch):
    """The formula's values, where torch's own functions refuse them."""
    x, f = np.asarray([-2, -1, 3], "float32"), getattr(xpnn, form)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(f(torch.asarray(x), **value), f(x, xp=np, **value))


def test_functions_of_ones_own_for_any_number_of_rows(torch):
    square = xpnn.Function(lambda x: x * x, elementwise=True)
    network = xpnn.Network([square, xpnn.Dense(np.ones((6, 2), "float32"))])

    class Held(torch.nn.Module):
        def forward(self, x):
            return network(x)

    rows = ({0: torch.export.Dim("rows")},)
    exported = torch.export.export(Held(), (torch.from_numpy(X[:3]),), dynamic_shapes=rows)
    y = exported.module()(torch.from_numpy(X))
    np.testing.assert_allclose(y.numpy(), network(X), rtol=1e-5)
