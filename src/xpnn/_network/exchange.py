"""Networks of weights and files of others, and what others take of them."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self

from xpnn._arrays.types import Array
from xpnn._convert.extras import needing
from xpnn._network.checks import Class, check_unstacked
from xpnn._network.frozen import Frozen
from xpnn._network.layers.dense import dense_layers
from xpnn._network.objects import Objects
from xpnn.errors import XpnnTypeError, XpnnValueError


class Exchange(Frozen, Objects):
    """What a network has for others."""

    @classmethod
    def from_weights(
        cls,
        weights: Sequence[Array] | Mapping[str, Array],
        biases: Sequence[Array | None] | None = None,
        *,
        hidden: str = "sigmoid",
        output: str = "identity",
        classes: Sequence[Class] | None = None,
    ) -> Self:
        """Make a network of weights and biases, as scikit-learn's `coefs_` and `intercepts_` are.

        Parameters
        ----------
        weights : sequence of array, shape (in, out) each
            One a layer. Or a mapping that has the biases, too, as in the book 'Deep Learning from
            Scratch': ``{"W1": ..., "b1": ..., "W2": ..., "b2": ...}``.
        biases : sequence of array, shape (out,) each, or None, optional
            One a layer, None where a layer has none.
        hidden : str, optional
            Activation of all layers but the last. Default "sigmoid".
        output : str, optional
            Activation of the last layer. Default "identity".
        classes : sequence of str or int, optional
            What the classes are called.

        Returns
        -------
        Network

        Raises
        ------
        TypeError, ValueError
            As `Dense` and `Network` do; ValueError if there are not as many biases as weights, or a
            mapping has other names than those.

        Examples
        --------
        >>> import numpy as np, xpnn
        >>> params = {"W1": np.ones((2, 3)), "b1": np.zeros(3), "W2": np.ones((3, 1)), "b2": np.zeros(1)}
        >>> xpnn.Network.from_weights(params)
        Network of 2 layers, 13 parameters, float64, numpy weights that follow the input
          0  2 -> 3, bias, sigmoid
          1  3 -> 1, bias, identity
        """
        from xpnn._convert.parts import Parts

        if isinstance(weights, Mapping):
            weights, biases = _by_number(weights, biases)
        return cls._of_parts(Parts(dense_layers(weights, biases, hidden, output), classes))

    @classmethod
    def from_state_dict(
        cls,
        tensors: Mapping[str, Any],
        layers: Mapping[str, str] | Sequence[tuple[str, str]],
        *,
        epsilon: float = 1e-5,
        classes: Sequence[Class] | None = None,
    ) -> Self:
        """Make a network of a state dict: arrays by name, as PyTorch has them, and the names of the layers.

        Parameters
        ----------
        tensors : mapping of str to array
            Of any array library: ``module.state_dict()``, what safetensors' `load_file` gives, or the
            variables of Flax, a dict of dicts.
        layers : mapping of str to str, or sequence of pairs
            The name of each layer and the activation after it, in the order in which they are run:
            ``{"fc1": "relu", "bn1": "identity", "fc2": "softmax"}``.
        epsilon : float, optional
            Of all normalizations. Default 1e-5, as in PyTorch.
        classes : sequence of str or int, optional
            What the classes are called.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If tensors or layers are something else, or an array is not float16, float32 or float64.
        ValueError
            If a layer has no tensors, or tensors no layer, which are named; or arrays are those of no
            layer, or do not fit.

        Notes
        -----
        What its arrays are called says what a layer is. With `running_mean` and `running_var`, it is a
        batch normalization. A matrix `weight` is of shape (out, in), one called `kernel`, as in Flax and
        Keras, of shape (in, out). A vector `weight` is that of a layer normalization if there is a
        bias, and the slope of a PReLU if it is alone; a vector `scale` is always the former. Nothing else
        in a state dict says what a module computes: `from_torch` reads that as well.

        Examples
        --------
        >>> import numpy as np, xpnn
        >>> tensors = {"fc1.weight": np.ones((3, 2)), "fc1.bias": np.zeros(3), "fc2.weight": np.ones((1, 3))}
        >>> xpnn.Network.from_state_dict(tensors, {"fc1": "relu", "fc2": "identity"})
        Network of 2 layers, 12 parameters, float64, numpy weights that follow the input
          0  2 -> 3, bias, relu
          1  3 -> 1, identity
        """
        from xpnn._convert import state_dict

        return cls._of_parts(state_dict.read(tensors, layers, epsilon, classes))

    def to_torch(self) -> Any:
        """Make a module of PyTorch that has the same numbers, and trains.

        Returns
        -------
        torch.nn.Sequential
            With torch.nn's own modules: `Linear`, which holds a weight transposed, and one for each
            activation; `LayerNorm`, `PReLU` and `Flatten`. What torch.nn has not are small modules of xpnn:
            one with the parameters `scale` and `shift`, the sum of `x` and what modules make of it, and
            activations such as `step`, `exp` and `erf`.

        Raises
        ------
        XpnnError
            If PyTorch is not installed: ``pip install 'xpnn[torch]'``.
        ValueError
            If a layer is a `Function`, which is code.

        Notes
        -----
        Parameters are copies, so that training leaves the network as it is, in the dtype of the weights (of
        several, the one that they promote to). Weights of PyTorch stay on their device, all others go to the
        CPU. Results are the network's within `error_bound` in float32 and float64, but that a float16 or
        bfloat16 module rounds after each step, where a network here computes in float32 and rounds once.
        Classes, the names of columns, metadata and the marks of `fold` stay behind. `from_torch` makes the
        layers of it again; pickles and ``torch.export`` take it.

        Examples
        --------
        >>> import xpnn
        >>> xpnn.load("digits").to_torch()  # doctest: +SKIP
        Sequential(
          (0): Linear(in_features=784, out_features=50, bias=True)
          (1): Sigmoid()
          (2): Linear(in_features=50, out_features=100, bias=True)
          (3): Sigmoid()
          (4): Linear(in_features=100, out_features=10, bias=True)
          (5): Softmax(dim=-1)
        )
        """
        check_unstacked("network.to_torch", self.layers)
        return needing("torch_modules").module_of(self.layers)

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the network as an ONNX model, in the standard's own operators.

        Parameters
        ----------
        path : str or path
            The file, which is replaced as a whole or not at all.

        Raises
        ------
        XpnnError
            If the package onnx is not installed: ``pip install 'xpnn[onnx]'``.
        ValueError
            If a layer is a `Function`, which is code, or weights are bfloat16. Nothing is written then.

        Notes
        -----
        Opset 20. The input has any number of rows. It and the output are called as in `inputs` and
        `outputs` where one name is for all columns, otherwise ``x`` and ``y``, and have the dtype of the
        weights. Classes and names of columns stand in the model's metadata. Numbers that activations have are constants, as the attributes of operators would round
        them to float32. A float16 network computes in float32, as it does here. What computes the model
        does so within `error_bound`; ONNX Runtime has no float64 of Elu, Erf, Gelu and Softplus. The
        marks of `fold` and metadata stay behind. `load` gives the same layers and names again.

        Examples
        --------
        >>> import xpnn
        >>> xpnn.load("digits").to_onnx("digits.onnx")  # doctest: +SKIP
        """
        # Few programs write networks, and this takes a fifth of importing xpnn.
        from xpnn._convert.parts import Parts
        from xpnn._files.model_file import replacing

        check_unstacked("network.to_onnx", self.layers)
        parts = Parts(self.layers, self.classes, self.inputs, self.outputs)
        content = needing("onnx_export").model_of(parts)
        with replacing(path) as file:
            file.write(content)


def _by_number(
    params: Mapping[str, Array], biases: object
) -> tuple[list[Array], list[Array | None]]:
    """Return the weights W1, W2, ... and the biases b1, b2, ... of a mapping that has nothing else."""
    if biases is not None:
        raise XpnnTypeError("from_weights: expected no biases beside a mapping, which has them")
    count = sum(1 for name in params if str(name).startswith("W"))
    names = {f"W{i}": f"b{i}" for i in range(1, count + 1)}
    known = {*names, *names.values()}
    wrong = [str(name) for name in params if name not in known]
    missing = [name for name in names if name not in params]
    if wrong or missing or not count:
        raise XpnnValueError(
            "from_weights: expected the names W1, b1, W2, b2 and so on, got "
            f"{', '.join(map(repr, params)) or 'none'}"
        )
    return [params[w] for w in names], [params.get(b) for b in names.values()]
