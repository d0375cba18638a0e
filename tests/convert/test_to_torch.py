"""Networks as modules of PyTorch: the same numbers, parameters that train, and the same layers back."""

import copy
import pickle
import sys

import numpy as np
import pytest
from activation_cases import CASES
from golden_cases import LAYERED, layered, samples

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS
from xpnn._arrays.arguments import options_of

KINDS = [kind for kind in LAYERED if kind != "function"]
FORMS = [
    *RECORDS,
    *(form for case in CASES.values() for form in case.forms),
    *("celu(alpha=-1.5)", "elu(alpha=-0.5)", "softplus(beta=2.0, threshold=5.0)"),
    "threshold(threshold=0.5, value=0.25)",
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def rows(kind, dtype, count=20):
    x = (np.random.default_rng(2).normal(size=(count, 5)) * 3).astype(dtype)
    return samples(kind, x)


def of_one(form, dtype):
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    return xpnn.Network([xpnn.Dense(weight, bias, form)])


def check(torch, network, x):
    """The same numbers within the bound; the same layers again, with the same bits."""
    module = network.to_torch()
    bound = xpnn.error_bound(network, x)
    y = module(torch.asarray(x)).detach().numpy()
    # A module computes by torch's own formulas, the network by its own: each within the bound.
    assert y.dtype == x.dtype
    assert np.all(np.abs(y - network(x)) <= 2 * bound)
    back = xpnn.Network.from_torch(module, torch.asarray(x))
    words = [["elu" if w == "celu" else w for w in layer.words] for layer in network.layers]
    assert [layer.words for layer in back.layers] == words  # celu is elu where alpha is 1
    for made, given in zip(back.layers, network.layers, strict=True):
        assert made.arrays.keys() == given.arrays.keys()
        for name, a in given.arrays.items():
            assert made.arrays[name].tobytes() == a.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_go_out_and_come_back(kind, dtype, torch):
    check(torch, layered(kind, dtype), rows(kind, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_activations_go_out_and_come_back(form, dtype, torch):
    check(torch, of_one(form, dtype), rows("", dtype))


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_normalization_keeps_its_epsilon(epsilon, torch):
    layers = [xpnn.LayerNorm(np.ones(5), epsilon=epsilon), xpnn.Dense(np.eye(5))]
    check(torch, xpnn.Network(layers), rows("", "float64"))


def test_every_activation_and_option_is_there(torch):
    assert torch
    from xpnn._convert.torch_modules import ACTIVATIONS

    assert list(ACTIVATIONS) == list(RECORDS)
    tried = {Activation.of(form) for form in FORMS}
    for name in RECORDS:
        defaults = {option: o.default for option, o in options_of(name).items()}
        for option, default in defaults.items():
            given = {dict(a.options)[option] for a in tried if a.name == name}
            assert given - {default}, (name, option)


def test_modules_are_those_of_torch(torch):
    """What people write, and the names that they know."""
    nn = torch.nn
    module = xpnn.load("digits").to_torch()
    kinds = [nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid, nn.Linear, nn.Softmax]
    assert [type(part) for part in module] == kinds
    names = [f"{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")]
    assert list(module.state_dict()) == names
    assert list(layered("residual", "float32").to_torch().state_dict()) == [
        *("0.layers.0.scale", "0.layers.1.weight", "0.layers.1.bias", "1.weight", "1.bias"),
    ]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_dtypes_stay(dtype, torch):
    """Within what steps that are rounded one by one leave."""
    network = layered("residual", "float32").to(torch, dtype=dtype)
    module = network.to_torch()
    assert {str(p.dtype) for p in module.parameters()} == {f"torch.{dtype}"}
    x = torch.asarray(rows("", "float32")).to(getattr(torch, dtype))
    wrong = (module(x) - network(x)).abs().max()
    assert wrong <= 8 * torch.finfo(getattr(torch, dtype)).eps


def test_parameters_are_where_the_weights_are(backend, torch):
    """A device without memory stands for all others; what is not of torch goes to the CPU."""
    weight = torch.ones(2, 2, device="meta")
    (layer,) = xpnn.Network([xpnn.Dense(weight)]).to_torch()
    assert layer.weight.device == weight.device
    network = xpnn.Network([xpnn.Dense(backend.asarray(np.eye(2, dtype="float32")))])
    (layer,) = network.to_torch()
    where = backend.device if backend.name == "torch" else None
    assert layer.weight.device == torch.device(where or "cpu")
    assert torch.equal(layer.weight.cpu(), torch.eye(2))


def test_dtypes_that_differ_become_one(torch):
    layers = [xpnn.Dense(np.ones((2, 2), "float32")), xpnn.Affine(np.ones(2, "float64"))]
    module = xpnn.Network(layers).to_torch()
    assert {p.dtype for p in module.parameters()} == {torch.float64}


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_copies_that_train(kind, torch):
    """The loss falls, and the network stays as it was, also one whose weights are tensors."""
    for network in (layered(kind, "float64"), layered(kind, "float64").to(torch)):
        x = rows(kind, "float64", 50)
        before = network(torch.asarray(x)).clone()
        with torch.inference_mode():
            module = network.to_torch()
        assert all(p.is_leaf and p.requires_grad for p in module.parameters())
        count = sum(p.numel() for p in module.parameters())
        assert count == network.parameters
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        target = torch.arange(50) % 3
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            p = module(torch.asarray(x))
            losses.append(-p.gather(1, target[:, None]).log().mean())
            losses[-1].backward()
            optimizer.step()
        assert losses == sorted(losses, reverse=True)
        assert torch.equal(network(torch.asarray(x)), before)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_network(kind, torch):
    """By torch's own derivatives of its formulas, and by those of xpnn's."""
    network = layered(kind, "float64").to(torch)
    for layer in network.layers:
        for a in layer.arrays.values():
            a.requires_grad_()
    module = network.to_torch()
    x = torch.asarray(rows(kind, "float64"))
    for one in (network, module):
        one(x)[:, 0].sum().backward()
    own = [
        (a.grad.T if a.ndim == 2 else a.grad) for la in network.layers for a in la.arrays.values()
    ]
    for parameter, grad in zip(module.parameters(), own, strict=True):
        assert torch.allclose(parameter.grad, grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_derivatives_of_activations(form, torch):
    """At 0 as well, where both have the same of the two sides."""
    network = xpnn.Network([xpnn.Affine(np.ones(41), activation=form)])
    found = []
    for one in (network, network.to_torch()):
        x = (torch.arange(-20.0, 21).double() / 5).reshape(1, -1).requires_grad_()
        (one(x) * torch.linspace(1, 2, 41)).sum().backward()
        found.append(x.grad)
    # Some derivatives of torch take their options, or 1 / 6, as float32.
    assert torch.allclose(*found, rtol=1e-7, atol=1e-8)


def test_softplus_does_not_overflow(torch):
    """Past what torch's own could take, with a threshold or none."""
    x = torch.tensor([[100.0, 200.0, 400.0]])
    for form in ("softplus", "softplus(threshold=300.0)"):
        module = xpnn.Network([xpnn.Affine(activation=form)]).to_torch()
        assert torch.equal(module(x), x)


@pytest.mark.parametrize("form", ["step", "relu", "exp", "erf", "softplus"])
def test_modules_are_ordinary(form, torch):
    """Pickled, copied, converted, in training or not."""
    network = of_one(form, "float32")
    module = network.to_torch()
    x = torch.asarray(rows("", "float32"))
    y = module(x)
    for same in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), module.eval()):
        assert torch.equal(same(x), y)
    assert torch.equal(module.train()(x), y)
    assert form in repr(module).lower().replace("relu()", "relu")
    wide = module.to(torch.float64)(x.double())
    assert wide.dtype == torch.float64
    assert torch.allclose(wide, y.double(), rtol=1e-5, atol=1e-5)


def test_code_does_not_go_out(torch):
    assert torch
    with pytest.raises(xpnn.XpnnValueError, match="to_torch: expected .* got a Function"):
        layered("function", "float32").to_torch()
    inside = xpnn.Residual([xpnn.Function(np.sin, elementwise=True)])
    with pytest.raises(xpnn.XpnnValueError, match="to_torch: expected .* got a Function"):
        xpnn.Network([inside]).to_torch()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "xpnn._convert.torch_modules", None)
    monkeypatch.delitem(sys.modules, "xpnn._convert.torch_modules")
    monkeypatch.delattr("xpnn._convert.torch_modules", raising=False)
    with pytest.raises(xpnn.XpnnError, match=r"torch needs the package torch; .*'xpnn\[torch\]'"):
        xpnn.load("digits").to_torch()
