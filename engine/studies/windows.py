"""Percentiles of step time from windows of steps, since no single step has a time of its own.

A trainer waits for its device at the end of a chunk of steps, to disturb it least. So a window's
time over its steps is a mean, and what one slow step adds is spread over its window: the
percentiles say which share of the steps lay in windows as fast as that, or faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Fewer windows than these have none so far out: one window would be the whole tail.
FEWEST = {50: 3, 95: 20, 99: 100}


class Percentiles(NamedTuple):
    """In ms. `steps` is the median number of steps of a window; None: too few windows to tell."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    windows: int
    steps: int


def pooled(of_runs: Sequence[Sequence[tuple[int, float]] | None]) -> Percentiles | None:
    """Of the windows (steps, seconds) of all repeats together; None if none kept any."""
    every = np.array([window for of_run in of_runs for window in of_run or ()], dtype=np.float64)
    if not len(every):
        return None
    steps, per_step_ms = every[:, 0], 1000 * every[:, 1] / every[:, 0]
    found = {
        share: _weighted(per_step_ms, steps, share) if len(every) >= fewest else None
        for share, fewest in FEWEST.items()
    }
    return Percentiles(found[50], found[95], found[99], len(every), round(np.median(steps)))


def in_words(found: Sequence[Percentiles]) -> str:
    """What the percentiles of some arms are of."""
    windows = _span([one.windows for one in found])
    return f"{windows} windows of {_span([one.steps for one in found])} steps"


def _span(counts: Sequence[int]) -> str:
    fewest, most = min(counts), max(counts)
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _weighted(values: np.ndarray, weights: np.ndarray, share: int) -> float:
    """The smallest value at or below which that share (%) of all the weight lies."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(reached, share / 100 - 1e-12)])
