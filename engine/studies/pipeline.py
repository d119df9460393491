"""What waiting for samples costs: what each loader's ledger promises, and whether it came true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine import statistics
from engine.statistics import Estimate
from engine.studies.measured import Card, interval
from engine.studies.question import Question

HELD_WITHIN = 0.1  # of the promised ratio


class Probe(NamedTuple):
    """One loader. `promised`: steps over compute, by its ledger; `gave`: the data set on the
    device against it, measured. Ratios of samples/s; None where not known.
    """

    arm: str
    waited_share: float | None
    promised: float | None
    gave: Estimate | None


def probes(question: Question, cards: Sequence[Card]) -> list[Probe]:
    """Of each loader of an input study, in its order; `cards` are those that compare."""
    if question.kind != "input":
        return []
    inputs = {arm.label: arm.config.input for arm in question.arms()}
    resident = [card for card in cards if inputs[card.arm] == "device_resident"]
    return [
        _probe(card, resident[0] if resident else None)
        for card in cards
        if inputs[card.arm] == "host_loader"
    ]


def answer(question: Question, cards: Sequence[Card]) -> str:
    """Of the loader as it comes, then of the one with the best settings."""
    found = probes(question, cards)
    first = found[0] if found else None
    if first is None or not first.promised:
        return ""
    told = (
        f"By its ledger, {first.arm} would train {first.promised:.2f}x as fast without its input "
        "wait"
    )
    if first.gave:
        is_kept = first.gave.value >= first.promised * (1 - HELD_WITHIN)
        told += (
            f"; {question.arms()[0].label} is {first.gave.value:.2f}x{interval(first.gave)}, "
            f"{'as promised or better' if is_kept else 'less than promised'}"
        )
    return f"{told}.{_best(found, cards)}"


def _best(found: Sequence[Probe], cards: Sequence[Card]) -> str:
    """What the loader's settings gave, if there was a choice of them."""
    rates = {card.arm: card.rates for card in cards}
    known = [probe.arm for probe in found if rates[probe.arm]]
    if len(known) < 2:
        return ""
    first, *others = known
    gains = {arm: statistics.ratio(rates[arm], rates[first]) for arm in others}
    best = max(gains, key=lambda arm: gain.value if (gain := gains[arm]) else 0.0)
    gain = gains[best]
    if gain is None:
        return ""
    if gain.value <= 1:
        return f" No other loader was faster than {first}."
    told = f"{gain.value:.2f}x as fast as {first}{interval(gain)}"
    if gain.low is None or gain.low <= 1:
        return f" Of the loaders, {best} has the highest median, {told}: too close to tell apart."
    return f" Of the loaders, {best} is the fastest, {told}."


def _probe(card: Card, resident: Card | None) -> Probe:
    waited, computed = card.ledger.get("input_wait", 0.0), card.ledger.get("compute", 0.0)
    steps = waited + computed
    gave = statistics.ratio(resident.rates, card.rates) if resident else None
    known = bool(waited and computed)
    return Probe(
        card.arm,
        waited / steps if known else None,
        steps / computed if known else None,
        gave,
    )
