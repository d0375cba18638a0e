"""Modes and transforms of array libraries belong to a thread: what must outlive them is made on another."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def on_another_thread(make: Callable[[], T]) -> T:
    """Call make on a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor  # few programs need it

    with ThreadPoolExecutor(1) as other:
        return other.submit(make).result()
