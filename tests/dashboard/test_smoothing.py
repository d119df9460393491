"""Smoothed curves against the recurrence that defines them."""

import numpy as np
import pytest

from dashboard.smoothing import SPAN, smoothed


def by_recurrence(x, y, weight):
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


def test_a_gap_stays_a_gap():
    x, y = np.arange(5.0), np.array([1.0, 1.0, np.nan, 1.0, 1.0])
    assert smoothed(x, y, 0.9).tolist() == pytest.approx([1, 1, np.nan, 1, 1], nan_ok=True)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_at_one_place_are_drawn_as_they_are(count):
    x, y = np.ones(count), np.arange(count, dtype=float)
    assert smoothed(x, y, 0.9).tolist() == y.tolist()
