"""How Sphinx makes the site of docs/: `nox -s docs`."""

import os
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command

import xpnn
from xpnn.cli._app import app as command_line

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "xpnn"
author = "the xpnn developers"
copyright = "the xpnn developers"
version = release = xpnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery"]
templates_path = ["_templates"]
nitpicky = True
suppress_warnings = ["config.cache"]  # a function among the gallery's options
# What has no page: what is inside, and words of docstrings, of which `autolink` finds that they are names.
nitpick_ignore_regex = [("py:.*", r"(xpnn\._|array_api_extra).*"), ("py:obj", r"(?!xpnn).*")]

# Docstrings: each public name has a page of its own, found by its name in `xpnn`.
autosummary_generate = True
default_role = "autolink"  # `Network` in a docstring leads to its page, `x` nowhere
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Others' names lead to these pages of theirs; the whole lists are asked for where there is a network.
online = bool(os.environ.get("XPNN_DOCS_ONLINE"))
intersphinx_mapping = {
    name: (url, None if online else f"inventories/{name}.txt")
    for name, url in {
        "python": "https://docs.python.org/3/",
        "numpy": "https://numpy.org/doc/stable/",
    }.items()
}

# Markdown
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The theme: all that a page needs lies beside it.
html_theme = "pydata_sphinx_theme"
html_title = "xpnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {
        "text": "xpnn",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "xpnn: home",
    },
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {page: [] for page in ("index", "start", "tutorial/plot_*")}  # more width for these

COLOURS = ["#3a86c8", "#e0703a", "#2f9e6e", "#c0529a", "#8577d8", "#b08d2c"]
GREY = "#7d828a"  # can be read on white and on black


def style(_config: dict[str, Any], _name: str) -> None:
    """Give the pictures of the gallery colours that suit a light page and a dark one."""
    plt.rcdefaults()
    plt.rcParams.update(
        {
            **dict.fromkeys(
                (
                    "text.color",
                    "axes.edgecolor",
                    "axes.labelcolor",
                    "xtick.color",
                    "ytick.color",
                ),
                GREY,
            ),
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.facecolor": "none",
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.grid": True,
            "figure.dpi": 110,
            "figure.facecolor": "none",
            "figure.figsize": (7.0, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "grid.alpha": 0.25,
            "grid.color": GREY,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "savefig.facecolor": "none",
        }
    )


sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "tutorial",
    "backreferences_dir": "api/generated/examples",
    "doc_module": ("xpnn",),
    "reset_modules": (style,),
    "capture_repr": (),  # what is printed is shown, and nothing else
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # a page that loads its table's scripts from elsewhere
}

# Files of the repository outside of docs/ that are pages of the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/speed.md": "benchmarks/speed.md",
    "benchmarks/gpu.md": "benchmarks/gpu.md",
    "benchmarks/scale.md": "benchmarks/scale.md",
}


def relink(_app: Sphinx, name: str, source: list[str]) -> None:
    """Turn a page's links to files outside of docs/ into links to the pages that show these.

    And a link that is called by its file's name into one that has the page's title.
    """
    folder = (HERE / name).parent

    def page(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[1]))
        shown = PAGES.get(os.path.relpath(path, ROOT).replace(os.sep, "/"))
        if path.is_relative_to(HERE) or shown is None:
            return match[0]
        return f"]({os.path.relpath(HERE / shown, folder)}".replace(os.sep, "/")

    text = re.sub(r"\]\((\.\./[^)#\s]+)", page, source[0])
    source[0] = re.sub(r"\[([\w./-]+\.md)\](?=\(\1\))", "[]", text)


class CommandHelp(SphinxDirective):
    """The `--help` of each command of `xpnn`, a section each."""

    def run(self) -> list[nodes.Node]:
        """Return the sections, of the commands that there are."""
        group = get_command(command_line)
        context = group.make_context("xpnn", ["backends"], resilient_parsing=True)
        sections = []
        for name in ["", *group.list_commands(context)]:
            words = f"xpnn {name}".strip()
            command = group.get_command(context, name) if name else group
            options = {"info_name": name or "xpnn", "parent": context if name else None}
            text = command.get_help(type(context)(command, max_content_width=88, **options))
            section = nodes.section("", nodes.title(text=words), ids=[words.replace(" ", "-")])
            section += nodes.literal_block(text, text, language="none")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> None:
    """Add what the pages need."""
    app.connect("source-read", relink)
    app.add_directive("command-help", CommandHelp)
