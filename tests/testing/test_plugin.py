"""The pytest plugin: each fixture, option and marker, in runs of pytest of their own."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from xpnn._arrays import installed
from xpnn.testing import _runs

pytestmark = pytest.mark.libraries

# From the source tree alone, where no entry point names the plugin.
CONFTEST = """
def pytest_addoption(pluginmanager):
    if not pluginmanager.has_plugin("xpnn"):
        pluginmanager.import_plugin("_xpnn_pytestplugin")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs pytest on a file of tests, in a process of its own.

    pytester would forget the modules imported meanwhile, which PyTorch does not survive.
    """
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(text, *options, conftest=""):
        (tmp_path / "pytest.ini").write_text("[pytest]\nlog_level = INFO\n")
        (tmp_path / "conftest.py").write_text(CONFTEST + textwrap.dedent(conftest))
        (tmp_path / "test_it.py").write_text(textwrap.dedent(text))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-Werror"]
        done = subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        print(done.stdout)
        lines = done.stdout.splitlines(), done.stderr.splitlines()
        return pytest.RunResult(done.returncode, *lines, duration=0.0)

    return run


def passed(result):
    lines = [line.split(" ") for line in result.outlines if line.startswith("PASSED")]
    return sorted(line[1].partition("::")[2] for line in lines)


# Nothing happens to those who do not use it.


def test_a_suite_without_the_fixtures_imports_nothing(run, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others' plugins import NumPy
    result = run("""
        import sys

        def test_nothing_is_imported(request):
            assert request.config.pluginmanager.has_plugin("xpnn") or "_xpnn_pytestplugin" in sys.modules
            heavy = {"xpnn", "numpy", "array_api_compat", "array_api_extra", "torch", "jax", "mpmath"}
            assert not heavy & set(sys.modules)
    """)
    result.assert_outcomes(passed=1)


def test_the_test_of_imports_can_fail(run, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = run("""
        import sys

        def test_something_is_imported(xp):
            assert not {"xpnn", "numpy"} & set(sys.modules)
    """)
    assert result.ret == 1


def test_only_the_backend_in_use_is_imported(run):
    result = run(
        """
        import sys

        def test_numpy_alone(xp):
            assert xp.__name__ == "array_api_compat.numpy"
            heavy = {"torch", "jax", "cupy", "array_api_strict", "array_api_extra", "mpmath"}
            assert not heavy & set(sys.modules)
        """,
        "--xp-backend=numpy",
    )
    result.assert_outcomes(passed=1)


def test_fixtures_of_the_suite_itself_stay(run):
    result = run(
        """
        import sys
        import pytest

        @pytest.fixture
        def xp():
            return "mine"

        def test_fixture(xp):
            assert xp == "mine"

        @pytest.mark.parametrize("device", ["a", "b"])
        def test_mark(device):
            assert device in "ab"

        def test_hook(device):
            assert device in ("cpu", "gpu")
            assert "xpnn" not in sys.modules or "xpnn._arrays.library" in sys.modules
        """,
        conftest="""
        def pytest_generate_tests(metafunc):
            if metafunc.function.__name__ == "test_hook":
                metafunc.parametrize("device", ["cpu", "gpu"])
        """,
    )
    assert passed(result) == [
        "test_fixture",
        "test_hook[cpu]",
        "test_hook[gpu]",
        "test_mark[a]",
        "test_mark[b]",
    ]


# Fixtures and options.

PLACES = """
    def test_device(xp, device, xp_backend):
        assert xp_backend.xp is xp
        assert xp_backend.device is device
        assert not xp_backend.compiled
        x = xp.ones(3, dtype=xp.float64, device=device)
        assert x.dtype == xp.float64
        if device is not None:
            assert str(x.device) == str(device)
        print(xp_backend.name, device)

    def test_namespace(xp):
        assert xp.__name__
