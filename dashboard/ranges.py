"""What range of values an axis shows: where a curve is flat, and where few points lie far out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-9  # of a value's size: less is rounding
FLAT_MARGIN = 0.05  # on both sides of a flat curve: of its value, or 5 points of a percentage
CORE = (5.0, 95.0)  # percentiles: what lies between is the core
FENCE_SPANS = 5.0  # so many of the core's spans beyond it, a point is an outlier
MARGIN = 0.05

Range = tuple[float, float]


def shown(values: Iterable[NDArray[Any]], unit: str, *, robust: bool) -> Range | None:
    """What a linear axis should show of the values; None for whatever Plotly finds.

    `robust` leaves outliers out: without that, the core would lie in a tenth of the axis or less.
    """
    pooled = np.concatenate([np.asarray(v, dtype=np.float64) for v in values] or [np.empty(0)])
    finite = pooled[np.isfinite(pooled)]
    if not len(finite):
        return None
    low, high = float(finite.min()), float(finite.max())
    if high - low <= FLAT * max(abs(low), abs(high)):
        return _around((low + high) / 2, unit)
    return _without_outliers(finite, low, high) if robust else None


def _around(value: float, unit: str) -> Range | None:
    """Plotly would show a flat accuracy of 100 % on an axis of 0 to 200 %."""
    if unit == "%" and 0 <= value <= 1:
        return max(0.0, value - FLAT_MARGIN), min(1.0, value + FLAT_MARGIN)
    margin = FLAT_MARGIN * abs(value)
    return (value - margin, value + margin) if margin else None


def _without_outliers(finite: NDArray[np.float64], low: float, high: float) -> Range | None:
    begin, end = np.percentile(finite, CORE)
    reach = FENCE_SPANS * (end - begin)
    if reach == 0 or (low >= begin - reach and high <= end + reach):
        return None
    inside = finite[(finite >= begin - reach) & (finite <= end + reach)]
    low, high = float(inside.min()), float(inside.max())
    margin = MARGIN * (high - low)
    return low - margin, high + margin
