"""A value with the size that its error is expected to have; `_network.interpreters.expectation` says how."""

import math
from typing import NamedTuple

from xpnn._arrays.types import Array, Namespace

DEVIATION = math.sqrt(1 / (8 * math.log(2)))
"""Of one rounding, in u: errors spread evenly over a unit, significands as 1/m over 1 to 2."""

FACTOR = 8.0
"""A pass whose errors are more than this often as large as expected is not one of its precision.

Sound passes were seen at up to 1.6, the evaluation of activations alone reaches 8 by definition, and factors
rounded to TF32 are at sqrt(12 / n) * 2**13 for sums of n terms of both signs, 443 and more for n up to 4,096.
Of terms that all have one sign it is sqrt(6) * 2**13 / n, so there n must be below 2,500.
"""


LEAST = 2.0**-500
"""No smaller deviation is known: binary64 loses its square, and sums of such."""


class Expectation(NamedTuple):
    """Values, and the variances of their errors."""

    centre: Array
    variance: Array

    def flushed(self, tiny: float, xp: Namespace) -> "Expectation":
        """Expect that values below the smallest normal number become zero."""
        lost = xp.where(xp.abs(self.centre) < tiny, self.centre**2, 0.0)
        return Expectation(self.centre, self.variance + lost)
