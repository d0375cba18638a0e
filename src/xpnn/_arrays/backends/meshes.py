"""JAX's meshes: arrays that are sharded over devices, and parts of them inside of jax.shard_map."""

import functools
import math
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from xpnn._arrays.backends.protocol import Array, Device, Function


@functools.lru_cache
def whole(sharding: Any, shape: tuple[int, ...]) -> Device:
    """Return the sharding of what is whole on every device of one, or the only device."""
    devices = tuple(sharding.devices_indices_map(shape))
    if len(devices) == 1 and not _is_explicit(sharding):
        return devices[0]
    mesh = getattr(sharding, "mesh", None) or jax.sharding.Mesh(np.asarray(devices), ("devices",))
    return NamedSharding(mesh, PartitionSpec())


def _is_explicit(sharding: Any) -> bool:
    """Whether axes of the mesh stand in the types of arrays."""
    types = getattr(getattr(sharding, "mesh", None), "axis_types", None)
    return jax.sharding.AxisType.Explicit in (types or ())


def in_any(f: Function, spec_of: Function) -> Function:
    """Make a function of f for arrays of explicit meshes, too, that leaves to XLA how f is spread.

    `spec_of` the same arrays is how the result lies on the mesh.
    """

    def function(*given: Any) -> Any:
        shardings = (jax.typeof(a).sharding for a in jax.tree.leaves(given))
        explicit = next(filter(_is_explicit, shardings), None)
        if explicit is None:
            return f(*given)
        with jax.sharding.use_abstract_mesh(explicit.mesh):
            return jax.sharding.auto_axes(f, out_sharding=spec_of(*given))(*given)

    return function


def entered(f: Function) -> Function:
    """Make a function that runs f, operation by operation, in the explicit mesh of its arguments."""

    def function(*given: Any) -> Any:
        leaves = jax.tree.leaves(given)
        if any(isinstance(a, jax.core.Tracer) for a in leaves):
            return f(*given)
        explicit = next((a.sharding for a in leaves if _is_explicit(a.sharding)), None)
        try:
            mesh = nullcontext() if explicit is None else jax.set_mesh(explicit.mesh)
        except ValueError:  # something else is traced, which compiles this as well
            return f(*given)
        with mesh:
            return f(*given)

    return function


def gathered(x: Array, axes: tuple[int, ...]) -> Array:
    """Return x whole along axes, where an explicit mesh has spread it: its parts cannot become one axis."""
    sharding = (jax.typeof(x) if isinstance(x, jax.core.Tracer) else x).sharding
    if not _is_explicit(sharding):
        return x
    spec = [*sharding.spec, *[None] * (x.ndim - len(sharding.spec))]
    for axis in axes:
        spec[axis] = None
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec(*spec)))


def words(sharding: Any) -> str:
    """Return what a sharding is, for people."""
    if isinstance(sharding, NamedSharding):
        return f"{sharding.spec} of {sharding.mesh}"
    return str(sharding)


def meet(x: Array, y: Array) -> bool:
    """Whether arrays of other places may stand in one call: what nobody put on a device is moved."""
    here, there = x.sharding, y.sharding
    if here.device_set == there.device_set:
        return len(here.device_set) == 1 or not (_is_explicit(here) or _is_explicit(there))
    one = len(here.device_set) == len(there.device_set) == 1
    return not (one or (x.committed and y.committed))


def of_rows(sharding: Any, axes: int) -> Any:
    """Return the sharding of what is spread as rows of so many axes are, and whole otherwise."""
    if not isinstance(sharding, NamedSharding):
        return None
    return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[: axes - 1]))


def devices_of(x: Array) -> int:
    """Return over how many devices the compiler may spread an array: those of its mesh."""
    mesh = jax.typeof(x).sharding.mesh
    own = [mesh.shape[name] for name in mesh.axis_names if name not in mesh.manual_axes]
    return math.prod(own)


def axes_of(x: Any) -> frozenset[str]:
    """Return the axes of a mesh along which parts of an array differ, inside of jax.shard_map."""
    kind = jax.typeof(x) if isinstance(x, jax.Array) else x
    own = getattr(kind, "vma", None)  # before JAX 0.10
    own = getattr(getattr(kind, "manual_axis_type", None), "varying", own)
    return own or frozenset()


def varying(x: Array, axes: frozenset[str]) -> Array:
    """Return x as one whose parts may differ along axes; the derivative by it is the sum over them."""
    more = tuple(sorted(axes - axes_of(x)))
    if not more:
        return x
    cast = getattr(jax.lax, "pcast", None)  # since JAX 0.8.2
    return jax.lax.pvary(x, more) if cast is None else cast(x, more, to="varying")


def alike(*arrays: Array) -> list[Array]:
    """Return arrays whose parts differ along the same axes."""
    axes = frozenset[str]().union(*map(axes_of, arrays))
    return [varying(x, axes) for x in arrays]
