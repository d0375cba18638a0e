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
