"""How throughput grows with the batch, in each precision: its knee, and the edge of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine import statistics
from engine.format import counted, figure
from engine.studies.measured import Card
from engine.studies.question import Question


class Curve(NamedTuple):
    """Of one precision; `points` are (batch, median samples/s) by batch, none where no batch fits.

    `knee` is None where throughput still rises at the largest batch, or there are too few sizes
    to tell. `edge` is the smallest batch that ran out of memory at every try.
    """

    precision: str
    points: tuple[tuple[int, float], ...]
    knee: int | None
    edge: int | None


def of(question: Question, cards: Sequence[Card]) -> list[Curve]:
    """Of a saturation study; empty before an arm is over. Red pairs have no point."""
    if question.kind != "saturation":
        return []
    arms = {arm.label: arm.config for arm in question.arms()}
    points: dict[str, list[tuple[int, float]]] = {}
    edges: dict[str, int] = {}
    for card in cards:
        precision, size = arms[card.arm].precision, arms[card.arm].batch_size
        known = points.setdefault(precision, [])
        if card.samples_per_s and card.standing != "not comparable":
            known.append((size, card.samples_per_s.value))
        elif card.is_too_large:
            edges[precision] = min(size, edges.get(precision, size))
    return [
        Curve(precision, tuple(sorted(known)), _knee(known), edges.get(precision))
        for precision, known in points.items()
        if known or precision in edges
    ]


def answer(question: Question, cards: Sequence[Card]) -> str:
    """A sentence on each precision's knee and edge, then on sizes that failed for other reasons."""
    curves = of(question, cards)
    told = [_in_words(curve, len(curves) > 1) for curve in curves]
    others = [c.arm for c in cards if c.failures and not c.repeats and not c.is_too_large]
    if told and others:
        told.append(f"These failed at every try, not for memory: {', '.join(others)}.")
    return " ".join(filter(None, told))


def _in_words(curve: Curve, is_one_of_several: bool) -> str:
    within = f"In {curve.precision}: " if is_one_of_several else ""
    if not curve.points:
        told = f"no batch fits, from {curve.edge:,} on."
        return within + (told if within else told[0].upper() + told[1:])
    largest, rate = curve.points[-1]
    if len(curve.points) < statistics.FEWEST_SIZES:
        few = counted(len(curve.points), "size")
        told = f"{few} {'is' if len(curve.points) == 1 else 'are'} too few to tell a knee"
    elif curve.knee is None:
        told = f"throughput still rises at batch {largest:,} ({figure(rate)} samples/s): the knee "
        told += "lies beyond"
    else:
        told = f"from batch {curve.knee:,} on, throughput is within 10 % of its highest"
    if curve.edge is None:
        edge = f"memory's edge was not reached by batch {largest:,}"
    else:
        edge = f"batch {curve.edge:,} ran out of memory"
    told = f"{told}; {edge}."
    return within + (told if within else told[0].upper() + told[1:])


def _knee(points: Sequence[tuple[int, float]]) -> int | None:
    if len(points) < statistics.FEWEST_SIZES:
        return None
    found = statistics.knee(*zip(*points, strict=True))
    return None if found is None else round(found)
