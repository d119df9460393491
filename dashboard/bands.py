"""Curves of runs that belong together as one: their median, and a band around it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GRID_POINTS = 300
MANY = 5  # of so many runs, one that failed to learn would stretch the band over all others

Floats = NDArray[np.float64]


class Band(NamedTuple):
    """Arrays of one length. Each is over those runs that reach that far; NaN where none does.

    `low` and `high` are the lowest and the highest run, or of many runs the quartiles.
    """

    x: Floats
    median: Floats
    low: Floats
    high: Floats


def of(curves: Sequence[tuple[Floats, Floats]]) -> Band:
    """From each run's x and y, by x. Runs that were not taken at the same x are interpolated."""
    known = [(x[ok], y[ok]) for x, y in curves if (ok := np.isfinite(x) & np.isfinite(y)).any()]
    if not known:
        return Band(*[np.empty(0)] * 4)
    x = _grid([x for x, _ in known])
    values = np.array([np.interp(x, *curve, left=np.nan, right=np.nan) for curve in known])
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of a column of NaN
        ends = (25, 75) if len(values) >= MANY else (0, 100)
        return Band(x, *np.nanpercentile(values, (50, *ends), axis=0))


def reached(x: Floats, curves: Sequence[tuple[Floats, Floats]]) -> Floats:
    """When runs were at each x, in the median; each curve is a run's x and its times. It never
    falls, as it would where a slow run ends before the others."""
    known = [curve for curve in curves if len(curve[0])]
    if not known or not len(x):
        return np.empty(0)
    times = np.array([np.interp(x, *curve, left=np.nan, right=np.nan) for curve in known])
    return np.maximum.accumulate(np.nanmedian(times, axis=0))


def _grid(xs: Sequence[Floats]) -> Floats:
    """The runs' own x while they are few, so that an epoch's median is of that epoch."""
    every = np.unique(np.concatenate(xs))
    if len(every) <= GRID_POINTS:
        return every
    return np.linspace(every[0], every[-1], GRID_POINTS)
