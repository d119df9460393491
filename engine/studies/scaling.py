"""What more devices give: speed-up, efficiency, and the fraction of the work that is not shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from engine import describe, statistics
from engine.format import figure
from engine.statistics import Estimate
from engine.studies.measured import Card, interval
from engine.studies.question import Question

LAWS = {"strong": "Amdahl", "weak": "Gustafson"}
MOST_SERIAL = 0.999  # from here on, a limit of 1.0x says nothing more


class Point(NamedTuple):
    """One count of devices; `efficiency` is of 1. None where the arms are not comparable."""

    arm: str
    devices: int
    ideal: float
    speedup: Estimate | None
    efficiency: float | None


class Measured(NamedTuple):
    """One repeat against the one of the same seed on the fewest devices."""

    devices: int
    seed: int
    run_id: str
    speedup: float


@dataclass(frozen=True)
class Scaling:
    """`serial` is fitted to the repeats; None, and why, where that cannot be."""

    mode: str
    virtual: bool
    fewest: int
    points: tuple[Point, ...]
    repeats: tuple[Measured, ...]
    serial: Estimate | None
    no_serial: str

    @property
    def law(self) -> str:
        return LAWS[self.mode]

    def as_json(self) -> dict[str, Any]:
        raw = asdict(self)
        raw["points"] = [
            point._asdict() | {"speedup": point.speedup and point.speedup._asdict()}
            for point in self.points
        ]
        raw["repeats"] = [repeat._asdict() for repeat in self.repeats]
        raw["serial"] = self.serial and self.serial._asdict()
        return raw | {"law": self.law}


def of(question: Question, cards: Sequence[Card]) -> Scaling | None:
    """None for another kind of study. Arms that do not compare have no points to fit."""
    if question.kind != "scaling":
        return None
    arms = {arm.label: arm.config for arm in question.arms()}
    counts = {card.arm: arms[card.arm].device_count for card in cards}
    fewest, first = min(counts.values()), cards[0]
    compared = [card for card in cards if card is first or card.speedup]
    repeats = tuple(one for card in compared for one in _repeats(counts[card.arm], card, first))
    serial, why_not = _serial(question.mode, fewest, repeats)
    return Scaling(
        mode=question.mode,
        virtual=any(config.virtual_devices for config in arms.values()),
        fewest=fewest,
        points=tuple(_point(card, counts[card.arm], fewest, card is first) for card in cards),
        repeats=repeats,
        serial=serial,
        no_serial=why_not,
    )


def fitted(found: Scaling, devices: Sequence[float]) -> list[float] | None:
    """The fitted law's speed-up at these counts of devices."""
    if found.serial is None:
        return None
    law = statistics.amdahl_speedup if found.mode == "strong" else statistics.gustafson_speedup
    return law(np.asarray(devices, dtype=np.float64), found.serial.value).tolist()


def notice(question: Question) -> str:
    """What stands above all else in the report of a study on virtual devices."""
    most = max((arm.config.virtual_devices for arm in question.arms()), default=0)
    if not most:
        return ""
    return f"Up to {most} virtual devices on one CPU: {describe.VIRTUAL}."


def answer(question: Question, cards: Sequence[Card]) -> str:
    """In a sentence or two; empty while nothing can be said."""
    found = of(question, cards)
    measured = [p for p in found.points if p.speedup and p.devices > found.fewest] if found else []
    if not found or not measured:
        return ""
    most = measured[-1]
    assert most.speedup
    told = (
        f"{most.arm} train {most.speedup.value:.2f}x as fast as {found.points[0].arm}"
        f"{interval(most.speedup)}: {100 * most.speedup.value / most.ideal:.0f} % of the ideal "
        f"{most.ideal:g}x."
    )
    return f"{told} {in_words(found)}".strip()


def in_words(found: Scaling) -> str:
    """The fitted fraction, and what follows from it."""
    if found.serial is None:
        return found.no_serial
    low, high = found.serial.low, found.serial.high
    within = "" if low is None or high is None else f" (95 %: {100 * low:.0f} to {100 * high:.0f})"
    share = found.serial.value
    told = f"{found.law}'s fitted serial fraction is {100 * share:.0f} %{within}"
    if share > MOST_SERIAL:
        return f"{told}: more devices add no speed here."
    if found.mode == "weak" or not share:
        return f"{told}."
    return f"{told}, so no number of devices gives more than {figure(1 / share)}x."


def _point(card: Card, devices: int, fewest: int, is_first: bool) -> Point:
    ideal = devices / fewest
    count = len(card.repeats)
    speedup = Estimate(1.0, None, None, count) if is_first and count else card.speedup
    return Point(card.arm, devices, ideal, speedup, speedup and speedup.value / ideal)


def _repeats(devices: int, card: Card, first: Card) -> list[Measured]:
    """Repeats of one seed ran in one block, side by side, so what drifts is in both."""
    alone = {one.seed: one.samples_per_s for one in first.repeats if one.samples_per_s}
    return [
        Measured(devices, one.seed, one.run_id, one.samples_per_s / alone[one.seed])
        for one in card.repeats
        if one.samples_per_s and one.seed in alone
    ]


def _serial(mode: str, fewest: int, repeats: Sequence[Measured]) -> tuple[Estimate | None, str]:
    if fewest != 1:
        return None, "A serial fraction is fitted to speed-ups over one device, and none was run."
    devices, speedups = [one.devices for one in repeats], [one.speedup for one in repeats]
    seeds = [one.seed for one in repeats]  # those of one seed share its run on one device
    fit = statistics.serial_fraction if mode == "strong" else statistics.scaled_serial_fraction
    found = fit(devices, speedups, seeds)
    return found, "" if found else "No speed-up over one device is known yet."
