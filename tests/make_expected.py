"""Computes `tests/expected.json`, the numbers that every backend must give, with mpmath.

Run `python tests/make_expected.py`. Each entry is x, high, low: the function at x is high + low.
Every x is a float32 number, so that both dtypes are asked the same question.
"""

import json
from pathlib import Path

import numpy as np
from references import ELEMENTWISE, exact, pair

TARGET = Path(__file__).with_name("expected.json")
PLACES = [
    0,
    1e-45,
    1e-38,
    1e-30,
    1e-20,
    1e-08,
    0.0001,
    0.01,
    0.1,
    0.25,
    0.5,
    0.8,
    1,
    1.2,
    1.25,
    1.3,
    1.5,
    2,
    2.5,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    9.5,
    10,
    12,
    13,
    14,
    14.5,
    15,
    16,
    16.7,
    17,
    18,
    20,
    25,
    27,
    30,
    36,
    37,
    38,
    38.5,
    40,
    50,
    64,
    70,
    80,
    87,
    87.5,
    88,
    88.8,
    90,
    100,
    102,
    103,
    104,
    110,
    200,
    300,
    500,
    700,
    708,
    709,
    710,
    740,
    745,
    746,
    1000,
    10000.0,
    10000000000.0,
    1e20,
    1e30,
    3e38,
]


def main() -> None:
    rng = np.random.default_rng(0)
    positive = np.concatenate([PLACES, rng.uniform(0, 10, 60), rng.uniform(0, 100, 20)])
    points = np.concatenate([positive, -positive]).astype(np.float32).astype(float)
    table = {
        name: [[v.hex() for v in (float(x), *pair(exact(name, float(x))))] for x in points]
        for name in ELEMENTWISE
    }
    lines = ",\n".join(f'"{name}": {json.dumps(entries)}' for name, entries in table.items())
    TARGET.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
