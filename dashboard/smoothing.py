"""Smoothed curves: a moving average whose weights fade with the distance on the x axis."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SPAN = 1000.0  # the whole axis is taken to be this long, whatever it counts


Floats = NDArray[np.float64]


def smoothed(x: Floats, y: Floats, weight: float, counts: Floats | None = None) -> Floats:
    """Exponential moving average of `y`, of shape (n,), weighted by the distance between points.

    A point that lies d before another counts `weight ** (d / 2)` in it, on an axis `SPAN` long;
    weights are divided by their sum, so that the first points are not drawn towards 0. That is the
    time-weighted EMA of Weights & Biases, which fades by the root of the weight that is chosen. A
    gap (NaN) stays one. `weight` is from 0, which changes nothing, to below 1; `x` is sorted. With
    `counts`, each value is the mean of so many points, and counts for as many.
    """
    length = float(x[-1] - x[0]) if len(x) else 0.0
    if weight <= 0 or length <= 0:
        return y
    known = np.isfinite(y)
    counts = known * (1.0 if counts is None else counts)
    half_life = timedelta(seconds=2 * math.log(0.5) / math.log(weight))
    times = pd.to_datetime((x - x[0]) / length * SPAN, unit="s")
    sums, shares = (
        pd.Series(values).ewm(halflife=half_life, times=times).mean().to_numpy()
        for values in (np.where(known, y, 0.0) * counts, counts)
    )
    return np.divide(sums, shares, out=np.full(len(y), np.nan), where=known)
