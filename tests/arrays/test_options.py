"""Options of activations: of every kind of number the same, refused alike, traced and differentiated."""

import fractions
import inspect
import json
import math
import re

import ml_dtypes
import numpy as np
import pytest
from labels import label
from safetensors.numpy import save as safetensors_save

import xpnn
from xpnn._activations.table import ACTIVATIONS, RECORDS
from xpnn._arrays.arguments import Choice, check, check_or_trace, options_of
from xpnn._arrays.transfer import to_numpy
from xpnn._rounding.exact import context

TABLE = [(f, o) for f in ACTIVATIONS for o in options_of(f)]
NUMBERS = [(f, o) for f, o in TABLE if not isinstance(options_of(f)[o].kind, Choice)]
CHOICES = [(f, o) for f, o in TABLE if (f, o) not in NUMBERS]
WAYS = ("fast", "plain", "reproducible")
X = np.linspace(-3, 3, 13)
NEEDED = {
    "x": X,
    "f": abs,
    "weight": np.ones(3),
    "layers": [xpnn.Dense(np.ones((2, 2)), activation="softmax")],
    "path_or_name": "digits",
}
"""What public functions and classes cannot do without."""
WITHIN = {"shape": lambda n: (2, n), "classes": lambda n: [1, n]}
"""Where a number is one of several."""


def public(word):
    """Return (function or class, parameter) for those that take such a number by their signature."""
    found = []
    for name in xpnn.__all__:
        if callable(getattr(xpnn, name)) and not name.endswith(("Error", "Backend")):
            for called, parameter in inspect.signature(getattr(xpnn, name)).parameters.items():
                if re.search(rf"\b{word}\b", str(parameter.annotation)):
                    found.append((name, called))
    return found


def given(name, parameter, value):
    """Call it with a value of one parameter."""
    function = getattr(xpnn, name)
    signature = inspect.signature(function)
    bound = signature.bind_partial()
    for called, p in signature.parameters.items():
        if p.default is p.empty and called in NEEDED:
            bound.arguments[called] = NEEDED[called]
    bound.arguments[parameter] = WITHIN.get(parameter, lambda n: n)(value)
    return function(*bound.args, **bound.kwargs)


@pytest.mark.parametrize(("name", "parameter"), public("int"))
def test_what_is_no_integer_is_no_count(name, parameter, backend):
    """Nor a truth value, nor a number that happens to be whole."""
    given(name, parameter, 0 if parameter == "axis" else 2**20)
    arrays = [make(v) for make in (np.asarray, backend.asarray) for v in (True, 2.0, [1], [True])]
    for value in (True, np.True_, 2.0, np.float64(1), 1.5, float("nan"), 1j, [1], b"1", *arrays):
        with pytest.raises(xpnn.XpnnTypeError, match=name if name != "Network" else "classes"):
            given(name, parameter, value)


@pytest.mark.parametrize(("name", "parameter"), public("float"))
def test_what_is_no_number_is_refused(name, parameter, backend):
    given(name, parameter, 1)
    arrays = [make(v) for make in (np.asarray, backend.asarray) for v in (True, [1.0], [True])]
    for value in (True, np.True_, 1j, [1], "1", b"1", *arrays):
        with pytest.raises(xpnn.XpnnTypeError, match=name):
            given(name, parameter, value)


EXACT = 0.625
"""A value of an option that every dtype holds, those of 8 bits, too."""

KINDS = {
    "float": float,
    "fraction": fractions.Fraction,
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "longdouble": np.longdouble,
    "0-d": np.asarray,
    "0-d big-endian": lambda v: np.asarray(v, ">f8"),
    "0-d float32": lambda v: np.asarray(v, "float32"),
    "bfloat16": ml_dtypes.bfloat16,
    "0-d float8": lambda v: np.asarray(v, ml_dtypes.float8_e4m3fn),
    "read-only view": lambda v: np.broadcast_to(np.asarray([v]), (3, 1))[1, 0, ...],
    "reproducible": lambda v: xpnn.reproducible(np).asarray(np.asarray(v)),
}


