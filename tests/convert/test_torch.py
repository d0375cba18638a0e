"""Modules of PyTorch, through torch.export."""

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import RECORDS

NAMES = """
    relu relu6 leaky_relu elu selu celu gelu gelu_tanh silu mish hard_swish hard_sigmoid hard_tanh sigmoid
    log_sigmoid tanh softplus softplus_beta softsign tanhshrink softshrink hard_shrink threshold prelu softmax
    log_softmax exp erf step batch_norm layer_norm layer_norm_plain layer_norm_by_hand softmax_by_hand
    sigmoid_by_hand silu_by_hand relu_by_clamp scaled negative chunk columns cat two_classes residual
    residual_norm dropout flatten pixels
""".split()


@pytest.fixture(scope="module")
def networks():
    pytest.importorskip("torch")
    import modules

    return modules.networks()


def test_every_module_is_here(networks):
    assert set(networks) == set(NAMES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_modules(name, dtype, torch, networks):
    """Their own numbers, inside the bound; an activation is one, however it is written."""
    module, shape = networks[name]
    module = module.to(getattr(torch, dtype)).train()
    network = xpnn.Network.from_torch(module, torch.zeros(3, *shape, dtype=getattr(torch, dtype)))
    assert all(part.training for part in module.modules())
    x = (np.random.default_rng(0).normal(size=(20, *shape)) * 3).astype(dtype)
    with torch.no_grad():
        expected = module.eval()(torch.asarray(x)).numpy()
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))
    if name in RECORDS:
        assert network.layers[-1].activate.name == name


def test_policies_of_a_distribution(torch):
    """As libraries of reinforcement learning write them: the deviation is left out, whatever made it."""

    class Policy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.log_deviation = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)

        def forward(self, x):
            deviation = torch.ones(2) * self.log_deviation(x)[0].clamp(-20, 2).exp()
            normal = torch.distributions.Normal(self.mean(x), deviation, validate_args=False)
            return torch.tanh(normal.mean)

    policy, x = Policy(), torch.randn(20, 3)
    network = xpnn.Network.from_torch(policy)
    assert [layer.activate.name for layer in network.layers] == ["tanh"]
    with torch.no_grad():
        expected = policy(x).numpy()
    assert np.all(np.abs(network(x.numpy()) - expected) <= xpnn.error_bound(network, x.numpy()))


def test_columns_are_those_of_the_first_linear(torch):
    network = xpnn.Network.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 2)))
    assert [layer.weight.shape for layer in network.layers] == [(3, 2)]


def test_what_is_refused(torch):
    nn, convert = torch.nn, xpnn.Network.from_torch

    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    with pytest.raises(
        xpnn.XpnnTypeError, match=r"from_torch: expected a torch.nn.Module, got dict"
    ):
        convert({})
    with pytest.raises(xpnn.XpnnTypeError, match="expected an example of the input"):
        convert(nn.ReLU())
    with pytest.raises(xpnn.XpnnTypeError, match=r"example of shape \(rows, ...\), got list"):
        convert(nn.ReLU(), [1.0])
    with pytest.raises(
        xpnn.XpnnValueError, match="conv1d is not among the operations that xpnn has"
    ):
        convert(nn.Conv1d(2, 3, 1), torch.zeros(1, 2, 4))
    sine = nn.Sequential(nn.Linear(2, 2), Sine())
    with pytest.raises(xpnn.XpnnValueError, match="sin of what comes before it is not among"):
        convert(sine)
    with pytest.raises(xpnn.XpnnValueError, match="no bfloat16"):
        convert(nn.Linear(2, 2).to(torch.bfloat16))


class Of:
    """Modules of functions of what a linear layer makes, and of its input."""

    def __init__(self, torch):
        class Module(torch.nn.Module):
            def __init__(self, f):
                super().__init__()
                self.first, self.f = torch.nn.Linear(5, 4), f

            def forward(self, x):
                return self.f(self.first(x), x)

        self.module = Module


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_one_of_several_outputs(torch):
    module = Of(torch).module(lambda y, _: {"all": y, "chances": torch.softmax(y, -1)})
    with pytest.raises(xpnn.XpnnValueError, match="one of 'all', 'chances', got None"):
        xpnn.Network.from_torch(module)
    (layer,) = xpnn.Network.from_torch(module, output="chances").layers
    assert layer.activate.name == "softmax"
    module = Of(torch).module(lambda y, _: (y, torch.relu(y)))
    (layer,) = xpnn.Network.from_torch(module, output="relu").layers
    assert layer.activate.name == "relu"


FUNCTIONS = {
    "div: expected other to be a tensor or a number": lambda torch, y, x: y / x.shape[0],
    "expected rows apart from each other": lambda torch, y, x: y + torch.ones(len(x), 4).sum(0),
    "relu_: expected a value that stays": lambda torch, y, x: (y.view(-1, 4).relu_(), y)[1],
    "cond is no operation of ATen": lambda torch, y, x: torch.cond(
        y.sum() > 0, lambda v: v + 1, lambda v: v - 1, (y,)
    ),
    "the place of the largest entry is no layer's": lambda torch, y, x: y.max(-1).indices + y[:, 0],
    "expected a division without rounding": lambda torch, y, x: torch.div(
        y, 2, rounding_mode="floor"
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", FUNCTIONS)
def test_what_is_no_layer(words, torch):
    module = Of(torch).module(lambda y, x: FUNCTIONS[words](torch, y, x))
    with pytest.raises(xpnn.XpnnValueError, match=words):
        xpnn.Network.from_torch(module)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_in_place(torch):
    """What is changed in place is what it was changed to, wherever it is used."""

    def f(y, _):
        z = y * 2
        again = torch.relu_(z)
        return z + again

    module = Of(torch).module(f)
    network = xpnn.Network.from_torch(module)
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    with torch.no_grad():
        expected = module(torch.asarray(x)).numpy()
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))
