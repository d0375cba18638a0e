"""What a page has between two marks, which a tool writes there."""


def between(page: str, begin: str, end: str, text: str) -> str:
    """Return a page with another text between its marks; SystemExit if it has not both of them once."""
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise SystemExit(f"expected one {begin.strip()} and after it one {end.strip()}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
