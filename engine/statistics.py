"""Statistics of repeats: intervals by resampling, and fits with theirs. Pure NumPy.

Intervals are percentile intervals of the bootstrap (Efron 1979; Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13). They need no assumption of a normal distribution,
and with few repeats they are too narrow. Of three values the interval is at most their span, in
which the true median lies 75 times of 100, of four 88: so five are the fewest that have one. Of
five to fifteen it lies there 93 times of 100, give or take 4; of seven 88 times. The reports say
how many repeats there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
FEWEST = 5  # with fewer repeats an interval would say more than is known
FEWEST_SIZES = 3  # of a saturation curve, to see where it bends
KNEE_SHARE = 0.9
KEPT = 2048  # results: a page asks for the same ones at every poll


class Estimate(NamedTuple):
    """`low` and `high` enclose the 95 % interval; None where there are too few repeats for one."""

    value: float
    low: float | None
    high: float | None
    repeats: int


def middle(values: Iterable[float | None]) -> float | None:
    """The median of what is known, without an interval; None if nothing is."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def median(values: Sequence[float]) -> Estimate | None:
    """The median with its bootstrap interval; None without values."""
    return _median(tuple(values)) if len(values) else None


@lru_cache(KEPT)
def _median(values: tuple[float, ...]) -> Estimate:
    sample = np.asarray(values, dtype=np.float64)
    middle = float(np.median(sample))
    if len(sample) < FEWEST:
        return Estimate(middle, None, None, len(sample))
    return Estimate(middle, *_interval(_medians(sample, seed=0)), len(sample))


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate | None:
    """Of the medians of two independent samples of positive values, each resampled by itself."""
    if not len(above) or not len(below):
        return None
    return _ratio(tuple(above), tuple(below))


@lru_cache(KEPT)
def _ratio(above: tuple[float, ...], below: tuple[float, ...]) -> Estimate:
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    value, count = float(np.median(a) / np.median(b)), min(len(a), len(b))
    if count < FEWEST:
        return Estimate(value, None, None, count)
    return Estimate(value, *_interval(_medians(a, seed=0) / _medians(b, seed=1)), count)


def amdahl_speedup(devices: NDArray[np.float64], serial: float) -> NDArray[np.float64]:
    """Amdahl (1967): n devices on work of which a fraction cannot be shared."""
    return 1 / (serial + (1 - serial) / devices)


def serial_fraction(
    devices: Sequence[float], speedups: Sequence[float], blocks: Sequence[int]
) -> Estimate | None:
    """Amdahl's serial fraction by least squares of 1/speed-up, in which it is linear:

    1/S - 1/n = s (1 - 1/n). The interval resamples blocks: the points of one block share what
    they are held against, so they are not independent. None without a point above one device.
    Held to 0..1, since a faster than ideal measurement has no serial fraction.
    """
    n, s, of_block = _above_one(devices, speedups, blocks)
    return _fraction(1 - 1 / n, 1 / s - 1 / n, of_block)


def gustafson_speedup(devices: NDArray[np.float64], serial: float) -> NDArray[np.float64]:
    """Gustafson (1988): n devices on work that grows with them, but for a fraction."""
    return devices - serial * (devices - 1)


def scaled_serial_fraction(
    devices: Sequence[float], speedups: Sequence[float], blocks: Sequence[int]
) -> Estimate | None:
    """Gustafson's serial fraction, as `serial_fraction` has Amdahl's: n - S = s (n - 1)."""
    n, s, of_block = _above_one(devices, speedups, blocks)
    return _fraction(n - 1, n - s, of_block)


def _above_one(
    devices: Sequence[float], speedups: Sequence[float], blocks: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    n, s = np.asarray(devices, dtype=np.float64), np.asarray(speedups, dtype=np.float64)
    return n[n > 1], s[n > 1], np.asarray(blocks, dtype=np.int64)[n > 1]


def _fraction(
    x: NDArray[np.float64], y: NDArray[np.float64], blocks: NDArray[np.int64]
) -> Estimate | None:
    """The slope of y = s x by least squares, held to 0..1, with its interval over blocks."""
    if not len(x):
        return None
    fitted = float(np.clip((x @ y) / (x @ x), 0, 1))
    names, of_point = np.unique(blocks, return_inverse=True)
    if len(names) < FEWEST:
        return Estimate(fitted, None, None, len(names))
    above, below = (np.bincount(of_point, weights) for weights in (x * y, x * x))
    index = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    slopes = above[index].sum(axis=1) / below[index].sum(axis=1)
    return Estimate(fitted, *_interval(np.clip(slopes, 0, 1)), len(names))


def knee(sizes: Sequence[float], rates: Sequence[float]) -> float | None:
    """The smallest size from which on a saturation curve has 90 % of its highest rate.

    None if the highest rate is at the largest size and clearly above the one before: the curve
    still rises, and the knee lies beyond what was measured.
    """
    order = np.argsort(sizes)
    x, y = np.asarray(sizes, dtype=np.float64)[order], np.asarray(rates, dtype=np.float64)[order]
    if len(x) < FEWEST_SIZES or (y[-1] == y.max() and y[-2] < KNEE_SHARE * y[-1]):
        return None
    return float(x[np.argmax(y >= KNEE_SHARE * y.max())])


def _medians(sample: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Of each resample; the same in every report of the same runs."""
    index = np.random.default_rng(seed).integers(len(sample), size=(RESAMPLES, len(sample)))
    return np.median(sample[index], axis=1)


def _interval(replicates: NDArray[np.float64]) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return float(low), float(high)
