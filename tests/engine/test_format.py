"""Figures as people read them: no exponent where a word or a comma would do."""

import doctest

import pytest

from engine import format


def test_the_examples_of_each_formatter_are_true():
    found = doctest.testmod(format)
    assert (found.failed, found.attempted >= 3) == (0, True)


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "—"), (0.012345, "0.0123"), (4.555, "4.55"), (999.4, "999"), (999.6, "1,000"),
     (-999.6, "-1,000"), (12345.6, "12,346"), (1234, "1,234"), (float("nan"), "nan")],
)  # fmt: skip
def test_a_figure_has_three_digits_and_its_thousands_apart(value, told):
    assert format.figure(value) == told


def test_a_figure_of_more_digits_is_rounded_later():
    assert [format.figure(value, 4) for value in (999.61, 999.96)] == ["999.6", "1,000"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "—"), (12.0, "12 B"), (999.4, "999 B"), (999.6, "1 kB"), (999_600.0, "1 MB"),
     (54_270_724.0, "54.3 MB"), (0.0, "0 B")],
)  # fmt: skip
def test_an_amount_has_the_prefix_of_what_is_shown(value, told):
    assert format.amount(value, "B") == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "—"), (61.6e-6, "61.6 µs"), (0.9996e-3, "1 ms"), (0.251, "251 ms"), (0.9996, "1 s"),
     (1.2, "1.2 s")],
)  # fmt: skip
def test_a_steps_time_has_the_unit_of_what_is_shown(seconds, told):
    assert format.step_time(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0 s"), (0.0762, "0.076 s"), (0.13, "0.13 s"), (0.999, "1.0 s"), (9.94, "9.9 s")],
)
def test_a_short_time_keeps_two_digits(seconds, told):
    assert format.duration(seconds) == told
