"""The reproducible way: the same bits on every backend, however they are called."""

import inspect
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import golden_cases
import mpmath as mp
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
import xpnn.models
from xpnn._arrays import transfer
from xpnn._arrays.axes import Slices
from xpnn._arrays.digest import Digest, digest
from xpnn._arrays.transfer import to_numpy
from xpnn._reproducible import known_answer
from xpnn._reproducible.operations import OPERATIONS
from xpnn.testing import assert_digest, assert_ulp, assert_within

GOLDEN = json.loads(golden_cases.FILE.read_text(encoding="utf-8"))
ROOT = Path(__file__).parents[2]


def same(a, b):
    """The same dtype, shape and bits."""
    a, b = to_numpy(a), to_numpy(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", golden_cases.CASES)
def test_golden_digest(name, backend, rxp):
    result = golden_cases.CASES[name](rxp, backend.asarray)
    assert backend.xp is xpnn._arrays.library.library(result).xp  # the library's arrays in, and out
    assert_digest(result, GOLDEN[name])


def test_golden_digests_are_all_there():
    assert set(GOLDEN) == set(golden_cases.CASES)


def test_digest_is_of_values_dtype_and_shape():
    x = np.arange(6.0).reshape(3, 2)
    pieces = Digest()
    for row in (x[:1], x[1:]):
        pieces.update(row)
    assert (
        pieces.hexdigest() == digest(x) == digest(np.asfortranarray(x)) == digest(x.astype(">f8"))
    )
    assert len({digest(x), digest(x.T), digest(x.astype("f4")), digest(x.ravel()), digest(-x)}) == 5


# From the definition alone


@pytest.mark.slow
def test_oracle_predicts_a_whole_network():
    images, _ = xpnn.models.sample("digits")
    network = xpnn.load("digits")
    layers = [(layer.weight.tolist(), layer.bias.tolist()) for layer in network.layers]
    x = images[:4].astype("float32")
    got = network(x, xp=xpnn.reproducible(np))
    expected = [oracle.network32(row.tolist(), layers) for row in x]
    assert got.tolist() == expected


@pytest.mark.parametrize("k", [1, 2, 3, 1023, 1025, 3000])
def test_oracle_predicts_products_of_any_range(k):
    a = golden_cases.normal(1, 2, k, dtype="float32", sigma=8)
    b = golden_cases.normal(2, k, 2, dtype="float32", sigma=8)
    got = xpnn.reproducible(np).matmul(a, b)
    assert got.tolist() == [oracle.products32(r.tolist(), b.tolist()) for r in a]


@given(hnp.arrays("float32", (40,), elements=st.floats(-100, 100, width=32)))
def test_oracle_predicts_softmax_and_sigmoid(x):
    x = np.where(np.abs(x) < 2.0**-126, 0, x).astype("float32")
    rxp = xpnn.reproducible(np)
    assert xpnn.softmax(x, xp=rxp).tolist() == oracle.softmax32(x.tolist())
    assert xpnn.sigmoid(x, xp=rxp).tolist() == [oracle.sigmoid32(v) for v in x.tolist()]


# However it is called


def test_place_in_the_batch_and_memory_layout(backend, rxp):
    x = golden_cases.normal(30, 40, 300, dtype="float32", sigma=2)
    network = golden_cases.network((300, 20, 9), "float32")
    y = to_numpy(network(backend.asarray(x), xp=rxp))
    for i in (0, 17):
        assert same(network(backend.asarray(x[i]), xp=rxp), y[i])
        assert same(network(backend.asarray(x[i : i + 3]), xp=rxp), y[i : i + 3])
    assert same(network(backend.asarray(x[::-1]), xp=rxp), y[::-1].copy())
    assert same(network(backend.asarray(np.asfortranarray(x)), xp=rxp), y)
    twice = backend.asarray(np.repeat(x, 2, axis=0))
    assert same(network(twice[::2, ...], xp=rxp), y)
    wide = backend.asarray(np.ascontiguousarray(x.T))
    assert same(network(backend.xp.matrix_transpose(wide), xp=rxp), y)
    assert same(network(backend.asarray(x.reshape(8, 5, 300)), xp=rxp), y.reshape(8, 5, 9))


def everything(x, xp):
    """Functions whose operations compilers like to rearrange."""
    a = xp.matmul(x, xp.matrix_transpose(x)) * 0.1 + 1.0 / (x[:, :1] * x[:, :1] + 3.0)
    e = xp.exp(a - xp.max(a, axis=-1, keepdims=True))
    s = e / xp.sum(e, axis=-1, keepdims=True)
    t = (s + 1e10) - 1e10 + (a * 3.3) * 0.7 + 1.0 / (1.0 / (a * a + 1.0))
    return xp.tanh(t) / 7.0 + xp.log1p(s) * xp.var(t, axis=0) + xp.sqrt(t * t) ** 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
def test_jax_jit_vmap_scan(dtype, jax):
    rxp = xpnn.reproducible(jax.numpy)
    x = golden_cases.normal(31, 5, 12, 12, dtype=dtype)
    numpy = xpnn.reproducible(np)
    expected = np.stack([everything(numpy.asarray(v), numpy).native for v in x])

    def f(v):
        return everything(rxp.asarray(v), rxp).native

    def step(carry, v):
        return carry, jax.lax.cond(v[0, 0] < 9, f, lambda v: v, v)

    x = jax.numpy.asarray(x)
    assert same(jax.vmap(f)(x), expected)
    assert same(jax.jit(jax.vmap(f))(x), expected)
    assert same(jax.lax.scan(step, 0, x)[1], expected)
    wrapped = jax.jit(lambda v: everything(v, rxp))(rxp.asarray(x[0]))  # jit carries its arrays
    assert same(wrapped.native, expected[0])


@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
def test_torch_compile_and_func(dtype, torch):
    rxp = xpnn.reproducible(torch)
    x = golden_cases.normal(31, 5, 12, 12, dtype=dtype)
    numpy = xpnn.reproducible(np)
    expected = np.stack([everything(numpy.asarray(v), numpy).native for v in x])

    def f(v):
        return everything(rxp.asarray(v), rxp).native

    x = torch.from_numpy(x)
    f(x[0])
    torch.compiler.reset()
    assert same(torch.compile(f, fullgraph=True)(x[0]), expected[0])
    assert same(torch.func.vmap(f)(x), expected)
    assert same(torch.compile(torch.func.vmap(f), backend="aot_eager")(x), expected)
    leaf = x[0].clone().requires_grad_()
    assert same(f(leaf).detach(), expected[0])
    with torch.inference_mode():
        assert same(f(x[0]), expected[0])


@pytest.fixture(params=["follows", "placed"])
def whole_network(request):
    """A network, its input and the output's bits; its weights follow, or stay with a library."""

    def made(xp, dtype, widths=(40, 30, 7)):
        network = golden_cases.network(widths, dtype, hidden="tanh")
        x = golden_cases.normal(33, 6, 5, 40, dtype=dtype)
        expected = network(x, xp=xpnn.reproducible(np))
        return network if request.param == "follows" else network.to(xp), x, expected

    return made


@pytest.mark.slow
@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
def test_networks_in_jax(dtype, jax, whole_network):
    rxp = xpnn.reproducible(jax.numpy)
    network, x, expected = whole_network(jax.numpy, dtype)
    assert same(network(jax.numpy.asarray(x), xp=rxp), expected)
    # XLA takes seconds for each layer in each of these.
    network, x, expected = whole_network(jax.numpy, dtype, (40, 7))
    x = jax.numpy.asarray(x)

    def f(v):
        return network(v, xp=rxp)

    assert same(jax.jit(f)(x), expected)
    assert same(jax.vmap(f)(x), expected)
    assert same(jax.jit(jax.vmap(jax.vmap(f)))(x), expected)
    assert same(jax.lax.scan(lambda c, v: (c, f(v)), 0, x)[1], expected)
    assert same(jax.jit(lambda n, v: n(v, xp=rxp))(network.to(jax.numpy), x), expected)
    many = jax.numpy.concatenate([x.reshape(-1, 40)] * 700)  # more rows than a tile
    assert same(f(many), np.concatenate([expected.reshape(-1, 7)] * 700))


@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
def test_networks_in_torch(dtype, torch, whole_network):
    network, x, expected = whole_network(torch, dtype)
    rxp = xpnn.reproducible(torch)
    x = torch.from_numpy(x)

    def f(v):
        return network(v, xp=rxp)

    assert same(f(x), expected)
    assert same(f(x.transpose(0, 1)), np.ascontiguousarray(expected.swapaxes(0, 1)))
    assert same(torch.func.vmap(f)(x), expected)
    torch.compiler.reset()
    assert same(torch.compile(f, backend="aot_eager")(x), expected)
    with torch.no_grad():
        assert same(f(x.clone().requires_grad_()), expected)
    assert same(f(x.clone().requires_grad_()).detach(), expected)
    with torch.inference_mode():
        assert same(f(x), expected)
        assert same(f(x.clone()), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(threads, torch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        name = "network (64, 32, 10) 10000 rows float32"
        rxp = xpnn.reproducible(torch)
        assert_digest(golden_cases.CASES[name](rxp, torch.from_numpy), GOLDEN[name])
    finally:
        torch.set_num_threads(before)


SUBSET = ["digits", "matmul (50, 3000, 7) float64", "matmul hard float64", "xpnn.gelu float64"]
SUBSET += ["xpnn.softmax float32", "log float64", "var float64", "divide float32", "erf float32"]
RUN = """
import golden_cases, json, numpy as np, xpnn
from xpnn._arrays.installed import backend_library
xp = backend_library({backend!r}).xp
asarray = lambda a: xp.asarray(np.array(a))
print(json.dumps(dict(golden_cases.digests(xpnn.reproducible(xp), asarray, {names!r}))))
"""


def in_a_process(backend, environment, names):
    code = RUN.format(backend=backend, names=names)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
        | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


# Variables that choose other kernels for the processor, and the backends that heed them.
PROCESSORS = [
    ("numpy", {"OPENBLAS_CORETYPE": "Prescott"}),
    ("numpy", {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}),
    ("numpy", {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"}),
    ("torch", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
    ("torch", {"ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1"}),
    ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "JAX_ENABLE_X64": "1"}),
    ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2", "JAX_ENABLE_X64": "1"}),
]


@pytest.mark.slow
@pytest.mark.libraries
@pytest.mark.parametrize(
    ("name", "environment"),
    PROCESSORS,
    ids=lambda v: v if isinstance(v, str) else next(iter(v.values())),
)
def test_other_processor_kernels(name, environment, request):
    if name != "numpy":
        request.getfixturevalue(name)
    assert in_a_process(name, environment, SUBSET) == {n: GOLDEN[n] for n in SUBSET}


@pytest.mark.slow
def test_jax_without_64_bit_types(jax):
    names = ["digits", *[n for n in GOLDEN if "float64" not in n][::3]]
    found = in_a_process("jax", {"JAX_ENABLE_X64": "0"}, names)
    assert found == {n: GOLDEN[n] for n in names}


@pytest.mark.slow
@given(
    # Few shapes: JAX compiles each operation for each.
    hnp.arrays("float32", st.sampled_from([(1, 1), (4, 5)]), elements=st.floats(width=32)),
    st.sampled_from(["softmax", "log_softmax", "logsumexp", "gelu", "mish", "erf", "softplus"]),
)
def test_no_input_tells_backends_apart(backend, x, name):
    numpy = xpnn.reproducible(np)
    here = xpnn.reproducible(backend.xp)
    f = getattr(xpnn, name)
    assert same(f(backend.asarray(x), xp=here), f(x, xp=numpy))
    a, b = backend.asarray(x), backend.asarray(np.ascontiguousarray(x.T))
    assert same(here.matmul(a, b), numpy.matmul(x, np.ascontiguousarray(x.T)))
    assert same(here.divide(a, a + 1), numpy.divide(x, x + np.float32(1)))


@pytest.mark.parametrize("low", ["float32", "float16", "bfloat16"])
def test_no_compiler_leaves_out_a_rounding(low, jax):
    """XLA on a GPU takes x for a float32 of x that is widened again: a barrier stands in between."""
    rxp = xpnn.reproducible(jax.numpy)

    def there_and_back(x):
        return rxp.astype(rxp.astype(x, getattr(rxp, low)), rxp.float64)

    text = str(jax.make_jaxpr(there_and_back)(jax.numpy.ones(3, jax.numpy.float64)))
    steps = re.findall(r"convert_element_type|optimization_barrier", text)
    last = len(steps) - 1 - steps[::-1].index("convert_element_type")
    assert "optimization_barrier" in steps[steps.index("convert_element_type") : last]


class Divided(np.ndarray):
    """An array that nobody divides by a number, which on CUDA is the product with a reciprocal."""

    def __truediv__(self, other):
        assert not isinstance(other, int | float)
        return super().__truediv__(other)


def test_nothing_is_divided_by_a_number(monkeypatch):
    rxp = xpnn.reproducible(np)
    made = known_answer.constant
    monkeypatch.setattr(known_answer, "constant", lambda *args: made(*args).view(Divided))
    assert known_answer._answer(rxp.engine, np.ones(1)) == known_answer.ANSWER
    x = np.linspace(0.25, 0.75, 6).reshape(2, 3).view(Divided)
    slices = Slices((2, 3), (1,))
    options = {"power": {"n": -3}, "var": {"slices": slices, "correction": 1.0}}
    options |= {"std": options["var"]} | {n: {"slices": slices} for n in ("sum", "mean")}
    for name, operation in OPERATIONS.items():
        if operation.is_conversion:
            continue
        arrays = {"matmul": (x, x.T)}.get(name, (x, x))
        count = list(inspect.signature(operation.kernel).parameters).index("single")
        given = options.get(name, {"slices": slices} if name == "cumulative_sum" else {})
        for single in (True, False):
            operation.kernel(*arrays[:count], single, np, **given)


# What the values are


def test_no_subnormals_no_negative_zero_one_nan(backend, rxp):
    x = backend.asarray(np.float32([-0.0, 1e-40, -1e-40, np.nan, -np.nan, 1e-38]))
    y = to_numpy(rxp.asarray(x).native)
    assert y.view("u4").tolist() == [0, 0, 0, 0x7FC00000, 0x7FC00000, 0]
    least = backend.asarray(np.float32([2.0**-126, 2.0**-63]))
    assert to_numpy(rxp.divide(least, backend.asarray(np.float32([1.0, 1.0]))))[0] == 2.0**-126
    assert to_numpy(rxp.multiply(least, least)).tolist() == [0.0, 2.0**-126]
    for name in ("negative", "ceil", "round", "trunc"):
        y = to_numpy(getattr(rxp, name)(backend.asarray(np.float32([0.0, -0.2]))))
        assert not np.signbit(y[y == 0]).any()


ACCURATE = {
    "exp": mp.exp, "exp2": lambda v: mp.mpf(2) ** v, "expm1": mp.expm1, "log": mp.log,
    "log2": lambda v: mp.log(v, 2), "log10": mp.log10, "log1p": mp.log1p, "tanh": mp.tanh,
    "sinh": mp.sinh, "cosh": mp.cosh, "sigmoid": lambda v: 1 / (1 + mp.exp(-v)), "erf": mp.erf,
    "sqrt": mp.sqrt,
}  # fmt: skip


@pytest.mark.parametrize("name", ACCURATE)
def test_elementary_functions_of_binary64_are_within_two_units(name):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 800) * 10 ** rng.uniform(-8, 2.5, 800)
    x = np.abs(x) if name in ("log", "log2", "log10", "log1p", "sqrt") else x
    got = getattr(xpnn.reproducible(np), name)(x)
    limit = 0.5 if name == "sqrt" else 2
    with mp.workprec(250):
        exact = [ACCURATE[name](mp.mpf(float(v))) for v in x]
    assert_ulp(got, exact, limit)


@pytest.mark.parametrize("name", ACCURATE)
def test_elementary_functions_of_binary32_are_correctly_rounded(name):
    """On a sample; tools/exhaustive.py does it for every input."""
    rng = np.random.default_rng(1)
    x = (rng.uniform(-1, 1, 800) * 10 ** rng.uniform(-8, 1.5, 800)).astype("float32")
    x = np.abs(x) if name in ("log", "log2", "log10", "log1p", "sqrt") else x
    got = getattr(xpnn.reproducible(np), name)(x)
    for v, y in zip(x, got, strict=True):
        with mp.workprec(250):
            exact = ACCURATE[name](mp.mpf(float(v)))
        assert float(y) == oracle.single(oracle.fraction(exact))


# Found by tools/exhaustive.py: the results are within 2**-29 units of a midpoint of binary32.
HARD = {
    "exp2": ["0x1.853a6ep-9", "-0x1.e7526ep-6"],
    "sinh": ["0x1.250bfep-11"],
}


@pytest.mark.parametrize("name", HARD)
def test_hardest_to_round(name, backend, rxp):
    x = np.asarray([float.fromhex(v) for v in HARD[name]], dtype="float32")
    got = to_numpy(getattr(rxp, name)(backend.asarray(x)))
    for v, y in zip(x.tolist(), got.tolist(), strict=True):
        with mp.workprec(250):
            exact = oracle.fraction(ACCURATE[name](mp.mpf(v)))
        assert y == oracle.single(exact)


def test_products_are_within_the_bound(backend, rxp):
    a = golden_cases.normal(1, 5, 700, dtype="float32", sigma=1)
    b = golden_cases.normal(2, 700, 5, dtype="float32", sigma=1)
    got = rxp.matmul(backend.asarray(a), backend.asarray(b))
    exact = a.astype("f8") @ b.astype("f8")
    # Half a unit of the rounding to binary32, and of the grids K * 2**-28 * max|row| * max|column|.
    bound = np.spacing(np.abs(exact).astype("f4")) / 2
    bound = bound + 700 * 2.0**-28 * np.abs(a).max(1)[:, None] * np.abs(b).max(0)
    assert_within(got, exact, bound)


@pytest.mark.parametrize("low", ["float16", "bfloat16"])
def test_low_precision_goes_through_float32(low, torch):
    rxp = xpnn.reproducible(torch)
    x = torch.linspace(-3, 3, 50, dtype=getattr(torch, low))
    y = rxp.exp(x)
    assert y.dtype == x.dtype
    assert torch.equal(y, rxp.exp(x.to(torch.float32)).to(x.dtype))


def every_float16():
    """All numbers of float16, and around each midpoint of two a few of float32."""
    with np.errstate(all="ignore"):
        every = np.arange(2**16, dtype="uint16").view("float16").astype("float32")
        near = [every * np.float32(1 + k * 2.0**-12) for k in (-1, 0, 1, 2, 3)]
        tiny = np.arange(1, 4096, 2, dtype="float32") * np.float32(2.0**-26)
        return np.concatenate([*near, tiny, tiny * np.float32(1 + 2.0**-23), -tiny])


def float16_bits(a):
    """As uint16, with one NaN and no -0."""
    a = to_numpy(a)
    return np.where(np.isnan(a), np.float16(math.nan), a + np.float16(0)).view("uint16")


def test_small_numbers_of_float16_are_kept(backend, rxp):
    if not hasattr(backend.xp, "float16"):
        pytest.skip("the standard has no float16, nor has array-api-strict")
    wide = every_float16()
    with np.errstate(all="ignore"):
        x = wide.astype("float16")
    here = backend.asarray(x)
    assert np.array_equal(float16_bits(rxp.asarray(here).native), float16_bits(x))
    assert np.array_equal(
        float16_bits(rxp.astype(backend.asarray(wide), rxp.float16)), float16_bits(x)
    )
    for name in ("exp", "tanh", "sqrt"):
        through = getattr(xpnn.reproducible(np), name)(x.astype("float32"))
        with np.errstate(all="ignore"):
            through = float16_bits(through.astype("float16"))
        assert np.array_equal(float16_bits(getattr(rxp, name)(here)), through)
    flat = to_numpy(xpnn.softmax(backend.asarray(np.zeros(100_000, "float16")), xp=rxp))
    assert abs(flat.astype("float64").sum() - 1) <= 2e-3  # half a unit of 1e-5, times as many


# Derivatives


@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
@pytest.mark.parametrize(
    "f",
    [
        "sigmoid",
        "tanh",
        "gelu",
        "silu",
        "mish",
        "erf",
        "softplus",
        "elu",
        "softmax",
        "logsumexp",
        "log_softmax",
    ],
)
def test_derivatives_are_those_of_the_function(f, dtype, ad):
    rxp = xpnn.reproducible(ad.xp)
    x = np.asarray([-1000, -3, -1e-3, 0, 0.4, 2, 30], dtype)

    def loss(v, **options):
        return getattr(xpnn, f)(v, **options) * (v * 0 + 1.5)

    (got,) = ad.grad(lambda v: loss(v, xp=rxp), x)
    assert got.dtype == np.dtype(dtype)
    (expected,) = ad.grad(loss, x.astype("float64"))
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", [6, 45_000], ids=["few", "more than a tile"])
def test_derivatives_have_the_same_bits(torch, jax, rows):
    network = golden_cases.network((12, 7, 3), "float32", hidden="sigmoid")
    x = golden_cases.normal(3, rows, 12, dtype="float32")
    g = golden_cases.normal(4, rows, 3, dtype="float32")

    leaf = torch.from_numpy(x).requires_grad_()
    placed = network.to(torch)
    weights = [a.requires_grad_() for layer in placed.layers for a in layer.arrays.values()]
    placed(leaf, xp=xpnn.reproducible(torch)).backward(torch.from_numpy(g))
    found = [a.grad for a in (leaf, *weights)]

    rxp = xpnn.reproducible(jax.numpy)
    _, pull = jax.vjp(lambda n, v: n(v, xp=rxp), network.to(jax.numpy), jax.numpy.asarray(x))
    in_network, in_x = pull(jax.numpy.asarray(g))
    expected = [in_x, *(a for layer in in_network.layers for a in layer.arrays.values())]
    assert len(found) == len(expected) == 5
    assert all(map(same, found, expected))
    assert all(bool((to_numpy(a) != 0).any()) for a in found)


def test_forward_mode_says_that_it_is_not_there(torch, jax):
    rxp = xpnn.reproducible(torch)
    x = torch.ones(3)
    with pytest.raises(TypeError, match="reverse mode"):
        torch.func.jvp(rxp.exp, (x,), (x,))
    rxp = xpnn.reproducible(jax.numpy)
    x = jax.numpy.ones(3)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(rxp.exp, (x,), (x,))


@pytest.mark.parametrize("transform", ["grad", "vmap", "vjp", "jvp"])
def test_first_use_inside_a_transform(torch, monkeypatch, transform):
    func = torch.func
    rxp = xpnn.reproducible(torch)
    x = torch.tensor([[0.5, -1.25]])
    desired = rxp.exp(x)
    # As in a new process: neither the check nor a table of constants is there yet.
    monkeypatch.setattr(rxp.engine, "_checked", set())
    monkeypatch.setattr(transfer, "_constants", {})
    if transform == "grad":
        assert same(func.grad(lambda x: rxp.exp(x).sum())(x), desired)
    elif transform == "vmap":
        assert same(func.vmap(rxp.exp)(x), desired)
    elif transform == "vjp":
        assert same(func.vjp(rxp.exp, x)[0], desired)
    else:
        with pytest.raises(TypeError, match="reverse mode"):
            func.jvp(rxp.exp, (x,), (x,))
    assert same(rxp.exp(x), desired)


# Code that nobody here wrote


def test_covariance_of_array_api_extra(backend, rxp):
    xpx = pytest.importorskip("array_api_extra")
    m = golden_cases.normal(40, 4, 200, dtype="float64")
    expected = xpx.cov(xpnn.reproducible(np).asarray(m))
    got = xpx.cov(rxp.asarray(backend.asarray(m)))
    assert same(got.native, expected.native)
    np.testing.assert_allclose(to_numpy(got), np.cov(m), rtol=1e-13)


def k_means_step(x, centres):
    """One step of Lloyd's algorithm."""
    xp = x.__array_namespace__()
    d = xp.sum((x[:, None, :] - centres[None, :, :]) ** 2, axis=-1)
    nearest = xp.argmin(d, axis=1)
    member = xp.astype(
        nearest[:, None] == xp.arange(centres.shape[0], device=x.device)[None, :], x.dtype
    )
    return (member.T @ x) / xp.sum(member, axis=0)[:, None]


def gaussian_log_likelihood(x, mean, scale):
    xp = x.__array_namespace__()
    z = (x - mean) / scale
    return xp.sum(-0.5 * z**2 - xp.log(scale) - 0.5 * 1.8378770664093453)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", golden_cases.DTYPES)
def test_code_that_is_no_network(dtype, backend, rxp):
    x = golden_cases.normal(41, 300, 5, dtype=dtype)
    numpy = xpnn.reproducible(np)

    def both(xp, asarray):
        points = xp.asarray(asarray(x))
        centres = k_means_step(points, points[:4, :])
        scale = xp.std(points, axis=0)
        likelihood = gaussian_log_likelihood(points, xp.mean(points, axis=0), scale)
        return digest(centres.native), digest(likelihood.native)

    assert both(rxp, backend.asarray) == both(numpy, np.asarray)


# Errors


def test_what_is_not_reproducible_is_refused(rxp, backend):
    for name in ("sin", "prod", "atan2", "hypot"):
        with pytest.raises(xpnn.NotReproducibleError, match=f"{name} has no definition"):
            getattr(rxp, name)
    with pytest.raises(xpnn.NotReproducibleError, match="no_such_function: the library has none"):
        rxp.no_such_function  # noqa: B018
    x = rxp.asarray(backend.asarray(np.float32([1.0, 2.0])))
    with pytest.raises(xpnn.NotReproducibleError, match="integer exponent"):
        x**0.3
    with pytest.raises(xpnn.NotReproducibleError):
        x % 2.0


def test_a_device_without_ieee_binary64_is_refused(rxp, backend, monkeypatch):
    # Of shapes that no other test has: what is compiled already has been checked.
    x = backend.asarray(np.ones((3, 1, 29), "float32"))
    rxp.exp(x)
    monkeypatch.setattr(rxp.engine, "_checked", set())
    rxp.exp(x[..., :23])  # checks again, and finds it well
    assert rxp.engine._checked
    monkeypatch.setattr(rxp.engine, "_checked", set())
    monkeypatch.setattr(known_answer, "_values", lambda: tuple(map(float, range(144))))
    with pytest.raises(xpnn.NotReproducibleError, match="not IEEE 754"):
        rxp.add(x[..., :19], 1.0)


@pytest.mark.libraries
def test_a_device_without_float64_is_refused():
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("no_float64")
    rxp = xpnn.reproducible(strict)
    with pytest.raises(xpnn.NotReproducibleError, match="cannot compute in float64"):
        rxp.exp(rxp.asarray([1.0], dtype=strict.float32, device=device))


def test_wrong_arguments(rxp, backend):
    x = backend.asarray(np.float32([1.0, 2.0]))
    with pytest.raises(TypeError, match="expected x to be an array"):
        xpnn.reproducible(3)
    with pytest.raises(TypeError, match="expected an array"):
        rxp.exp([1.0, 2.0])
    with pytest.raises(TypeError, match="floating"):
        rxp.exp(backend.asarray(np.asarray([1, 2])))
    with pytest.raises(ValueError, match="matmul: expected x1 of shape"):
        rxp.matmul(x, backend.asarray(np.zeros((3, 2), "float32")))
    assert xpnn.reproducible(x) is rxp
    assert xpnn.reproducible(rxp) is rxp
    assert xpnn.reproducible(rxp.asarray(x)) is rxp


def test_arrays_of_two_libraries_are_refused(rxp, backend):
    if backend.name == "numpy":
        pytest.skip("needs another library than NumPy")
    x = rxp.asarray(backend.asarray(np.float32([1.0])))
    with pytest.raises(TypeError, match="expected arrays of one library|expected an array"):
        rxp.add(x, xpnn.reproducible(np).asarray(np.float32([1.0])))
    with pytest.raises(TypeError, match="expected x to be an array of xp"):
        xpnn.softmax(np.ones(3), xp=rxp)


@pytest.mark.parametrize(
    "shape", [(2, 3, 0), (2, 0, 3), (0, 3, 2), (0, 0, 0), (2, 0, 0), (0, 3, 0)]
)
def test_products_of_nothing(shape, backend, rxp, dtype):
    m, k, n = shape
    a, b = (backend.asarray(np.ones(s, dtype)) for s in ((m, k), (k, n)))
    for y in (rxp.matmul(a, b), rxp.matmul(rxp.asarray(a), rxp.asarray(b)).native):
        assert not backend.numpy(y, shape=(m, n), dtype=dtype).any()
    y = xpnn.linear(a, b, backend.asarray(np.ones(n, dtype)), xp=rxp)
    assert (backend.numpy(y, shape=(m, n), dtype=dtype) == 1).all()
