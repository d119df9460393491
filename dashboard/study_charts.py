"""A study's report -> Plotly figures: pure, like `charts`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import color, literal, shortened
from engine.studies.measured import Card
from engine.studies.saturation import Curve

LEGEND = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
AXIS_LETTERS = 16  # of an arm's name in a line at the axis: on a phone, the plot needs the room
NO_FIGURE: Mapping[str, Any] = {
    "template": None,
    "uirevision": "kept",
    "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
}


def repeats(cards: Sequence[Card]) -> go.Figure:
    """Every repeat as a point, with each arm's median and its interval beside them."""
    traces: list[dict[str, Any]] = []
    for index, card in enumerate(cards):
        name = at_axis(card.arm)
        known = [repeat for repeat in card.repeats if repeat.samples_per_s is not None]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "uid": f"repeats{index}",
                "name": name,
                "x": [repeat.samples_per_s for repeat in known],
                "y": [name] * len(known),
                "text": [f"run {repeat.run_id}, seed {repeat.seed}" for repeat in known],
                "marker": {"size": 9, "color": color(index), "opacity": 0.65},
                "hovertemplate": "%{text}<br>%{x:,.5~g} samples/s<extra></extra>",
            }
        )
        if card.samples_per_s:
            traces.append(_median(card, name, index))
    axis = {"title": {"text": "Throughput (samples/s)"}, "rangemode": "tozero"}
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": False,
            "xaxis": axis | {"tickformat": ",.6~g"},
            "yaxis": {"automargin": True, "autorange": "reversed", "type": "category"},
        },
    )


def at_axis(arm: str) -> str:
    return "<br>".join(map(literal, textwrap.wrap(shortened(arm), AXIS_LETTERS)))


def ledgers(cards: Sequence[Card], accounts: Mapping[str, tuple[str, int]]) -> go.Figure:
    """Where each arm's time went: the median seconds of each account, stacked."""
    shown = [card for card in cards if card.ledger]
    names = [at_axis(card.arm) for card in shown]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "uid": f"account{account}".replace("_", ""),
            "name": title,
            "x": [card.ledger.get(account, 0.0) for card in shown],
            "y": names,
            "marker": {"color": color(place)},
            "hovertemplate": f"{title}<br>%{{x:,.3~g}} s<extra></extra>",
        }
        for account, (title, place) in accounts.items()
        if any(card.ledger.get(account) for card in shown)
    ]
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "barmode": "stack",
            "showlegend": True,
            "legend": LEGEND | {"traceorder": "normal"},
            "xaxis": {"title": {"text": "Time (s)"}, "tickformat": ",.6~g"},
            "yaxis": {"automargin": True, "autorange": "reversed", "type": "category"},
        },
    )


def saturation(curves: Sequence[Curve]) -> go.Figure:
    """Median throughput by batch size, a curve for each precision; both axes are logarithmic.

    A ring is on the knee, and a dotted line at the batch that ran out of memory.
    """
    traces: list[dict[str, Any]] = []
    for index, curve in enumerate(curves):
        traces.append(_throughput(curve, index))
        if curve.knee is not None:
            traces.append(_knee(curve, curve.knee, index))
    sizes = {size for curve in curves for size, _ in curve.points}
    edges = [(curve.edge, index) for index, curve in enumerate(curves) if curve.edge]
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": True,
            "legend": LEGEND,
            "shapes": [_edge(size, index) for size, index in edges],
            "annotations": [
                {"x": math.log10(size), "y": 1, "yref": "paper", "xanchor": "right",
                 "text": "out of memory", "showarrow": False, "font": {"color": color(index)}}
                for size, index in edges
            ],
            "xaxis": {"title": {"text": "Batch size"}, "type": "log", "tickformat": ",~g",
                      "tickvals": sorted(sizes | {size for size, _ in edges})},
            "yaxis": {"title": {"text": "Throughput (samples/s)"}, "type": "log",
                      "tickformat": ",.6~g", "dtick": "D2"},
        },
    )  # fmt: skip


def _throughput(curve: Curve, index: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "uid": f"precision{index}",
        "name": literal(curve.precision),
        "x": [size for size, _ in curve.points],
        "y": [rate for _, rate in curve.points],
        "line": {"color": color(index), "width": 1.75},
        "hovertemplate": "Batch %{x:,}<br>%{y:,.5~g} samples/s<extra></extra>",
    }


def _knee(curve: Curve, knee: int, index: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": f"knee{index}",
        "name": f"knee of {literal(curve.precision)}: batch {knee:,}",
        "x": [knee],
        "y": [dict(curve.points)[knee]],
        "marker": {"symbol": "circle-open", "size": 18, "color": color(index),
                   "line": {"width": 2.5}},
        "hovertemplate": f"From batch {knee:,} on, within 10 % of the highest<extra></extra>",
    }  # fmt: skip


def _edge(size: int, index: int) -> dict[str, Any]:
    line = {"color": color(index), "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": size, "x1": size, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _median(card: Card, name: str, index: int) -> dict[str, Any]:
    estimate = card.samples_per_s
    assert estimate is not None
    low, high = estimate.low, estimate.high
    bars = {}
    if low is not None and high is not None:
        above, below = [high - estimate.value], [estimate.value - low]
        shape = {"type": "data", "symmetric": False, "color": color(index)}
        bars = {"error_x": shape | {"array": above, "arrayminus": below}}
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": f"median{index}",
        "name": f"{name}, median",
        "x": [estimate.value],
        "y": [name],
        "marker": {"symbol": "line-ns-open", "size": 22, "color": color(index)},
        "hovertemplate": "median %{x:,.5~g} samples/s<extra></extra>",
        **bars,
    }
