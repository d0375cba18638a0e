"""Writes what pages of docs/ hold of the project itself: the help of the command, the versions that are supported.

    python tools/pages.py          # prints it
    python tools/pages.py --write  # and writes it into docs/command.md and docs/project/support.md

`tests/test_project.py` holds the pages to it.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from typer.testing import CliRunner

from xpnn.cli._app import app
from xpnn.cli._help import PAGES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def helps() -> str:
    """What each command says of itself, 80 columns wide."""
    parts = []
    for name in PAGES:
        words = [] if name == "xpnn" else [name]
        text = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
        text = re.sub(r"^Usage: \S+", "Usage: xpnn", text)
        parts.append(f"### {' '.join(('xpnn', *words))}\n\n```text\n{text}```\n")
    return "\n".join(parts)


def newest(package: str) -> str:
    """The version of a package that the tests run with."""
    found = re.search(rf"^{re.escape(package)}==(\S+)$", CONSTRAINTS, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def requirements() -> Iterator[tuple[str, str, str]]:
    """Each package that xpnn may need, its least version, and what needs it."""
    extras = PROJECT["optional-dependencies"]
    of: dict[str, list[str]] = {}
    for extra, needed in {"": PROJECT["dependencies"], **extras}.items():
        for one in needed:
            if extra != "all":
                of.setdefault(one, []).append(extra)
    for one, needed_by in of.items():
        package, _, least = one.partition(">=")
        name = package.partition("[")[0]
        yield name, least, ", ".join(f"`{e}`" for e in needed_by) if needed_by != [""] else "always"


def versions() -> str:
    """The least and the newest tested version of each package."""
    rows = [f"| {n} | {least} | {newest(n)} | {by} |" for n, least, by in requirements()]
    python = PROJECT["requires-python"].removeprefix(">=")
    return "\n".join(
        [
            "| package | from | tested up to | needed by the extra |",
            "| --- | --- | --- | --- |",
            f"| Python | {python} | {python} | always |",
            *rows,
            "",
        ]
    )


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "docs/command.md": ("help", helps),
    "docs/project/support.md": ("versions", versions),
}


def written(page: str) -> str:
    """A page with its part as it is now."""
    name, made = PARTS[page]
    begin, end = f"<!-- {name}: tools/pages.py -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{made()}\n{end}{after}"


if __name__ == "__main__":
    for page in PARTS:
        if sys.argv[1:] == ["--write"]:
            (ROOT / page).write_text(written(page), encoding="utf-8")
        else:
            print(PARTS[page][1]())
