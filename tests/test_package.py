"""What the package is from outside: its names, its imports, its rooms, its examples."""

import ast
import doctest
import functools
import importlib
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn._convert.extras import EXTRAS

pytestmark = pytest.mark.libraries

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT / "tools"))
rooms = importlib.import_module("rooms")
sys.path.remove(str(ROOT / "tools"))

MAY_NAME_A_LIBRARY = {"_arrays/backends", "_convert", "_files", "models", "cli", "testing"}
MAY_NAME_NUMPY = MAY_NAME_A_LIBRARY | {
    "_arrays",
    "_engine",
    "_execution",
    "sklearn",
}  # in which xpnn itself computes, and scikit-learn has its classes
MAY_NAME_SCIKIT_LEARN = {"_convert", "sklearn"}
LIBRARIES = {"np", "numpy", "torch", "jax", "jnp", "cupy"}


def test_rooms_are_few_levels_without_a_circle():
    assert max(rooms.levels().values()) < 10  # a circle is an error


def test_the_map_is_that_of_the_folders():
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert page == rooms.written(page), "python tools/rooms.py --write"


def test_a_circle_and_a_misplaced_import_are_seen(tmp_path, monkeypatch):
    for room in ("_arrays", "_network", "_network/layers"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "_network" / "network.py").write_text("from xpnn._network.layers import dense\n")
    (tmp_path / "_network" / "layers" / "dense.py").write_text("import xpnn._arrays.library\n")
    (tmp_path / "_arrays" / "library.py").write_text("def f():\n    from xpnn import _arrays\n")
    monkeypatch.setattr(rooms, "SOURCE", tmp_path)
    assert rooms.levels() == {"_arrays": 0, "_network": 2, "_network/layers": 1}
    (tmp_path / "_arrays" / "library.py").write_text("def f():\n    from xpnn import _network\n")
    with pytest.raises(SystemExit, match="import each other"):
        rooms.levels()


@pytest.mark.parametrize("path", rooms.files(), ids=rooms.module_of)
def test_backends_are_named_in_their_rooms_only(path):
    room = rooms.room_of(rooms.module_of(path))
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    froms = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names |= {module.partition(".")[0] for module in froms}
    assert "sklearn" not in names or room in MAY_NAME_SCIKIT_LEARN
    if room in MAY_NAME_A_LIBRARY:
        return
    names |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert names & LIBRARIES <= ({"np", "numpy"} if room in MAY_NAME_NUMPY else set())


@pytest.mark.parametrize("path", rooms.files(), ids=rooms.module_of)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 460


def test_public_names():
    assert sorted(xpnn.__all__) == xpnn.__all__
    assert all(hasattr(xpnn, name) for name in xpnn.__all__)
    public = {n for n in vars(xpnn) if not n.startswith("_")} - {
        "errors",
        "models",
        "cli",
        "sklearn",
        "testing",
    }
    assert public == set(xpnn.__all__)


def test_pickles_name_no_place_inside():
    """What is pickled by its name outlives every move inside of the package."""
    for name in xpnn.__all__:
        thing = getattr(xpnn, name)
        assert pickle.loads(pickle.dumps(thing)) is thing
        assert thing.__module__ in {"xpnn", "xpnn.errors"}, name
    backend = xpnn.backends()[0]
    network = xpnn.load("digits")
    for thing in (network, network.layers[0], backend):
        assert b"xpnn._" not in pickle.dumps(thing)


HEAVY = ("mpmath", "torch", "jax", "array_api_strict", "typer", "rich", "scipy", "cupy", "sklearn")
LOADED = "import sys; print(*(m for m in {heavy!r} if m in sys.modules))"


def heavy_imports(statement):
    code = f"{statement}; {LOADED.format(heavy=HEAVY)}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_import_loads_no_array_library_but_numpy():
    assert heavy_imports("import xpnn, xpnn.models; xpnn.load('digits')") == []


def test_the_test_of_imports_can_fail():
    assert heavy_imports("import mpmath") == ["mpmath"]


def module_names():
    """Every module but those of the command, and those of libraries that are not here."""
    adapters = ROOT / "src" / "xpnn" / "_arrays" / "backends"
    needs = {"dtensor": "torch", "meshes": "jax"}
    needs |= {name: name for name in ("dask", "jax", "mlx", "torch")}
    missing = {adapters / f"{file}.py" for file, name in needs.items() if not find_spec(name)}
    readers = ROOT / "src" / "xpnn" / "_convert"
    missing |= {readers / f"{file}.py" for file, extra in EXTRAS.items() if not find_spec(extra)}
    if not find_spec("sklearn"):
        missing |= set((ROOT / "src" / "xpnn" / "sklearn").glob("*.py"))
    paths = [p for p in rooms.files() if "cli" not in p.parts and p not in missing]
    return ["xpnn", *(f"xpnn.{rooms.module_of(p)}" for p in paths)]


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples(name):
    results = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert results.failed == 0


