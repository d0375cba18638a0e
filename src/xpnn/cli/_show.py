"""What `xpnn predict` shows without arguments: digits, drawn, beside their probabilities."""

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpnn import models
from xpnn._arrays.digest import digest
from xpnn._files.pieces import Numbers
from xpnn.cli._job import Job
from xpnn.cli._predict import results
from xpnn.cli._text import print_table

_SHADES = " .:-=+*#%@"
_SIDE = 28
_BAR = 30  # at most; all around it takes 42 columns
_SHOWN = 3


def show(job: Job, console: Console, batch_size: int) -> None:
    """Draw a few digits of the sample beside bars of their probabilities; say how many are right."""
    network = job.network()
    rows = job.rows(network)
    pieces = list(results(job, network, rows, batch_size, quiet=True))
    x, probabilities = (np.concatenate(part) for part in zip(*pieces, strict=True))
    labels = models.sample(job.model)[1]
    classes = probabilities.argmax(axis=-1)
    for i in _chosen(probabilities):
        table = Table.grid(padding=(0, 3))
        table.add_row(_drawing(x[i], console), _bars(probabilities[i], int(labels[i]), console))
        print_table(console, table)
        console.print()
    right = int((classes == labels).sum())
    console.print(
        f"{right} of {len(labels)} right ({right / len(labels):.1%}): {job.model}, sample of digits "
        f"that it was not trained on, run by {job.backend}",
        highlight=False,
        soft_wrap=not console.is_terminal,
    )
    if job.reproducible:
        console.print(f"sha256 {digest(probabilities)}", highlight=False, soft_wrap=True)


def _chosen(probabilities: Numbers) -> list[int]:
    """Return the first few, and last the one that the network is least sure of."""
    return [*range(_SHOWN - 1), int(probabilities.max(axis=-1).argmin())]


def _drawing(pixels: Numbers, console: Console) -> Text:
    """Draw two rows of pixels as one line: half blocks in grey, or shades where there is no colour."""
    image = pixels.reshape(_SIDE, _SIDE)
    lines = []
    for upper, lower in zip(image[::2].tolist(), image[1::2].tolist(), strict=True):
        text = Text()
        for a, b in zip(upper, lower, strict=True):
            if console.color_system is None or console.no_color or console.options.ascii_only:
                text.append(_SHADES[(a + b) * (len(_SHADES) - 1) // 510])
            else:
                text.append("▀", style=f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
        lines.append(text)
    return Text("\n").join(lines)


def _bars(probabilities: Numbers, label: int, console: Console) -> Text:
    block = "#" if console.options.ascii_only else "█"
    width = max(1, min(_BAR, console.width - 42))
    best = int(probabilities.argmax())
    text = Text("\n")
    for digit, p in enumerate(probabilities.tolist()):
        style = "" if digit != best else "bold green" if best == label else "bold red"
        text.append(f"{digit}  {block * round(p * width):{width}} {p:7.2%}\n", style=style)
    text.append(f"\nnetwork: {best}, label: {label}", style="dim")
    return text
