"""Smoothed curves against the recurrence that defines them."""

import numpy as np
import pytest

from dashboard.smoothing import SPAN, smoothed


def by_recurrence(x, y, weight):
    """As docs.wandb.ai has it, under Smooth line plots."""
    weight = min(np.sqrt(weight), 0.999)
    total, weights, found = 0.0, 0.0, []
    for i, value in enumerate(y):
        distance = (x[i] - x[max(i - 1, 0)]) / (x[-1] - x[0]) * SPAN
        total = total * weight**distance + value
        weights = weights * weight**distance + 1
        found.append(total / weights)
    return np.array(found)


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.99])
def test_weights_fade_with_the_distance_between_points(weight):
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.random(300)) * 50, rng.normal(size=300)
    assert smoothed(x, y, weight) == pytest.approx(by_recurrence(x, y, weight), abs=1e-6)


def test_a_mean_of_many_points_counts_as_many():
    """Points in pairs at one place are what their means are, with a count of two."""
    rng = np.random.default_rng(1)
    x, pairs = np.arange(100.0), rng.normal(size=(100, 2))
    pairs[40, 1] = np.nan
    counts = np.isfinite(pairs).sum(axis=1)
    of_means = smoothed(x, np.nanmean(pairs, axis=1), 0.8, counts)
    of_points = smoothed(np.repeat(x, 2), pairs.ravel(), 0.8)
    last_of_each = np.where(np.arange(100) == 40, of_points[::2], of_points[1::2])
    assert of_means == pytest.approx(last_of_each, abs=1e-9)


def test_a_gap_stays_a_gap():
    x, y = np.arange(5.0), np.array([1.0, 1.0, np.nan, 1.0, 1.0])
    assert smoothed(x, y, 0.9).tolist() == pytest.approx([1, 1, np.nan, 1, 1], nan_ok=True)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_at_one_place_are_drawn_as_they_are(count):
    x, y = np.ones(count), np.arange(count, dtype=float)
    assert smoothed(x, y, 0.9).tolist() == y.tolist()
