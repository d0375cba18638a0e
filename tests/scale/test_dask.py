"""Dask arrays: lazy, a task a chunk, and the numbers of NumPy; the cases come from the tables."""

import functools
import itertools
import os
import pickle
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
from activation_cases import CASES

import xpnn
import xpnn.models
from xpnn._activations.activation import Activation
from xpnn._activations.table import ACTIVATIONS

pytestmark = pytest.mark.libraries
da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
tokenize = pytest.importorskip("dask.base").tokenize

X = (np.random.default_rng(0).normal(size=(30, 8)) * 5).astype("float32")
SOME = X[:, 0] > 0

LAYOUTS = {
    "in one piece": lambda a: (a, slice(None)),
    "rows": lambda a: (a.rechunk((7, -1)), slice(None)),
    "both": lambda a: (a.rechunk((7, 3)), slice(None)),
    "unknown": lambda a: (a.rechunk((7, -1))[da.from_array(SOME, chunks=7)], SOME),
    "none": lambda a: (a[:0], slice(0)),
    "none in chunks": lambda a: (da.concatenate([a[:0], a[:0]]), slice(0)),
    "empty chunks": lambda a: (a.rechunk(((0, 7, 0, 23), (0, a.shape[1]))), slice(None)),
}
"""How an array of 30 rows is cut, and which rows of it are there."""

EMPTY = {"none", "none in chunks", "empty chunks"}

REPRODUCIBLE = xpnn.reproducible(da)
WAYS = {
    "fast": (None, None),
    "as written": (da, np),
    "reproducible": (REPRODUCIBLE, xpnn.reproducible(np)),
}


def in_layout(name, values):
    found, rows = LAYOUTS[name](da.from_array(values, chunks=-1))
    return found, values[rows]


def check(y, expected, *, same):
    """Hold a lazy result to NumPy's: its dtype and shape are known before it is computed."""
    assert isinstance(y, da.Array)
    assert y.dtype == expected.dtype
    assert type(y._meta) is np.ndarray
    known = [n for n in y.shape if n == n]
    assert len(y.shape) == expected.ndim
    assert known == [m for n, m in zip(y.shape, expected.shape, strict=True) if n == n]
    values = y.compute()
    assert values.shape == expected.shape
    if same:
        np.testing.assert_array_equal(values, expected)
    else:
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=2e-6)


