"""Threads for much work, and the BLAS held to one thread while xpnn's own programs run.

How many threads a BLAS has changes the last digits of a product. Held to one, a product has the digits
that it has alone, whatever runs beside it; and threads that call at the same time do not wait for the
threads of the BLAS, of which there is one team for the whole process. What that costs a call by itself,
`in_tiles` makes good: NumPy holds no lock while it computes, so plain threads do.
"""

import functools
import operator
import os
import threading
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_users = 0
_before: list[int] = []
"""The threads that each BLAS had before the first user, which are the user's choice."""


@functools.cache
def libraries() -> list[Any]:
    """Return the BLAS libraries of this process; as threadpoolctl knows them."""
    from threadpoolctl import ThreadpoolController  # takes milliseconds

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


_threads_of = operator.attrgetter("num_threads")


def _set(library: Any, threads: int) -> None:
    # Since 3.6 the public one is for the first thread alone that called it, and does nothing on others.
    real = getattr(library, "_real_set_num_threads", library.set_num_threads)
    real(threads)


def count() -> int:
    """Return on how many threads work is done: as many as the BLAS has when nobody holds it."""
    with _lock:
        found = _before if _users else list(map(_threads_of, libraries()))
    return min(found, default=1)


def with_one_blas_thread(f: Callable[..., T], *args: Any) -> T:
    """Return f(*args), computed while the BLAS is held to one thread.

    That number is one for the whole process: whoever comes first sets it, whoever leaves last
    restores it. An interrupt, at whatever step it comes, leaves the number as it was.
    """
    claim = [False]
    try:
        _enter(claim)
        return f(*args)
    finally:
        if claim[0]:
            try:
                _leave(claim)
            except BaseException:  # interrupted; each step can be done again
                _leave(claim)
                raise


def _enter(claim: list[bool]) -> None:
    global _users, _before
    found = libraries()
    with _lock:
        if _users == 0:
            _before = list(map(_threads_of, found))
        # Claimed before it is set: what is claimed will be restored.
        claim[0] = True
        _users += 1
        if _users == 1:
            for library, threads in zip(found, _before, strict=True):
                if threads > 1:
                    _set(library, 1)


def _leave(claim: list[bool]) -> None:
    global _users
    with _lock:
        if not claim[0]:
            return
        if _users == 1:
            _restore()
        _users = max(_users - 1, 0)  # 0 where what it held was let go of in a forked process
        claim[0] = False


def _restore() -> None:
    for library, threads in zip(libraries(), _before, strict=True):
        if threads > 1:
            _set(library, threads)


def _in_a_forked_process() -> None:
    """Let go of what threads that are not there any more held."""
    global _lock, _users, _pool
    _lock, _pool = threading.Lock(), None
    if _users:
        _users = 0
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_forked_process)


TURNS, SLICE = 2, 64
"""Slices for each thread, where they have so many rows."""


class _Task:
    """Some work that a thread is asked for. What locks it has are C's: an interrupt leaves none of them held."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._waiting = work, [True]
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def cancel(self) -> bool:
        """Take it back, unless a thread has begun; whether that was in time."""
        with suppress(IndexError):
            return self._waiting.pop()
        return False

    def run(self) -> None:
        """Do it, unless it was taken back."""
        if not self.cancel():
            return
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 -- who asked for it gets it
            self._error = error
        finally:
            self._done.release()

    def result(self) -> None:
        """Wait until it is done; raise what it raised."""
        with self._done:
            if self._error is not None:
                raise self._error


_pool: tuple[int, SimpleQueue[_Task | None]] | None = None
"""How many threads help, kept between calls, and what they are asked for."""


def _help(work: Callable[[], None], number: int) -> _Task:
    """Have one of so many threads do some work."""
    global _pool
    task = _Task(work)
    with _lock:
        if _pool is None or _pool[0] != number:
            if _pool is not None:
                for _ in range(_pool[0]):
                    _pool[1].put(None)
            tasks: SimpleQueue[_Task | None] = SimpleQueue()
            for _ in range(number):
                start_new_thread(_work_off, (tasks,))
            _pool = number, tasks
        _pool[1].put(task)
    return task


def _work_off(tasks: SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task.run()
        del task  # what it holds is nobody's any more


def in_tiles(
    f: Callable[[slice], None], rows: int, shortest: int, largest: int, *, alike: bool = False
) -> None:
    """Call f for slices that make up `rows`, on threads; for all at once up to `shortest`.

    They are at most `largest` long, a power of two, and not much shorter than `shortest`, as threads
    would not pay; a power of two but for the last one, or all `alike`.
    """
    if rows <= shortest:
        f(slice(0, rows))
        return
    threads = count()
    each = max(-(-rows // threads), shortest)
    size = min(1 << each.bit_length() - 1, largest)
    if alike:
        # Some more than there are threads, as one may have to wait for its processor.
        most = max(rows // (threads * max(2 * shortest, SLICE)), 1)
        size = -(-rows // (threads * max(-(-rows // (threads * largest)), min(most, TURNS))))
    waiting = deque(slice(i, min(i + size, rows)) for i in range(0, rows, size))

    def work() -> None:
        try:
            while True:
                try:
                    part = waiting.popleft()
                except IndexError:
                    return
                f(part)
        except BaseException:
            waiting.clear()  # nobody needs the rest
            raise

    helping: list[_Task] = []
    # When Python is about to exit, it starts no threads any more.
    with suppress(RuntimeError):
        helping.extend(_help(work, threads - 1) for _ in range(min(threads, len(waiting)) - 1))
    try:
        work()
    finally:
        # Those that wait behind the work of others are not waited for.
        running = [helper for helper in helping if not helper.cancel()]
        for helper in running:
            helper.result()
