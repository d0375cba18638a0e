"""Sharded arrays on four devices of the CPU: `python sharded_cases.py WAY` prints a line for each case.

The devices have to be asked for before JAX starts, so this is a program of its own, and
`test_sharded.py` runs it. A line is "ok" or "FAULT", the case, and what was wrong.
"""

import os
import sys
import time
import warnings

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import xpnn
from xpnn._activations.table import ACTIVATIONS
from xpnn.errors import XpnnValueError

WAYS = {"fast": None, "plain": jnp, "reproducible": xpnn.reproducible(jnp)}
WAY = sys.argv[1]
XP = WAYS[WAY]
NXP = xpnn.reproducible(np) if WAY == "reproducible" else None
X = np.linspace(-3, 4, 64, dtype="float32").reshape(8, 8)
WEIGHTS = [np.linspace(-1, 1.3, 8 * n, dtype="float32").reshape(-1, n) ** 3 for n in (8, 4)]


def a_network(dtype="float32", hidden="softsign"):
    weights = [w.astype(dtype) for w in WEIGHTS]
    biases = [np.linspace(0, 1, n, dtype=dtype) for n in (8, 4)]
    return xpnn.Network.from_weights(weights, biases, hidden=hidden, output="softmax")


def a_mesh(kind, *shape):
    names = ("rows", "features")[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(getattr(AxisType, kind),) * len(shape))


LAYOUTS = {
    "rows": ((4,), P("rows")),
    "rows of one device": ((1,), P("rows", None)),
    "rows and features": ((2, 2), P("rows", "features")),
    "features": ((2, 2), P(None, "features")),
}
KINDS = ("Auto", "Explicit")

METHODS = {
    "call": lambda network, x, xp: network(x, xp=xp),
    "logits": lambda network, x, xp: network.logits(x, xp=xp),
    "log_proba": lambda network, x, xp: network.log_proba(x, xp=xp),
    "classify": lambda network, x, xp: network.classify(x, xp=xp),
    "layer_outputs": lambda network, x, xp: network.layer_outputs(x, xp=xp)[0][1],
}
ANALYSES = {
    "certain": lambda network, x: network.classify(x, certain=True)[1],
    "error_bound": xpnn.error_bound,
    "expected_error": xpnn.expected_error,
}
FAMILY = {
    f"{f.__name__} {options}": lambda x, xp, f=f, options=options: f(x, xp=xp, **options)
    for f in (xpnn.softmax, xpnn.log_softmax, xpnn.logsumexp)
    for options in ({"axis": -1}, {"axis": 0})
} | {
    f"{f.__name__} with a mask along {axis}": lambda x, xp, f=f, axis=axis: f(
        x, where=x > -1, axis=axis, xp=xp
    )
    for f, axis in ((xpnn.softmax, 0), (xpnn.log_softmax, (0, 1)), (xpnn.logsumexp, 0))
}
CASES = {}


def case(name, wanted=True):
    def add(f):
        assert name not in CASES
        if wanted:
            CASES[name] = f

    return add


def shard(x, mesh, spec):
    return jax.device_put(x, NamedSharding(mesh, spec))


def same(y, expected, what=""):
    if WAY == "reproducible":
        np.testing.assert_array_equal(y, expected, err_msg=what)
    else:
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6, err_msg=what)


def first(sharding):
    spec = tuple(getattr(sharding, "spec", ()))
    return spec[0] if spec and len(sharding.device_set) > 1 else None


def lies_as(y, x, what=""):
    """Hold the rows of y to lie as those of x: on the same mesh."""
    assert first(y.sharding) == first(x.sharding), (what, y.sharding)
    if len(x.sharding.device_set) > 1:
        assert y.sharding.mesh == x.sharding.mesh, (what, y.sharding)
    assert y.sharding.device_set == x.sharding.device_set, (what, y.sharding)


