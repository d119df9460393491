"""Intervals and fits against what can be computed exactly, and against SciPy where it is."""

import itertools

import numpy as np
import pytest

from engine import statistics

SAMPLE = [3.1, 2.9, 3.4, 3.0, 3.2]


def exact_interval(sample):
    """Of the median, over all resamples there are: what the bootstrap approaches."""
    medians = [np.median(drawn) for drawn in itertools.product(sample, repeat=len(sample))]
    return np.percentile(medians, [2.5, 97.5])


def test_the_interval_of_a_median_is_that_of_all_resamples():
    found = statistics.median(SAMPLE)
    assert found.value == 3.1
    assert found.repeats == 5
    assert (found.low, found.high) == pytest.approx(exact_interval(SAMPLE), abs=0.02)


def test_the_interval_of_a_median_is_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    sample = np.random.default_rng(7).lognormal(size=40)
    theirs = scipy_stats.bootstrap(
        (sample,), np.median, method="percentile", n_resamples=10_000, random_state=1
    ).confidence_interval
    found = statistics.median(sample)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_fewer_than_five_repeats_have_a_median_and_no_interval():
    assert statistics.median([1.0, 3.0]) == (2.0, None, None, 2)
    assert statistics.median([1.0, 2.0, 2.5, 3.0]) == (2.25, None, None, 4)
    assert statistics.ratio([2.0] * 5, [1.0] * 4) == (2.0, None, None, 4)
    assert statistics.median([]) is None


def test_five_repeats_cover_the_true_median_about_as_often_as_they_say():
    """The fewest with an interval. Their span covers it in all but 2 of 32 draws: 94 %."""
    draw = np.random.default_rng(5)
    found = [statistics.median(draw.normal(10, 1, 5)) for _ in range(200)]
    assert sum(one.low <= 10 <= one.high for one in found) >= 180


def test_points_that_share_a_baseline_are_resampled_together():
    """One seed whose run on one device was slow lifts all its speed-ups."""
    lucky = [1.0, 1.0, 1.0, 1.0, 1.3]
    devices, seeds = np.tile([2.0, 4.0], 5), np.repeat(np.arange(5), 2)
    speedups = statistics.amdahl_speedup(devices, 0.3) * np.repeat(lucky, 2)
    together = statistics.serial_fraction(devices, speedups, seeds)
    alone = statistics.serial_fraction(devices, speedups, np.arange(10))
    assert together.value == alone.value
    assert together.high - together.low > 1.2 * (alone.high - alone.low)


def test_a_ratio_of_scaled_samples_is_the_scale():
    found = statistics.ratio([2 * value for value in SAMPLE], SAMPLE)
    assert found.value == pytest.approx(2.0)
    low, high = exact_interval(SAMPLE)
    assert 2 * low / high <= found.low < 2.0 < found.high <= 2 * high / low
    assert statistics.ratio([1.0], []) is None


def test_the_interval_of_a_ratio_is_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(11)
    above, below = draw.lognormal(1.0, 0.2, 30), draw.lognormal(0.0, 0.3, 25)
    theirs = scipy_stats.bootstrap(
        (above, below),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        method="percentile", n_resamples=10_000, random_state=1,
    ).confidence_interval  # fmt: skip
    found = statistics.ratio(above, below)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_intervals_cover_the_true_median_about_as_often_as_they_say():
    draw = np.random.default_rng(3)
    found = [statistics.median(draw.normal(10, 1, 25)) for _ in range(60)]
    assert sum(one.low <= 10 <= one.high for one in found) >= 52  # of 57 expected


def test_amdahls_fraction_is_found_again():
    devices = np.array([1.0, 2, 4, 8, 16])
    devices, seeds = np.tile(devices, 5), np.repeat(np.arange(5), 5)
    found = statistics.serial_fraction(devices, statistics.amdahl_speedup(devices, 0.1), seeds)
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    # Amdahl's own bound: 10 % that cannot be shared allow 10x at most.
    assert statistics.amdahl_speedup(np.array([1e12]), 0.1)[0] == pytest.approx(10)


# Barney, Introduction to Parallel Computing (LLNL): speed-up by the share that can be parallel.
PUBLISHED = {0.5: (1.82, 1.98, 1.99), 0.9: (5.26, 9.17, 9.91), 0.95: (6.89, 16.80, 19.62),
             0.99: (9.17, 50.25, 90.99)}  # fmt: skip


@pytest.mark.parametrize(("parallel", "speedups"), PUBLISHED.items())
def test_amdahls_fit_is_that_of_a_published_table(parallel, speedups):
    devices = np.array([10.0, 100, 1000])
    assert statistics.amdahl_speedup(devices, 1 - parallel) == pytest.approx(speedups, abs=0.011)
    found = statistics.serial_fraction(devices, speedups, [0, 0, 0])
    assert found.value == pytest.approx(1 - parallel, rel=0.01)


def test_the_fits_are_numpys_least_squares():
    draw = np.random.default_rng(2)
    n, seeds = np.tile([2.0, 4, 8], 6), np.repeat(np.arange(6), 3)
    s = statistics.amdahl_speedup(n, 0.2) * draw.normal(1, 0.05, len(n))
    (slope,), *_ = np.linalg.lstsq((1 - 1 / n)[:, None], 1 / s - 1 / n, rcond=None)
    assert statistics.serial_fraction(n, s, seeds).value == pytest.approx(slope)
    (slope,), *_ = np.linalg.lstsq((n - 1)[:, None], n - s, rcond=None)
    assert statistics.scaled_serial_fraction(n, s, seeds).value == pytest.approx(slope)


def test_a_perfect_speedup_has_no_serial_part_and_one_device_tells_nothing():
    assert statistics.serial_fraction([1, 2, 4], [1, 2.1, 4], [0, 0, 0]).value == 0.0
    assert statistics.serial_fraction([1], [1], [0]) is None


def test_gustafsons_fraction_is_found_again():
    devices = np.array([1.0, 2, 4, 1024])
    speedups = statistics.gustafson_speedup(devices, 0.004)
    # Gustafson (1988): scaled speed-up is N + (1 - N) s.
    assert speedups[-1] == pytest.approx(1024 + (1 - 1024) * 0.004)
    assert statistics.scaled_serial_fraction(devices, speedups, [0] * 4).value == pytest.approx(
        0.004
    )
    assert statistics.scaled_serial_fraction([1], [1], [0]) is None


def test_the_knee_is_where_the_curve_flattens():
    sizes = [64, 16, 32, 128, 256]
    rates = [390.0, 100.0, 200.0, 405.0, 410.0]
    assert statistics.knee(sizes, rates) == 64


def test_a_curve_that_still_rises_has_no_knee():
    assert statistics.knee([1, 2, 4, 8], [1.0, 2.0, 4.0, 8.0]) is None
