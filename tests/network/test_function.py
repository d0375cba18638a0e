"""Function: a user's own function in all ways of running, and a clear word where nothing is known of it."""

import copy
import functools
import pickle

import array_api_compat
import numpy as np
import pytest
from golden_cases import normal, softsign
from test_layers import error, rows

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._network.interpreters.exact import exact

LAST = xpnn.Dense(normal(50, 5, 3, dtype="float32"), None, "softmax")


def below_the_largest(x, xp):
    """Of rows: it takes a namespace."""
    return xp.max(x, axis=-1, keepdims=True) - x


def centred_columns(x):
    """No row by itself: what is computed in tiles would be wrong."""
    return x - array_api_compat.array_namespace(x).mean(x, axis=0, keepdims=True)


def one_sided(x):
    """Looks at values: neither recorded nor compiled."""
    return x if bool(array_api_compat.array_namespace(x).max(x) > 0) else -x


def widened(x):
    """Of another width."""
    return array_api_compat.array_namespace(x).concat([x, x * x], axis=-1)


def of_rows(**options):
    return xpnn.Function(below_the_largest, exact=lambda _, t: [max(t) - v for v in t], **options)


@pytest.mark.parametrize("f", [centred_columns, one_sided])
def test_it_is_called_as_it_is_written(f, backend):
    """Once a call, with all rows, in the fast way too."""
    given = []

    def counted(x):
        given.append(tuple(x.shape))
        return f(x)

    for function in (xpnn.Function(counted), xpnn.Function(counted, inputs=5, outputs=5)):
        last = xpnn.Dense(LAST.weight)  # softmax takes long in the reproducible way
        layers = [function, last]
        if function.outputs:
            layers[0] = xpnn.Residual([function])
        network = xpnn.Network(layers)
        x = normal(51, 50, 5, dtype="float32")
        a = f(x) + x if function.outputs else f(x)
        desired = xpnn.Network([last])(a, xp=np)
        for xp in (None, backend.xp, xpnn.reproducible(backend.xp)):
            for _ in "12":
                given.clear()
                y = network(backend.asarray(x), xp=xp)
                assert given == [x.shape]
                np.testing.assert_allclose(to_numpy(y), desired, rtol=1e-4, atol=1e-5)


def test_it_gets_the_arrays_of_the_way(backend):
    """With the namespace where it takes one."""
    seen = []

    def f(x, xp=None):
        seen.append((type(x), xp))
        return x

    network, x = xpnn.Network([xpnn.Function(f)]), backend.asarray(rows(0, "float32"))
    reproducible = xpnn.reproducible(backend.xp)
    for xp, desired in ((None, None), (backend.xp, None), (reproducible, reproducible)):
        y = network(x, xp=xp)
        assert type(y) is type(x)
        kind, namespace = seen.pop()
        if desired is None:
            assert kind is type(x)
            assert namespace.__name__.split(".")[-1] in backend.xp.__name__
        else:
            assert kind is type(reproducible.asarray(x))
            assert namespace is desired
    seen.clear()
    xpnn.Network([xpnn.Function(functools.partial(f))])(x)
    assert seen[0][1] is not None
    xpnn.Network([xpnn.Function(xpnn.relu), xpnn.Dense(np.eye(5, dtype="float32"))])(x)


@pytest.mark.parametrize(("roundings", "width"), [(1, None), (lambda t, y: y, 5)])
def test_a_bound_of_rows(roundings, width, backend, dtype):
    """An error of one value of a row reaches all of it."""
    function = of_rows(slope=2, roundings=roundings, inputs=width, outputs=width)
    first = xpnn.Dense(normal(52, 5, 5, dtype=dtype), None, "tanh")
    network = xpnn.Network([first, function, xpnn.Dense(normal(53, 5, 3, dtype=dtype))])
    x = rows(1, dtype)
    y = to_numpy(network(backend.asarray(x))).astype("float64")
    desired = exact(network.to(np, dtype="float64").layers, x.astype("float64"))
    wrong, bound = np.asarray(error(y.tolist(), desired)), xpnn.error_bound(network, x)
    assert np.all(wrong <= bound)
    size = xpnn.expected_error(network, x)
    assert np.sqrt(np.mean((wrong[1:] / size[1:]) ** 2)) < 8  # the first row is 0
    assert np.median(bound[1:] / size[1:]) < 3e3
    assert xpnn.parity(network, x, backends=["numpy"]).passed


