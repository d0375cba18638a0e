"""The site of docs/: what its build cannot say, and the tool that holds a built one to itself."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import xpnn
import xpnn.models
import xpnn.testing

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT / "tools"))
links = importlib.import_module("links")
sys.path.remove(str(ROOT / "tools"))


def documented(module):
    """The names of a module that pages of docs/api list."""
    found = set()
    for page in (ROOT / "docs" / "api").glob("*.rst"):
        text = page.read_text(encoding="utf-8")
        for part in text.split(".. currentmodule:: ")[1:]:
            if part.split()[0] == module:
                for names in re.findall(r"\.\. autosummary::\n(?:   :.*\n)*\n((?:   .+\n)+)", part):
                    found |= set(names.split())
    return found


@pytest.mark.parametrize("module", [xpnn, xpnn.models], ids=lambda module: module.__name__)
def test_every_public_name_is_on_a_page_of_the_api(module):
    methods = {name for name in documented(module.__name__) if "." in name}
    assert documented(module.__name__) - methods == set(module.__all__)
    assert all(hasattr(module.Network, name.removeprefix("Network.")) for name in methods)


def test_asserts_are_on_their_page():
    text = (ROOT / "docs" / "api" / "testing.rst").read_text(encoding="utf-8")
    assert all(name in text for name in xpnn.testing.__all__)


SOUND = {
    "index.html": '<h1 id="top">A</h1><a href="b/page.html#there">b</a><a href="#top">up</a>'
    '<img src="_static/x.png" srcset="_static/x.png, _static/x.png 2.00x">'
    '<a href="https://example.org/elsewhere">leads on</a><link rel="next" href="https://a.b/">'
    '<img src="data:image/png;base64,AA"><a href="mailto:a@b.c">post</a>',
    "b/page.html": '<p id="there"></p><link rel="stylesheet" href="../_static/a.css?v=1">',
    "_static/a.css": "a { background: url('x.png') } /* url(https://no.where/) */",
    "_static/x.png": "",
    "_static/template.html": '<a href="{{ not yet }}">',
}
FAULTS = {
    "is not there": '<a href="gone.html">',
    "names a place that is not on its page": '<a href="b/page.html#nowhere">',
    "names a place": '<a href="#nowhere">',
    "loads https://cdn.example/x.js, which lies elsewhere": '<script src="https://cdn.example/x.js">',
    "loads //cdn.example/x.css": '<link rel="stylesheet" href="//cdn.example/x.css">',
    "loads https://cdn.example/2x.png": '<img src="_static/x.png" srcset="https://cdn.example/2x.png 2x">',
    "leads out of the site": '<a href="../outside.html">',
    "/from/the/root.html leads out of the site": '<a href="/from/the/root.html">',
    "_static/gone.png is not there": '<img src="_static/gone.png">',
}


def made(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(links.faults(folder))


def test_a_sound_site_has_no_faults(tmp_path):
    assert made(tmp_path, SOUND) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_link_is_named(fault, tmp_path):
    (found,) = made(tmp_path, {**SOUND, "index.html": SOUND["index.html"] + FAULTS[fault]})
    assert found.startswith("index.html: ")
    assert fault in found


def test_what_a_style_loads_is_followed(tmp_path):
    style = '@import "more.css"; b { src: url(https://fonts.example/a.woff2) }'
    found = made(tmp_path, {**SOUND, "_static/a.css": style})
    assert [line.split(": ", 1)[0] for line in found] == ["_static/a.css"] * 2
    assert "which lies elsewhere" in found[0]
    assert "more.css is not there" in found[1]


def test_a_folder_without_pages_is_a_fault(tmp_path):
    assert made(tmp_path, {}) == [f"no page in {tmp_path.resolve()}"]
