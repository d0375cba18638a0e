"""Hold a built site to itself: every link inside leads somewhere, and no page loads what others serve.

`python tools/links.py docs/_build/html` names what is missing, and fails if anything is.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"src", "srcset", "poster", "data"}
"""Attributes whose targets a page loads by itself; so does a `<link>`, but for those that only lead on."""
LEADS_ON = {"author", "canonical", "index", "next", "prev", "search", "copyright"}


class Page(HTMLParser):
    """What can be linked to on a page, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[tuple[str, bool]] = set()
        """Each with whether the page loads it."""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the anchors and the links of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if "href" in values:
            rel = set(values.get("rel", "").split())
            self.links.add((values["href"], tag == "link" and not rel & LEADS_ON))
        for name in LOADED & values.keys():
            urls = values[name].split(",") if name == "srcset" else [values[name]]
            self.links |= {(url.split()[0], True) for url in urls if url.strip()}


def of_style(path: Path) -> set[tuple[str, bool]]:
    """Return what a style sheet loads."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"url\(\s*['\"]?(.*?)['\"]?\s*\)|@import\s+['\"](.*?)['\"]", text)
    return {(one or other, True) for one, other in found}


def faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the site in a folder, a line each."""
    folder = folder.resolve()
    html = [
        p for p in sorted(folder.rglob("*.html")) if "_static" not in p.relative_to(folder).parts
    ]
    pages = {path: Page(path) for path in html}  # those of a theme in _static are templates
    links = {path: page.links for path, page in pages.items()}
    links |= {path: of_style(path) for path in sorted(folder.rglob("*.css"))}
    for path, targets in links.items():
        where = path.relative_to(folder)
        for url, is_loaded in sorted(targets):
            parts = urlsplit(url)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if is_loaded:
                    yield f"{where}: loads {url}, which lies elsewhere"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if parts.path.startswith("/") or not target.is_relative_to(folder):
                yield f"{where}: {url} leads out of the site"
            elif not target.is_file():
                yield f"{where}: {url} is not there"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                yield f"{where}: {url} names a place that is not on its page"
    if not pages:
        yield f"no page in {folder}"


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1])))
    print(*found, sep="\n")
    sys.exit(bool(found))
