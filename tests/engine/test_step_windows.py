"""Windows of steps: what a trainer keeps of its pace, and the percentiles made of them."""

import numpy as np
import pytest

from engine.frameworks import Totals
from engine.studies import windows
from engine.training import Pace, Span, Windows

NOTHING = Totals(0.0, 0, 0)


def test_neighbours_become_one_when_there_is_no_more_room_and_no_second_is_lost():
    kept = Windows(most=4)
    for seconds in range(1, 12):
        kept.add(Span(10, float(seconds)))
    assert kept.told() == [(40, 1 + 2 + 3 + 4), (40, 5 + 6 + 7 + 8)]  # the third is not yet full
    many = Windows(most=256)
    for _ in range(100_000):
        many.add(Span(1, 0.5))
    told = many.told()
    assert 128 <= len(told) < 256
    assert {(steps, seconds / steps) for steps, seconds in told} == {(512, 0.5)}


def test_a_pace_keeps_its_steady_chunks_and_not_its_warm_up():
    now = iter(range(100))
    pace = Pace(warm_up_steps=3, clock=lambda: float(next(now)))
    for steps in (3, 10, 20):
        pace.timed(lambda _: NOTHING, steps)
    assert pace.windows.told() == [(10, 1.0), (20, 1.0)]


def test_percentiles_are_numpys_where_all_windows_are_of_one_size():
    ms = np.random.default_rng(1).lognormal(size=400)
    found = windows.pooled([[(5, 5 * value / 1000) for value in ms[:150]],
                            [(5, 5 * value / 1000) for value in ms[150:]], None])  # fmt: skip
    wanted = np.percentile(ms, [50, 95, 99], method="inverted_cdf")
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == pytest.approx(tuple(wanted))
    assert windows.in_words([found]) == "400 windows of 5 steps"


def test_a_window_counts_by_its_steps():
    found = windows.pooled([[(98, 0.098), (1, 0.5), (1, 0.5)]])
    assert found.p50_ms == pytest.approx(1.0)


def test_too_few_windows_have_no_tail():
    found = windows.pooled([[(10, 0.01)] * 19])
    assert (found.p95_ms, found.p99_ms) == (None, None)
    assert windows.pooled([None, []]) is None