FORMS = [*ACTIVATIONS, *(form for case in CASES.values() for form in case.forms)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_activations(form, layout, way):
    empty = layout in EMPTY
    if empty and way == "as written" and form in {"softmax", "log_softmax"}:
        pytest.skip("Dask has no largest of no entries")
    x, values = in_layout(layout, X)
    xp, of_numpy = WAYS[way]
    activation = Activation.of(form)
    y = activation.function(x, xp=xp)
    check(y, activation.function(values, xp=of_numpy), same=way == "reproducible")


AXES = [-1, 0, (0, 1), None]
MASKS = {
    "no mask": None,
    "mask": X < 4,
    "of columns": (X < 4)[:1],
    "of rows": (X < 4)[:, :1],
    "of one axis": (X < 4)[3],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("axis", AXES, ids=map(str, AXES))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
def test_along_an_axis(function, layout, axis, mask):
    x, values = in_layout(layout, X)
    where = of_numpy = None
    if MASKS[mask] is not None:
        where, of_numpy = da.from_array(MASKS[mask], chunks=-1), MASKS[mask]
        if len(MASKS[mask]) == len(X):
            where, of_numpy = in_layout(layout, MASKS[mask])
    for options in [{}, {"keepdims": True}] if function == "logsumexp" else [{}]:
        f = functools.partial(getattr(xpnn, function), axis=axis, **options)
        for way in ("fast", "reproducible"):
            over, under = WAYS[way]
            expected = f(values, where=of_numpy, xp=under)
            check(f(x, where=where, xp=over), expected, same=way == "reproducible")


@pytest.mark.parametrize("way", ["fast", "reproducible"])
@pytest.mark.parametrize("axis", AXES, ids=map(str, AXES))
@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
def test_slices_of_one_entry(function, axis, way):
    """Beside an empty chunk, and beside others that are longer."""
    f, (xp, of_numpy) = getattr(xpnn, function), WAYS[way]
    values, mask = X[:5, :1], X[:5] > 0
    x = da.from_array(values, chunks=((2, 0, 3), (0, 1)))
    check(f(x, axis=axis, xp=xp), f(values, axis=axis, xp=of_numpy), same=way == "reproducible")
    wide, some = da.from_array(X[:5], chunks=(2, 3)), da.from_array(mask[:, :1], chunks=(5, 1))
    expected = f(X[:5], axis=axis, where=mask[:, :1], xp=of_numpy)
    check(f(wide, axis=axis, where=some, xp=xp), expected, same=way == "reproducible")


DTYPES = ["float16", "float32", "float64", "int8", "uint16", "int64", ">f4", ">f8", ">i8"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype, way):
    values = np.clip(X, -5, 5).astype(dtype) if dtype != "uint16" else np.abs(X).astype(dtype)
    x, (xp, of_numpy) = da.from_array(values, chunks=(7, 3)), WAYS[way]
    network = network_of()
    for f in (xpnn.gelu, xpnn.softmax, xpnn.logsumexp, network, network.classify):
        expected = np.asarray(f(values, xp=of_numpy))
        first, again = f(x, xp=xp), f(x, xp=xp)
        assert first.name == again.name
        for y in (first, again):
            assert y.dtype == expected.dtype
            tolerance = 0 if way == "reproducible" else 10 * np.finfo(network(values).dtype).eps
            assert y.compute().dtype == expected.dtype
            tolerance = 2e-3 if way != "reproducible" and dtype == "float16" else tolerance
            np.testing.assert_allclose(y.compute(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logsumexp_with_weights_and_signs(layout, keepdims):
    x, values = in_layout(layout, X)
    b, weights = in_layout(layout, X[:, ::-1].copy())
    options = {"axis": 1, "keepdims": keepdims, "return_sign": True}
    expected = xpnn.logsumexp(values, b=weights, **options)
    for y, e in zip(xpnn.logsumexp(x, b=b, **options), expected, strict=True):
        check(y, e, same=False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear(layout, way, bias):
    if (layout, way) == ("none in chunks", "as written"):
        pytest.skip("Dask's own product fails")
    x, values = in_layout(layout, X)
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(8, 5)).astype("float32"), rng.normal(size=5).astype("float32")]
    arrays = arrays[: 1 + bias]
    xp, of_numpy = WAYS[way]
    y = xpnn.linear(x, *(da.from_array(a, chunks=3) for a in arrays), xp=xp)
    check(y, xpnn.linear(values, *arrays, xp=of_numpy), same=way == "reproducible")


def network_of(*first):
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=(n, m)).astype("float32") for n, m in [(8, 6), (6, 3)]]
    dense = [
        xpnn.Dense(weights[0], rng.normal(size=6).astype("float32"), "gelu"),
        xpnn.Dense(weights[1], None, "softmax"),
    ]
    return xpnn.Network([*first, *dense], classes=["a", "b", "c"])


METHODS = {
    "output": lambda n, x, xp: [n(x, xp=xp)],
    "logits": lambda n, x, xp: [n.logits(x, xp=xp)],
    "log_proba": lambda n, x, xp: [n.log_proba(x, xp=xp)],
    "classify": lambda n, x, xp: [n.classify(x, xp=xp)],
    "certain": lambda n, x, xp: n.classify(x, certain=True, xp=xp),
    "layers": lambda n, x, xp: itertools.chain(*n.layer_outputs(x, xp=xp)),
    "bound": lambda n, x, xp: [xpnn.error_bound(n, x, xp=xp)],
    "expected": lambda n, x, xp: [xpnn.expected_error(n, x, of="logits", xp=xp)],
}


@pytest.mark.parametrize("way", ["fast", "reproducible"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_networks(method, layout, way):
    x, values = in_layout(layout, X)
    network, of = network_of(), METHODS[method]
    xp, of_numpy = WAYS[way]
    expected = of(network, values, of_numpy)
    for y, e in zip(of(network, x, xp), expected, strict=True):
        # What is said of errors is computed in binary64, as the library does it.
        check(y, e, same=way == "reproducible" and method not in {"bound", "expected", "certain"})


@pytest.mark.parametrize("layout", ["in one piece", "rows", "both"])
def test_networks_as_written(layout):
    x, values = in_layout(layout, X)
    check(network_of()(x, xp=da), network_of()(values, xp=np), same=False)


SHAPES = {"one row": (8,), "two leading axes": (6, 5, 8), "integers": (30, 8)}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes_and_dtypes(shape):
    values = np.resize(X, SHAPES[shape])
    values = values.astype("int16") if shape == "integers" else values
    x = da.from_array(values, chunks=(*(2,) * (values.ndim - 1), 4))
    check(network_of()(x), network_of()(values), same=False)


@pytest.mark.parametrize("first", ["flatten", "function", "both"])
def test_layers_that_take_several_axes_or_look_at_other_rows(first):
    flatten = xpnn.Flatten((2, 4))
    centred = xpnn.Function(lambda x: x - x.sum(axis=0) / 30, outputs=8)
    network = network_of(
        *{"flatten": [flatten], "function": [centred], "both": [flatten, centred]}[first]
    )
    values = X if first == "function" else X.reshape(30, 2, 4)
    x = da.from_array(values, chunks=(7, *(2,) * (values.ndim - 1)))
    check(network(x), network(values), same=False)


def test_rows_of_several_axes_and_of_unknown_number():
    values = X.reshape(30, 2, 4)
    x = da.from_array(values, chunks=(7, 2, 4))[da.from_array(SOME, chunks=7)]
    network = network_of(xpnn.Flatten((2, 4)))
    check(network(x), network(values[SOME]), same=False)


def test_slices_in_one_chunk_are_one_task_whatever_came_before():
    x = da.from_array(X, chunks=(7, 3))
    assert not xpnn.softmax(x).name.startswith("softmax")  # by Dask's own functions, chunk by chunk
    assert xpnn.softmax(x.rechunk((7, -1))).name.startswith("softmax")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", ["rows", "unknown"])
def test_functions_of_ones_own_as_layers(layout, way):
    x, values = in_layout(layout, X)
    xp, of_numpy = WAYS[way]
    network = network_of(xpnn.Function(lambda x: x * x, elementwise=True))
    check(network(x, xp=xp), network(values, xp=of_numpy), same=way == "reproducible")
    check(network.classify(x, xp=xp), network.classify(values, xp=of_numpy), same=True)


def test_chunks_of_other_libraries(jax):
    x = da.from_array(X, chunks=(7, -1))
    of_jax = x.map_blocks(jax.numpy.asarray, dtype=X.dtype, meta=jax.numpy.empty((0, 0), X.dtype))
    for network in (network_of(), network_of().to(jax.numpy)):
        y = network(of_jax)
        assert isinstance(y._meta, jax.Array)
        assert isinstance(y.blocks[0].compute(), jax.Array)
    with pytest.raises(TypeError, match="weights stay with jax"):
        network_of().to(jax.numpy)(x)


def test_lazy_with_one_task_a_chunk_and_one_network():
    computed = []

    def block(a):
        computed.append(a.shape)
        return a

    x = da.from_array(X, chunks=(7, -1))
    y = network_of()(x.map_blocks(block, dtype=X.dtype, meta=np.empty((0, 0), X.dtype)))
    assert computed == []
    own = {key for key in y.dask if str(key).startswith(("('network-", "network-"))}
    assert len(own) == 5 + 1
    assert y.chunks == ((7, 7, 7, 7, 2), (3,))
    y.compute()
    assert len(computed) == 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_of_the_backend(layout, way, backend):
    """Chunks on a GPU are CuPy's, and so are those of the result."""
    if backend.name not in {"numpy", "cupy"}:
        pytest.skip("Dask puts no chunks of it together")
    if way == "as written" and (backend.is_gpu or layout in EMPTY):
        pytest.skip("Dask has no largest of no entries, and no weights on a GPU")
    (x, values), network = in_layout(layout, X), network_of()
    x, (over, under) = x.map_blocks(backend.xp.asarray), WAYS[way]
    for f in (
        network,
        network.log_proba,
        network.classify,
        functools.partial(xpnn.softmax, axis=1),
        functools.partial(xpnn.logsumexp, axis=1, keepdims=True),
    ):
        y, expected = f(x, xp=over), f(values, xp=under)
        assert type(y._meta) is type(x._meta)
        rtol = 0 if way == "reproducible" else 2e-5
        got = backend.numpy(y.compute(), shape=expected.shape, dtype=expected.dtype.name)
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol / 10)


def test_tokens_are_those_of_the_numbers():
    network = network_of()
    assert tokenize(network) == tokenize(network_of())
    assert tokenize(network) == tokenize(pickle.loads(pickle.dumps(network)))
    x = da.from_array(X, chunks=7)
    assert network(x).name == network_of()(x).name
    first, last = network.layers
    others = [
        xpnn.Network(
            [first, xpnn.Dense(last.weight * 2, None, "softmax")], classes=network.classes
        ),
        xpnn.Network([first, xpnn.Dense(last.weight, None, "log_softmax")]),
        xpnn.Network([first, last]),
        network.to(np, dtype="float64"),
    ]
    names = [n(x).name for n in (network, *others)]
    names += [network.logits(x).name, network(x, xp=WAYS["reproducible"][0]).name]
    assert len(set(names)) == len(names)
    functions = [xpnn.Network([xpnn.Function(f, inputs=8, outputs=8)]) for f in (np.sin, np.cos)]
    inside = [xpnn.Network([xpnn.Residual([n.layers[0]])]) for n in functions]
    tokens = [tokenize(n) for n in (*functions, *inside, network.to(np), *network.layers)]
    assert len({*tokens, tokenize(network)}) == 8
    others = [pytest.importorskip("torch"), pytest.importorskip("jax").numpy]
    tokens += [tokenize(network.to(other)) for other in others]
    assert len(set(tokens)) == len(tokens)
    slopes = [xpnn.leaky_relu(x, negative_slope=s).name for s in (0.1, 0.2)]
    assert (
        len({*slopes, xpnn.relu(x).name, xpnn.softmax(x).name, xpnn.softmax(x, axis=0).name}) == 5
    )


def test_frames_in_partitions_stay_lazy():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    network = xpnn.Network([xpnn.Dense(np.float32([[1], [-1]]))], inputs=["high", "low"])
    columns = {"low": [1, 2, 70_000], "name": ["a", "b", "c"], "high": np.float32([0.5, 1.5, 2.5])}
    table = pd.DataFrame(columns)
    frame = dd.from_pandas(table, npartitions=2)
    rows = network.table(frame)
    assert isinstance(rows, da.Array)
    expected = network.table(table)
    assert rows.dtype == np.float64  # as one of the integers may be missing
    np.testing.assert_array_equal(rows.compute(), expected)
    np.testing.assert_array_equal(network(rows).compute(), network(expected))
    halves = network.table(frame.assign(low=frame.low * 0.5).astype({"low": "f2", "high": "f2"}))
    assert halves.dtype == halves.compute().dtype == np.float16
    with pytest.raises(TypeError, match="expected numbers in the column 'high'"):
        network.table(frame.assign(high=frame.name))
    with pytest.raises(ValueError, match="'high' is missing"):
        network.table(frame[["low"]])


@pytest.mark.parametrize(
    ("beside", "dtype"),
    [
        ("float16", "float16"),
        ("int8", "float16"),
        ("uint8", "float16"),
        ("int16", "float32"),
        ("float64", "float64"),
    ],
)
def test_columns_of_float16_are_those_of_numpy(beside, dtype):
    network = xpnn.Network([xpnn.Dense(np.float32([[1], [-1]]))], inputs=["high", "low"])
    columns = {"high": np.ones(3, "float16"), "low": np.ones(3, beside)}
    rows = network.table({name: da.from_array(c, chunks=2) for name, c in columns.items()})
    assert rows.dtype == rows.compute().dtype == network.table(columns).dtype == dtype


def test_float16_in_all_ways():
    """Dask lists no float16 in its namespace, but has it."""
    moved = network_of().to(da, dtype="float16")
    assert {layer.weight.dtype for layer in moved.layers} == {np.dtype("float16")}
    x = xpnn.reproducible(da).asarray(X, dtype="float16")
    assert x.dtype == np.float16


def test_delayed_functions_take_networks():
    network = network_of()
    y = dask.delayed(lambda n, x: n(x))(network, X).compute(scheduler="sync")
    np.testing.assert_array_equal(y, network(X))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n, x: n(x[:, :5]), ValueError, r"expected x of shape \(..., 8\).*got shape \(30, 5\)"),
        (lambda n, x: n(x[:, x[0] > 0]), ValueError, r"known length along axis 1.*compute_chunk_sizes"),
        (lambda _, x: REPRODUCIBLE.sum(x[x[:, 0] > 0], axis=0), ValueError, r"sum: .* axis 0.*compute_chunk_sizes"),
        (lambda _, x: REPRODUCIBLE.asarray(x[x[:, 0] > 0].astype("f8")) @ REPRODUCIBLE.asarray(x.T.astype("f8")), ValueError, r"matmul: .* axis 0.*compute_chunk_sizes"),
        (lambda _, x: REPRODUCIBLE.matmul(x[x[:, 0] > 0].T, x), ValueError, r"matmul: .* axis 1.*compute_chunk_sizes"),
        (lambda _, x: REPRODUCIBLE.exp(x[x[:, 0] > 0]), ValueError, r"exp: .* axis 0.*compute_chunk_sizes"),
        (lambda n, x: n(x + 1j), TypeError, "real floating or integer"),
        (lambda n, x: n(x, xp=np), TypeError, "array of xp"),
        (lambda _, x: xpnn.softmax(x, where=x), TypeError, "expected where to be a boolean array"),
        (lambda _, x: xpnn.softmax(x, where=X > 0), TypeError, "arrays of one library"),
        (lambda _, x: xpnn.softmax(x, where=(x > 0)[:, :5]), ValueError, r"where to broadcast.*\(30, 8\)"),
        (lambda _, x: xpnn.logsumexp(x, axis=1, b=x[:3]), ValueError, r"b to broadcast with x of shape \(30, 8\)"),
        (lambda n, x: n(dask.delayed(x)), TypeError, r"got dask.delayed.*jax.numpy.asarray"),
        (lambda _, x: xpnn.softmax(x, axis=2), ValueError, "axis between -2 and 1"),
        (lambda _, x: xpnn.sigmoid(x > 0), TypeError, "real floating or integer"),
    ],
    ids=["width", "unknown width", "unknown sum", "unknown left", "unknown right", "unknown exp", "complex", "namespace", "mask", "library", "shape", "weights", "delayed", "axis", "bool"],
)  # fmt: skip
def test_errors_come_before_anything_is_computed(call, error, message):
    with pytest.raises(error, match=message):
        call(network_of(), da.from_array(X, chunks=7))


