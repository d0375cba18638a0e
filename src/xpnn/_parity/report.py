"""Reports of parity and explain: what they found, as text, JSON and HTML."""

import html
import math
from typing import Any, NamedTuple

from xpnn._parity.standard import Comparison

HEADS = ("backend", "dtype", "way", "ulp", "/bound", "/expected", "classes", "ms", "")


class Result(NamedTuple):
    """How one backend did, on one device, in one dtype, in one way."""

    backend: str
    """Its name, as in `backends()`."""
    device: str | None
    """None: the default of a backend that has no names for them."""
    dtype: str
    """Name of the dtype that was computed in."""
    way: str
    """fast or reproducible."""
    seconds: float
    """Of one call, the result copied to NumPy; the least of three after one that is not counted.

    NaN if a call raised an error."""
    digest: str | None
    """SHA-256 of all values; None in the fast way."""
    comparison: Comparison
    """How far off it is."""
    faults: tuple[str, ...]
    """What is wrong, in words; nothing if all is well."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def where(self) -> str:
        """The backend, and the device if it has one by name."""
        return self.backend if self.device is None else f"{self.backend} {self.device}"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        c = self.comparison
        return (
            self.where,
            self.dtype,
            self.way,
            f"{c.ulps:.4g}",
            f"{c.of_bound:.2g}",
            f"{c.of_expected:.2g}",
            # Cut, not rounded: 100 % is all of them.
            "" if c.agreement is None else f"{math.floor(c.agreement * 1e4) / 1e2:.4g}%",
            "" if math.isnan(self.seconds) else f"{self.seconds * 1e3:.3g}",
            "ok" if self.passed else "FAILED",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single errors, as JSON has it."""
        return {
            "backend": self.backend,
            "device": self.device,
            "dtype": self.dtype,
            "way": self.way,
            "passed": self.passed,
            "faults": list(self.faults),
            "seconds": self.seconds if math.isfinite(self.seconds) else None,
            "sha256": self.digest,
            **_numbers(self.comparison),
        }


def _numbers(c: Comparison) -> dict[str, Any]:
    """Return the numbers of a comparison by name; None for what JSON has no number for."""
    numbers = {
        "largest error in ulp": c.ulps,
        "largest error as a fraction of the bound": c.of_bound,
        "root mean square error as a fraction of the expected": c.of_expected,
        "rows outside the bound": c.outside,
        "rows inside the bound with errors beyond the expected": c.beyond,
        "rows without a bound": c.unbounded,
        "class agreement": c.agreement,
        "rows of another than the certain class": c.wrong,
    }
    return {name: v if v is None or math.isfinite(v) else None for name, v in numbers.items()}


