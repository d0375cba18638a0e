"""What `--help` says after the options: examples, which the tests run; exit status; where to read on."""

from typing import Any, NamedTuple

from typer.core import TyperCommand, TyperGroup


class Page(NamedTuple):
    """What the help of one command ends with."""

    examples: dict[str, str]
    """What each example does: its command."""
    see: str
    failed: str | None = None
    """What exit status 1 says, if the command has it."""


PREDICTED = "xpnn predict digits images.npy -o p.npy \\\n    --reproducible --receipt receipt.json"
PAGES = {
    "xpnn": Page(
        {
            "Classify handwritten digits with the network that comes with xpnn:": "xpnn predict",
            "See what there is to compute with:": "xpnn backends",
            "Prove that all of it computes the same:": "xpnn parity",
        },
        "xpnn COMMAND --help; docs/command.md",
    ),
    "predict": Page(
        {
            "Show the network that comes with xpnn, on its sample:": "xpnn predict",
            "The class of each row of a file, computed by PyTorch:": (
                "xpnn predict digits images.npy -o classes.csv --classes --backend torch"
            ),
            "The same bits wherever it runs, and a receipt of them:": PREDICTED,
            "Between pipes; how often is each digit there?": (
                "zcat images.csv.gz | xpnn predict digits - --classes | sort | uniq -c"
            ),
        },
        "xpnn verify, xpnn parity; docs/command.md",
    ),
    "verify": Page(
        {
            "Predict here, with a receipt:": PREDICTED,
            "Verify it there, on another library:": (
                "xpnn verify receipt.json digits images.npy --backend jax"
            ),
        },
        "xpnn predict; docs/reproducible.md",
        "The prediction is another; the output says what differs.",
    ),
    "parity": Page(
        {
            "The network that comes with xpnn, on every library that is installed:": "xpnn parity",
            "Your own network and rows, on two libraries, with a page to look at:": (
                "xpnn parity mine.safetensors rows.npy --backend numpy --backend torch \\\n"
                "    --html page.html"
            ),
            "For a program to read:": "xpnn parity --rows 20 --backend numpy --json > parity.json",
        },
        "xpnn backends, xpnn convert; docs/parity.md",
        "A result is outside of its bound, or far from what is expected.",
    ),
    "info": Page(
        {
            "The network that comes with xpnn:": "xpnn info digits",
            "What is in a file of ONNX:": "xpnn info model.onnx",
        },
        "xpnn convert; docs/format.md",
    ),
    "convert": Page(
        {
            "Take a network over from ONNX:": "xpnn convert model.onnx mine.safetensors",
            "And give one away, proved on rows of your own:": (
                "xpnn convert digits digits.onnx images.npy --rows 20"
            ),
        },
        "xpnn info, xpnn parity; docs/networks.md",
        "DST would not be the same network, and is not written.",
    ),
    "backends": Page(
        {"What is here, and what installs the rest:": "xpnn backends"},
        "xpnn predict --backend, xpnn parity",
    ),
}


class _Manual:
    """The end of a page; what `PAGES` says is written as it is, on however narrow a terminal."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        page = PAGES.get(ctx.command.name, PAGES["xpnn"])
        statuses = [
            ("0", "All is well."),
            ("1", page.failed),
            ("2", "Something was wrong; one line on standard error says what mends it."),
            ("128+N", "Ended by signal N; no file is left half written."),
        ]
        with formatter.section("Examples"):
            for said, command in page.examples.items():
                formatter.write(f"  {said}\n    $ {command.replace(chr(10), chr(10) + '    ')}\n")
        with formatter.section("Exit status"):
            formatter.write_dl([(status, text) for status, text in statuses if text])
        with formatter.section("See also"):
            formatter.write(f"  {page.see}\n")

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002
        """Return the first sentence, whole."""
        return super().get_short_help_str(1000)  # type: ignore[misc]


class Command(_Manual, TyperCommand):
    """A command with a whole page of help."""


class Group(_Manual, TyperGroup):
    """The command `xpnn`, with a whole page of help."""