def generate():
    known = {}
    for kind in KINDS:
        # The reproducible way takes long to compile, for both kinds to the same.
        full = WAY != "reproducible" or kind == "Explicit"
        for layout, (shape, spec) in LAYOUTS.items() if full else [("rows", LAYOUTS["rows"])]:

            @case(f"network, {kind}, {layout}")
            def _(kind=kind, shape=shape, spec=spec, layout=layout):
                network, mesh = a_network(), a_mesh(kind, *shape)
                x = shard(X, mesh, spec)
                few = METHODS if layout == "rows" else {"call": METHODS["call"]}
                jitted = jax.jit(lambda x: {m: f(network, x, XP) for m, f in few.items()})(x)
                eager = {m: few[m](network, x, XP) for m in set(few) & {"call", "classify"}}
                for got in (jitted, eager):
                    for m, y in got.items():
                        same(y, METHODS[m](network, X, NXP), m)
                        lies_as(y, x, m)

        @case(f"in the mesh, {kind}")
        def _(kind=kind):
            network, mesh = a_network(), a_mesh(kind, 4)
            x = shard(X, mesh, P("rows"))
            with jax.set_mesh(mesh):
                y = network(x, xp=XP)
            lies_as(y, x)
            same(y, a_network()(X, xp=NXP))
            same(network(x, xp=XP), y)

        @case(f"every activation, {kind}")
        def _(kind=kind):
            x = shard(X, a_mesh(kind, 4), P("rows", None))
            few = dict(list(ACTIVATIONS.items())[:: 1 if kind == "Explicit" else 7])
            for name, y in jax.jit(lambda x: {n: f(x, xp=XP) for n, f in few.items()})(x).items():
                same(y, ACTIVATIONS[name](X, xp=NXP), name)
                lies_as(y, x, name)

        @case(f"over several axes, {kind}", WAY == "fast" or kind == "Explicit")
        def _(kind=kind):
            layouts, functions = {X.shape: ((4,), P(None, "rows"))}, [xpnn.softmax, xpnn.logsumexp]
            if WAY == "fast":  # the others take long to compile
                layouts[4, 2, 8] = (2, 2), P(None, "rows", "features")
                functions.append(xpnn.log_softmax)
            for shape, (devices, spec) in layouts.items():
                x = shard(X.reshape(shape), a_mesh(kind, *devices), spec)
                for f in functions:
                    expected = f(X.reshape(shape), axis=(0, 1), xp=NXP)
                    same(f(x, axis=(0, 1), xp=XP), expected, f.__name__)
                    if WAY != "reproducible":
                        same(jax.jit(lambda x, f=f: f(x, axis=(0, 1), xp=XP))(x), expected)
            got = xpnn.logsumexp(x, axis=-1, b=-abs(x), return_sign=True, xp=XP)
            values, b = X.reshape(shape), -abs(X.reshape(shape))
            expected = xpnn.logsumexp(values, axis=-1, b=b, return_sign=True, xp=NXP)
            for y, z in zip(got, expected, strict=True):
                same(y, z)

        @case(f"softmax, log_softmax, logsumexp, {kind}")
        def _(kind=kind):
            x = shard(X, a_mesh(kind, 4), P("rows", None))
            few = dict(list(FAMILY.items())[:: 1 if kind == "Explicit" else 4])
            for name, y in jax.jit(lambda x: {n: f(x, XP) for n, f in few.items()})(x).items():
                same(y, FAMILY[name](X, NXP), name)
            y = xpnn.softmax(x, where=x > -1, xp=XP)
            same(y, xpnn.softmax(X, where=X > -1, xp=NXP))
            lies_as(y, x)

        @case(f"copies are made once, {kind}")
        def _(kind=kind):
            network, mesh = a_network(), a_mesh(kind, 4)
            x = shard(X, mesh, P("rows"))
            y = network(x, xp=XP)
            # Of the plain way JAX copies the numbers in its formulas.
            with jax.transfer_guard("allow" if WAY == "plain" else "disallow"):
                same(network(x, xp=XP), y)
                # For another way of spreading over the same mesh, too.
                same(network(shard(x, mesh, P(None, "rows")), xp=XP), y)
            (there,) = network._copies.values()
            weights = jax.tree.leaves(there)
            assert len(weights) == 4
            for w in weights:
                assert w.sharding.is_fully_replicated, w.sharding
                assert len(w.addressable_shards) == 4, w.sharding

        @case(f"derivatives, {kind}", full)
        def _(kind=kind):
            def loss(network, x):
                return -network.log_proba(x, xp=XP)[:, 0].mean()

            gradient = jax.jit(jax.grad(loss, (0, 1)))
            network, mesh = a_network().to(jnp), a_mesh(kind, 4)
            x = shard(X, mesh, P("rows", None))
            got = gradient(network.to(x), x)
            if WAY not in known:
                known[WAY] = gradient(network, jnp.asarray(X))
            for a, b in zip(*map(jax.tree.leaves, (got, known[WAY])), strict=True):
                same(a, b)
            lies_as(got[1], x)

        for strict in (True, False) if WAY != "reproducible" else (full,):

            @case(f"shard_map, {kind}, check_vma={strict}")
            def _(kind=kind, strict=strict):
                network, mesh = a_network(), a_mesh(kind, 4)
                x, placed = shard(X, mesh, P("rows")), a_network().to(jnp)

                def given(placed, x):
                    return placed(x, xp=XP), jax.vmap(lambda row: network(row, xp=XP))(x)

                spread = {"mesh": mesh, "out_specs": P("rows"), "check_vma": strict}
                part = jax.shard_map(given, in_specs=(P(), P("rows")), **spread)
                for y in jax.jit(part)(placed, x):
                    same(y, network(X, xp=NXP))
                    lies_as(y, x)

        @case(f"derivatives in shard_map, {kind}", full)
        def _(kind=kind):
            mesh = a_mesh(kind, 4)

            def loss(network, x, xp=None):
                return network.log_proba(x, xp=xp)[:, 0].sum()

            def whole(network, x):
                return jax.lax.psum(loss(network, x, XP), "rows")

            spread = {"mesh": mesh, "in_specs": (P(), P("rows")), "out_specs": P()}
            x = shard(X, mesh, P("rows", None))
            got = jax.jit(jax.shard_map(jax.grad(whole), **spread))(a_network().to(jnp), x)
            expected = jax.grad(loss)(a_network().to(jnp), jnp.asarray(X))
            # Sums over devices are JAX's own, whatever the way.
            for a, b in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

        @case(f"tensor parallel, {kind}")
        def _(kind=kind):
            mesh = a_mesh(kind, 2, 2)
            network = a_network().to(jnp)
            first = {"weight": P(None, "features"), "bias": P("features")}
            last = {"weight": P("features" if kind == "Auto" else None, None), "bias": P()}
            specs = [first["weight"], first["bias"], last["weight"], last["bias"]]
            leaves, tree = jax.tree.flatten(network)
            placed = [shard(a, mesh, s) for a, s in zip(leaves, specs, strict=True)]
            network = jax.tree.unflatten(tree, placed)
            x = shard(X, mesh, P("rows"))
            y = network(x, xp=XP)
            same(y, a_network()(X, xp=NXP))
            lies_as(y, x)
            assert "features" in repr(network), repr(network)
            kept = jax.tree.leaves(network.to(x))
            assert [a.sharding for a in kept] == [a.sharding for a in placed]

        @case(f"analyses, {kind}")
        def _(kind=kind):
            network = a_network()
            x = shard(X, a_mesh(kind, 4), P("rows", None))
            for name, f in ANALYSES.items():
                expected, y = f(network, X), f(network, x)
                np.testing.assert_array_equal(y, expected, err_msg=name)
                lies_as(y, x, name)
                if WAY == "fast":
                    y = jax.jit(lambda x, f=f: f(network, x))(x)
                    np.testing.assert_allclose(y, expected, rtol=1e-3, err_msg=name)
            assert xpnn.explain(network, x, network(x, xp=XP)).passed

        @case(f"layers of one's own, {kind}")
        def _(kind=kind):
            slope = np.full(X.shape[1], 0.25, X.dtype)
            square = xpnn.Function(lambda x: x * x, elementwise=True)
            network = xpnn.Network([xpnn.PReLU(slope), square])
            x = shard(X, a_mesh(kind, 4), P("rows", None))
            y = jax.jit(lambda x: network(x, xp=XP))(x)
            same(y, network(X, xp=NXP))
            lies_as(y, x)

        @case(f"places, {kind}")
        def _(kind=kind):
            mesh = a_mesh(kind, 4)
            x, network = shard(X, mesh, P("rows")), a_network()
            expected = network(X, xp=NXP)
            placed = network.to(x)
            assert all(a.sharding.is_fully_replicated for a in jax.tree.leaves(placed))
            assert all(len(a.sharding.device_set) == 4 for a in jax.tree.leaves(placed))
            one = network.to(jnp, device=jax.devices()[1])
            for there in (placed, network.to(jnp), one.to(x)):
                same(there(x, xp=XP), expected)
            for there, rows in ((one, x), (placed, jax.device_put(X, jax.devices()[0]))):
                with pytest.raises(
                    XpnnValueError, match=r"P.* of Mesh\('rows': 4.*network\.to\(x\) gives"
                ):
                    there(rows, xp=XP)
            half = jax.sharding.Mesh(np.asarray(jax.devices()[:2]), ("rows",))
            with pytest.raises(XpnnValueError, match="expected arrays on one device"):
                xpnn.softmax(x, where=shard(X > 0, half, P("rows")), xp=XP)
            other = shard(X > 0, a_mesh(kind, 2, 2), P("rows"))
            if kind == "Auto":
                y = xpnn.softmax(x, where=other, xp=XP)
                same(y, xpnn.softmax(X, where=X > 0, xp=NXP))

    @case("arrays that a trace closes over")
    def _():
        x = shard(X, a_mesh("Explicit", 4), P("rows"))
        where, b, mask = x > -1, abs(x), X > -1
        y = jax.jit(lambda x: xpnn.softmax(x, where=where, xp=XP))(x)
        same(y, xpnn.softmax(X, where=mask, xp=NXP))
        lies_as(y, x)
        total = jax.jit(lambda s: s.sum() + xpnn.logsumexp(x, where=where, axis=1, xp=XP))(x)
        expected = xpnn.logsumexp(X, where=mask, axis=1, xp=NXP)
        np.testing.assert_allclose(total, X.sum() + expected, rtol=1e-4)
        with jax.set_mesh(x.sharding.mesh):
            value, pull = jax.vjp(lambda x: xpnn.logsumexp(x, axis=1, b=b, xp=XP), x)
            (slope,) = pull(jnp.ones_like(value))
        same(value, xpnn.logsumexp(X, axis=1, b=abs(X), xp=NXP))
        np.testing.assert_allclose(slope.sum(axis=1), 1.0, rtol=1e-5)

    for kinds in (("Auto", "Explicit"), ("Explicit", "Auto")):

        @case(f"a mesh of {' and '.join(kinds)} axes")
        def _(kinds=kinds):
            types = tuple(getattr(AxisType, kind) for kind in kinds)
            mesh = jax.make_mesh((2, 2), ("rows", "features"), axis_types=types)
            network = a_network()
            for spec in (P("rows", "features"), P(None, "features")):
                x = shard(X, mesh, spec)
                for y in (network(x, xp=XP), jax.jit(lambda x: network(x, xp=XP))(x)):
                    same(y, network(X, xp=NXP))
                    lies_as(y, x)
                y = xpnn.softmax(x, xp=XP)
                same(y, xpnn.softmax(X, xp=NXP))
                lies_as(y, x)

    @case("pmap")
    def _():
        network, x = a_network(), X.reshape(4, 2, 8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            y = jax.pmap(lambda x: network(x, xp=XP))(x)
            z = network(jax.pmap(lambda x: x)(x), xp=XP)
        for got in (y, z):
            same(got, network(x, xp=NXP))
            assert len(got.sharding.device_set) == 4

    @case("float64")
    def _():
        with jax.enable_x64(True):
            network, x = a_network("float64", "relu"), X.astype("float64")
            y = network.logits(shard(x, a_mesh("Explicit", 4), P("rows")), xp=XP)
            assert y.dtype == "float64"
            same(y, network.logits(x, xp=NXP))

    if WAY == "reproducible":

        @case("many rows are computed where they are")
        def _():
            # More than a tile has, whose number is no multiple of a tile's.
            x = np.random.default_rng(0).random((4 * 67_000, 8), dtype="float32")
            network = a_network()
            expected = network(x, xp=NXP)
            for kind in KINDS:
                mesh = a_mesh(kind, 4)
                rows = shard(x, mesh, P("rows", None))
                compiled = jax.jit(lambda x: network(x, xp=XP)).lower(rows).compile()
                text = compiled.as_text()
                assert "while" in text, "no tiles"
                assert "all-gather" not in text, "rows travel"
                assert "all-reduce" not in text, "rows travel"
                y = compiled(rows)
                lies_as(y, rows)
                same(y, expected)
            # A number of rows that tiles do not divide.
            rows = shard(x[: 4 * 66_977], mesh, P("rows", None))
            same(network(rows, xp=XP), expected[: len(rows)])
            part = jax.shard_map(
                lambda x: network(x, xp=XP), mesh=mesh, in_specs=P("rows"), out_specs=P("rows")
            )
            same(jax.jit(part)(shard(x, mesh, P("rows", None))), expected)


generate()

if __name__ == "__main__":
    assert len(jax.devices()) == 4
    only = sys.argv[2:]
    for name, run in CASES.items():
        if only and not any(part in name for part in only):
            continue
        begin = time.perf_counter()
        try:
            run()
        except Exception as error:  # noqa: BLE001 -- all faults are to be shown
            print(
                "FAULT",
                name,
                "--",
                f"{type(error).__name__}: {error}".replace("\n", " "),
                flush=True,
            )
        else:
            print("ok", name, f"({time.perf_counter() - begin:.1f} s)", flush=True)
    print("all", len(CASES))
