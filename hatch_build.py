"""The README as PyPI shows it, where links and pictures need whole addresses."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Readme(MetadataHookInterface):
    """Adds the README to what a package says of itself."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Turn relative links into addresses of the repository, pictures into those of their bytes."""
        home = metadata["urls"]["Source"]
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\g<1>{home}/raw/main/", text)
        text = re.sub(r"(\]\()(?!https?:|#)", rf"\g<1>{home}/blob/main/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
