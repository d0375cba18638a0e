"""Networks to and from the programs of others."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Self

from xpnn._arrays.types import Array
from xpnn._convert.extras import needing
from xpnn._convert.parts import Parts
from xpnn._files.model_file import replacing
from xpnn._network.checks import Class
from xpnn._network.layers.dense import dense_layers
from xpnn._network.layers.layer import Layers
from xpnn.errors import XpnnTypeError, XpnnValueError


class Exchange:
    """What a network has for others."""

    layers: Layers

    @classmethod
    def _of_parts(cls, parts: Parts) -> Self:
        network: Any = cls
        made: Self = network(**parts._asdict())
        return made

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

    @classmethod
    def from_torch(cls, module: Any, example: Array | None = None) -> Self:
        """Make a network of a module of PyTorch, whichever way it is written.

        Parameters
        ----------
        module : torch.nn.Module
            That takes rows and gives rows. It is left as it is, and read as in `eval` mode.
        example : tensor, shape (rows, ...), optional
            What the module takes, of any values and any number of rows. By default as many columns as
            its first `Linear` has inputs.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If it is no module, or nothing says how many columns there are.
        ValueError
            If an operation is no part of a layer, which is named; if weights are bfloat16; if there are
            several outputs.

        Notes
        -----
        The module is read by torch.export, and each operation of ATen on the way from the input to the
        output has to be part of a layer. What is written out in operations is known by what it computes.
        Results are the module's own within `error_bound`.

        Examples
        --------
        >>> import torch, xpnn  # doctest: +SKIP
        >>> xpnn.Network.from_torch(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.SiLU()))  # doctest: +SKIP
        Network of 1 layer, 9 parameters, float32, numpy weights that follow the input
          0  2 -> 3, bias, silu
        """
        return cls._of_parts(needing("torch_program").read(module, example))

    @classmethod
    def from_jax(cls, function: Callable[[Any], Any], example: Array) -> Self:
        """Make a network of a function of JAX: a forward pass.

        Parameters
        ----------
        function : callable
            That takes rows and gives rows. Modules have names of their own: `from_flax`, `from_equinox`.
        example : array, shape (rows, ...)
            What it takes, of any values and any number of rows.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If it is no function, or the example has no rows.
        ValueError
            If a primitive is no part of a layer, which is named; if there are several outputs.

        Notes
        -----
        The function is traced, as by ``jax.jit``, and each primitive on the way from the input to the
        output has to be part of a layer. What is written out in operations is known by what it computes:
        `jax.nn.gelu` is the tanh form unless it is told otherwise. Results are the function's own within
        `error_bound`, but where it loses digits that a network here keeps, as 1 - p beside p does.

        Examples
        --------
        >>> import jax, xpnn  # doctest: +SKIP
        >>> weight = jax.numpy.ones((2, 3))  # doctest: +SKIP
        >>> xpnn.Network.from_jax(lambda x: jax.nn.silu(x @ weight), jax.numpy.ones((1, 2)))  # doctest: +SKIP
        Network of 1 layer, 6 parameters, float32, numpy weights that follow the input
          0  2 -> 3, silu
        """
        return cls._of_parts(needing("jax_function").read(function, example))

    @classmethod
    def from_flax(
        cls, module: Any, variables: Any = None, example: Array | None = None, **options: Any
    ) -> Self:
        """Make a network of a module of Flax: of linen, ``(module, variables, example)``, or nnx, ``(module, example)``.

        Parameters
        ----------
        module : flax.linen.Module or flax.nnx.Module
            That takes rows and gives rows. One of nnx is left as it is, and read as after its `eval`.
        variables : mapping, optional
            Of a module of linen: ``{"params": ..., "batch_stats": ...}``, as its `init` gave them and
            training changed them. One of nnx has none.
        example : array, shape (rows, ...)
            What it takes, of any values and any number of rows.
        **options
            Other arguments of its call, as after training: ``train=False``.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If it is no module of Flax, there are no variables or some that nothing takes, or the example
            has no rows.
        ValueError
            If it runs in training only: dropout, or statistics of a batch; and as `from_jax`.

        Notes
        -----
        This is `from_jax` of ``lambda x: module.apply(variables, x, **options)``, or of an nnx module.

        Examples
        --------
        >>> import flax.linen as nn, jax, xpnn  # doctest: +SKIP
        >>> module, x = nn.Sequential([nn.Dense(3), nn.silu]), jax.numpy.ones((1, 2))  # doctest: +SKIP
        >>> xpnn.Network.from_flax(module, module.init(jax.random.key(0), x), x)  # doctest: +SKIP
        Network of 1 layer, 9 parameters, float32, numpy weights that follow the input
          0  2 -> 3, bias, silu
        """
        read = needing("jax_modules").read_flax
        return cls._of_parts(read(module, variables, example, options))

    @classmethod
    def from_equinox(
        cls, module: Any, example: Array, *, state: Any = None, **options: Any
    ) -> Self:
        """Make a network of a module of Equinox, which takes one sample.

        Parameters
        ----------
        module : equinox.Module
            That takes one sample and gives one. It is left as it is, and read as in `inference_mode`.
        example : array, shape (rows, ...)
            Samples, of any values and any number of rows.
        state : equinox.nn.State, optional
            Of a module that takes one and gives one back, as batch normalizations do.
        **options
            Other arguments of its call.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If it is no module of Equinox that can be called, or the example has no rows.
        ValueError
            As `from_jax`.

        Notes
        -----
        This is `from_jax` of ``jax.vmap(equinox.nn.inference_mode(module))``.

        Examples
        --------
        >>> import equinox as eqx, jax, xpnn  # doctest: +SKIP
        >>> mlp = eqx.nn.MLP(2, 1, 8, 1, key=jax.random.key(0))  # doctest: +SKIP
        >>> xpnn.Network.from_equinox(mlp, jax.numpy.ones((1, 2)))  # doctest: +SKIP
        Network of 2 layers, 33 parameters, float32, numpy weights that follow the input
          0  2 -> 8, bias, relu
          1  8 -> 1, bias, identity
        """
        read = needing("jax_modules").read_equinox
        return cls._of_parts(read(module, example, state, options))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Make a network of a fitted estimator of scikit-learn.

        Parameters
        ----------
        estimator : object
            MLPClassifier, MLPRegressor, LogisticRegression, LinearRegression, Ridge; a Pipeline of scalers
            (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler) and one of them; or a
            TransformedTargetRegressor with a scaler.

        Returns
        -------
        Network
            That gives `predict_proba` of a classifier, whose labels are its classes, and `predict` of a
            regressor, with a column for each target. Weights in the dtype that they were trained in.

        Raises
        ------
        TypeError
            If it is another estimator.
        ValueError
            If it was not fitted, or does what no layer does: a scaler that clips, one class against all
            others.

        Notes
        -----
        Of two classes there are two columns, softmax of (0, z), for the 1 - p and p of scikit-learn.
        Nothing of scikit-learn is imported. Scalers stay layers of their own; `fold` makes them part of
        the first one.

        Examples
        --------
        >>> from sklearn.linear_model import LinearRegression  # doctest: +SKIP
        >>> xpnn.Network.from_sklearn(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]))  # doctest: +SKIP
        Network of 1 layer, 2 parameters, float64, numpy weights that follow the input
          0  1 -> 1, bias, identity
        """
        from xpnn._convert import sklearn_estimator

        return cls._of_parts(sklearn_estimator.read(estimator))

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
        Opset 20. The input ``x`` has any number of rows, the output is ``y``, both in the dtype of the
        weights. Numbers that activations have are constants, as the attributes of operators would round
        them to float32. A float16 network computes in float32, as it does here. What computes the model
        does so within `error_bound`; ONNX Runtime has no float64 of Elu, Erf, Gelu and Softplus. The
        marks of `fold`, classes and metadata stay behind. `load` gives the same layers again.

        Examples
        --------
        >>> import xpnn
        >>> xpnn.load("digits").to_onnx("digits.onnx")  # doctest: +SKIP
        """
        content = needing("onnx_export").model_of(self.layers)
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