"""


@pytest.mark.slow
def test_all_that_is_installed(run):
    result = run(PLACES, "-s")
    names = installed.installed()
    expected = [f"test_{kind}[{name}]" for kind in ("device", "namespace") for name in names]
    if "array-api-strict" in names:
        expected.append("test_device[array-api-strict-device1]")
    assert passed(result) == sorted(expected)


def test_options_choose(run, torch):
    result = run(PLACES, "--xp-backend=torch", "--xp-backend=numpy", "--xp-device=cpu")
    assert passed(result) == [
        "test_device[numpy-cpu]",
        "test_device[torch-cpu]",
        "test_namespace[numpy-cpu]",
        "test_namespace[torch-cpu]",
    ]


def test_an_unknown_backend_is_an_error(run):
    result = run(PLACES, "--xp-backend=tensorflow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("ERROR: --xp-backend tensorflow: expected a backend of numpy, *")


def test_a_missing_backend_is_an_error(run):
    if "cupy" in installed.installed():
        pytest.skip("cupy is installed")
    result = run(PLACES, "--xp-backend=cupy")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*backend cupy is not installed; get it with: pip install cupy*")


def test_a_missing_device_is_an_error_of_each_test(run):
    result = run(PLACES, "--xp-backend=numpy", "--xp-device=cuda")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines("numpy-cuda: numpy has no device 'cuda' here; it has cpu")


def test_getfixturevalue_alone_is_refused(run):
    result = run("""
        def test_late(request):
            request.getfixturevalue("xp")
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*ask for them in the arguments of the test or of a fixture*")


def test_jax_has_64_bits(jax):
    assert _runs.open_run(_runs.Run("jax")).xp.ones(1).dtype == "float64"


def test_fixtures_of_every_scope_and_hypothesis(run):
    result = run(
        """
        import pytest
        from hypothesis import given, strategies as st

        @pytest.fixture(scope="session")
        def table(xp, device):
            return xp.ones(3, device=device)

        @given(st.floats(0, 1))
        def test_property(xp, table, number):
            assert xp.sum(table) * number <= 3
        """,
        "--xp-backend=numpy",
    )
    assert passed(result) == ["test_property[numpy]"]


# Markers that skip and expect failures.


def test_skip_and_xfail(run):
    result = run(
        """
        import pytest

        @pytest.mark.skip_xp_backend("numpy", reason="no such function")
        def test_skipped(xp):
            raise AssertionError

        @pytest.mark.skip_xp_backend("torch")
        @pytest.mark.skip_xp_backend("jax.numpy")
        @pytest.mark.xfail_xp_backend("array_api_strict")
        @pytest.mark.skip_xp_backend("numpy", False, reason="not now")
        @pytest.mark.skip_xp_backend(np_only=True)
        @pytest.mark.skip_xp_backend(cpu_only=True)
        def test_other(xp):
            assert xp

        @pytest.mark.skip_xp_backend(np_only=True, exceptions=["numpy"])
        @pytest.mark.xfail_xp_backend("numpy", raises=ZeroDivisionError, reason="known")
        def test_fails(xp):
            1 / 0

        @pytest.mark.xfail_xp_backend("numpy", raises=KeyError)
        def test_fails_otherwise(xp):
            1 / 0

        @pytest.mark.xfail_xp_backend("numpy")
        def test_strict(xp):
            pass

        @pytest.mark.xfail_xp_backend("numpy", strict=False)
        def test_not_strict(xp):
            pass

        @pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.skip_xp_backend("numpy"))])
        def test_parameter(xp, n):
            assert n == 0

        @pytest.mark.skip_xp_backend("numpy")
        def test_without_xp():
            pass
        """,
        "--xp-backend=numpy",
    )
    result.assert_outcomes(passed=3, skipped=2, xfailed=1, failed=2, xpassed=1)
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED*test_it.py:*: no such function",
            "SKIPPED*: not on numpy",
            "XFAIL*test_fails?numpy? - known",
            "FAILED*test_fails_otherwise*ZeroDivisionError*",
            "FAILED*test_strict*XPASS(strict)*",
        ]
    )


def test_skip_all_but_numpy_or_the_cpu(run, torch):
    result = run(
        """
        import pytest

        @pytest.mark.skip_xp_backend(np_only=True)
        def test_numpy(xp):
            pass

        @pytest.mark.skip_xp_backend(np_only=True, exceptions=["torch"])
        def test_torch_too(xp):
            pass

        @pytest.mark.skip_xp_backend(cpu_only=True, reason="needs the CPU")
        def test_cpu(xp):
            pass

        @pytest.mark.skip_xp_backend("torch-compile")
        @pytest.mark.xp_compiled("test_cpu")
        def test_eager(xp):
            pass
        """,
        "--xp-backend=torch",
        "--xp-device=meta",  # which torch has everywhere, and which is not the CPU
    )
    assert [name.partition("[")[0] for name in passed(result)] == ["test_eager", "test_torch_too"]
    result.stdout.fnmatch_lines_random(["SKIPPED*for NumPy only", "SKIPPED*needs the CPU"])