class Report(NamedTuple):
    """What `parity` found.

    `passed` says whether all is well, `to_dict()` gives everything as JSON has it, `plot()` draws errors
    against bounds; printed, or shown in a notebook, it is a table.
    """

    network: str
    """The network, in one line."""
    of: str
    """output, logits or log_proba."""
    rows: int
    """How many rows were computed."""
    reference: str
    """What the exact values are, and of which rows."""
    certain: dict[str, int] | None
    """By dtype, how many rows have a class that rounding cannot change; None without classes."""
    results: tuple[Result, ...]
    """One for each backend, device, dtype and way."""
    left_out: tuple[str, ...]
    """What was not there, in words."""

    @property
    def passed(self) -> bool:
        """Whether every result is sound, and all digests of a dtype are alike."""
        return bool(self.results) and all(r.passed for r in self.results)

    @property
    def digests(self) -> dict[str, set[str]]:
        """By dtype, the digests of the reproducible results."""
        found: dict[str, set[str]] = {}
        for r in self.results:
            if r.digest is not None:
                found.setdefault(r.dtype, set()).add(r.digest)
        return found

    @property
    def lines(self) -> list[str]:
        """What there is to say beside the table."""
        lines = [f"{self.network}; {self.of} of {self.rows:,} rows", f"exact: {self.reference}"]
        for dtype, count in (self.certain or {}).items():
            lines.append(f"certain: the classes of {count:,} rows, whatever is rounded in {dtype}")
        for dtype, digests in self.digests.items():
            lines.append(f"reproducible {dtype}: sha256 {', '.join(sorted(digests))}")
        for r in self.results:
            lines += [f"{r.where}, {r.dtype}, {r.way}: {fault}" for fault in r.faults]
        return [*lines, *self.left_out]

    @property
    def verdict(self) -> str:
        """passed or FAILED, with the numbers of results."""
        bad = sum(not r.passed for r in self.results)
        if bad or not self.results:
            return f"FAILED: {bad} of {len(self.results)} results"
        return f"passed: all {len(self.results)} results"

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single errors, as JSON has it."""
        return {
            "xpnn parity": 1,
            "passed": self.passed,
            "network": self.network,
            "of": self.of,
            "rows": self.rows,
            "reference": self.reference,
            "certain rows": self.certain,
            "results": [r.to_dict() for r in self.results],
            "left out": list(self.left_out),
        }

    def plot(self) -> Any:
        """Draw the errors of every result against their bounds; needs matplotlib.

        Returns
        -------
        matplotlib.figure.Figure
            With one panel a result: the error of each output of the rows with exact values.

        Raises
        ------
        XpnnError
            If matplotlib is not installed; the message says what installs it.
        """
        from xpnn._parity.plot import draw  # matplotlib takes its time

        names = [f"{r.where}\n{r.dtype}, {r.way}" for r in self.results]
        return draw(names, [r.comparison for r in self.results], [r.passed for r in self.results])

    def __repr__(self) -> str:
        rows = [HEADS, *(r.cells for r in self.results)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join([*table, *self.lines, self.verdict])

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str, style: str = "") -> str:
            return (
                f"<tr{style}>"
                + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells)
                + "</tr>"
            )

        bad = ' style="color: #d93a3a; font-weight: bold"'
        body = [row(r.cells, "td", "" if r.passed else bad) for r in self.results]
        lines = [f"<li>{html.escape(line)}</li>" for line in self.lines]
        return "\n".join(
            [
                "<table>", f"<thead>{row(HEADS, 'th')}</thead>", "<tbody>", *body, "</tbody></table>",
                "<ul>", *lines, "</ul>", f"<p><strong>{html.escape(self.verdict)}</strong></p>",
            ]
        )  # fmt: skip


class Explanation(NamedTuple):
    """What `explain` found of an array of results."""

    dtype: str
    """Name of the dtype of the results."""
    reference: str
    """What the exact values are, and of which rows."""
    comparison: Comparison
    """How far off the results are."""
    faults: tuple[str, ...]
    """What is wrong, in words; nothing if all is well."""
    cause: str | None
    """The likely cause, 'unknown', or None if nothing is wrong."""
    notes: tuple[str, ...] = ()
    """Of which rows nothing can be said, and why: NaN and infinity in input or weights, overflow."""

    @property
    def passed(self) -> bool:
        """Whether the results are those of a sound computation."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single errors, as JSON has it."""
        return {
            "passed": self.passed,
            "dtype": self.dtype,
            "reference": self.reference,
            "faults": list(self.faults),
            "cause": self.cause,
            "notes": list(self.notes),
            **_numbers(self.comparison),
        }

    def __repr__(self) -> str:
        c = self.comparison
        size = f"largest error {c.ulps:,.1f} ulp, {c.of_bound:.2g} of the bound"
        lines = [
            f"{'passed' if self.passed else 'FAILED'}: {self.dtype}, {size}",
            f"root mean square {c.of_expected:.2g} of the expected error",
            f"exact: {self.reference}",
            *self.faults,
            *self.notes,
        ]
        return "\n".join(lines + ([f"likely cause: {self.cause}"] if self.cause else []))
