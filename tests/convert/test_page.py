"""docs/networks.md is that of the tables."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.libraries


def test_the_page_is_that_of_the_tables(monkeypatch):
    for name in ("onnx", "torch", "jax"):
        pytest.importorskip(name)
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    readers = importlib.import_module("readers")
    monkeypatch.delitem(sys.modules, "readers")
    page = readers.PAGE.read_text(encoding="utf-8")
    assert page == readers.page(), "python tools/readers.py --write"