BAD_MARKERS = {
    '"pytorch"': "expected a backend of numpy, torch, * got 'pytorch'",
    '"numpy", "torch"': "expected one backend and, after it, a bool, got 'torch'",
    "": "expected one backend, np_only=True or cpu_only=True, got ()",
    '"numpy", np_only=True': "expected one backend, * got ('numpy', 'np_only')",
    '"numpy", exceptions=["torch"]': "exceptions go with np_only or cpu_only*",
    'np_only=True, exceptions=["x"]': "expected a backend of *, got 'x'",
    'np_only=True, exceptions="torch"': "expected exceptions to be a list *, got 'torch'",
    '"numpy", because="it"': "expected options of cpu_only, *reason, got because",
    '"numpy", strict=True': "expected options of *, got strict",
}


def each(marker, arguments, body):
    """A file with a test for each arguments of a marker."""
    tests = (
        f"@pytest.mark.{marker}({a})\ndef test_{i}(xp):\n    {body}\n"
        for i, a in enumerate(arguments)
    )
    return "import pytest\n" + "\n".join(tests)


def test_bad_markers_are_errors(run):
    result = run(each("skip_xp_backend", BAD_MARKERS, "pass"), "--xp-backend=numpy")
    result.assert_outcomes(errors=len(BAD_MARKERS))
    result.stdout.fnmatch_lines([f"skip_xp_backend: {words}" for words in BAD_MARKERS.values()])


# The marker that compiles.

COMPILED = """
    import sys
    import types
    import pytest
    import array_api_compat

    def scaled(x, factor=2, *, kind="plain"):
        seen.append((type(x).__name__, at_work()))
        xp = array_api_compat.array_namespace(x)
        if kind == "bad":
            raise ValueError("kind is bad")
        return xp.exp(x) * factor

    class Tool:
        def method(self, x):
            seen.append((type(x).__name__, at_work()))
            return x + 1

        @staticmethod
        def static(x):
            return Tool().method(x)

        @classmethod
        def of_class(cls, x):
            return cls().method(x)

    library = types.ModuleType("library")
    library.scaled = scaled
    library.twice = lambda x: library.scaled(x) + library.scaled(x)

    def places():
        return (scaled, library.scaled, *(vars(Tool)[n] for n in ("method", "static", "of_class")))

    BEFORE = places()
    seen = []

    def at_work():
        torch = sys.modules.get("torch")
        return torch is not None and torch.compiler.is_compiling()

    @pytest.fixture(autouse=True)
    def compiler_saw(xp_backend):
        seen.clear()
        yield
        name, at_work = seen[0]
        if xp_backend.compiled:
            assert "Tracer" in name or at_work
        else:
            assert "Tracer" not in name and not at_work
        assert places() == BEFORE

    @pytest.mark.xp_compiled("scaled")
    def test_function(xp):
        x = xp.asarray([0.0, 0.0])
        assert xp.all(scaled(x, 3, kind="other") == 3)
        assert xp.all(scaled(x, kind="plain") == 2)

    @pytest.mark.xp_compiled("library.scaled", "library.twice")
    def test_of_a_module(xp):
        assert xp.all(library.twice(xp.asarray([0.0, 0.0])) == 4)

    @pytest.mark.xp_compiled("Tool.method")
    def test_method(xp):
        assert xp.all(Tool().method(xp.asarray([0.0, 0.0])) == 1)

    @pytest.mark.xp_compiled("Tool.static")
    def test_static(xp):
        assert xp.all(Tool().static(xp.asarray([0.0, 0.0])) == 1)

    @pytest.mark.xp_compiled("Tool.of_class")
    def test_of_class(xp):
        assert xp.all(Tool.of_class(xp.asarray([0.0, 0.0])) == 1)

    @pytest.mark.xp_compiled("scaled")
    def test_errors_are_those_of_the_function(xp):
        scaled(xp.asarray([0.0]))
        with pytest.raises(ValueError, match="kind is bad"):
            scaled(xp.asarray([0.0]), kind="bad")
"""
KINDS = (
    "errors_are_those_of_the_function",
    "function",
    "method",
    "of_a_module",
    "of_class",
    "static",
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), [("torch", "compile"), ("jax", "jit"), ("numpy", None)])
def test_functions_are_compiled(name, how, run, request):
    if how:
        request.getfixturevalue(name)
    result = run(COMPILED, f"--xp-backend={name}")
    assert result.ret == 0
    ids = [name, f"{name}-{how}"] if how else [name]
    assert passed(result) == sorted(f"test_{kind}[{i}]" for kind in KINDS for i in ids)


