"""Draws the map of CONTRIBUTING.md: the rooms of src/xpnn, each a folder, on the levels that their imports make.

    python tools/rooms.py          # prints the map
    python tools/rooms.py --write  # and writes it to CONTRIBUTING.md

`tests/test_package.py` holds the map, the levels and that no room imports from one above it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from _marks import between

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "xpnn"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: tools/rooms.py -->\n", "<!-- end of rooms -->\n"


def files() -> list[Path]:
    """Every file of the package, but for those that say what people import from it and start."""
    own = {SOURCE / "__init__.py", SOURCE / "__main__.py"}
    return sorted(path for path in SOURCE.rglob("*.py") if path not in own)


def module_of(path: Path) -> str:
    """The name of a file's module, after `xpnn.`."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The folder that a module lives in; `errors` is a room of one file."""
    path = SOURCE.joinpath(*module.split("."))
    folder = path if path.is_dir() else path.parent
    return folder.relative_to(SOURCE).as_posix() if folder != SOURCE else module


def imports_of(path: Path) -> Iterator[str]:
    """The modules of xpnn that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "xpnn":
            module = node.module.removeprefix("xpnn").removeprefix(".")
            for name in node.names:
                inside = SOURCE.joinpath(*filter(None, module.split(".")), name.name)
                if inside.is_dir() or inside.with_suffix(".py").exists():
                    yield f"{module}.{name.name}".removeprefix(".")
                elif module:
                    yield module
        elif isinstance(node, ast.Import):
            names = (a.name for a in node.names if a.name.startswith("xpnn."))
            yield from (name.removeprefix("xpnn.") for name in names)


def below() -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    found: dict[str, set[str]] = {}
    for path in files():
        here = room_of(module_of(path))
        others = found.setdefault(here, set())
        others |= {room_of(module) for module in imports_of(path)} - {here}
    return found


def levels() -> dict[str, int]:
    """How high each room stands: 0 imports from none, others are one above the highest below."""
    rooms, found = below(), dict[str, int]()

    def level(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise SystemExit(f"rooms import each other: {' -> '.join((*above, room))}")
        if room not in found:
            found[room] = max((level(r, (*above, room)) + 1 for r in rooms[room]), default=0)
        return found[room]

    for room in rooms:
        level(room)
    return found


def purpose(room: str) -> str:
    """The first sentence of what a room says of itself."""
    path = SOURCE / room / "__init__.py"
    path = path if path.exists() else SOURCE / f"{room}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def drawn() -> str:
    """The map, the highest room first."""
    found = levels()
    lines = ["| level | room | what lives there | files |", "| --- | --- | --- | --- |"]
    for room in sorted(found, key=lambda r: (-found[r], r)):
        names = [p.stem for p in files() if room_of(module_of(p)) == room]
        inside = ", ".join(f"`{n}`" for n in names if n not in {"__init__", "__main__", room})
        lines.append(f"| {found[room]} | `{room}` | {purpose(room)} | {inside} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with the map as it is now."""
    return between(page, BEGIN, END, drawn())


if __name__ == "__main__":
    print(drawn())
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
