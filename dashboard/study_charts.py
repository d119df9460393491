"""A study's report -> Plotly figures: pure, like `charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import color, literal, shortened
from engine.studies.measured import Card

NO_FIGURE: Mapping[str, Any] = {
    "template": None,
    "uirevision": "kept",
    "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
}


def repeats(cards: Sequence[Card]) -> go.Figure:
    """Every repeat as a point, with each arm's median and its interval beside them."""
    traces: list[dict[str, Any]] = []
    for index, card in enumerate(cards):
        name = literal(shortened(card.arm))
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


def ledgers(cards: Sequence[Card], accounts: Mapping[str, tuple[str, int]]) -> go.Figure:
    """Where each arm's time went: the median seconds of each account, stacked."""
    shown = [card for card in cards if card.ledger]
    names = [literal(shortened(card.arm)) for card in shown]
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
            "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
            "xaxis": {"title": {"text": "Time (s)"}, "tickformat": ",.6~g"},
            "yaxis": {"automargin": True, "autorange": "reversed", "type": "category"},
        },
    )


def saturation(points: Mapping[str, Sequence[tuple[int, float]]]) -> go.Figure:
    """Median throughput by batch size, a curve for each precision; both axes are logarithmic."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "uid": f"precision{index}",
            "name": literal(precision),
            "x": [size for size, _ in curve],
            "y": [rate for _, rate in curve],
            "line": {"color": color(index), "width": 1.75},
            "hovertemplate": "Batch %{x:,}<br>%{y:,.5~g} samples/s<extra></extra>",
        }
        for index, (precision, curve) in enumerate(points.items())
    ]
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": len(points) > 1,
            "xaxis": {"title": {"text": "Batch size"}, "type": "log", "tickformat": ",~g",
                      "tickvals": sorted({size for c in points.values() for size, _ in c})},
            "yaxis": {"title": {"text": "Throughput (samples/s)"}, "type": "log",
                      "tickformat": ",.3~g"},
        },
    )  # fmt: skip


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
