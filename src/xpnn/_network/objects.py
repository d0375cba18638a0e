"""Networks of the objects of others: modules, functions, models, estimators."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from xpnn._arrays.types import Array
from xpnn._convert.extras import needing

if TYPE_CHECKING:  # few programs need it
    from xpnn._convert.parts import Parts


class Objects:
    """The ways in for what other programs have made."""

    @classmethod
    def _of_parts(cls, parts: "Parts") -> Self:
        network: Any = cls
        made: Self = network(**parts._asdict())
        return made

    @classmethod
    def from_torch(
        cls,
        module: Any,
        example: Array | None = None,
        *,
        output: str | Sequence[str] | None = None,
    ) -> Self:
        """Make a network of a module of PyTorch, whichever way it is written.

        Parameters
        ----------
        module : torch.nn.Module
            That takes rows and gives rows. It is left as it is, and read as in `eval` mode.
        example : tensor, shape (rows, ...), optional
            What the module takes, of any values and any number of rows. By default as many columns as
            its first `Linear` has inputs.
        output : str or sequence of str, optional
            Which output of a module that has several: a key of the dict that it gives, or what the graph
            of torch.export calls it. Of several the columns stand beside each other.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If it is no module, or nothing says how many columns there are.
        ValueError
            If an operation is no part of a layer, which is named; if weights are bfloat16; if there is no
            such output, or there are several and none is asked for.

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
        return cls._of_parts(needing("torch_program").read(module, example, output))

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
    def from_keras(cls, model: Any, *, output: str | Sequence[str] | None = None) -> Self:
        """Make a network of a model of Keras: Sequential or Functional, of version 3 or 2.

        Parameters
        ----------
        model : keras.Model
            That takes rows and gives rows. It is left as it is, and read as it predicts.
        output : str or sequence of str, optional
            Which output of a model that has several, by the name of the layer that makes it. Of several
            names the columns stand beside each other.

        Returns
        -------
        Network
            With NumPy copies of the weights, in their dtype. Several inputs are columns of one, in their
            order, and keep their names.

        Raises
        ------
        TypeError
            If it is no model.
        ValueError
            If a layer is not among those that xpnn reads, which is named; if the model is written in
            Python, and so has no configuration; if it has not been built; if weights are bfloat16 or
            are computed in another dtype; if there are several outputs and none is chosen.

        Notes
        -----
        Layers are read by their configuration, so nothing of Keras is imported; `load` reads files
        ``.keras`` and ``.h5`` in the same way, without Keras. Results are the model's own within
        `error_bound`.

        Examples
        --------
        >>> import keras, xpnn  # doctest: +SKIP
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "swish")])  # doctest: +SKIP
        >>> xpnn.Network.from_keras(model)  # doctest: +SKIP
        Network of 1 layer, 9 parameters, float32, numpy weights that follow the input
          0  2 -> 3, bias, silu
        """
        from xpnn._convert import keras_model

        return cls._of_parts(keras_model.read(model, output))

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
        >>> import xpnn
        >>> from sklearn.linear_model import LinearRegression  # doctest: +SKIP
        >>> xpnn.Network.from_sklearn(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]))  # doctest: +SKIP
        Network of 1 layer, 2 parameters, float64, numpy weights that follow the input
          0  1 -> 1, bias, identity
        """
        from xpnn._convert import sklearn_estimator

        return cls._of_parts(sklearn_estimator.read(estimator))
