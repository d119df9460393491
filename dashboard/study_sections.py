"""The charts of a report that the page and the file share, each with what must be said of it."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from dashboard import study_charts, study_cost, study_tradeoffs
from dashboard.study_tradeoffs import Spot
from engine.format import in_a_row, step_time
from engine.studies import cost, saturation
from engine.studies.cost import Prices
from engine.studies.report import Report

HEIGHT = 340


class Drawn(NamedTuple):
    """`key` tells the chart from others of the page."""

    key: str
    figure: go.Figure
    told: tuple[str, ...] = ()
    height: int = HEIGHT


def charts(report: Report, prices: Prices) -> dict[str, Drawn]:
    """Title -> chart, of those that there is something to draw for."""
    made: dict[str, Drawn] = {}
    curves = saturation.of(report.question, report.cards)
    if any(curve.points for curve in curves):
        told = saturation.answer(report.question, report.cards)
        made["Saturation"] = Drawn("saturation", study_charts.saturation(curves), (told,))
    if any(report.learning.values()):
        drawn = study_tradeoffs.learning(report.learning, report.question.target_accuracy)
        told = "Every repeat is a faint line, the median of an arm a full one."
        made["Accuracy against time"] = Drawn("learning", drawn, (told,))
    made |= _trade_offs(report, prices)
    found = report.roofline
    if found.points or found.bounds:
        arms = [card.arm for card in report.cards]
        drawn = study_tradeoffs.roofline(found, arms)
        made["Roofline"] = Drawn("roofline", drawn, _of_roofs(report))
    return made


def _trade_offs(report: Report, prices: Prices) -> dict[str, Drawn]:
    by_cost, by_energy = study_cost.spots(report.cards, prices)
    time = "Time of a run (s)"
    made = {}
    if len(by_cost) > 1:
        drawn = study_tradeoffs.pareto(by_cost, time, "Cost of a run ($)")
        told = f"Filled: nothing is both faster and cheaper. By {cost.in_words(prices)}."
        made["Time and cost"] = Drawn("cost", drawn, (told,))
    if len(by_energy) > 1:
        drawn = study_tradeoffs.pareto(by_energy, time, "Energy of a run (J)")
        made["Time and energy"] = Drawn("energy", drawn, (_of_energy(by_energy),))
    return made | _all_three(report, prices)


def _all_three(report: Report, prices: Prices) -> dict[str, Drawn]:
    """Arms that none beats on time, energy and cost together, of those whose energy compares."""
    known = study_cost.on_three_scales(report.cards, prices)
    if len(known) < 2:
        return {}
    unbeaten = cost.front(known)
    beaten = [arm for arm in known if arm not in unbeaten]
    told = f"Of time, energy and cost together nothing beats {in_a_row(unbeaten)}."
    if beaten:
        told += f" Beaten on all three, or on some and equal in the rest: {in_a_row(beaten)}."
    drawn = study_tradeoffs.three_scales(known, unbeaten, [card.arm for card in report.cards])
    return {"Time, energy and cost": Drawn("three", drawn, (told,))}


def _of_energy(spots: list[Spot]) -> str:
    if len({spot.group for spot in spots}) > 1:
        return "Arms whose energy was measured in different ways are not ranked with each other."
    return f"Filled: nothing is both faster and takes less energy. {spots[0].group}."


def _of_roofs(report: Report) -> tuple[str, ...]:
    """Bytes are counted unfused, so a point may lie left of where it is."""
    found = report.roofline
    told = ["Bytes are counted as if no operation were fused with the next one, so arithmetic "
            "intensity is at least what is drawn."]  # fmt: skip
    if found.bounds:
        steps = "; ".join(f"{b.name}: {step_time(b.step_s)} a step at least" for b in found.bounds)
        told.append(f"Hollow and dashed are bounds by the TPU's compiler, not measured. {steps}.")
    if found.left_out:
        told.append(f"Without a point: {'; '.join(found.left_out)}.")
    return tuple(told)