BRANCHES = """
    import pytest

    def branches(x):
        return x if x[0] > 0 else -x

    @pytest.mark.xp_compiled("branches"{options})
    def test_branch(xp):
        assert branches(xp.asarray([1.0]))[0] == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how", "words"),
    [("torch", "compile", "Data-dependent|data-dependent"), ("jax", "jit", "TracerBoolConversion")],
)
def test_what_cannot_be_traced_fails(name, how, words, run, request):
    request.getfixturevalue(name)
    result = run(BRANCHES.format(options=""), f"--xp-backend={name}")
    result.assert_outcomes(passed=1, failed=1)
    assert passed(result) == [f"test_branch[{name}]"]
    assert any(word in result.stdout.str() for word in words.split("|"))


@pytest.mark.slow
def test_graphs_may_break_where_that_is_allowed(run, torch):
    options = ', fullgraph=False, backend="eager"'
    result = run(BRANCHES.format(options=options), "--xp-backend=torch")
    result.assert_outcomes(passed=2)


BAD_NAMES = {
    '"missing"': "'missing' is not there: <module * has no missing",
    '"number"': "expected 'number' to be a function, got int",
    "3": "expected names of functions as text, got 3",
    '"f", mode="x"': "expected options of backend, fullgraph, got mode",
    '"g"': "expected the test to call one of g, got no call; *",
    "": "expected the test to call one of (none named), *",
}


@pytest.mark.slow
def test_bad_names_of_functions_fail(run, jax):
    text = each("xp_compiled", BAD_NAMES, "f(xp.ones(1))")
    functions = "number = 3\ndef f(x):\n    return x\ndef g(x):\n    return x\n"
    result = run(functions + text, "--xp-backend=jax", "-k=jit")
    result.assert_outcomes(failed=len(BAD_NAMES), deselected=len(BAD_NAMES))
    result.stdout.fnmatch_lines([f"xp_compiled: {words}" for words in BAD_NAMES.values()])


def test_what_lazy_xp_function_tags_is_jitted_as_its_authors_mean(run, jax):
    result = run(
        """
        from xpnn.testing import lazy_xp_function

        kinds = []

        def f(x):
            kinds.append(type(x).__name__)
            return x

        lazy_xp_function(f)

        def test_it(xp):
            f(xp.ones(1))
            assert "Tracer" in kinds[0]
        """,
        "--xp-backend=jax",
    )
    assert passed(result) == ["test_it[jax]"]


def test_markers_are_known(run):
    text = run("", "--markers").stdout.str()
    for marker in ("skip_xp_backend", "xfail_xp_backend", "xp_compiled"):
        assert f"@pytest.mark.{marker}(" in text


@pytest.mark.slow
def test_the_example_of_the_page(run, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    library, tests = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "waves.py").write_text(library)
    result = run(tests, "-vv")
    names = installed.installed()
    two = {"jax": ["jax-jit"], "torch": ["torch-compile"]}
    runs = [r for name in names for r in (name, *two.get(name, []))]
    devices = ["array-api-strict-device1"] if "array-api-strict" in names else []
    expected = [f"test_exact[{r}]" for r in runs + devices] + [f"test_scale[{r}]" for r in runs]
    expected += [f"test_taylor[{name}]" for name in names]
    expected += [f"test_in_place[{name}]" for name in names if name != "jax"]
    assert passed(result) == sorted(expected)
    # And the message that it shows.
    wrong = tests.replace(
        "), exact, 2)", "), [*exact[:3], __import__('fractions').Fraction('0.24')], 2)"
    )
    failed = run(wrong, "--xp-backend=numpy", "-k=exact").stdout.str()
    message = re.search(r"```text\nAssertionError: (.*?)```", page, re.DOTALL)[1]
    assert all(line in failed for line in message.splitlines())


def test_without_array_api_extra_the_error_says_what_installs_it():
    code = (
        "import sys; sys.modules['array_api_extra'] = None\n"
        "import xpnn.testing\n"
        "from xpnn.testing import assert_ulp\n"
        "from xpnn.testing import assert_close"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "assert_close is that of array-api-extra 0.11 or later" in done.stderr
    assert "pip install 'xpnn[testing]'" in done.stderr