def test_the_bound_is_reached():
    """By what a function of a row, or of each value, does to an error of its argument."""
    first = xpnn.Dense(np.asarray([[1 / 3, 0.0]]), rounded="float16")
    x = np.asarray([[3.0]])

    def spread(x):
        return x[..., :1] + 0 * x

    for f, elementwise, slope in ((spread, False, 1), (lambda x: 7 * x, True, 7)):
        function = xpnn.Function(f, elementwise=elementwise, slope=slope, roundings=0)
        bound = xpnn.error_bound(xpnn.Network([first, function]), x)
        own = xpnn.error_bound(xpnn.Network([first]), x)
        columns = own if elementwise else np.max(own, axis=-1, keepdims=True) + 0 * own
        np.testing.assert_allclose(bound, slope * columns, rtol=1e-6)
    four = xpnn.Function(softsign, elementwise=True, slope=0, roundings=4)
    bound = xpnn.error_bound(xpnn.Network([four]), x, dtype="float32")
    np.testing.assert_allclose(bound, 4 * 2.0**-24 * 0.75, rtol=1e-6)


NOTHING = "Function 'softsign'"


@pytest.mark.parametrize(
    ("known", "call", "words"),
    [
        ({}, xpnn.error_bound, f"{NOTHING}: nothing is known of its errors.* give it slope="),
        ({"slope": 1}, xpnn.error_bound, "give it roundings="),
        ({"roundings": 1}, xpnn.expected_error, "give it slope="),
        ({}, lambda n, x: n.classify(x, certain=True), "give it slope="),
        ({"slope": 1, "roundings": 3}, xpnn.parity, f"{NOTHING} has no exact values"),
        ({}, lambda n, x: xpnn.explain(n, x, n(x)), f"{NOTHING} has no exact values"),
        ({"exact": lambda _, t: softsign(t)}, xpnn.parity, "give it slope="),
    ],
)
def test_nothing_is_known_of_it(known, call, words):
    network = xpnn.Network([xpnn.Function(softsign, elementwise=True, **known), LAST])
    for one in (network, xpnn.Network([xpnn.Residual(network.layers[:1]), LAST])):
        with pytest.raises(xpnn.XpnnValueError, match=words):
            call(one, rows(2, "float32"))


def test_no_file_holds_it(tmp_path):
    path = tmp_path / "a.safetensors"
    xpnn.Network([LAST]).save(path)
    before = path.read_bytes()
    function = xpnn.Function(softsign, elementwise=True, inputs=5)
    for layers in ([function, LAST], [xpnn.Residual([function]), LAST]):
        with pytest.raises(xpnn.XpnnValueError, match="save: .*'softsign' is code.*nothing was"):
            xpnn.Network(layers).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    network = xpnn.Network([function, LAST])
    for again in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert repr(again) == repr(network)
        np.testing.assert_array_equal(again(rows(0, "float32")), network(rows(0, "float32")))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(xpnn.Function(lambda x: x))


