#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""Sessions of nox: `python -m nox` runs all that run before a change lands."""

import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml("pyproject.toml")
# pip would compile thousands of files of PyTorch and JAX that no test imports: over a minute each time.
PIP = ("--no-compile", "-c", "constraints.txt")
# The wheel of PyTorch that the constraints name; any other may bring gigabytes of CUDA.
TORCH = "torch==2.13.0"
# Libraries for a few tests, which have the mark `libraries`.
MORE = (
    *("h5py", "llvmlite", "mlx[cpu]", "ndonnx", "onnx", "onnxruntime", "pandas", "polars"),
    *("distributed", "pyarrow", "scikit-learn", "xarray", "zarr"),
)
EVERY = ("numpy", "torch", "jax", "array-api-strict")
# Frameworks that bring much, each with a session of its own: what it needs beside JAX, and its tests.
FRAMEWORKS = {
    "equinox": (["equinox"], ["tests/convert/test_equinox.py"]),
    "flax": (["flax"], ["tests/convert/test_flax.py"]),
    "keras": (["h5py", "keras", "scikit-learn"], ["tests/convert/test_keras.py"]),
    "skops": (
        ["onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "skops"],
        ["tests/convert/test_estimator_files.py", "tests/convert/test_sklearn.py"],
    ),
}


# What XLA compiled for one process serves the others, those that tests start, and later sessions.
COMPILED = tempfile.TemporaryDirectory(prefix="xpnn-compiled-")
XLA = {
    "JAX_COMPILATION_CACHE_DIR": COMPILED.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def install(session: nox.Session, *packages: str) -> None:
    """Install xpnn with its tests, and what else a session needs, in the tested versions."""
    # Where byte code may not be written, each process would compile PyTorch and JAX anew.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install(*PIP, "-e", ".", *nox.project.dependency_groups(PROJECT, "test"), *packages)


def run(session: nox.Session, *arguments: str) -> None:
    """Run the tests, on as many processes as there are processors."""
    command = ["python", "-m", "pytest", "-n", "auto", "--dist", "worksteal", "--durations", "40"]
    session.run(*command, *arguments, *session.posargs, env=XLA, external=True)


@nox.session(name="tests-numpy")
def tests_numpy(session: nox.Session) -> None:
    """NumPy, and every test that takes no library: neither torch nor jax is there.

    Then NumPy again without llvmlite, as calls of its functions.
    """
    install(session, "typer", "rich", "llvmlite")
    session.run("python", "-m", "pip", "uninstall", "-y", "-q", "array-api-strict")
    run(session, "--xp-backend", "numpy")
    session.run("python", "-m", "pip", "uninstall", "-y", "-q", "llvmlite")
    run(session, "--xp-backend", "numpy", "--backends-only")


@nox.session(name="tests-torch", default=False)
def tests_torch(session: nox.Session) -> None:
    """PyTorch, without JAX: the tests that take a backend; the others run in `tests-numpy`."""
    install(session, TORCH, "typer", "rich")
    run(session, "--xp-backend", "torch", "--backends-only")


@nox.session(name="tests-jax", default=False)
def tests_jax(session: nox.Session) -> None:
    """JAX, without PyTorch: the tests that take a backend."""
    install(session, "jax", "typer", "rich")
    run(session, "--xp-backend", "jax", "--backends-only")


@nox.session(name="tests-strict", default=False)
def tests_strict(session: nox.Session) -> None:
    """array-api-strict, which has nothing that the standard has not."""
    install(session, "typer", "rich")
    run(session, "--xp-backend", "array-api-strict", "--backends-only")


@nox.session(name="tests-from")
@nox.parametrize("framework", list(FRAMEWORKS), ids=list(FRAMEWORKS))
def tests_from(session: nox.Session, framework: str) -> None:
    """What one framework makes, read where the framework is: its tests, and its examples in docs/."""
    packages, files = FRAMEWORKS[framework]
    install(session, "jax", *packages)
    session.env["KERAS_BACKEND"] = "jax"
    backends = ["--xp-backend", "numpy", "--xp-backend", "jax"]
    examples = "tests/test_package.py::test_examples_of_the_docs"
    run(session, *backends, "--every-library", "--framework", framework, *files)
    run(session, *backends, "--framework", framework, examples)


@nox.session(name="tests-all")
def tests_all(session: nox.Session) -> None:
    """Every backend in one environment: all tests that `tests-numpy` has not run; then the matrix."""
    install(session, TORCH, "jax", "dask", "typer", "rich", *MORE)
    backends = [f"--xp-backend={name}" for name in EVERY[1:]]
    run(session, "--backends-only", "--every-library", *backends)
    if not session.posargs:
        session.run("python", "-m", "tests.matrix", "--minutes", "2", env=XLA)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """All tests, and how much of the source they reach."""
    install(session, TORCH, "jax", "dask", "typer", "rich")
    backends = [f"--xp-backend={name}" for name in EVERY]
    run(session, *backends, "--cov", "--cov-fail-under=95")


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """The combinations that reach every pair of two factors: `-- --hours N`."""
    install(session, TORCH, "jax")
    session.run("python", "-m", "tests.matrix", *session.posargs)


@nox.session(name="tests-min")
def tests_min(session: nox.Session) -> None:
    """The least supported versions, as pyproject.toml has them; torch's is the tested one.

    Of the cases of a test about a third, always the same: `-- --one-of 1` runs all.
    """
    extras = PROJECT["project"]["optional-dependencies"]
    least = [*PROJECT["project"]["dependencies"], *extras["cli"], *extras["jax"]]
    tests = nox.project.dependency_groups(PROJECT, "test")
    # No constraints here: these versions are the point.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install("--no-compile", "-e", ".", *tests)
    session.install("--no-compile", *(name.replace(">=", "==") for name in least))
    # Neither the plugin's runs of pytest nor the tools are about these versions.
    others = ["tests/testing/test_plugin.py", "tests/test_benchmarks.py", "tests/test_matrix.py"]
    left_out = [f"--ignore={name}" for name in others]
    backends = ["--xp-backend", "numpy", "--xp-backend", "jax"]
    run(session, *backends, "-m", "not slow", "--one-of", "3", *left_out)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, and the Scientific Python review of the repository."""
    session.install(*PIP, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("repo-review", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    groups = nox.project.dependency_groups(PROJECT, "test", "types")
    session.install(*PIP, "-e", ".[cli]", "nox", *groups)
    session.run("mypy")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist; install each and try it from an empty folder."""
    session.install(*PIP, "build", "pytest")
    folder = Path(session.create_tmp())
    session.run("python", "-m", "build", "--outdir", str(folder / "dist"))
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "test_installed.py").write_text(
        "from importlib.metadata import metadata\n\nfrom xpnn import *\n\n"
        "def test_it(): load('digits')\n\n"
        "def test_readme(): assert '](https://' in metadata('xpnn').get_payload()\n\n"
        "def test_links(): assert '](docs/' not in metadata('xpnn').get_payload()\n"
    )
    constraints = str(Path("constraints.txt").resolve())
    for pattern in ("*.whl", "*.tar.gz"):
        (package,) = (folder / "dist").resolve().glob(pattern)
        session.install("--force-reinstall", "--no-compile", "-c", constraints, f"{package}[cli]")
        with session.chdir(empty):
            session.run("xpnn", "predict")
            session.run("xpnn", "info")
            # pytest rewrites the package of a plugin that is installed, which no editable one shows.
            session.run("python", "-m", "pytest", "-q", "test_installed.py")
        package.unlink()


@nox.session
def docs(session: nox.Session) -> None:
    """The site, anew: warnings are errors, every link inside leads somewhere. `-- linkcheck`: those outside."""
    groups = nox.project.dependency_groups(PROJECT, "docs")
    session.install(*PIP, "-e", ".[cli]", "jax", "scikit-learn", *groups)
    for made in ("_build", "tutorial", "api/generated"):
        shutil.rmtree(Path("docs", made), ignore_errors=True)
    sphinx = ["python", "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs"]
    if "linkcheck" in session.posargs:
        online = {"XPNN_DOCS_ONLINE": "1"}
        quick = ["-D", "plot_gallery=0", "-b", "linkcheck"]
        session.run(*sphinx, *quick, "docs/_build/links", env=online)
        return
    session.run(*sphinx, "docs/_build/html")
    session.run("python", "tools/links.py", "docs/_build/html")


@nox.session(default=False)
def exhaustive(session: nox.Session) -> None:
    """Every float32 through each correctly rounded function; hours; -- --digests: a quarter of one."""
    install(session)
    session.run("python", "tools/exhaustive.py", *session.posargs)


@nox.session(default=False, venv_backend="none")
def arm64(session: nox.Session) -> None:
    """The golden digests on an emulated ARM64 processor; Debian or Ubuntu; with JAX about an hour."""
    tests = ["-k", "golden or oracle", "tests/reproducible/test_reproducible.py"]
    session.run(
        "tools/arm64-python",
        str(session.cache_dir / "arm64"),
        *("-m", "pytest", "-p", "no:cacheprovider", "--xp-backend", "numpy", "--xp-backend", "jax"),
        *(session.posargs or tests),
        env={"PYTHONPATH": "src"},
        external=True,
    )


@nox.session(default=False, venv_backend="none")
def gpu(session: nox.Session) -> None:
    """On a machine with a GPU, in the environment at hand: the tests on CUDA by all three; speed."""
    for backend in (["torch", "--xp-device", "cuda"], ["jax", "--xp-device", "gpu"], ["cupy"]):
        run(session, "--backends-only", "--xp-backend", *backend)
    session.run("python", "benchmarks/gpu.py", "--write", external=True)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Files of others, changed at random and loaded: `-- --cases 100000 --write`; docs/security.md."""
    install(session, "onnx", "onnxruntime", "h5py")
    session.run("python", "tools/fuzz.py", *(session.posargs or ["--cases", "100000"]))


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """How fast xpnn is beside others: benchmarks/speed.md; `-- --check` holds it to that."""
    groups = nox.project.dependency_groups
    session.install(*PIP, "-e", ".[fast]", *groups(PROJECT, "bench"))
    # An environment of its own for Keras, which brings much that others' times should not see.
    folder = Path(session.virtualenv.location).resolve().with_name("bench-keras")
    keras = str(folder / Path(session.bin).name / "python")
    if not folder.exists():
        session.run("python", "-m", "venv", str(folder))
    install_keras = ["-m", "pip", "install", "-q", *PIP, "-e", "."]
    session.run(keras, *install_keras, *groups(PROJECT, "keras"), external=True)
    session.run("python", "benchmarks/speed.py", "--keras-python", keras, *session.posargs)


@nox.session(default=False)
def products(session: nox.Session) -> None:
    """How accurate reproducible products are: docs/products.md."""
    install(session, "scikit-learn")
    session.run("python", "tools/products.py", *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """The data-apis suite; its checkout is the first argument."""
    install(session, "ndindex", "pytest-json-report")
    session.run("python", "tools/conformance.py", *session.posargs)


if __name__ == "__main__":
    nox.main()
