"""The backends that the tests run on: the plugin's, as xpnn's own tests use them.

`pytest --xp-backend torch --xp-device cuda` asks for what it names; if that is missing, it is an error.
Without the option the tests run on whatever is installed.
"""

import importlib
import os
import zlib
from typing import Any, NamedTuple

# Many small tests on one machine: no library needs more than one thread, nor a GPU's whole memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import pytest
from differentiation import Differentiator, differentiator
from hypothesis import settings

import xpnn
from xpnn._arrays import installed
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import library, library_of_namespace, own_library
from xpnn._arrays.transfer import to_numpy
from xpnn._engine import shorter

# Compilers take their time; the same examples in every run, so that a failure can be met again.
settings.register_profile("xpnn", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("xpnn")


# Of a session of their own, or of none: what brings much for few tests.
APART = {"equinox", "flax", "keras", "onnxscript", "skl2onnx", "skops"}
APART |= {"awkward", "pymc", "pytensor"}  # of one block each in docs/for


class Backend(NamedTuple):
    """An array library on one device, as a test uses it."""

    name: str
    library: Library
    device: Any

    @property
    def kernels(self) -> Any:
        """What the fast way takes in the place of formulas, by names."""
        return shorter.KERNELS if self.library is own_library() else self.library.kernels

    @property
    def xp(self) -> Any:
        return self.library.xp

    @property
    def alone(self) -> dict[str, list[str]]:
        """Options of parity: this backend, on the device that was asked for."""
        devices = {} if self.device is None else {"devices": [str(self.device)]}
        return {"backends": [self.name]} | (devices if self.name in {"torch", "jax"} else {})

    @property
    def is_gpu(self) -> bool:
        """Whether arrays lie on a GPU, which adds in trees."""
        return self.name == "cupy" or str(self.device).startswith(("cuda", "gpu"))

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


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # From the source tree alone, where no entry point names the plugin.
    if not pluginmanager.has_plugin("xpnn"):
        pluginmanager.import_plugin("_xpnn_pytestplugin")
    parser.addoption(
        "--backends-only",
        action="store_true",
        help="leave out tests that neither take a backend nor skip where a library is missing",
    )
    parser.addoption(
        "--one-of",
        type=int,
        default=1,
        metavar="N",
        help="of each test function its first case, and of the others about one of N, always the same",
    )
    parser.addoption(
        "--every-library",
        action="store_true",
        help="a library that a test would be skipped for the lack of is missing: an error",
    )
    parser.addoption(
        "--framework",
        action="append",
        default=[],
        help="one of those that have a session of their own is asked for, too: keras, ...",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("every_library"):
        apart = APART - set(config.getoption("framework"))
        skipping = pytest.importorskip

        def needed(name: str) -> Any:
            package = name.partition(".")[0]
            return skipping(name) if package in apart else importlib.import_module(name)

        pytest.importorskip = needed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("backends_only"):
        _keep(config, items, [_takes_libraries(item) for item in items])
    one_of, seen = config.getoption("one_of"), set()
    if one_of > 1:
        kept = []
        for item in items:
            function = item.nodeid.partition("[")[0]
            # By a checksum of its name, as cases that come one after the other have much in common.
            kept.append(function not in seen or not zlib.crc32(item.nodeid.encode()) % one_of)
            seen.add(function)
        _keep(config, items, kept)


def _keep(config: pytest.Config, items: list[pytest.Item], kept: list[bool]) -> None:
    config.hook.pytest_deselected(
        items=[i for i, keep in zip(items, kept, strict=True) if not keep]
    )
    items[:] = [i for i, keep in zip(items, kept, strict=True) if keep]


def _takes_libraries(item: pytest.Item) -> bool:
    """Whether a test does other things where there are other libraries."""
    code = getattr(getattr(item, "function", None), "__code__", None)
    return (
        item.get_closest_marker("libraries") is not None
        or not {"xp_backend", "torch", "jax", "ad"}.isdisjoint(item.fixturenames)
        or (code is not None and "importorskip" in code.co_names)
    )


@pytest.fixture(scope="session")
def backend(xp_backend: Any, device: Any) -> Backend:
    """The backend that the test runs on; array-api-strict on its second device, too."""
    if xp_backend.name == "array-api-strict":
        # Boolean indexing and shapes that depend on values, compilers do not have.
        flags = {"boolean_indexing": False, "data_dependent_shapes": False}
        importlib.import_module("array_api_strict").set_array_api_strict_flags(**flags)
    return Backend(xp_backend.name, library_of_namespace(xp_backend.xp), device)


@pytest.fixture
def rxp(backend: Backend) -> Any:
    """The reproducible namespace of the backend."""
    return xpnn.reproducible(backend.xp)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """A dtype that every backend has."""
    return str(request.param)


def _module(name: str, config: pytest.Config) -> Any:
    if name not in (config.getoption("xp_backend") or installed.installed()):
        pytest.skip(f"{name} was not asked for")
    installed.open_backend(name, config.getoption("xp_device"))
    return importlib.import_module(name)


@pytest.fixture(params=["torch", "jax"])
def ad(request: pytest.FixtureRequest) -> Differentiator:
    """A library that finds derivatives."""
    return differentiator(request.getfixturevalue(request.param))


@pytest.fixture
def torch(request: pytest.FixtureRequest) -> Any:
    """The module torch, for tests of what only PyTorch has."""
    return _module("torch", request.config)


@pytest.fixture
def jax(request: pytest.FixtureRequest) -> Any:
    """The module jax, with 64-bit types on, for tests of what only JAX has."""
    return _module("jax", request.config)


@pytest.fixture(params=[True, False], ids=["x64", "no x64"])
def x64(request, jax):
    """64-bit types on, or off as by default."""
    with jax.enable_x64(request.param):
        yield request.param