def test_widths():
    a, b = xpnn.Function(widened), xpnn.Function(widened, inputs=5, outputs=10)
    square = xpnn.Function(lambda x: x * x, elementwise=True)
    last = xpnn.Dense(np.ones((10, 2)))
    assert list(map(repr, (a, b, square))) == [
        "Function(widened(x))",
        "Function(widened(x), 5 -> 10)",
        "Function(<lambda>(x))",
    ]
    x = rows(0, "float64")
    for layers in ([a, last], [b, last], [xpnn.Affine(np.ones(5)), square, a, square, last]):
        assert xpnn.Network(layers)(x).shape == (6, 2)
    assert xpnn.Network([a, a, xpnn.Dense(np.ones((20, 2)))], ["a", "b"])(x).shape == (6, 2)
    assert xpnn.Function(softsign, elementwise=True, outputs=5).takes == (5,)
    for one in (a, xpnn.Function(widened, outputs=10)):
        with pytest.raises(xpnn.XpnnValueError, match="Residual: .*a Function says so by inputs"):
            xpnn.Residual([one])
    with pytest.raises(xpnn.XpnnValueError, match="take the 10 outputs"):
        xpnn.Network([b, xpnn.Dense(np.ones((5, 2)))])
    with pytest.raises(xpnn.XpnnValueError, match=r"layer 0: expected x of shape \(\.\.\., 5\)"):
        xpnn.Network([b])(np.ones((2, 4)))
    # What comes does not fit the next layer.
    narrow = xpnn.Dense(np.ones((9, 2)))
    for layers in ([a, narrow], [a, square, narrow], [a, xpnn.Affine(np.ones(9))]):
        for xp in (None, np):
            with pytest.raises(
                xpnn.XpnnValueError, match=r"of shape \(6, 9\).*got shape \(6, 10\)"
            ):
                xpnn.Network(layers)(x, xp=xp)
    one = xpnn.Function(lambda x: x[:, :1])
    with pytest.raises(xpnn.XpnnValueError, match=r"of shape \(6, 3\).*got shape \(6, 1\)"):
        xpnn.Network([one, xpnn.Affine(np.ones(3))])(x)
    inside = xpnn.Residual([xpnn.Function(one.f, inputs=5)])
    with pytest.raises(xpnn.XpnnValueError, match=r"of shape \(6, 5\).*got shape \(6, 1\)"):
        xpnn.Network([inside])(x)
    outputs = xpnn.Network([a, last]).layer_outputs(x)
    assert [z.shape for _, z in outputs] == [(6, 10), (6, 2)]


@pytest.mark.parametrize(
    ("f", "options", "error", "words"),
    [
        (lambda x: x[..., 0], {}, xpnn.XpnnValueError, r"of shape \(6, 6\).*got shape \(6,\)"),
        (lambda x: x[:3, :], {}, xpnn.XpnnValueError, r"shape \(6, 5\) .* got shape \(3, 5\)"),
        (lambda x: x[:, :2], {"outputs": 5}, xpnn.XpnnValueError, r"got shape \(6, 2\)"),
        (lambda x: x[:, :2], {"elementwise": True}, xpnn.XpnnValueError, r"got shape \(6, 2\)"),
        (lambda x: x > 0, {}, xpnn.XpnnTypeError, "a result of numpy and float64.*numpy and bool"),
        (lambda x: x.astype("float32"), {}, xpnn.XpnnTypeError, "and float64.*and float32"),
        (lambda _: 1.0, {}, xpnn.XpnnTypeError, "its result to be an array"),
        (lambda _: None, {}, xpnn.XpnnTypeError, "its result to be an array"),
    ],
)
def test_bad_results(f, options, error, words):
    network = xpnn.Network([xpnn.Function(f, name="mine", **options)])
    for xp in (None, np):
        with pytest.raises(error, match=f"Function 'mine': .*{words}"):
            network(rows(0, "float64"), xp=xp)


class _Unhashable:
    __hash__ = None

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("f", "options", "error", "words"),
    [
        ("relu", {}, xpnn.XpnnTypeError, "expected f to be callable, .* got 'relu'"),
        (_Unhashable(), {}, xpnn.XpnnTypeError, "expected f to .* have a hash"),
        (softsign, {"exact": 1}, xpnn.XpnnTypeError, "expected exact to be callable"),
        (softsign, {"slope": "1"}, xpnn.XpnnTypeError, "expected slope to be a finite number"),
        (softsign, {"slope": -1}, xpnn.XpnnValueError, "expected slope to be .*0 or more"),
        (softsign, {"slope": np.inf}, xpnn.XpnnValueError, "expected slope"),
        (softsign, {"roundings": np.nan}, xpnn.XpnnValueError, "expected roundings"),
        (softsign, {"roundings": [1]}, xpnn.XpnnTypeError, "expected roundings"),
        (softsign, {"inputs": 2.5}, xpnn.XpnnTypeError, "expected inputs to be an integer of 0"),
        (softsign, {"outputs": -2}, xpnn.XpnnValueError, "expected outputs to be an integer of 0"),
        (
            softsign,
            {"elementwise": True, "inputs": 2, "outputs": 3},
            xpnn.XpnnValueError,
            "give the 2 columns that it takes, got 3",
        ),
    ],
)
def test_bad_functions(f, options, error, words):
    with pytest.raises(error, match=f"Function: .*{words}"):
        xpnn.Function(f, **options)


