"""Where tests run: which libraries and devices, before and after the library is imported."""

import functools
from typing import Any, NamedTuple

import pytest

from xpnn._arrays import installed
from xpnn._arrays.backends.table import TABLE
from xpnn._arrays.types import Device, Namespace
from xpnn.errors import XpnnValueError


class Run(NamedTuple):
    """One of the ways that a test runs in; nothing is imported yet."""

    backend: str
    device: str | None = None
    compiler: str | None = None
    """`jit` or `compile`, where the functions that the test names are compiled."""

    def __str__(self) -> str:
        return "-".join(filter(None, self))


class XpBackend(NamedTuple):
    """The array library that a test runs on: what the fixture `xp_backend` is."""

    name: str
    """numpy, torch, jax, cupy or array-api-strict."""
    xp: Namespace
    """What the fixture `xp` is."""
    device: Device | None
    """What the fixture `device` is."""
    compiled: bool
    """Whether the functions that `xp_compiled` names are compiled in this run."""


def check_asked(config: pytest.Config) -> None:
    """Stop the session if a backend of `--xp-backend` is unknown or missing."""
    for name in config.getoption("xp_backend"):
        try:
            installed.check_installed(name)
        except XpnnValueError as error:
            raise pytest.UsageError(f"--xp-backend {name}: {error}") from None


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Let a test run in each way that there is."""
    # A suite may parametrize a `device` of its own: then nothing of the plugin's is in use.
    calls = getattr(metafunc, "_calls", ())
    theirs = {name for call in calls for name in call.params}
    wanted = {"xp", "device"}.intersection(metafunc.fixturenames)
    if "xp_backend" in theirs or (wanted and wanted <= theirs):
        return
    found = _runs(
        metafunc.config,
        on_devices="device" in metafunc.fixturenames,
        compiled=metafunc.definition.get_closest_marker("xp_compiled") is not None,
    )
    metafunc.parametrize("xp_backend", found, ids=map(str, found), indirect=True, scope="session")


def _runs(config: pytest.Config, *, on_devices: bool, compiled: bool) -> list[Run]:
    device = config.getoption("xp_device")
    found = []
    for name in dict.fromkeys(config.getoption("xp_backend") or installed.installed()):
        row = TABLE[name]
        found.append(Run(name, device))
        if compiled and row.compiler:
            found.append(Run(name, device, row.compiler))
        if on_devices and row.other_device and device is None:
            found.append(Run(name, row.other_device))
    return found


def run_of(item: pytest.Item) -> Run | None:
    """Return the way that a test runs in; None if it uses none of the fixtures."""
    callspec = getattr(item, "callspec", None)
    run = None if callspec is None else callspec.params.get("xp_backend")
    return run if isinstance(run, Run) else None


@functools.cache
def open_run(run: Run) -> XpBackend:
    """Import the library and find the device; the test fails if it is not there."""
    try:
        found, device = installed.open_backend(run.backend, run.device)
    except XpnnValueError as error:
        pytest.fail(f"{run}: {error}", pytrace=False)
    if device is not None:
        device = found.xp.empty(0, device=device).device  # cuda is cuda:0
    return XpBackend(run.backend, found.xp, device, run.compiler is not None)


def open_for(request: Any) -> XpBackend:
    """Return what the fixture `xp_backend` is."""
    run = getattr(request, "param", None)
    if not isinstance(run, Run):
        pytest.fail(
            "xp, device and xp_backend stand for several array libraries: ask for them in the "
            "arguments of the test or of a fixture, not with getfixturevalue",
            pytrace=False,
        )
    return open_run(run)
