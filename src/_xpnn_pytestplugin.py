"""The pytest plugin of xpnn: `xp` and `device` over the array libraries that are installed.

It stands outside the package and imports none of it, so that a run of pytest without these fixtures
imports neither xpnn nor an array library, and coverage of xpnn starts before xpnn does. What the
hooks do is in `xpnn.testing`; docs/testing.md says how to use it.
"""

from collections.abc import Generator
from typing import Any

import pytest

_WHICH = "(backend, condition=True, /, *, np_only=False, cpu_only=False, exceptions=(), reason=None"
MARKERS = {
    f"skip_xp_backend{_WHICH})": "skip the test on this array library",
    f"xfail_xp_backend{_WHICH}, raises=None, strict=True)": "the test fails on this array library",
    'xp_compiled(*functions, fullgraph=True, backend="aot_eager")': (
        "run the test once more with these functions, named as the test calls them, under jax.jit, "
        "and under torch.compile, which takes the options"
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("xpnn", "array libraries, for tests that use the fixture xp")
    group.addoption(
        "--xp-backend",
        action="append",
        metavar="NAME",
        help="run on this array library: numpy, torch, jax, cupy, array-api-strict; may be given "
        "several times; it is an error if one is missing; default: those that are installed",
    )
    group.addoption(
        "--xp-device",
        metavar="DEVICE",
        help="run on this device of the array libraries, e.g. cuda; default: their own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known; a backend that was asked for must be there."""
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    if config.getoption("xp_backend"):
        from xpnn.testing._runs import check_asked

        check_asked(config)


# Last, to see what the suite's own hooks gave to the names that are ours.
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the tests that use the fixtures run on each backend."""
    if "xp_backend" in metafunc.fixturenames:
        from xpnn.testing._runs import parametrize

        parametrize(metafunc)


# First, before pytest looks for marks that skip.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or expect to fail, what is marked so."""
    marks = ("skip_xp_backend", "xfail_xp_backend")
    if any(item.get_closest_marker(name) for name in marks):
        from xpnn.testing._marks import apply

        apply(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Compile the functions of a test for the time that it runs."""
    if "xp_backend" not in getattr(item, "fixturenames", ()):
        return (yield)
    from xpnn.testing._compiled import functions_compiled

    with functions_compiled(item):
        return (yield)


# For the whole session, so that fixtures of every scope and Hypothesis can use them.
@pytest.fixture(scope="session")
def xp_backend(request: pytest.FixtureRequest) -> Any:
    """The array library that the test runs on: its name, namespace `xp`, device, `compiled`."""
    from xpnn.testing._runs import open_for

    return open_for(request)


@pytest.fixture(scope="session")
def xp(xp_backend: Any) -> Any:
    """The namespace of the array library, as array-api-compat has it."""
    return xp_backend.xp


@pytest.fixture(scope="session")
def device(xp_backend: Any) -> Any:
    """The device to make arrays on: `xp.asarray(..., device=device)`; None is the library's own."""
    return xp_backend.device
