"""Layer: what every kind of layer says of itself, in words that each interpreter gives a meaning."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar

from xpnn._activations.activation import Activation
from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Node
from xpnn._arrays.backends.tracing import is_recorded
from xpnn._arrays.dtypes import FLOATS, dtype_name
from xpnn._arrays.library import common_library, library
from xpnn._arrays.transfer import Copies, constant_copies, frozen, is_numpy
from xpnn._arrays.types import Array
from xpnn.errors import XpnnTypeError, XpnnValueError

V = TypeVar("V")

Shape = tuple[int, ...]
"""The shape of one sample: that of an input without its leading axes."""


class Interpreter(Protocol[V]):
    """Gives the words that layers are made of a meaning, for values of some kind."""

    def linear(
        self, x: V, weight: Array, bias: Array | None, rounded: str | None = None, /
    ) -> V:  # fmt: skip
        """Return x @ weight + bias, which were rounded to the dtype `rounded` if it is there."""
        ...

    def activate(self, x: V, activation: Activation, /) -> V:
        """Return an activation of x."""
        ...

    def affine(
        self, x: V, scale: Array | None, shift: Array | None, rounded: str | None = None, /
    ) -> V:
        """Return x * scale + shift, each where it is there; `rounded` as in `linear`."""
        ...

    def normalize(self, x: V, epsilon: float, /) -> V:
        """Return (x - mean) / sqrt(mean((x - mean)**2) + epsilon) along the last axis."""
        ...

    def add(self, x: V, y: V, /) -> V:
        """Return x + y."""
        ...

    def flatten(self, x: V, shape: Shape, /) -> V:
        """Return x with one axis for those of a sample, which have this shape.

        A network has made one of them before its first layer: where it runs, this is x.
        """
        ...


class Layer:
    """One step of a network: frozen, a pytree, and the same for every interpreter.

    A kind of layer is a frozen dataclass that names its arrays in `_children` and its other fields in
    `_options`, checks both in `__post_init__`, and says in `preactivation` what it computes.
    """

    _children: ClassVar[tuple[str, ...]] = ()
    """The fields that hold an array, None, or a tuple of layers."""
    _options: ClassVar[tuple[str, ...]] = ()
    """The other fields, which stay when the arrays are exchanged."""
    _matrices: ClassVar[tuple[str, ...]] = ()
    """The arrays of two axes; all others have one."""
    kinds: ClassVar[dict[str, "type[Layer]"]] = {}
    """Every kind of layer that model files have."""
    kind: ClassVar[str]
    """What model files call it."""
    formula: ClassVar[str]
    """What `preactivation` computes, for people."""

    axes: int = 1
    """How many axes a sample has that the layer takes."""
    activate: Activation = Activation.of("identity")
    """The activation that the layer ends in."""
    first: Array | None
    """The first array: where it is, are the others; None if there is none."""
    first_shape: Shape | None
    """Its shape, for which torch.compile need not look at an array of NumPy."""
    stacked: str | None
    """An array of other axes than a layer's, as where a tree map stacked several; None if there is none."""
    _parts: tuple[tuple[Any, ...], tuple[Any, ...]]
    """The children and the options, as JAX and torch take the layer apart."""
    _copies: dict[str, Copies]

    def __init_subclass__(cls, *, stored: bool = True) -> None:
        super().__init_subclass__()
        pytree.register(Node(cls, cls._children, cls._flatten, cls._unchecked))
        if stored:
            Layer.kinds[cls.kind] = cls

    # What it computes

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return all but the activation of the layer, as the interpreter has it."""
        raise NotImplementedError

    def activated(self, a: V, _: Interpreter[V], /) -> V:
        """Return the activation of what `preactivation` gave."""
        return a

    def apply(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return what the layer makes of x, as the interpreter has it."""
        return self.activated(self.preactivation(x, interpreter), interpreter)

    # What fits it

    @property
    def takes(self) -> Shape | None:
        """The shape of the samples that the layer takes; None where any will do.

        That of its first array, unless a kind of layer says otherwise.
        """
        return self.first_shape

    def gives(self, _: Shape | None, /) -> Shape | None:
        """Return the shape of what comes of a sample, that which it takes; None where nobody knows."""
        return self.takes

    def giving(self, _: Shape | None, /) -> "Layer":
        """Return the layer with what it must give, where it does not say so."""
        return self

    def check_unstacked(self, function: str) -> None:
        """Raise ValueError if an array has other axes than such a layer's."""
        if self.stacked is not None:
            raise XpnnValueError(
                f"{function}: expected arrays of one network, got {self.stacked}; of several that are "
                "stacked, map the call, as vmap(lambda network: network(x))(stack) does"
            )

    def check_input(self, function: str, x: Array) -> None:
        """Raise ValueError with both shapes unless the last axes of x are what the layer takes."""
        if self.takes is not None and tuple(x.shape[-len(self.takes) :]) != self.takes:
            expected = ", ".join(map(str, self.takes))
            raise XpnnValueError(
                f"{function}: expected x of shape (..., {expected}) for {self!r}, got shape "
                f"{tuple(x.shape)}"
            )

    # What it holds

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays by name, those of layers inside by `layers.0.weight`."""
        found: dict[str, Array] = {}
        for name in self._children:
            child = getattr(self, name)
            if isinstance(child, tuple):
                for i, layer in enumerate(child):
                    found |= {f"{name}.{i}.{n}": a for n, a in layer.arrays.items()}
            elif child is not None:
                found[name] = child
        return found

    @property
    def is_recordable(self) -> bool:
        """Whether it may be recorded, compiled and run in tiles: it never looks at values, and no row at others."""
        inside = (child for child in self._flatten()[0] if isinstance(child, tuple))
        return all(layer.is_recordable for layers in inside for layer in layers)

    @property
    def parameters(self) -> int:
        """Number of elements of all arrays: weights and biases."""
        return sum(math.prod(a.shape) for a in self.arrays.values())

    @property
    def dtypes(self) -> set[str]:
        """The names of the arrays' dtypes."""
        return {dtype_name(a.dtype) for a in self.arrays.values()}

    @property
    def largest_matrix(self) -> int:
        """Number of elements of the largest matrix."""
        return max((math.prod(a.shape) for a in self.arrays.values() if a.ndim == 2), default=0)

    @property
    def words(self) -> list[str]:
        """What tells it from others of its kind, for people: `2 -> 3`, `bias`, `relu`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        name = type(self).__name__
        try:
            return f"{name}({', '.join([*self.words, *sorted(self.dtypes)])})"
        except (AttributeError, TypeError, ValueError):  # a placeholder of JAX or torch
            fields = (getattr(self, field) for field in (*self._children, *self._options))
            return f"{name}({', '.join(map(repr, fields))})"

    # In model files

    def fields(self) -> dict[str, Any]:
        """Return what a model file holds of the layer beside its kind and its arrays."""
        given = {name: getattr(self, name) for name in self._options}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """Make the layer of the fields and tensors of a model file; ValueError if they are others."""
        given = {**fields, **tensors}
        known = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
        for name in given:
            if name not in known:
                raise XpnnValueError(f"expected {', '.join(known)} of {cls.kind}, got {name!r}")
        for name, f in known.items():
            if name not in given and f.default is dataclasses.MISSING:
                raise XpnnValueError(f"expected a tensor {name} of {cls.kind}, which is missing")
        return cls(**given)

    # The same layer of other arrays

    def _check_arrays(self) -> None:
        """Raise an error unless all arrays are floating, of one library and on one device."""
        name = type(self).__name__
        given = {called: getattr(self, called) for called in self._children}
        # A field that has no default must be there; its class has no attribute of that name.
        needed = {c: a for c, a in given.items() if a is not None or not hasattr(type(self), c)}
        if needed:
            common_library(name, None, needed)
        for called, a in needed.items():
            if dtype_name(a.dtype) not in FLOATS:
                raise XpnnTypeError(
                    f"{name}: expected real floating values in {called}, got dtype "
                    f"{dtype_name(a.dtype)}; convert it, e.g. to float32"
                )

    def _check_rounded(self, rounded: str | None) -> None:
        """Raise ValueError unless it is the name of a floating dtype, or None."""
        if rounded not in (None, *FLOATS):
            raise XpnnValueError(
                f"{type(self).__name__}: expected rounded to be one of {', '.join(FLOATS)} or None, "
                f"got {rounded!r}"
            )

    def _set(self, options: tuple[Any, ...], children: tuple[Any, ...]) -> None:
        """Take the fields as they are; NumPy's arrays become the layer's own."""
        for name, value in zip(self._options, options, strict=True):
            object.__setattr__(self, name, value)
        for name, child in zip(self._children, children, strict=True):
            object.__setattr__(self, name, frozen(child))
        children = tuple([getattr(self, name) for name in self._children])
        object.__setattr__(self, "_parts", (children, options))
        first = [first_array(c) if isinstance(c, tuple) else c for c in children]
        object.__setattr__(self, "first", next((a for a in first if a is not None), None))
        shape = getattr(self.first, "shape", None)  # a placeholder of JAX or torch has none
        object.__setattr__(self, "first_shape", None if shape is None else tuple(shape))
        object.__setattr__(self, "stacked", self._stacked(children))
        own = {n: a for n, a in zip(self._children, children, strict=True) if is_numpy(a)}
        copies = {} if is_recorded() else {n: constant_copies(n, a) for n, a in own.items()}
        object.__setattr__(self, "_copies", copies)
        pytree.update()

    def _stacked(self, children: tuple[Any, ...]) -> str | None:
        for name, child in zip(self._children, children, strict=True):
            if isinstance(child, tuple):
                inside = (getattr(layer, "stacked", None) for layer in child)
                found = next(filter(None, inside), None)
                if found is not None:
                    return found
            shape = getattr(child, "shape", None)
            if shape is not None and len(shape) != 1 + (name in self._matrices):
                return f"{name} of shape {tuple(shape)}"
        return None

    @classmethod
    def _unchecked(cls, options: tuple[Any, ...], children: tuple[Any, ...]) -> Self:
        # JAX and torch put placeholders and tracers in the arrays' places.
        layer = object.__new__(cls)
        layer._set(options, children)
        return layer

    def _flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return self._parts

    def __reduce__(self) -> tuple[Any, ...]:
        # Whatever a tree map or vmap put in the arrays' places comes back, as JAX and torch have it.
        children, options = self._flatten()
        return self._unchecked, (options, children)

    def __dask_tokenize__(self) -> Any:
        from xpnn._arrays.backends.dask import normalized
        from xpnn._arrays.digest import digest

        arrays = list(self.arrays.values())
        places = [
            f"{library(a).name} {library(a).place_of(a)} {dtype_name(a.dtype)}" for a in arrays
        ]
        return normalized(self.structure, places, list(map(digest, arrays)))

    def moved(
        self, move: Callable[[Array], Array], constant: Callable[[Copies], Array] | None = None
    ) -> Self:
        """Return the layer of other arrays: of each `move(array)`.

        While torch.compile is at work, of each that is NumPy's `constant(copies)` of `constant_copies`.
        """

        def new(name: str) -> Any:
            # An array of NumPy that torch.compile sees becomes a tensor of it, with guards.
            if constant is not None and name in self._copies:
                return constant(self._copies[name])
            child = getattr(self, name)
            if isinstance(child, tuple):
                return tuple(layer.moved(move, constant) for layer in child)
            return None if child is None else move(child)

        children = tuple([new(name) for name in self._children])
        return self._unchecked(self._flatten()[1], children)

    def changed(self, change: "Callable[[Layers], Layers]") -> Self:
        """Return the layer with other layers inside: of each chain of them `change(layers)`."""
        children, options = self._flatten()
        if not any(isinstance(child, tuple) for child in children):
            return self
        new = [change(child) if isinstance(child, tuple) else child for child in children]
        return self._unchecked(options, tuple(new))

    @property
    def structure(self) -> tuple[Any, ...]:
        """What two layers of other arrays have in common: a key, of which `rebuilt` makes a layer."""
        children, options = self._flatten()
        return type(self), options, tuple(map(_structure, children))


def _structure(child: Any) -> Any:
    """Return None for None, a tuple of structures for layers, and an ellipsis for an array."""
    if isinstance(child, tuple):
        return tuple(layer.structure for layer in child)
    return None if child is None else ...


def rebuilt(structure: tuple[Any, ...], arrays: Iterator[Array]) -> Layer:
    """Return the layer of a structure with other arrays, in the order of `pytree.leaves`."""
    kind, options, children = structure

    def new(child: Any) -> Any:
        if isinstance(child, tuple):
            return tuple([rebuilt(inside, arrays) for inside in child])
        return None if child is None else next(arrays)

    made: Layer = kind._unchecked(options, tuple([new(child) for child in children]))
    return made


Layers = tuple[Layer, ...]


def first_array(layers: Layers) -> Array | None:
    """Return the first array of all: where it is, are the others; None if there is none."""
    for layer in layers:
        first = getattr(layer, "first", None)  # a placeholder of JAX or torch has none
        if first is not None:
            return first
    return None


def taken_by(layers: Layers) -> Shape | None:
    """Return the shape of the samples that layers take, one after the other; None for any."""
    for layer in layers:
        if layer.takes is not None or layer.gives((1,)) != (1,):
            return layer.takes
    return None


def outputs_of(layers: Layers, sample: Shape | None = None) -> Shape | None:
    """Return the shape of what layers make of a sample, of the one they take unless it is given."""
    for layer in layers:
        sample = layer.gives(sample if layer.takes is None else layer.takes)
    return sample


def as_samples(layers: Layers, rows: Array) -> Array:
    """Return rows of numbers as samples of the shape that layers take."""
    shape = taken_by(layers) if layers[0].axes > 1 else None
    return rows if shape is None else rows.reshape((-1, *shape))


def widths_known(layers: Layers, last: Shape | None = None) -> Layers:
    """Return layers with what each must give: what the next one takes, the last one `last`."""
    known: list[Layer] = []
    needed = last
    for layer in reversed(layers):
        known.insert(0, layer.giving(needed))
        if layer.takes is not None or layer.gives((1,)) != (1,):
            needed = layer.takes
    return tuple(known)


def check_chain(function: str, layers: Layers) -> None:
    """Raise an error unless these are layers each of which takes what the one before gives."""
    if not layers:
        raise XpnnValueError(f"{function}: expected at least one layer, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise XpnnTypeError(
                f"{function}: expected layer {i} to be an xpnn.Dense or another layer, got "
                f"{type(layer).__qualname__}"
            )
    sample = None
    for i, layer in enumerate(layers):
        if None not in (sample, layer.takes) and layer.takes != sample:
            raise XpnnValueError(
                f"{function}: expected layer {i} to take the {_size(sample)} outputs of layer "
                f"{i - 1}, got {layers[i - 1]!r} and {layer!r}"
            )
        if i and layer.axes > 1:
            raise XpnnValueError(
                f"{function}: expected {layer!r}, which takes samples of several axes, to be the first "
                f"layer, got it as layer {i}"
            )
        sample = layer.gives(sample if layer.takes is None else layer.takes)


def _size(sample: Shape | None) -> str:
    return " x ".join(map(str, sample or ()))


def from_fields(layers: Any, tensors: Mapping[str, Array], chain: str = "layers") -> Layers:
    """Make layers of what a model file of version 2 says of a chain; ValueError if it cannot be."""
    if not isinstance(layers, list):
        raise XpnnValueError(f"expected a list of layers, got {layers!r}")
    parts: list[dict[str, Array]] = [{} for _ in layers]
    for name, a in tensors.items():
        begin, _, rest = name.partition(".")
        i, _, inside = rest.partition(".")
        if begin != chain or not inside or i not in map(str, range(len(layers))):
            raise XpnnValueError(f"expected {len(layers)} layers, got a tensor {name} beside them")
        parts[int(i)][inside] = a
    made = []
    for n, (layer, own) in enumerate(zip(layers, parts, strict=True)):
        fields = dict(layer) if isinstance(layer, dict) else {}
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in Layer.kinds:
            known = ", ".join(sorted(Layer.kinds))
            raise XpnnValueError(f"layer {n}: expected one of the kinds {known}, got {layer!r}")
        try:
            made.append(Layer.kinds[kind].from_fields(fields, own))
        except (XpnnTypeError, XpnnValueError) as error:
            raise type(error)(f"layer {n}: {error}") from None
    return tuple(made)
