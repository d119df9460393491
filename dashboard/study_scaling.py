"""What more devices gave, as a figure and as rows of text: pure, for the page and the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard.charts import color
from dashboard.study_charts import NO_FIGURE
from dashboard.study_table import estimate
from engine.format import UNKNOWN
from engine.studies import scaling
from engine.studies.scaling import Scaling

TITLES = {
    "strong": "Strong scaling: the batch is shared",
    "weak": "Weak scaling: each device keeps its batch",
}
CURVE_POINTS = 60


def rows(found: Scaling) -> dict[str, list[str]]:
    """Facts down, counts of devices across."""
    return {
        "Speed-up": [estimate(p.speedup, lambda ratio: f"{ratio:.2f}x") for p in found.points],
        "Ideal": [f"{p.ideal:g}x" for p in found.points],
        "Efficiency": [
            UNKNOWN if p.efficiency is None else f"{100 * p.efficiency:.0f} %" for p in found.points
        ],
    }


def raw(found: Scaling) -> list[dict[str, Any]]:
    """A row a count of devices, values as they are: for a file."""
    return [
        {
            "arm": point.arm,
            "devices": point.devices,
            "speedup_median": point.speedup and point.speedup.value,
            "speedup_low": point.speedup and point.speedup.low,
            "speedup_high": point.speedup and point.speedup.high,
            "speedup_ideal": point.ideal,
            "efficiency_share": point.efficiency,
        }
        for point in found.points
    ]


def chart(found: Scaling) -> go.Figure:
    """Speed-up by devices: every repeat, medians with their interval, the ideal and the fit."""
    return go.Figure(
        [*_ideal(found), *_fit(found), _repeats(found), _medians(found)],
        {
            **NO_FIGURE,
            "showlegend": True,
            "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
            "xaxis": {
                "title": {"text": "Virtual devices on one CPU" if found.virtual else "Devices"},
                "tickvals": [point.devices for point in found.points],
                "rangemode": "tozero",
            },
            "yaxis": {"title": {"text": "Speed-up (x)"}, "rangemode": "tozero"},
        },
    )


def _ideal(found: Scaling) -> list[dict[str, Any]]:
    most = max(point.devices for point in found.points)
    ends = [found.fewest, most]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "uid": "ideal",
            "name": "ideal",
            "x": ends,
            "y": [end / found.fewest for end in ends],
            "line": {"color": "#8a8f98", "dash": "dash", "width": 1.5},
            "hoverinfo": "skip",
        }
    ]


def _fit(found: Scaling) -> list[dict[str, Any]]:
    most = max(point.devices for point in found.points)
    at = np.linspace(found.fewest, most, CURVE_POINTS).tolist()
    speedups = scaling.fitted(found, at)
    if speedups is None:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "uid": "fit",
            "name": f"{found.law}'s law, fitted",
            "x": at,
            "y": speedups,
            "line": {"color": color(1), "dash": "dot", "width": 1.75},
            "hovertemplate": "%{x:.3~g} devices<br>%{y:.3~g}x<extra></extra>",
        }
    ]


def _repeats(found: Scaling) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": "scaled",
        "name": "repeats",
        "x": [one.devices for one in found.repeats],
        "y": [one.speedup for one in found.repeats],
        "text": [f"run {one.run_id}, seed {one.seed}" for one in found.repeats],
        "marker": {"size": 8, "color": color(0), "opacity": 0.55},
        "hovertemplate": "%{text}<br>%{y:.3~g}x on %{x} devices<extra></extra>",
    }


def _medians(found: Scaling) -> dict[str, Any]:
    known = [(point.devices, point.speedup) for point in found.points if point.speedup]
    values = [speedup.value for _, speedup in known]
    above = [(s.value if s.high is None else s.high) - s.value for _, s in known]
    below = [s.value - (s.value if s.low is None else s.low) for _, s in known]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "uid": "medians",
        "name": "measured, median",
        "x": [devices for devices, _ in known],
        "y": values,
        "line": {"color": color(0), "width": 1.75},
        "marker": {"size": 5, "color": color(0)},
        "error_y": {
            "type": "data", "symmetric": False, "array": above, "arrayminus": below,
            "color": color(0),
        },
        "hovertemplate": "median %{y:.3~g}x on %{x} devices<extra></extra>",
    }  # fmt: skip
