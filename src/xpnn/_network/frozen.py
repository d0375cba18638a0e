"""What makes a network one value: it never changes, and Dask knows it by its numbers."""

from dataclasses import FrozenInstanceError
from typing import Any, NoReturn

from xpnn._network.checks import Class, Names
from xpnn._network.layers.layer import Layers


class Frozen:
    """A network's fields, which are set once.

    No dataclass: Dask takes each dataclass that a task gets apart, and makes another of its fields.
    """

    layers: Layers
    classes: tuple[Class, ...] | None
    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    _placed: bool
    _of_numpy: bool | None

    @property
    def _names(self) -> Names:
        return self.classes, self.inputs, self.outputs

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to {name!r} of a network, which is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete {name!r} of a network, which is frozen")

    def __dask_tokenize__(self) -> Any:
        token = vars(self).get("_token")
        if token is None:
            from xpnn._arrays.backends.dask import normalized

            token = normalized(type(self), self._names, self._placed, self.layers)
            if self._of_numpy:  # which nobody can write to
                object.__setattr__(self, "_token", token)
        return token
