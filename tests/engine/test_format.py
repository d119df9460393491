"""Figures in words: their digits, units and prefixes."""

import doctest

import pytest

from engine import format as formatted


def test_the_examples_of_each_formatter_are_true():
    result = doctest.testmod(formatted)
    assert (result.failed, result.attempted >= 4) == (0, True)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (formatted.figure(999.7), "1,000"),
        (formatted.figure(-999.7), "-1,000"),
        (formatted.figure(999.4), "999"),
        (formatted.figure(999.7, 4), "999.7"),
        (formatted.figure(999.97, 4), "1,000"),
        (formatted.amount(999_600, "FLOP"), "1 MFLOP"),
        (formatted.amount(999_400, "FLOP"), "999 kFLOP"),
        (formatted.step_time(0.9996), "1 s"),
        (formatted.step_time(0.9994), "999 ms"),
    ],
)
def test_a_figure_just_below_a_thousand_is_not_written_with_a_power_of_ten(told, wanted):
    assert told == wanted


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0 s"), (0.0762, "0.076 s"), (0.13, "0.13 s"), (0.999, "1.0 s"), (9.94, "9.9 s")],
)
def test_a_short_time_keeps_two_digits(seconds, told):
    assert formatted.duration(seconds) == told
