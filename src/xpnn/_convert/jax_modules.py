"""Modules of Flax and Equinox as functions of JAX, as they are after training."""

import copy
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax

from xpnn._convert import jax_function
from xpnn._convert.parts import Parts
from xpnn.errors import XpnnTypeError, XpnnValueError

Function = Callable[[Any], Any]


def _is_of(module: Any, room: str) -> bool:
    """Whether a class of it comes from a package, which is loaded then."""
    return any(f"{kind.__module__}.".startswith(f"{room}.") for kind in type(module).__mro__)


def read_flax(module: Any, variables: Any, example: Any, options: dict[str, Any]) -> Parts:
    """Return the layers of a module of Flax, whichever of its two kinds."""
    if example is None and hasattr(variables, "shape"):
        variables, example = None, variables
    if _is_of(module, "flax.linen"):
        function = _of_linen(module, variables, options)
    elif _is_of(module, "flax.nnx"):
        function = _of_nnx(module, variables, options)
    else:
        raise XpnnTypeError(
            "from_flax: expected a module of flax.linen or flax.nnx, got "
            f"{type(module).__qualname__}; from_jax takes functions"
        )
    return jax_function.read(function, example, "from_flax")


def _of_linen(module: Any, variables: Any, options: dict[str, Any]) -> Function:
    if variables is None:
        raise XpnnTypeError(
            "from_flax: expected the variables of a module of flax.linen and an example: "
            "from_flax(module, variables, example)"
        )
    refusal = import_module("flax.errors").FlaxError

    def function(x: Any) -> Any:
        try:
            return module.apply(variables, x, **options)
        except refusal as error:
            raise XpnnValueError(
                "from_flax: expected variables and arguments by which the trained module runs, such as "
                f"train=False, got {str(error).splitlines()[0].partition(' (https')[0]}"
            ) from None

    return function


def _of_nnx(module: Any, variables: Any, options: dict[str, Any]) -> Function:
    if variables is not None:
        raise XpnnTypeError(
            "from_flax: expected no variables of a module of flax.nnx, which has them: "
            "from_flax(module, example)"
        )
    trained = copy.deepcopy(module)
    trained.eval()
    return lambda x: trained(x, **options)


def read_equinox(module: Any, example: Any, state: Any, options: dict[str, Any]) -> Parts:
    """Return the layers of a module of Equinox, which takes one sample."""
    if not (_is_of(module, "equinox") and callable(module)):
        raise XpnnTypeError(
            "from_equinox: expected a module of Equinox that can be called, got "
            f"{type(module).__qualname__}; from_jax takes functions"
        )
    trained = import_module("equinox").nn.inference_mode(module)

    def function(x: Any) -> Any:
        return trained(x, **options) if state is None else trained(x, state, **options)[0]

    return jax_function.read(jax.vmap(function), example, "from_equinox")