def test_under_transforms(jax):
    """Of networks whose functions may be traced; f is part of the structure."""
    network = xpnn.Network([of_rows(), LAST]).to(jax.numpy)
    x = jax.numpy.asarray(rows(3, "float32"))
    desired = np.asarray(network(x))
    np.testing.assert_allclose(jax.jit(lambda n, x: n(x))(network, x), desired, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(network)(x), desired, rtol=1e-5)
    _, tree = jax.tree.flatten(network)
    other = xpnn.Network([xpnn.Function(softsign), LAST]).to(jax.numpy)
    assert tree == jax.tree.structure(xpnn.Network([*network.layers[:1], LAST]).to(jax.numpy))
    assert tree != jax.tree.structure(other)
    # One that looks at values is no matter without a transform.
    np.testing.assert_allclose(xpnn.Network([xpnn.Function(one_sided)])(x), x)
    tangent = jax.jvp(network, (x,), (x,))[1]
    step = 1e-3
    slope = (network(x * (1 + step)) - network(x * (1 - step))) / (2 * step)
    np.testing.assert_allclose(tangent, slope, atol=1e-2)


def test_under_torch_compile(torch):
    network, x = xpnn.Network([of_rows(), LAST]), torch.asarray(rows(3, "float32"))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))
    x.requires_grad_()
    network(x)[:, 0].sum().backward()
    assert bool((x.grad != 0).any())
    torch.testing.assert_close(torch.func.vmap(network)(x), network(x))


def test_folding_leaves_it():
    affine = xpnn.Affine(np.ones(5))
    function = xpnn.Function(softsign)
    dense = xpnn.Dense(np.ones((5, 5)))
    network = xpnn.Network([affine, function, affine, dense, function, affine]).fold()
    assert [type(la).__name__ for la in network.layers] == [
        "Affine", "Function", "Dense", "Function", "Affine",
    ]  # fmt: skip


def test_explaining_a_network_of_functions_alone():
    """That have no weights, and widths that nobody knows."""
    wide = xpnn.Function(
        widened, slope=100, roundings=2, exact=lambda _, t: [*t, *(v * v for v in t)]
    )
    network, x = xpnn.Network([wide, of_rows(slope=2, roundings=1)]), rows(5, "float32")
    assert xpnn.parity(network, x, backends=["numpy"]).passed
    assert xpnn.explain(network, x, network(x)).passed
    last = xpnn.Dense(normal(54, 10, 3, dtype="float32"), np.ones(3, "float32"))
    network = xpnn.Network([*network.layers, last])
    found = xpnn.explain(network, x, network(x) - 1)
    assert found.cause == "a missing bias in layer 2"


@pytest.mark.parametrize("outputs", [5, 7])
def test_explain_gives_a_function_the_width_that_it_takes(outputs):
    """No candidate puts it, or what follows, where the width is another."""
    matrix, first, last = (normal(i, 5, 7, dtype="float64") for i in (55, 56, 57))
    matrix, last = matrix[:, :outputs], last.reshape(7, 5)[:outputs, :3]

    def product(_, t):
        return [sum(a * float(b) for a, b in zip(t, column, strict=True)) for column in matrix.T]

    function = xpnn.Function(
        lambda x: x @ matrix, inputs=5, outputs=outputs, slope=9, roundings=9, exact=product
    )
    network = xpnn.Network([xpnn.Dense(first[:, :5]), function, xpnn.Dense(last)])
    x = rows(5, "float64")
    assert xpnn.explain(network, x, network(x)).passed
    assert xpnn.explain(network, x, normal(58, len(x), 3, dtype="float64")).cause
