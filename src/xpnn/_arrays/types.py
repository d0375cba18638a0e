"""What arrays are called in annotations; the standard has no types to check them by yet."""

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard."""
Namespace: TypeAlias = Any
"""The module of functions that goes with an array: `array_api_compat.array_namespace(x)`."""
DType: TypeAlias = Any
Device: TypeAlias = Any

Values: TypeAlias = np.ndarray[Any, Any]
"""An array of NumPy."""
