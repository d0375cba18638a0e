"""An activation as an object: what layers have, and what texts mean."""

import dataclasses
import pickle

import numpy as np
import pytest
from networks import ALL

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS


@pytest.mark.parametrize("text", ALL)
def test_the_text_is_the_shortest_and_means_the_same(text):
    one = Activation.of(text)
    assert str(one) == text
    assert Activation.of(one) is one
    assert Activation.of(f" {text} ") == one == Activation(one.name, dict(one.options))
    assert hash(one) == hash(Activation(one.name, one.options))
    assert pickle.loads(pickle.dumps(one)) == one
    x = np.linspace(-2, 2, 5)
    np.testing.assert_array_equal(one(x), pickle.loads(pickle.dumps(one))(x))


def test_options_are_pythons_and_defaults_are_filled_in():
    one = Activation("softplus", {"beta": np.float32(2)})
    assert one.options == (("beta", 2.0), ("threshold", None))
    assert type(dict(one.options)["beta"]) is float
    assert one == Activation.of("softplus(threshold=None, beta=2)") != Activation.of("softplus")
    assert repr(one) == "Activation('softplus(beta=2.0)')"


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Activation("relu").name = "elu"


@pytest.mark.parametrize("text", ALL)
def test_layers_take_it_and_have_it(text, tmp_path):
    one = Activation.of(text)
    layer = xpnn.Dense(np.eye(2), None, one)
    assert type(layer.activation) is str
    assert (layer.activation, layer.activate) == (text, one)
    xpnn.Network([layer]).save(tmp_path / "a.safetensors")
    assert xpnn.load(tmp_path / "a.safetensors").layers[0].activate == one
    assert pickle.loads(pickle.dumps(layer)).activate == one


@pytest.mark.parametrize("name", RECORDS)
def test_logarithms_of_probabilities(name):
    """Whatever gives a probability names what gives its logarithm, and that names itself."""
    one = Activation(name)
    other = one.log_probability
    assert (one.is_probability, one.is_logarithm) == (name in {"softmax", "sigmoid"}, other == one)
    if other is not None:
        x = np.asarray([[0.3, -1.0, 2.0]])
        logarithm = one(x) if one.is_logarithm else np.log(one(x))
        np.testing.assert_allclose(other(x), logarithm, rtol=1e-14)
        assert other.is_logarithm
        assert other.record.of_rows == one.record.of_rows
