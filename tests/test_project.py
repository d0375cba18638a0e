"""What a project has: one version, one set of addresses, one list of requirements, wherever they are written."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import xpnn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = "tools/conda/recipe.yaml"
# Packages that conda-forge calls otherwise, or whose parts it has apart.
ON_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "dask[array]": "dask-core"}


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def yaml_of(page):
    return pytest.importorskip("yaml").safe_load(text_of(page))


def test_one_version_everywhere():
    (cited,) = re.findall(r"^version: (.*)$", text_of("CITATION.cff"), re.MULTILINE)
    (baked,) = re.findall(r'^  version: "(.*)"$', text_of(RECIPE), re.MULTILINE)
    newest = re.search(r"^## (\S+) \((.*)\)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert cited == baked == newest[1] == xpnn.__version__
    dates = re.findall(r"^date-released: (.*)$", text_of("CITATION.cff"), re.MULTILINE)
    assert dates == ([] if newest[2] == "unreleased" else [newest[2]])


@pytest.mark.parametrize("page", ["CITATION.cff", "SECURITY.md", RECIPE])
def test_one_set_of_addresses(page):
    urls = PROJECT["urls"]
    found = re.findall(r"https://(?:github\.com|[a-z]+\.readthedocs\.io)[^\s\">]*", text_of(page))
    assert found
    for url in found:
        assert url == urls["Documentation"] or url.startswith(urls["Source"]), url
    assert all(url.startswith((urls["Source"], urls["Homepage"])) for url in urls.values())


@pytest.mark.libraries
def test_the_citation_is_one():
    """The fields that version 1.2.0 of the format asks for, and those that are the package's."""
    cited = yaml_of("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cited)
    assert cited["license"] == PROJECT["license"]
    assert [a["name"].lower() for a in cited["authors"]] == [a["name"] for a in PROJECT["authors"]]


def conda(requirements):
    """Requirements as conda-forge writes them."""
    for one in requirements:
        name, _, least = one.partition(">=")
        yield f"{ON_CONDA.get(name, name)} >={least}"


@pytest.mark.libraries
def test_the_recipe_has_the_requirements_of_the_package():
    recipe = yaml_of(RECIPE)
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "all"}
    least = PROJECT["requires-python"].removeprefix(">=")
    assert recipe["context"]["python_min"] == least
    python, *run = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert run == list(conda([*PROJECT["dependencies"], *extras["cli"]]))
    optional = {one for needed in extras.values() for one in conda(needed)} - set(run)
    assert set(recipe["requirements"]["run_constraints"]) == optional
    assert recipe["build"]["python"]["entry_points"] == [f"xpnn = {PROJECT['scripts']['xpnn']}"]
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert recipe["about"]["license"] == PROJECT["license"]


@pytest.mark.libraries
def test_only_the_job_that_uploads_may_speak_for_the_project():
    workflow = yaml_of(".github/workflows/release.yml")
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    writes = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writes == {"publish"}
    uses = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use) for use in uses)
    runs = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    assert ".ci/run" in runs
    assert re.search(r"^__version__ = \"[\w.]+\"$", text_of("src/xpnn/__init__.py"), re.MULTILINE)


def test_classifiers_begin_with_the_least_python():
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert pythons[0] == PROJECT["requires-python"].removeprefix(">=")
    assert pythons == sorted(pythons, key=lambda p: int(p[2:]))


def tool(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    return module


def test_the_page_of_support_has_the_versions_of_the_package(monkeypatch):
    support = tool("support", monkeypatch)
    text = support.PAGE.read_text(encoding="utf-8")
    assert text == support.written(text), "python tools/support.py --write"
    for requirement in support.requirements():
        package, _, least = requirement.partition(">=")
        tested = [int(n) for n in re.findall(r"\d+", support.newest(package))]
        assert tested >= [int(n) for n in least.split(".")], package


@pytest.mark.libraries
def test_the_picture_is_what_is_computed(monkeypatch, tmp_path):
    """Its bits are those of the golden digests; its other digits are of the machine that drew it."""
    for name in ("torch", "jax", "matplotlib"):
        pytest.importorskip(name)
    picture = tool("picture", monkeypatch)
    numbers = picture.measured()
    picture.draw(numbers, tmp_path / "same.svg")
    value = numbers.same["NumPy"].max()
    said = {f"{value:.9f}", f"0x{value.view('u4'):08x}", "NumPy", "PyTorch", "JAX"}
    for page in (tmp_path / "same.svg", picture.PAGE):
        assert said <= set(re.findall(r"<!-- (\S+) -->", page.read_text(encoding="utf-8")))
    assert f"]({picture.PAGE.relative_to(ROOT).as_posix()})" in text_of("README.md")


def test_the_readme_is_short_and_leads_somewhere():
    text = text_of("README.md")
    assert len(text.splitlines()) < 120
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith("https://"):
            assert (ROOT / link.partition("#")[0]).exists(), link
