"""Receipts: what was computed from what, as digests, so that anyone can compute it again."""

import hashlib
import json
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xpnn
from xpnn._arrays.digest import Digest
from xpnn._files.pieces import Numbers
from xpnn.errors import XpnnValueError

FORMAT = 1
_BLOCKS = 256


class Blocks:
    """Digests of blocks of rows, of which there are never many: they tell where rows differ.

    A block is one row at first. At 256 blocks, each two become one, whose digest is that of theirs.
    """

    def __init__(self) -> None:
        self.rows = 1
        self.digests: list[str] = []
        self._waiting: list[str | None] = []

    def update(self, rows: Numbers) -> None:
        """Add the next rows."""
        for row in rows:
            self._add(hashlib.sha256(row.astype(row.dtype.newbyteorder("<")).tobytes()).hexdigest())

    def _add(self, digest: str) -> None:
        for level, other in enumerate(self._waiting):
            if other is None:
                self._waiting[level] = digest
                return
            digest, self._waiting[level] = _two(other, digest), None
        self.digests.append(digest)
        if len(self.digests) == _BLOCKS:
            pairs = zip(self.digests[::2], self.digests[1::2], strict=True)
            self.digests = [_two(*pair) for pair in pairs]
            self.rows *= 2
            self._waiting.append(None)

    def to_list(self) -> list[str]:
        """Return the digests, that of a last, incomplete block too, 16 digits each."""
        rest = [d for d in reversed(self._waiting) if d is not None]
        last = [hashlib.sha256("".join(rest).encode()).hexdigest()] if rest else []
        return [d[:16] for d in self.digests + last]


def _two(first: str, second: str) -> str:
    return hashlib.sha256((first + second).encode()).hexdigest()


class Record:
    """What is kept of a run while its rows pass by."""

    def __init__(self) -> None:
        self.input, self.output, self.blocks = Digest(), Digest(), Blocks()

    def update(self, x: Numbers | None, y: Numbers) -> None:
        """Add the next rows, where they are known, and their results."""
        if x is not None:
            self.input.update(x)
        self.output.update(y)
        self.blocks.update(y)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ran_on(backend: str, device: str | None) -> dict[str, str]:
    """Return what a run ran on."""
    return {
        "xpnn": xpnn.__version__,
        "backend": f"{backend} {next(b.version for b in xpnn.backends() if b.name == backend)}",
        "device": device or "default",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def read(path: Path) -> dict[str, Any]:
    """Read a receipt; ValueError if it is none, or any part of it is not what a receipt has there."""
    if not path.is_file():
        raise XpnnValueError(f"{path}: expected a receipt, got no file of that name")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except XpnnValueError as error:
        raise XpnnValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise XpnnValueError(f"{path}: expected a receipt, got a file that is no JSON") from None
    found = content.get("xpnn receipt") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:
        raise XpnnValueError(f"{path}: expected a receipt of format {FORMAT}, got {found!r}")
    _check(content, _FIELDS, "", path)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise XpnnValueError(f"expected a receipt, got one with {twice} twice")
    return content


def _hex(digits: int) -> Callable[[Any], bool]:
    return lambda part: isinstance(part, str) and bool(re.fullmatch(rf"[0-9a-f]{{{digits}}}", part))


def _natural(part: Any) -> bool:
    return type(part) is int and part >= 0


def _text(part: Any) -> bool:
    return isinstance(part, str)


def _blocks(part: Any) -> bool:
    return isinstance(part, list) and 0 < len(part) <= _BLOCKS and all(map(_hex(16), part))


_FIELDS: dict[str, Any] = {
    "xpnn receipt": _natural,
    "guarantee": _natural,
    "model": {"name": _text, "sha256": _hex(64)},
    "input": {"sha256": _hex(64)},
    "output": {
        "kind": lambda part: (
            part in {"output", "proba", "classes", "logits"} if isinstance(part, str) else False
        ),
        "sha256": _hex(64),
        "rows": lambda part: _natural(part) and part.bit_count() == 1,
        "blocks": _blocks,
    },
    "ran on": dict.fromkeys(("xpnn", "backend", "device", "python", "machine"), _text),
}
"""What a receipt has, and what each part of it is."""


def _check(content: Any, fields: dict[str, Any], where: str, path: Path) -> None:
    if not isinstance(content, dict):
        raise XpnnValueError(f"{path}: expected a receipt, got one without {where.rstrip('.')}")
    for name in content:
        if name not in fields:
            raise XpnnValueError(
                f"{path}: expected a receipt, got one with {where}{name} beside its fields; a newer "
                "xpnn may read it"
            )
    for name, right in fields.items():
        if name not in content:
            raise XpnnValueError(f"{path}: expected a receipt, got one without {where}{name}")
        if isinstance(right, dict):
            _check(content[name], right, f"{where}{name}.", path)
        elif not right(content[name]):
            got = repr(content[name])
            raise XpnnValueError(
                f"{path}: expected a receipt, got one whose {where}{name} is {got[:70]}"
            )


def differences(receipt: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Say in what a run differs from its receipt."""
    if receipt["guarantee"] != now["guarantee"]:
        yield f"the guarantee: version {receipt['guarantee']} then, {now['guarantee']} now"
    for part in ("model", "input"):
        if receipt[part]["sha256"] != now[part]["sha256"]:
            yield f"the {part}: {_short(receipt[part])} then, {_short(now[part])} now"
    if any(receipt[part]["sha256"] != now[part]["sha256"] for part in ("model", "input")):
        return
    then, output = receipt["output"], now["output"]
    if then["sha256"] != output["sha256"]:
        where = _first_difference(then, output)
        yield f"the output: {_short(then)} then, {_short(output)} now{where}"
    elif then != output:
        where = _first_difference(then, output)
        yield f"the blocks of the output, though not its sha256{where}"


def _short(part: dict[str, Any]) -> str:
    return f"{part['sha256'][:16]}..."


def _first_difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    if (then["rows"], len(then["blocks"])) != (now["rows"], len(now["blocks"])):
        return ", and not as many rows"
    for i, (a, b) in enumerate(zip(then["blocks"], now["blocks"], strict=True)):
        if a != b:
            first, rows = i * now["rows"], now["rows"]
            place = f"row {first}" if rows == 1 else f"rows {first} to {first + rows - 1}"
            return f", first in {place}"
    return ", in dtype or shape"
