"""backends: the array libraries that this machine has, and how to get the others."""

import importlib
from importlib.util import find_spec
from typing import Any, NamedTuple

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.backends.table import TABLE, Row
from xpnn._arrays.library import library_of_namespace
from xpnn._arrays.transfer import devices_here, find_device
from xpnn.errors import XpnnValueError


class Backend(NamedTuple):
    """An array library, as this machine has it.

    Attributes
    ----------
    name : str
        numpy, torch, jax, cupy or array-api-strict.
    version : str or None
        None if it is not installed, or does not load.
    devices : tuple of str
        Names of its devices here.
    dtypes : tuple of str
        The floating dtypes that xpnn computes with there.
    install : str
        The command that installs it.
    why : str or None
        Why it cannot be used here: not installed, does not load, no device; None if it can.
    """

    name: str
    version: str | None
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    install: str
    why: str | None = None


Backend.__module__ = "xpnn"  # for pickles, which name where a class stands


def names() -> list[str]:
    """Return the names of all backends, installed or not."""
    return list(TABLE)


def installed() -> list[str]:
    """Return the names of the backends that are installed; imports none."""
    return [name for name, row in TABLE.items() if _is_installed(row.root)]


def check_installed(name: str) -> Row:
    """Return the backend's row; ValueError if there is no such backend, or it is not installed."""
    row = TABLE.get(name)
    if row is None:
        raise XpnnValueError(f"expected a backend of {', '.join(TABLE)}, got {name!r}")
    if not _is_installed(row.root):
        raise XpnnValueError(f"backend {name} is not installed; get it with: {row.install}")
    return row


def backend_library(name: str) -> Library:
    """Import the backend of this name; ValueError if there is none, or it is not installed."""
    module = check_installed(name).namespace
    try:
        return library_of_namespace(importlib.import_module(module))
    except Exception as error:  # noqa: BLE001 -- ImportError, OSError of a missing library, ...
        raise XpnnValueError(
            f"backend {name} is installed but does not load: {_words(error)}"
        ) from None


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def open_backend(name: str, device: str | None) -> tuple[Library, Any]:
    """Import the backend for a program of its own, with 64-bit floats, and find its device."""
    found = backend_library(name)
    found.enable_64_bits()
    return found, None if device is None else find_device(found, device)


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def backends() -> list[Backend]:
    """Return the array libraries that xpnn knows of, and what this machine has of them.

    Imports those that are installed. Any other library that follows the Array API standard works
    too; this is the list of those that the tests run on.

    Returns
    -------
    list of Backend
        Named tuples `(name, version, devices, dtypes, install, why)`; `why` says why one cannot be
        used here, as when it is not installed or finds no device, and is None if it can.

    Examples
    --------
    >>> import xpnn
    >>> xpnn.backends()[0].name
    'numpy'
    """
    return [_look(name) for name in TABLE]


def _look(name: str) -> Backend:
    row = TABLE[name]
    missing = Backend(name, None, (), (), row.install)
    if not _is_installed(row.root):
        return missing._replace(why=f"is not installed: {row.install}")
    try:
        backend = backend_library(name)
    except XpnnValueError as error:
        return missing._replace(why=str(error).removeprefix(f"backend {name} "))
    xp = backend.xp
    found = missing._replace(version=_version(row.distribution, xp))
    try:
        devices = tuple(devices_here(backend))
        low = [d for d in ("float16", "bfloat16") if hasattr(xp, d)]
        dtypes = (*low, *xp.__array_namespace_info__().dtypes(kind="real floating"))
    except Exception as error:  # noqa: BLE001 -- what a library without a driver raises
        return found._replace(why=f"is installed but has no device: {_words(error)}")
    if not devices:
        return found._replace(why="is installed but has no device")
    return found._replace(devices=devices, dtypes=dtypes)


def _version(distribution: str, xp: Any) -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes 15 ms

    try:
        return version(distribution)
    except PackageNotFoundError:  # cupy-cuda12x and its like
        return str(getattr(xp, "__version__", "unknown"))
