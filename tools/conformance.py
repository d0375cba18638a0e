"""The data-apis suite of tests of the Array API standard, on the reproducible namespace.

    python tools/conformance.py SUITE [--backend NAME] [PYTEST OPTION ...]

SUITE is a checkout of github.com/data-apis/array-api-tests with its submodule, in an environment
with what its requirements.txt names. conformance.txt beside this file lists what is left out, and
why. To pytest this file is a plugin, which leaves that out, and lets the suite do without complex
dtypes.
"""

import argparse
import builtins
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def target() -> Any:
    """Return the namespace under test."""
    import xpnn
    from xpnn._arrays.installed import backend_library

    return xpnn.reproducible(backend_library(os.environ["XPNN_BACKEND"]).xp)


def import_suite() -> None:
    """Import the suite, which takes the widest complex dtype of those left, be it of none."""

    def widest(*values: Any, **options: Any) -> Any:
        return largest(*values, **options, **({"default": [None]} if len(values) == 1 else {}))

    largest, builtins.max = builtins.max, widest
    try:
        helpers = importlib.import_module("array_api_tests.dtype_helpers")
    finally:
        builtins.max = largest
    helpers.widest_complex_dtype = helpers.widest_real_dtype  # where it asks for its name


def left_out() -> Iterator[tuple[str, str]]:
    """Yield a part of tests' names and the reason, from conformance.txt."""
    reason = ""
    for line in (HERE / "conformance.txt").read_text().splitlines():
        if line.startswith("#"):
            reason = line.lstrip("# ")
        elif line:
            yield line, reason


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what conformance.txt names; a line of it that names nothing is an error."""
    unused = {part for part, _ in left_out()}
    for item in items:
        for part, reason in left_out():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
                unused.discard(part)
    whole = os.environ["XPNN_BACKEND"] == "numpy" and not (
        config.getoption("keyword") or config.getoption("file_or_dir")[1:]
    )
    if whole and unused:
        raise pytest.UsageError(f"conformance.txt names no test with: {', '.join(sorted(unused))}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--backend", default="numpy")
    options, rest = parser.parse_known_args()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "XPNN_BACKEND": options.backend,
        "ARRAY_API_TESTS_MODULE": "exec('import conformance; xp = conformance.target()')",
        "ARRAY_API_TESTS_VERSION": "2024.12",
        "ARRAY_API_TESTS_SKIP_DTYPES": "complex64,complex128",
    }
    command = [sys.executable, "-m", "pytest", "array_api_tests", "-p", "conformance"]
    command += ["-rfs", *rest]
    return subprocess.run(command, cwd=options.suite, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
if __name__ == "conformance" and "XPNN_BACKEND" in os.environ:
    import_suite()
