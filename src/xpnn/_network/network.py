"""Network: layers one after the other, called on the arrays of any library."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Library, Node
from xpnn._arrays.backends.tracing import is_compiling, is_recorded
from xpnn._arrays.dtypes import computing_float, float_names, floating_name
from xpnn._arrays.library import (
    common_library,
    device_of,
    in_native_order,
    key_of,
    library,
    of_parts,
    promoted,
)
from xpnn._arrays.transfer import destination, is_numpy
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._engine.small import Small
from xpnn._execution.plans import PlanCache, kind_of
from xpnn._network import passes
from xpnn._network.checks import (
    Class,
    Names,
    check_ending,
    check_input,
    check_layers,
    check_names,
    laid_out,
)
from xpnn._network.copies import check_place, layer_dtypes, moved
from xpnn._network.description import description
from xpnn._network.exchange import Exchange
from xpnn._network.interpreters import values
from xpnn._network.interpreters.values import Forward, Part, Plain
from xpnn._network.layers.layer import Layer, Layers, first_array
from xpnn.errors import XpnnTypeError


class Network(Exchange):
    """Layers one after the other: the output of each is the input of the next.

    Parameters
    ----------
    layers : iterable of layers
        At least one; the widths must fit.
    classes : sequence of str or int, optional
        What the classes are called, in the order of the outputs.
    inputs, outputs : sequence of str, optional
        What the columns of the input and of the output are called: a name for each, or one for all of
        them. `table` takes columns by these names.

    Raises
    ------
    TypeError
        If one is no layer, such as `Dense`, or the layers' arrays are of different libraries.
    ValueError
        If there is no layer, neighbours do not fit, the arrays lie on different devices, or there are
        not as many `classes` as outputs, nor a name for each column or one for all.

    Notes
    -----
    **Where the weights are.** A network made of NumPy arrays, or loaded from a file, follows its
    input: called with arrays of another library, device or dtype it copies its weights there, once
    each, and remembers. Nobody can write to its own weights, which are copies of those given. One
    made of other arrays, or put somewhere with `to`, stays there, and where these are changed in
    place, by an optimizer for example, every call follows.

    **dtype.** Computed and returned in what the input and the weights promote to; an integer input
    takes the weights'. float16 and bfloat16 are computed in float32 throughout and rounded once.

    Frozen, and a pytree for JAX and PyTorch whose leaves are the weights and biases.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> weights = [np.asarray([[0.1, 0.3], [0.2, 0.4]]), np.asarray([[0.5], [0.6]])]
    >>> network = xpnn.Network.from_weights(weights, [np.zeros(2), np.zeros(1)])
    >>> network
    Network of 2 layers, 9 parameters, float64, numpy weights that follow the input
      0  2 -> 2, bias, sigmoid
      1  2 -> 1, bias, identity
    >>> network(np.asarray([[1.0, 0.5], [0.0, 0.0]]))
    array([[0.6483926],
           [0.55     ]])
    """

    _float_names: set[str] | None
    _of_numpy: bool | None
    """Whether weights are NumPy's; None where there are none."""
    _copies: dict[Any, Layers]
    """Layers, by where they were brought to."""
    _plans: PlanCache[passes.Pass]
    _small: dict[Part, Small]

    def __init__(
        self,
        layers: Iterable[Layer],
        classes: Sequence[Class] | None = None,
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        if isinstance(layers, Layer):
            raise XpnnTypeError(f"Network: expected a sequence of layers, got one: [{layers!r}]")
        layers = check_layers(tuple(layers))
        self._set(layers, check_names(layers, classes, inputs, outputs))
        if self.follows:
            object.__setattr__(self, "_float_names", layer_dtypes(layers))

    def _set(self, layers: Any, names: Names, *, placed: bool = False) -> None:
        object.__setattr__(self, "layers", layers)
        for field_name, given in zip(("classes", "inputs", "outputs"), names, strict=True):
            object.__setattr__(self, field_name, given)
        object.__setattr__(self, "_placed", placed)
        first = first_array(layers)
        object.__setattr__(self, "_of_numpy", None if first is None else is_numpy(first))
        object.__setattr__(self, "_float_names", None)
        object.__setattr__(self, "_copies", {})
        object.__setattr__(self, "_plans", PlanCache())
        object.__setattr__(self, "_small", {})
        pytree.update()

    @classmethod
    def _unchecked(cls, rest: tuple[Names, bool], children: tuple[Any, ...]) -> "Network":
        # JAX and torch put placeholders and tracers in the arrays' places.
        network = object.__new__(cls)
        network._set(children[0], rest[0], placed=rest[1])
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        return Network._unchecked, ((self._names, self._placed), (self.layers,))

    @property
    def follows(self) -> bool:
        """Whether the weights are copied to wherever the input is."""
        return self._of_numpy is None or (self._of_numpy and not self._placed)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def output(self) -> str:
        """Name of the output layer's activation."""
        return self.layers[-1].activate.name

    def __call__(self, x: Array, /, *, xp: Namespace | None = None) -> Array:
        """Return the output of the last activation: probabilities, values.

        Parameters
        ----------
        x : array, shape (..., in)
            One sample, a batch, or any leading axes; real floating or integer.
        xp : namespace, optional
            The array namespace to compute with; by default the one of `x`.

        Returns
        -------
        array, shape (..., out)

        Raises
        ------
        TypeError
            If `x` is no real array, is of another library than weights that stay, or needs float64
            where JAX has that switched off.
        ValueError
            If the width does not fit, or `x` is on another device than weights that stay.
        """
        return self._rows(x, xp, "network", values.outputs)

    def table(self, table: Any, /) -> Array:
        """Return the columns of a table that the network takes, in its order, as rows to call it on.

        Parameters
        ----------
        table : mapping or table
            Columns by name, those of `inputs` and any others: a dict of arrays, a table of pandas, polars,
            pyarrow or Dask. What is missing is NaN: where integers are, or in Dask's may be, they are float64.

        Returns
        -------
        array, shape (rows, in)
            Of the library of the columns, NumPy's or Dask's for tables; in the dtype that its floats promote to.

        Raises
        ------
        TypeError, ValueError
            If it is no table, a column holds no numbers, the network has no names for its columns, or one
            of them is missing, doubled or of another length.

        Examples
        --------
        >>> import numpy as np, xpnn
        >>> network = xpnn.Network([xpnn.Dense(np.asarray([[1.0], [-1.0]]))], inputs=["high", "low"])
        >>> network(network.table({"low": np.asarray([0.5]), "high": np.asarray([2.0])}))
        array([[1.5]])
        """
        from xpnn._network.tables import rows_of

        return rows_of(table, self.layers, self.inputs)

    def logits(self, x: Array, /, *, xp: Namespace | None = None) -> Array:
        """Return what the output layer's activation would be taken of; see `__call__`.

        ValueError unless that is softmax, sigmoid, the logarithm of one, or identity.
        """
        check_ending("network.logits", self.layers[-1].activate, logits=True)
        return self._rows(x, xp, "network.logits", values.logits)

    def log_proba(self, x: Array, /, *, xp: Namespace | None = None) -> Array:
        """Return the logarithm of the probabilities, finite where they underflow; see `__call__`.

        ValueError unless the output layer is softmax, sigmoid or the logarithm of one.
        """
        check_ending("network.log_proba", self.layers[-1].activate)
        return self._rows(x, xp, "network.log_proba", values.log_proba)

    def classify(
        self, x: Array, /, *, certain: bool = False, xp: Namespace | None = None
    ) -> Array | tuple[Array, Array]:
        """Return the class of each row, found from the logits alone; `x`, `xp` as in `__call__`.

        Parameters
        ----------
        certain : bool, optional
            Also say for each class whether rounding cannot change it: whether it is the class of
            the exact logits, and of any sound computation in this dtype on any backend, as
            `error_bound` has it. Costs a pass or two in float64. Default False.

        Returns
        -------
        array of integers
            After softmax, shape (...): the index of the largest logit, the first of equal ones,
            and of the first NaN where there is one.
            After one sigmoid, shape (...): 1 where the logit is > 0, otherwise 0. After several
            sigmoids, shape (..., out): the same for each of them. `classes` has the names.
        array of bool
            Only if `certain` is True; the same shape. False where a row holds NaN or infinity.

        Raises
        ------
        ValueError
            If the output layer is neither softmax nor sigmoid nor the logarithm of one: regression has
            no classes.
        TypeError, ValueError
            As `__call__` does.
        """
        check_ending("network.classify", self.layers[-1].activate)
        classes = self._rows(x, xp, "network.classify", values.classes)
        if not certain:
            return classes
        from xpnn._network.analysis import analysed  # few programs need it
        from xpnn._network.interpreters import bounds

        return classes, analysed(self, x, xp, function="network.classify", analysis=bounds.certain)

    def layer_outputs(
        self, x: Array, /, *, xp: Namespace | None = None
    ) -> list[tuple[Array, Array]]:
        """Return every layer's (a, z): z = activation(a), a = x @ weight + bias; see `__call__`."""
        flat = passes.by_chunks(Network._outputs, self, x, xp, function="network.layer_outputs")
        flat = flat or self._outputs(x, xp, "network.layer_outputs")
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _outputs(self, x: Array, xp: Namespace | None, function: str) -> tuple[Array, ...]:
        x = in_native_order(laid_out(function, self.layers, x))
        found, layers, forward = self._start(function, values.outputs, x, xp)
        each = lambda x: forward.each(found, layers, x, Plain(xp and found.xp))
        return of_parts(function, found, each, (-1,), x)(x)

    def to(
        self, like_or_namespace: Any, /, *, device: Any = None, dtype: DType | str | None = None
    ) -> "Network":
        """Return this network with its weights somewhere else, where they stay.

        Parameters
        ----------
        like_or_namespace : array or namespace
            An array whose library and device to go to, or a namespace: ``numpy``, ``torch``,
            ``jax.numpy``.
        device : optional
            A device of that library or its name, such as "cuda:0"; by default that of the array, or
            the library's default.
        dtype : optional
            A floating dtype of any library or its name; by default each array keeps its own.

        Returns
        -------
        Network
            Within one library, gradients flow back to this network's arrays.

        Raises
        ------
        TypeError
            If there is no such dtype, or it is float64 and JAX has that switched off.
        ValueError
            If there is no such device.
        """
        found, where = destination(like_or_namespace, device)
        layers = moved(self.layers, found, where, floating_name("to", dtype))
        network = object.__new__(Network)
        network._set(layers, self._names, placed=True)
        return network

    def fold(self) -> "Network":
        """Return the network in which each `Affine` is part of a layer beside it, where one may be.

        An `Affine` before a `Dense`, after one without an activation, or beside another; inside of
        `Residual` too.

        Returns
        -------
        Network
            Of the same function but for the rounding of the new parameters; it lies where this one
            does, and follows its input if this one does.

        Raises
        ------
        TypeError
            If the values of the weights are not known: a compiler or a transform traces them.

        Notes
        -----
        The new parameters are computed exactly and rounded once, to the dtype that the old ones
        promote to. A layer remembers that, as `rounded`: `error_bound`, `expected_error` and
        ``classify(x, certain=True)`` hold the folded network to this one's exact result, `parity` and
        `explain` to its own. Layers that were folded before, and those in whose place numbers would
        be out of range, stay. Gradients do not flow back to this network's arrays.

        Examples
        --------
        >>> import numpy as np, xpnn
        >>> scaler = xpnn.Affine(np.asarray([0.5, 10.0]), np.asarray([-1.0, 0.0]))
        >>> dense = xpnn.Dense(np.asarray([[2.0], [3.0]]), activation="relu")
        >>> xpnn.Network([scaler, dense]).fold()
        Network of 1 layer, 3 parameters, float64, numpy weights that follow the input
          0  2 -> 1, bias, relu, rounded to float64
        """
        from xpnn._network.interpreters import folding

        folding.check_known(self.layers)
        classes, inputs, outputs = self._names
        network = Network(folding.fold(self.layers), classes, inputs=inputs, outputs=outputs)
        object.__setattr__(network, "_placed", self._placed)
        return network

    def save(self, path: str | PathLike[str], *, metadata: Mapping[str, str] | None = None) -> None:
        """Write the network to a file that `load` reads, whole or not at all.

        Parameters
        ----------
        path : str or path
            A file, by custom named .safetensors; replaced if it is there. OSError if it cannot be.
        metadata : mapping of str to str, optional
            Notes to keep with it, such as where it came from.

        Raises
        ------
        ValueError
            If `load` would refuse the file: NaN or infinite weights, layers that a tree map stacked or
            emptied, a name of another format, such as .onnx. What stood at `path` is left as it was.

        Notes
        -----
        A safetensors file with JSON in its metadata, as docs/format.md says. bfloat16 is stored as
        float32, which holds its values exactly.
        """
        # Few programs save, and this takes a tenth of importing xpnn.
        from xpnn._network.stored import save

        save(self, path, dict(metadata or {}))

    def _rows(self, x: Array, xp: Namespace | None, function: str, part: Part) -> Array:
        small = self._small.get(part)
        y = small(x) if small is not None and xp is None else None
        if y is not None:
            return y
        plan = None
        if self.layers[0].axes == 1:
            plan = self._plans.find(type(x), (part, *kind_of(x, xp)))
        if plan is None:
            y = passes.by_chunks(Network._rows, self, x, xp, function=function, part=part)
            if y is not None:
                return y
            x = in_native_order(laid_out(function, self.layers, x))
            plan = self._plans.find(type(x), (part, *kind_of(x, xp)))
        if plan is None:
            found, layers, forward = self._start(function, part, x, xp)
            # What integers become, where no weight says so, may be another dtype the next time.
            settled = bool(self._dtypes or float_names(function, {"x": x}))
            lasting = (self.follows or layers is self.layers) and settled and not is_compiling()
            plan = passes.plan(found, forward, layers, x, plain=xp is not None, lasting=lasting)
            plan = of_parts(function, found, plan, (-1,), x)
            # JAX's 64-bit types may be switched off the next time.
            if lasting and not (found.raw.compiles and forward.computing == "float64"):
                self._plans.keep(type(x), (part, *kind_of(x, xp)), plan)
                if isinstance(plan, passes.InTiles):
                    known = self._small.get(part)
                    if known is not None and known.knows(x):  # of another number of axes
                        plan.small = known
                    self._small[part] = plan.small
        return plan(x)

    def _start(
        self, function: str, part: Part, x: Array, xp: Namespace | None
    ) -> tuple[Library, Layers, Forward]:
        """Check x, and bring the layers to its library, device and dtype."""
        found, name = self._checked(function, x, xp)
        computing = computing_float(name)
        layers = self._layers_at(found, device_of(x), computing)
        return found, layers, Forward(part, computing, name)

    def _checked(self, function: str, x: Array, xp: Namespace | None) -> tuple[Library, str]:
        """Check x; return the library to compute with, and the name of the result's dtype."""
        found = common_library(function, xp, {"x": x})
        if not self.follows:
            check_place(function, x, found, first_array(self.layers))
        if self.layers[0].axes == 1:  # or `laid_out` did
            check_input(function, self.layers, x)
        names = float_names(function, {"x": x}) | self._dtypes
        return found, promoted(function, found, names, x)

    @property
    def _dtypes(self) -> set[str]:
        return self._float_names or layer_dtypes(self.layers)

    def _layers_at(self, found: Library, device: Any, dtype: str, use: str = "") -> Layers:
        if not self.follows:
            here = library(first_array(self.layers)) is found is found.raw
            as_they_are = here and layer_dtypes(self.layers) == {dtype}
            return self.layers if as_they_are else moved(self.layers, found, None, dtype)
        # Copies of float64 are none to use once JAX's 64-bit types are switched off.
        key = (found.name, key_of(device), dtype, use, found.lacks(dtype))
        if key in self._copies:
            return self._copies[key]
        layers = moved(self.layers, found, device, dtype)
        if not is_recorded():
            self._copies[key] = layers
        return layers

    def __repr__(self) -> str:
        try:
            return description(self.layers, self._names, follows=self.follows)
        except (AttributeError, TypeError, ValueError):  # a placeholder of JAX or torch
            return f"Network({self.layers!r})"


pytree.register(
    Node(
        Network,
        ("layers",),
        lambda network: ((network.layers,), (network._names, network._placed)),
        Network._unchecked,
    )
)
