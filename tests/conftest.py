"""The backends that the tests run on, as fixtures.

`pytest --backend torch --device cuda` asks for what it names: if that is missing, every test is an
error. Without `--backend` the tests run on whatever is installed.
"""

import importlib.util
import os
from typing import Any, NamedTuple

# Many small tests on one machine: no library needs more than one thread, nor a GPU's whole memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import pytest
from differentiation import Differentiator, differentiator
from hypothesis import settings

import xpnn
from xpnn._arrays import Library, library
from xpnn._backends import open_backend
from xpnn._dtypes import dtype_name
from xpnn._transfer import to_numpy

# Compilers take their time; the same examples in every run, so that a failure can be met again.
settings.register_profile("xpnn", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("xpnn")

NAMES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax",
    "cupy": "cupy",
    "array-api-strict": "array_api_strict",
}


class Backend(NamedTuple):
    """An array library on one device, as a test uses it."""

    name: str
    library: Library
    device: Any

    @property
    def xp(self) -> Any:
        return self.library.xp

    def asarray(self, values: Any, dtype: str | None = None) -> Any:
        """Make an array of the backend of exactly these values."""
        values = np.array(values)
        if dtype == "bfloat16":
            return self.xp.astype(self.asarray(values, "float32"), self.xp.bfloat16)
        dtype = dtype or values.dtype.name
        return self.xp.asarray(
            values.astype(dtype), dtype=getattr(self.xp, dtype), device=self.device
        )

    def numpy(self, y: Any, *, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Check namespace, dtype, shape and device of a result; then give its values."""
        assert library(y).xp is self.xp
        assert dtype_name(y.dtype) == dtype
        assert tuple(y.shape) == shape
        if self.device is not None:
            assert str(y.device) == str(self.device)
        return to_numpy(y)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        choices=list(NAMES),
        help="run on this array library; may be given several times; default all installed",
    )
    parser.addoption("--device", help="run on this device of the backends, e.g. cuda or gpu")


def _places(config: pytest.Config) -> list[tuple[str, str | None]]:
    asked = config.getoption("--backend")
    names = asked or [n for n, module in NAMES.items() if importlib.util.find_spec(module)]
    device = config.getoption("--device")
    places = [(name, device) for name in names]
    if "array-api-strict" in names and device is None:
        places.append(("array-api-strict", "device1"))  # one that is not the default
    return places


def _open(name: str, device: str | None) -> Backend:
    if name == "array-api-strict":
        import array_api_strict as xp

        xp.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
        return Backend(name, open_backend(name, None)[0], xp.Device(device) if device else None)
    found, place = open_backend(name, device)
    if name == "torch" and place is not None:
        import torch

        place = torch.empty(0, device=place).device  # cuda is cuda:0
    return Backend(name, found, place)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        places = _places(metafunc.config)
        ids = [name if device is None else f"{name}-{device}" for name, device in places]
        metafunc.parametrize("backend", places, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """One of the backends asked for; an error if it is not there."""
    return _open(*request.param)


@pytest.fixture
def rxp(backend: Backend) -> Any:
    """The reproducible namespace of the backend."""
    return xpnn.reproducible(backend.xp)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """A dtype that every backend has."""
    return str(request.param)


def _named(name: str, config: pytest.Config) -> Any:
    asked = config.getoption("--backend")
    if (asked and name not in asked) or importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} was not asked for")
    return _open(name, config.getoption("--device"))


@pytest.fixture(params=["torch", "jax"])
def ad(request: pytest.FixtureRequest) -> Differentiator:
    """A library that finds derivatives."""
    return differentiator(request.getfixturevalue(request.param))


@pytest.fixture
def torch(request: pytest.FixtureRequest) -> Any:
    """The module torch, for tests of what only PyTorch has."""
    _named("torch", request.config)
    return importlib.import_module("torch")


@pytest.fixture
def jax(request: pytest.FixtureRequest) -> Any:
    """The module jax, with 64-bit types on, for tests of what only JAX has."""
    _named("jax", request.config)
    return importlib.import_module("jax")
