"""The table `points`: a point is keyed by one number, made of its series' and its step.

Such a table is appended to in order, which fills its pages; one keyed by two columns has every
eighth byte empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.database import Database

STEP_BITS = 36  # of the number, the lowest
LAST_STEP = (1 << STEP_BITS) - 1

STEP = f"points.id & {LAST_STEP}"
OF_SERIES = f"points.id BETWEEN series.id << {STEP_BITS} AND series.id << {STEP_BITS} | {LAST_STEP}"
OF_METRIC = (  # of a run's id and a key
    f"SELECT {STEP}, epoch, at, value FROM series JOIN points ON {OF_SERIES} "  # noqa: S608  own words
    "WHERE run_id = ? AND key = ?"
)
OF_ONE = (
    f"SELECT {STEP}, epoch, at, value FROM series JOIN points ON {OF_SERIES} WHERE series.id = ?"  # noqa: S608  own words
)
AFTER_STEP = f" AND points.id > (series.id << {STEP_BITS}) + ?"  # -1 comes before the first

Table = NDArray[np.float64]  # of shape (n, 4): step, epoch, at, value; NaN: was not finite

WIDTH, ROWS_AT_ONCE = 4, 50  # so many rows in one statement take half the time
ADD_ONE = "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)"
ADD_MANY = ADD_ONE + ", (?, ?, ?, ?)" * (ROWS_AT_ONCE - 1)


def flat(points: Sequence[Sequence[Any]]) -> list[Any]:
    """Steps, epochs, times and values of (key, step, epoch, at, value), one after the other."""
    numbers = list(chain.from_iterable(points))
    del numbers[:: WIDTH + 1]
    return numbers


def add(db: Database, series_id: int, numbers: list[Any]) -> None:
    """Points as `flat` gives them."""
    first = series_id << STEP_BITS
    rows = numbers.copy()
    rows[::WIDTH] = [first + step for step in numbers[::WIDTH]]
    many = len(rows) // WIDTH // ROWS_AT_ONCE * ROWS_AT_ONCE * WIDTH
    db.executemany(ADD_MANY, _parts(rows[:many], ROWS_AT_ONCE * WIDTH))
    db.executemany(ADD_ONE, _parts(rows[many:], WIDTH))


def table(rows: Sequence[Any]) -> Table:
    """Of rows, or of numbers as `flat` gives them."""
    return np.array(rows, dtype=np.float64).reshape(-1, WIDTH)


def _parts(numbers: list[Any], length: int) -> list[list[Any]]:
    return [numbers[at : at + length] for at in range(0, len(numbers), length)]