def test_bits_do_not_depend_on_chunks():
    network = xpnn.load("digits")
    x = xpnn.models.sample("digits")[0].astype("float32")
    expected = network(x, xp=xpnn.reproducible(np))
    for chunks in ((1, -1), 33, (64, 100), -1):
        y = network(da.from_array(x, chunks=chunks), xp=WAYS["reproducible"][0])
        np.testing.assert_array_equal(y.compute(), expected)


@pytest.fixture(scope="module")
def client():
    """Two worker processes, as on two machines."""
    distributed = pytest.importorskip("distributed")
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def _count_networks():
    from xpnn import Network

    unchecked = getattr(Network._unchecked, "__wrapped__", Network._unchecked.__func__)
    Network.made = 0

    @functools.wraps(unchecked)
    def counting(cls, rest, children):
        cls.made += 1
        return unchecked(cls, rest, children)

    Network._unchecked = classmethod(counting)


def _networks():
    from xpnn import Network

    return Network.made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["fast", "reproducible"])
def test_cluster(client, way):
    client.run(_count_networks)
    network = xpnn.load("digits")
    values = xpnn.models.sample("digits")[0].astype("float32")
    x = da.from_array(values, chunks=(20, -1))
    xp, of_numpy = WAYS[way]
    y = network(x, xp=xp)
    check(y, network(values, xp=of_numpy), same=way == "reproducible")
    # Each of 10 chunks has its task, each worker one network.
    assert max(client.run(_networks).values()) <= 1


def _once_kills(a, block_info=None, *, folder):
    """Kill the worker that computes the fifth chunk, the first time."""
    marker = Path(folder) / "killed"
    if block_info[0]["chunk-location"][0] == 4 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return a


@pytest.mark.filterwarnings("ignore")
def test_killed_worker_loses_nothing(client, tmp_path):
    network = network_of()
    x = da.from_array(np.tile(X, (10, 1)), chunks=(10, -1))
    y = network(x.map_blocks(_once_kills, folder=str(tmp_path), dtype=X.dtype))
    np.testing.assert_allclose(y.compute(), network(np.tile(X, (10, 1))), rtol=1e-5)
    assert (tmp_path / "killed").exists()
