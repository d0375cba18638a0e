"""A run on a dask.distributed cluster: workers compute tiles of rows, this process takes them in order."""

import asyncio
import contextlib
import functools
import itertools
import logging
import math
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import xpnn
from xpnn._files.extras import needing
from xpnn._files.pieces import Input, Numbers, Rows
from xpnn._files.rows import read_rows, stamp
from xpnn._network.layers.layer import outputs_of
from xpnn._network.network import Network
from xpnn.cli import _receipt
from xpnn.cli._job import Job
from xpnn.cli._text import one_line
from xpnn.errors import XpnnError

_PATIENCE = 5
"""Seconds to wait for a scheduler, and before saying that it has no workers."""
_TILE = 2**24
"""Bytes of numbers, 8 each, that are worth a task; a batch is one in any case."""
_AHEAD = 2
"""Tiles that are on their way at a time, for each thread of the workers."""

Tile = tuple[int, int] | list[Numbers]
"""The rows from one to another, which workers read, or the rows themselves, in pieces."""


class Work:
    """What a worker holds once for all tiles: the network, and where the rows are."""

    def __init__(
        self, job: Job, network: Network, batch_size: int, seen: tuple[Input, str] | None
    ) -> None:
        self._job, self._network, self._batch_size, self._seen = job, network, batch_size, seen

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to another worker, which makes the rest anew."""
        return {name: value for name, value in [*vars(self).items()] if name.startswith("_")}

    @functools.cached_property
    def run(self) -> Any:
        """What computes."""
        return self._job.runner(self._network)

    @functools.cached_property
    def rows(self) -> Rows | None:
        """The rows, where this worker has the files that were seen."""
        if self._seen is None:
            return None
        wanted, seen = self._seen
        with contextlib.suppress(OSError, XpnnError):  # which this worker may not read
            return read_rows(*wanted) if stamp(wanted.path) == seen else None
        return None

    def computed(self, tile: Tile) -> Numbers | None:
        """Return the results of a tile; None if this worker has not its rows."""
        if isinstance(tile, list):
            pieces = iter(tile)
        elif self.rows is None or self.rows.ranges is None:
            return None
        else:
            pieces = self.rows.ranges.read(*tile, self._batch_size)
        return np.concatenate([self.run(x) for x in pieces])


def computed(
    job: Job, network: Network, rows: Rows, batch_size: int, *, keep: bool
) -> Iterator[tuple[Numbers | None, Numbers]]:
    """Give the results of tiles in order, and the rows of those that this process read.

    Workers open the input by its path. Where one has not the same files, where the input is read from
    one end to the other, or where rows are to be kept, this process reads them and sends them.
    """
    wanted, ranges = job.described(network), rows.ranges
    sends = keep or ranges is None or wanted is None
    results = math.prod(outputs_of(network.layers) or (1,))
    many = max(1, _TILE // (8 * max(rows.width, results) * batch_size))
    waiting = deque[tuple[Tile, Any]]()

    def in_pieces(pieces: Iterator[Numbers]) -> Iterator[Tile]:
        while tile := list(itertools.islice(pieces, many)):
            yield tile

    def tiles() -> Iterator[Tile]:
        if ranges is None:
            yield from in_pieces(rows.pieces(batch_size))
            return
        for start, stop in ranges.tiles(batch_size, many * batch_size):
            if sends:
                yield from in_pieces(ranges.read(start, ranges.total, batch_size))
                return
            yield start, stop

    def submit(tile: Tile) -> tuple[Tile, Any]:
        return tile, client.submit(Work.computed, work, tile, pure=False)

    def result(tile: Tile, future: Any) -> Iterator[tuple[Numbers | None, Numbers]]:
        nonlocal sends
        y = _result(client, future)
        if y is not None:
            yield np.concatenate(tile) if isinstance(tile, list) else None, y
        elif ranges is not None and isinstance(tile, tuple):
            if not sends:
                _say(
                    f"workers have not {rows.source} as it is here: this process sends them its rows"
                )
            sends = True
            for part in in_pieces(ranges.read(*tile, batch_size)):
                yield from result(*submit(part))

    with _client(job) as client:
        seen = None
        if wanted is not None and ranges is not None:
            wanted = wanted._replace(path=wanted.path.absolute())
            seen = wanted, stamp(wanted.path)
        _check_workers(client)
        work = client.submit(Work, job, network, batch_size, None if sends else seen, pure=False)
        for tile in tiles():
            waiting.append(submit(tile))
            while len(waiting) >= _AHEAD * max(1, _threads(client)):
                yield from result(*waiting.popleft())
        while waiting:
            yield from result(*waiting.popleft())
    if seen is not None and stamp(seen[0].path) != seen[1]:
        raise XpnnError(f"{rows.source}: changed while it was read; run this again")


def ran_on(job: Job) -> dict[str, str]:
    """Return what a run ran on; of a cluster one worker says it."""
    if job.scheduler is None:
        return _receipt.ran_on(job.backend, job.device)
    with _client(job) as client:
        return _result(client, client.submit(_receipt.ran_on, job.backend, job.device, pure=False))


@contextlib.contextmanager
def _client(job: Job) -> Iterator[Any]:
    distributed, config = needing("distributed", "dask"), needing("dask.config", "dask")
    # The network and rows are sent as they are: that is no mistake to be warned of.
    with _unlogged(), config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        try:
            asyncio.run(asyncio.wait_for(_answer(job.scheduler), _PATIENCE))
            with warnings.catch_warnings(
                action="ignore"
            ):  # of versions that differ in the last digit
                client = distributed.Client(job.scheduler, timeout=_PATIENCE, set_as_default=False)
        except Exception as error:  # noqa: BLE001 -- no address, nobody there, or something else
            raise XpnnError(
                f"--scheduler {job.scheduler}: expected the address of a Dask scheduler, such as "
                f"tcp://host:8786, got none that answers within {_PATIENCE} s ({str(error) or 'no answer'}); "
                "start one with: dask scheduler"
            ) from None
        try:
            with client:
                yield client
        except OSError as error:
            raise XpnnError(
                f"--scheduler {job.scheduler}: the scheduler was lost ({error}); nothing was left: start "
                "it and run this again"
            ) from None


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the pages that Dask logs of a lost scheduler off the terminal, where a line says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


async def _answer(address: str | None) -> None:
    """Return when a scheduler answers: a client would wait for ever for something else to do so."""
    distributed = needing("distributed", "dask")
    options = distributed.Security().get_connection_args("client")
    async with distributed.core.rpc(address, connection_args=options) as there:
        found = await there.identity()
    if found.get("type") != "Scheduler":
        raise XpnnError(f"a {found.get('type')} does")


def _check_workers(client: Any) -> None:
    """Raise XpnnError unless the workers have this version: one that has none could not even say so."""
    _wait(client, lambda: client.wait_for_workers(1, timeout=_PATIENCE))
    # A function of Python's own, which every worker has.
    found = client.run(eval, "__import__('xpnn').__version__", on_error="return")
    for address, version in found.items():
        if version != xpnn.__version__:
            raise XpnnError(
                f"expected xpnn {xpnn.__version__} on the workers, as here, got {version} on {address}; "
                "install it there"
            )


def _threads(client: Any) -> int:
    return sum(client.nthreads().values())


def _result(client: Any, future: Any) -> Any:
    """Wait for the result of a task, and get it."""
    distributed = needing("distributed", "dask")
    with client.as_current():
        _wait(client, lambda: distributed.wait(future, timeout=_PATIENCE))
    try:
        return future.result()
    except (XpnnError, OSError):  # what a worker said, or that nobody is there any more
        raise
    except Exception as error:  # noqa: BLE001 -- what a worker raised, or what became of it
        if client.status != "running" or isinstance(error, asyncio.CancelledError):
            raise OSError(str(error)) from None
        raise XpnnError(
            "a tile of rows failed on the cluster (if memory is short, a smaller --batch-size "
            f"helps): {type(error).__name__}: {error}"
        ) from None


def _wait(client: Any, wait: Callable[[], Any]) -> None:
    """Wait as long as it takes; say so where there is nobody to compute."""
    said = False
    while True:
        try:
            wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError as error:
            raise OSError(str(error)) from None
        else:
            return
        if not said and not _threads(client):
            _say("the scheduler has no workers yet; start some with: dask worker ADDRESS")
            said = True


def _say(text: str) -> None:
    print("xpnn:", one_line(text), file=sys.stderr)