def namespace(way, xp):
    return {"fast": None, "plain": xp, "reproducible": xpnn.reproducible(xp)}[way]


@pytest.fixture(params=WAYS)
def call(request, backend):
    """Call a function on X, in some way."""
    x, xp = backend.asarray(X, "float32"), namespace(request.param, backend.xp)

    def call(function, **options):
        y = getattr(xpnn, function)(x, xp=xp, **options)
        return backend.numpy(y, shape=X.shape, dtype="float32")

    return call


def test_every_option_of_a_signature_is_in_the_table():
    for name, function in ACTIVATIONS.items():
        parameters = set(function.__wrapped__.__kwdefaults__) - {"xp", "axis", "where"}
        assert parameters == set(options_of(name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_numbers_of_any_kind_are_pythons(function, option, kind, backend):
    for value in (EXACT, 2.0):
        for given in (KINDS[kind](value), backend.asarray(value)):
            taken, traced = check_or_trace(function, {option: given})
            assert (taken, traced, type(taken[option])) == ({option: value}, {}, float)
    for integer in (int, np.int8, np.uint64, lambda v: np.asarray(v, ">i4")):
        assert type(check(function, {option: integer(2)})[option]) is float


@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_numbers_of_any_kind_mean_the_same(function, option, call, backend):
    desired = call(function, **{option: EXACT})
    for kind in (np.float64, np.asarray, backend.asarray):
        np.testing.assert_array_equal(call(function, **{option: kind(EXACT)}), desired)
    assert not np.array_equal(call(function, **{option: np.int8(2)}), desired)
    np.testing.assert_array_equal(call(function, **{option: EXACT}), desired)  # nor is one frozen


@pytest.mark.parametrize(("function", "option"), CHOICES)
def test_words_of_any_kind_mean_the_same(function, option, call):
    for word in options_of(function)[option].kind.names:
        desired = call(function, **{option: word})
        for kind in (np.str_, np.asarray):
            np.testing.assert_array_equal(call(function, **{option: kind(word)}), desired)


def test_an_array_that_changes_is_read_each_time(call, backend):
    slope = np.asarray(0.5)
    before = call("leaky_relu", negative_slope=slope)
    slope[...] = 0.25
    np.testing.assert_array_equal(
        call("leaky_relu", negative_slope=slope), call("leaky_relu", negative_slope=0.25)
    )
    np.testing.assert_array_equal(call("leaky_relu", negative_slope=0.5), before)


def test_a_parameter_that_changes_is_read_each_time(torch):
    slope = torch.nn.Parameter(torch.tensor(0.5))
    x = torch.tensor([-1.0])
    with torch.no_grad():
        assert xpnn.leaky_relu(x, negative_slope=slope).item() == -0.5
        slope.fill_(0.25)
        assert xpnn.leaky_relu(x, negative_slope=slope).item() == -0.25
    assert xpnn.leaky_relu(x, negative_slope=slope).item() == -0.25


def test_minus_zero_is_zero():
    for zero in (-0.0, 0.0, -0.0):
        assert math.copysign(1, xpnn.leaky_relu(np.asarray([-1.0]), negative_slope=zero)[0]) == -1


# What is refused, with the same words by a function, a layer, a file


def of_function(function, options):
    ACTIVATIONS[function](X, **options)


def of_function_reproducibly(function, options):
    ACTIVATIONS[function](X, xp=xpnn.reproducible(np), **options)


def of_function_plainly(function, options):
    ACTIVATIONS[function](X, xp=np, **options)


def of_layer(function, options):
    text = ", ".join(f"{name}={value!r}" for name, value in options.items())
    xpnn.Dense(np.eye(2), None, f"{function}({text})")


def out_of(tmp_path):
    def of_file(function, options):
        content = {
            "format_version": 1,
            "layers": [{"activation": function, "options": options}],
            "classes": None,
            "metadata": {},
        }
        path = tmp_path / "m.safetensors"
        tensors = {"layers.0.weight": np.eye(2)}
        path.write_bytes(safetensors_save(tensors, metadata={"xpnn": json.dumps(content)}))
        xpnn.load(path)

    return of_file


BAD = {
    "beside": [
        (f, {o: v}, XpnnError)
        for f, o in NUMBERS
        for v, XpnnError in (
            (True, TypeError),
            ("1", TypeError),
            ([1.0], TypeError),
            (10**400, ValueError),
            (1e999, ValueError),
            (-1e999, ValueError),
        )
    ]
    + [(f, {o: None}, TypeError) for f, o in NUMBERS if options_of(f)[o].default is not None]
    + [(f, {o: v}, e) for f, o in CHOICES for v, e in ((1, TypeError), ("foo", ValueError))],
    "range": [
        ("celu", {"alpha": 0}, ValueError),
        ("celu", {"alpha": -0.0}, ValueError),
        ("softplus", {"beta": 0}, ValueError),
        ("softplus", {"beta": -1.0}, ValueError),
    ],
}


@pytest.mark.parametrize(
    ("function", "options", "error"), [case for cases in BAD.values() for case in cases], ids=str
)
def test_bad_options(function, options, error, tmp_path):
    ((name, value),) = options.items()
    words = f"{function}: expected {name} to be {options_of(function)[name].kind.words}, got "
    of_text = abs(value) != math.inf if isinstance(value, float) else value != 10**400
    for of in (of_function, of_function_reproducibly, of_layer if of_text else None):
        if of is not None:
            with pytest.raises(error, match=re.escape(words)):
                of(function, options)
    # In a file every mistake is one of its content.
    with pytest.raises(ValueError, match=re.escape(words)):
        out_of(tmp_path)(function, options)


@pytest.mark.parametrize(
    "value",
    [
        np.asarray([0.5]),
        np.asarray([[0.5]]),
        np.asarray(True),
        np.bool_(True),
        np.asarray(0.5 + 0j),
        0.5j,
        np.asarray(None),
        np.asarray("0.5"),
        b"1",
        object(),
    ],
    ids=label,
)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_what_is_no_number(function, option, value):
    with pytest.raises(TypeError, match=rf"{function}: expected {option} to be a finite number"):
        ACTIVATIONS[function](X, **{option: value})


@pytest.mark.parametrize(
    "value",
    [math.nan, np.float32("nan"), np.asarray(math.inf), 10**5000],
    ids=["nan", "float32 nan", "0-d inf", "large"],
)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_no_finite_number(function, option, value):
    with pytest.raises(ValueError, match=rf"{function}: expected {option} to be a finite number"):
        ACTIVATIONS[function](X, **{option: value})


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_unknown_options(function, tmp_path):
    known = ", ".join(options_of(function)) or "none"
    words = rf"{function}: expected options {known}, got 'slope'"
    for of, error in ((of_layer, ValueError), (out_of(tmp_path), ValueError)):
        with pytest.raises(error, match=words):
            of(function, {"slope": 1.0})
    own = "axis, where" if RECORDS[function].of_rows else known
    for _ in "12":
        for of in (of_function, of_function_reproducibly, of_function_plainly):
            of(function, {})
            with pytest.raises(
                TypeError, match=rf"{function}: expected options {own}, got 'slope'"
            ):
                of(function, {"slope": 1.0})


def test_a_known_call_does_not_let_others_in():
    x = np.asarray([-1.0])
    for _ in "12":
        xpnn.elu(x, alpha=1)
        with pytest.raises(TypeError, match="got True"):
            xpnn.elu(x, alpha=True)


def test_a_long_value_is_cut():
    with pytest.raises(TypeError) as error:
        check("elu", {"alpha": "x" * 1000})
    assert len(str(error.value)) < 150


# Traced and differentiated


def derivative(function, option, value):
    mp, exact = context(), RECORDS[function].exact
    defaults = {name: o.default for name, o in options_of(function).items()}

    def total(v):
        return sum(exact(mp, mp.mpf(float(x)), **{**defaults, option: v}) for x in X)

    return float(mp.diff(total, mp.mpf(value)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_derivative_by_an_option(function, option, way, ad):
    if option == "threshold" or function == "hard_shrink":
        pytest.skip("it has none")
    x, xp = ad.asarray(X), namespace(way, ad.xp)
    value = np.asarray(0.7)
    (got,) = ad.grad(lambda v: getattr(xpnn, function)(x, xp=xp, **{option: v}), value)
    # The sum of 13 terms, each of a few roundings of numbers up to 10.
    np.testing.assert_allclose(got, derivative(function, option, 0.7), rtol=1e-13)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_jax_traces_an_option(function, option, way, jax):
    # The reproducible bits are NumPy's, which takes no time to compile.
    known = np if way == "reproducible" else jax.numpy

    def f(v, of=jax.numpy):
        x = of.asarray(X, dtype="float32")
        return getattr(xpnn, function)(x, xp=namespace(way, of), **{option: v})

    values = jax.numpy.asarray([0.5, 0.625])
    each = np.stack([f(float(v), known) for v in values])
    jitted, mapped = jax.jit(lambda v: (jax.numpy.stack([f(one) for one in v]), jax.vmap(f)(v)))(
        values
    )
    for got in map(np.asarray, (jitted, mapped)):
        assert got.dtype == "float32"
        if way == "reproducible":
            np.testing.assert_array_equal(got, each)
        np.testing.assert_allclose(got, each, rtol=4 * np.finfo("float32").eps)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("function", "option"), NUMBERS)
def test_torch_maps_an_option(function, option, way, torch):
    x, xp = torch.from_numpy(X), namespace(way, torch)

    def f(v):
        return getattr(xpnn, function)(x, xp=xp, **{option: v})

    values = torch.tensor([0.5, 0.625], dtype=torch.float64)
    got, each = torch.func.vmap(f)(values), torch.stack([f(v.item()) for v in values])
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, each, rtol=1e-15 * (way != "reproducible"), atol=1e-15)


@pytest.mark.parametrize("way", ["fast", "reproducible"])
def test_torch_compiles_options(way, torch):
    """As tensors, and as numbers of which the compiler has no value from the second on."""
    x, xp = torch.from_numpy(X), namespace(way, torch)

    def f(x, beta):
        return xpnn.softplus(x, beta=beta, xp=xp)

    f(x, 0.5)  # makes torch's namespace known, of whose look-up the compiler would warn
    torch.compiler.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for v in (0.5, 0.625, torch.tensor(0.7, dtype=torch.float64)):
        torch.testing.assert_close(compiled(x, v), f(x, v), rtol=1e-15, atol=1e-15)


def test_an_option_does_not_change_the_dtype(torch):
    alpha = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    for x in (torch.ones(2), torch.ones(2, dtype=torch.float16)):
        for way in WAYS:
            assert xpnn.elu(x, alpha=alpha, xp=namespace(way, torch)).dtype == x.dtype


def test_a_traced_option_of_another_library(torch):
    with pytest.raises(TypeError, match="x of numpy and alpha of torch"):
        xpnn.elu(X, alpha=torch.tensor(0.5, requires_grad=True))
    with pytest.raises(TypeError, match=r"alpha to be a finite number, got a traced .* \(1,\)"):
        xpnn.elu(torch.ones(2), alpha=torch.tensor([0.5], requires_grad=True))


# Axes


class NoIndex:
    """An integer as CuPy's arrays hold it."""

    def item(self):
        return 1


@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
def test_axes_of_any_kind(function, backend):
    x = backend.asarray(X.reshape(1, 13))
    f = getattr(xpnn, function)
    for _ in "12":
        desired = to_numpy(f(x, axis=1))
        for axis in (np.int64(1), np.uint8(1), np.asarray(1), backend.asarray(1), (np.int8(1),)):
            np.testing.assert_array_equal(to_numpy(f(x, axis=axis)), desired)
        np.testing.assert_array_equal(to_numpy(f(x, axis=NoIndex())), desired)
        for axis in (True, np.bool_(True), np.asarray(True), (True,), 1.0, np.float64(1), "1"):
            with pytest.raises(TypeError, match=f"{function}: expected axis to be an integer"):
                f(x, axis=axis)
