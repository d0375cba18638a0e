"""Writes the versions that docs/project/support.md names, out of pyproject.toml and constraints.txt.

    python tools/support.py          # prints them
    python tools/support.py --write  # and writes them into the page

`tests/test_project.py` holds the page to it.
"""

import re
import sys
import tomllib
from pathlib import Path

from _marks import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "project" / "support.md"
BEGIN, END = "<!-- versions: tools/support.py -->\n", "<!-- end of versions -->\n"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def newest(package: str) -> str:
    """The version of a package that the tests run with."""
    name = re.escape(package.partition("[")[0])
    found = re.search(rf"^{name}==(\S+)$", CONSTRAINTS, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def requirements() -> dict[str, list[str]]:
    """Each requirement of the package, and the extras that have it; "" is the package itself."""
    needed: dict[str, list[str]] = {}
    extras = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    for extra, packages in extras.items():
        for package in packages if extra != "all" else ():
            needed.setdefault(package, []).append(extra)
    return needed


def versions() -> str:
    """The least and the newest tested version of each package."""
    lines = ["| package | from | tested up to | needed by the extra |", "| --- | --- | --- | --- |"]
    for requirement, extras in requirements().items():
        package, _, least = requirement.partition(">=")
        names = ", ".join(f"`{extra}`" for extra in extras if extra) or "always"
        lines.append(f"| {package} | {least} | {newest(package)} | {names} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with the versions as they are now."""
    return between(page, BEGIN, END, versions())


if __name__ == "__main__":
    print(versions())
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
