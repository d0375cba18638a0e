"""Text from files and errors, fit for a line on a terminal."""


def one_line(text: str) -> str:
    """Return the text on one line, without characters that would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
