"""What arms cost, by prices that the reader gives; which arms nothing beats; and from when on.

A run costs its devices' price an hour for as long as it took, and the energy it was measured to
take at the price of electricity, if one is given. What was not measured has no cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.config import ACCELERATOR_NAMES
from engine.format import figure, in_a_row
from engine.statistics import Estimate
from engine.studies.measured import Card

JOULES_PER_KWH = 3.6e6
HIGHEST_PRICE = 1e6
ASSUMING = "By the medians: start-up once, then each epoch as long as those that were measured."
MOST_EPOCHS = 100_000  # beyond, a break-even is of no use to anybody


class Prices(NamedTuple):
    """What the reader gave; what is None has no price. `per_hour` is of one device, by its kind."""

    per_hour: Mapping[str, float]  # $ an hour; a CPU is its whole host
    per_kwh: float | None = None  # $
    g_per_kwh: float | None = None  # of CO2

    @property
    def given(self) -> bool:
        return bool(self.per_hour) or self.per_kwh is not None or self.g_per_kwh is not None


class Cost(NamedTuple):
    """In $ and g. `usd` is of one run, the median with its interval; `all_usd` of all repeats that
    succeeded, without the warm-up.
    """

    usd: Estimate | None
    all_usd: float | None
    co2_g: float | None
    why_not: str


def is_price(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= HIGHEST_PRICE


def of(card: Card, prices: Prices) -> Cost:
    """Of one arm. With a price for energy and no measured energy there is no cost."""
    co2 = _of_energy(card, prices.g_per_kwh)
    rate, why_not = _hourly(card, prices)
    if rate is None or card.took_s is None:
        return Cost(None, None, co2, why_not or "no run succeeded")
    electricity = _of_energy(card, prices.per_kwh) or 0.0
    per_s = rate / 3600
    usd = _scaled(card.took_s, per_s, electricity)
    whole = sum(repeat.took_s or 0.0 for repeat in card.repeats) * per_s
    return Cost(usd, whole + electricity * len(card.repeats), co2, "")


def in_words(prices: Prices) -> str:
    """The prices that figures are made with."""
    told = [
        f"${price:g} an hour for a {ACCELERATOR_NAMES[kind]}"
        for kind, price in prices.per_hour.items()
    ]
    if prices.per_kwh is not None:
        told.append(f"${prices.per_kwh:g} a kWh")
    if prices.g_per_kwh is not None:
        told.append(f"{prices.g_per_kwh:g} g CO2 a kWh")
    return ", ".join(told) or "no prices were given"


def front(points: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the points that no other is at least as low as in all and lower in one (Pareto)."""
    return [
        name
        for name, mine in points.items()
        if not any(_beats(other, mine) for label, other in points.items() if label != name)
    ]


def break_evens(cards: Sequence[Card], prices: Prices) -> list[str]:
    """Of each arm that compares, against the baseline, by time and by cost.

    What holds for several arms alike is said once, of all of them.
    """
    baseline = next((card for card in cards if card.standing == "baseline"), None)
    if baseline is None:
        return []
    told: dict[_Told, list[str]] = {}
    for by in (None, prices) if prices.per_hour or prices.per_kwh is not None else (None,):
        for card in cards:
            if card.standing == "compared" and (found := _against(baseline, card, by)):
                told.setdefault(found, []).append(card.arm)
    return [found.of(arms) for found, arms in told.items()]


class _Told(NamedTuple):
    """A sentence with a place for the arms that it holds for."""

    before: str
    after: str
    is_subject: bool = True

    def of(self, arms: Sequence[str]) -> str:
        verb = (" is" if len(arms) == 1 else " are") if self.is_subject else ""
        return f"{self.before}{in_a_row(arms)}{verb}{self.after}"


def break_even(a: tuple[float, float], b: tuple[float, float]) -> tuple[int, int | None]:
    """Of two lines (start, each epoch): which is lower in the long run, 0 or 1, and from when on.

    None: from the first epoch on. Where epochs are alike, the lower start wins from the first.
    """
    (start_a, each_a), (start_b, each_b) = a, b
    better = 0 if (each_a, start_a) <= (each_b, start_b) else 1
    ahead, slope = (start_b - start_a, each_b - each_a)
    if better:
        ahead, slope = -ahead, -slope
    if ahead >= 0 or slope == 0:
        return better, None
    return better, math.floor(-ahead / slope) + 1


def _against(baseline: Card, card: Card, prices: Prices | None) -> _Told | None:
    what = "faster" if prices is None else "cheaper"
    base = baseline.arm
    lines = [_line(one, prices) for one in (card, baseline)]
    for one, line in zip((card, baseline), lines, strict=True):
        if line is None:
            why = (_hourly(one, prices)[1] if prices else "") or f"{one.arm} has no time ledger"
            return _Told("From when on ", f" {what} than {base} is not known: {why}.")
    mine, its = lines
    assert mine is not None
    assert its is not None
    if mine == its:
        return _Told("", f" as cheap as {base}.") if prices else None
    which, epochs = break_even(mine, its)
    is_ahead = which == 0
    if epochs is None or epochs <= 1:
        return _in_order(is_ahead, base, what, " at any number of epochs.")
    if epochs > MOST_EPOCHS:
        return _in_order(not is_ahead, base, what, f" up to {MOST_EPOCHS:,} epochs and more.")
    less = f"{base} is" if is_ahead else "it is the other way round"
    return _in_order(is_ahead, base, what, f" from {epochs:,} epochs on; with fewer, {less}.")


def _in_order(is_ahead: bool, base: str, what: str, when: str) -> _Told:
    if is_ahead:
        return _Told("", f" {what} than {base}{when}")
    return _Told(f"{base} is {what} than ", when, is_subject=False)


def _line(card: Card, prices: Prices | None) -> tuple[float, float] | None:
    """(start-up, each epoch): in seconds, or with prices in $."""
    if card.start_up_s is None or card.epoch_s is None:
        return None
    if prices is None:
        return card.start_up_s, card.epoch_s
    rate, _ = _hourly(card, prices)
    if rate is None:
        return None
    electricity = (_of_energy(card, prices.per_kwh) or 0.0) / card.epochs
    return card.start_up_s * rate / 3600, card.epoch_s * rate / 3600 + electricity


def _hourly(card: Card, prices: Prices) -> tuple[float | None, str]:
    """$ an hour of all its devices; None, and why, where the cost of a run cannot be told."""
    price = prices.per_hour.get(card.accelerator)
    if prices.per_kwh is not None and card.energy_j is None:
        return None, "energy has a price and was not measured"
    if price is None and prices.per_kwh is None:
        return None, f"no price is given for a {ACCELERATOR_NAMES[card.accelerator]}"
    return (price or 0.0) * card.devices, ""


def _of_energy(card: Card, per_kwh: float | None) -> float | None:
    if per_kwh is None or card.energy_j is None:
        return None
    return card.energy_j / JOULES_PER_KWH * per_kwh


def _scaled(estimate: Estimate, by: float, plus: float) -> Estimate:
    value, low, high, repeats = estimate
    return Estimate(
        value * by + plus,
        None if low is None else low * by + plus,
        None if high is None else high * by + plus,
        repeats,
    )


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def usd(value: float) -> str:
    """`$1.25`, `$0.00031`: as many digits as tell small runs apart."""
    return f"${value:,.2f}" if value >= 1 else f"${figure(value)}"