def test_every_public_function_has_an_example():
    for name in xpnn.__all__:
        thing = getattr(xpnn, name)
        if callable(thing) and not (
            isinstance(thing, type) and issubclass(thing, Exception | tuple)
        ):
            assert ">>>" in (thing.__doc__ or ""), name


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


PAGES = [
    b
    for page in ("README.md", "docs/reproducible.md", "docs/parity.md")
    for b in blocks(page, "python")
]


@pytest.mark.parametrize("block", PAGES, ids=range(len(PAGES)))
def test_code_of_pages_runs(block, torch, jax, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(block, "page", "exec"), scope)
    printed = capsys.readouterr().out.split()
    # What a line prints is written behind it: print(...)  # this
    promised = re.findall(r"print\(.*\) +# (.*)", block)
    assert printed == " ".join(promised).split()


EXAMPLES = {
    f"{page.relative_to(ROOT / 'docs').with_suffix('')}-{i}": block
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.name not in {"parity.md", "reproducible.md", "testing.md"}  # which others run
    for i, block in enumerate(blocks(page, "python"))
}


@pytest.mark.libraries
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", EXAMPLES.values(), ids=EXAMPLES)
def test_examples_of_the_docs(block, tmp_path, monkeypatch, capsys, pytestconfig):
    """Each block alone, where its libraries are; of a framework's session, those that are about it."""
    asked = pytestconfig.getoption("framework")
    if asked and not any(name in block for name in asked):
        pytest.skip(f"nothing of {', '.join(asked)}")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for line in re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE):
        pytest.importorskip(line)
    if "array_api_dispatch" in block:
        monkeypatch.setenv(
            "SCIPY_ARRAY_API", "1"
        )  # now that SciPy is there, which shall not see it
    if "torch.onnx.export" in block:
        pytest.importorskip("onnxscript")
    if "xpnn.sklearn" in block:
        pytest.importorskip("sklearn")
    if ".onnx" in block or ".keras" in block:
        pytest.importorskip("onnx" if ".onnx" in block else "h5py")
    jax = importlib.import_module("jax") if re.search(r"\bjax\b", block) else None
    wide = jax and jax.config.jax_enable_x64
    try:
        if jax:  # as it is in a program of its own
            jax.config.update("jax_enable_x64", False)
        test_code_of_pages_runs(block, None, None, tmp_path, monkeypatch, capsys)
    finally:
        if jax:
            jax.config.update("jax_enable_x64", wide)


def test_readme_has_code_and_the_test_command():
    assert blocks("README.md", "python")
    commands = "\n".join(blocks("README.md", "console"))
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install nox && " in commands
    line = next(line for line in commands.splitlines() if "nox" in line)
    assert line.removeprefix("$ ") in ci


@functools.cache
def book_example():
    """What the example prints; it runs on all that is installed."""
    code = [sys.executable, str(ROOT / "examples" / "three_layers.py")]
    return subprocess.run(code, check=True, capture_output=True, text=True).stdout


def test_the_book_example_on_every_backend(backend):
    part = book_example().split(f"\n{backend.name} ", 1)[1]
    for numbers in ("0.3        0.7        1.1", "0.57444252 0.66818777 0.75026011"):
        assert numbers in part
    assert "0.31682708 0.69627909" in part


@pytest.mark.parametrize("name", ["erf_coefficients", "elementary"])
def test_generated_coefficients_are_fresh(name):
    script = ROOT / "tools" / f"{name}.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)


def test_backends_says_what_is_there(backend):
    entry = next(b for b in xpnn.backends() if b.name == backend.name)
    assert entry.version
    assert entry.devices
    assert {"float32", "float64"} <= set(entry.dtypes)


def test_backends_says_what_is_missing(monkeypatch):
    from xpnn._arrays import installed

    monkeypatch.setattr(installed, "_is_installed", lambda module: module == "numpy")
    missing = [b for b in xpnn.backends() if b.version is None]
    assert [b.name for b in missing] == ["torch", "jax", "cupy", "array-api-strict"]
    assert missing[0].install == "pip install 'xpnn[torch]'"


def test_errors_are_built_in_ones_too():
    with pytest.raises(xpnn.XpnnError):
        xpnn.relu([1.0])
    assert issubclass(xpnn.XpnnTypeError, TypeError)
    assert issubclass(xpnn.XpnnValueError, ValueError)


def test_other_array_api_libraries_work():
    """A library that xpnn has never heard of: dask arrays, where dask is installed."""
    dask = pytest.importorskip("dask.array")
    x = dask.from_array(np.linspace(-3, 3, 12).reshape(4, 3), chunks=(2, 3))
    np.testing.assert_allclose(xpnn.sigmoid(x).compute(), xpnn.sigmoid(x.compute()), rtol=1e-15)
