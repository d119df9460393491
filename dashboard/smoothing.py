"""Smoothed curves: a moving average whose weights fade with the distance on the x axis."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SPAN = 1000.0  # the whole axis is taken to be this long, whatever it counts


def smoothed(x: NDArray[np.float64], y: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Exponential moving average of `y`, of shape (n,), weighted by the distance between points.

    A point that lies d before another counts `weight ** d` in it, on an axis `SPAN` long; weights
    are divided by their sum, so that the first points are not drawn towards 0 (the time-weighted
    EMA of Weights & Biases). A gap (NaN) stays one. `weight` is from 0, which changes nothing, to
    below 1; `x` is sorted.
    """
    length = float(x[-1] - x[0]) if len(x) else 0.0
    if weight <= 0 or length <= 0:
        return y
    half_life = timedelta(seconds=math.log(0.5) / math.log(weight))
    times = pd.to_datetime((x - x[0]) / length * SPAN, unit="s")
    mean = pd.Series(y).ewm(halflife=half_life, times=times).mean()
    return np.where(np.isfinite(y), mean.to_numpy(), np.nan)
