"""What is measured: the functions on their shapes, the networks on their rows."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

KERAS = ("keras-numpy", "keras-torch", "keras-jax")
BITS = ("bits-numpy", "bits-torch", "bits-jax")
BACKENDS = ("numpy", "numpy-only", "torch", "jax", "threads", *BITS, *KERAS)
"""`numpy-only` is NumPy without the extra `fast`; `threads` are two of one's own; `bits` are the same bits."""

ALONG_AXIS = ("softmax", "log_softmax", "logsumexp")
ELEMENTWISE = ("sigmoid", "gelu", "tanh", "silu", "softplus", "elu")
SHAPES = ((1, 10), (64, 1000), (4096, 1000), (200_000, 10), (64, 50_257))
DTYPES = ("float32", "float64")

DIGITS, WIDE = (784, 50, 100, 10), (10, 512, 512, 512, 512, 1000)
NETWORKS = (DIGITS, (64, 32, 10), WIDE, (4, 16, 3))
ROWS = (1, 100, 10_000, 100_000)


@dataclass(frozen=True)
class Function:
    """A function on an array."""

    name: str
    shape: tuple[int, int]
    axis: int | None
    dtype: str

    @property
    def id(self) -> str:
        axis = "" if self.axis is None else f"axis={self.axis}/"
        return f"{self.name}/{self.shape[0]}x{self.shape[1]}/{axis}{self.dtype}"


@dataclass(frozen=True)
class Network:
    """A network of sigmoids and a softmax on some rows, float32."""

    widths: tuple[int, ...]
    rows: int
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return "-".join(map(str, self.widths))

    @property
    def id(self) -> str:
        return f"{self.name}/rows={self.rows}"


Case = Function | Network


def functions(*, quick: bool) -> Iterator[Function]:
    """Every function, shape, axis and dtype; when `quick`, the last axis and float32 alone."""
    dtypes, axes = (DTYPES[:1], (-1,)) if quick else (DTYPES, (-1, 0))
    for dtype, shape in itertools.product(dtypes, SHAPES):
        for name, axis in itertools.product(ALONG_AXIS, axes):
            yield Function(name, shape, axis, dtype)
        for name in ELEMENTWISE:
            yield Function(name, shape, None, dtype)


def networks(
    *, quick: bool, most: int = ROWS[-1], of: Sequence[tuple[int, ...]] = NETWORKS
) -> Iterator[Network]:
    """Every network and number of rows up to `most`; when `quick`, 1 and 10,000 alone."""
    rows = [n for n in ROWS if n <= most and (not quick or n in {1, 10_000})]
    return itertools.starmap(Network, itertools.product(of, rows))


def cases(backend: str, *, quick: bool) -> Iterator[Case]:
    """All of a backend's. Keras, and NumPy without the extra, have networks of up to 10,000 rows."""
    if backend in KERAS:
        yield from networks(quick=quick, most=10_000)
    elif backend in BITS:
        yield from networks(quick=True, of=(DIGITS,) if quick else (DIGITS, WIDE))
    elif backend == "threads":
        yield from networks(quick=quick, of=(DIGITS,))
    else:
        yield from functions(quick=quick)
        yield from networks(quick=quick, most=10_000 if backend == "numpy-only" else ROWS[-1])
