"""More of a report -> Plotly figures: the roofline, accuracy by time, and what beats what. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from dashboard.charts import color, literal, shortened, uid_of
from dashboard.study_charts import LEGEND, NO_FIGURE
from engine.studies import cost
from engine.studies.evidence import Learning
from engine.studies.roofline import Bound, Point, Roof, Roofline

GREY = "#7f7f7f"
FAINT = 0.3


class Spot(NamedTuple):
    """An arm on two scales of which lower is better. Only those of one `group` are ranked."""

    arm: str
    x: float
    y: float
    color_index: int
    group: str = ""


def roofline(found: Roofline, arms: Sequence[str]) -> go.Figure:
    """Measured arms as filled points under their roofs; bounds hollow, under dashed ones."""
    reach = _reach(found)
    measured_on = {point.roof for point in found.points}
    traces = [_roof(roof, reach, roof.name in measured_on) for roof in found.roofs]
    traces += [_measured(point, arms.index(point.arm)) for point in found.points]
    traces += [_bound(bound, place) for place, bound in enumerate(found.bounds)]
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": True,
            "legend": LEGEND,
            "xaxis": {"title": {"text": "Arithmetic intensity (FLOPs per byte)"}, "type": "log",
                      "tickformat": "~g", "dtick": "D2"},
            "yaxis": {"title": {"text": "GFLOP/s"}, "type": "log", "tickformat": ",~g",
                      "dtick": "D2"},
        },
    )  # fmt: skip


def learning(curves: Mapping[str, Sequence[Learning]], target: float | None) -> go.Figure:
    """Every repeat a faint line, the median of an arm's repeats a full one."""
    traces: list[dict[str, Any]] = []
    for index, (arm, of_arm) in enumerate(curves.items()):
        name = literal(shortened(arm))
        for one in of_arm:
            traces.append(_repeat(one, name, index))
        if of_arm:
            traces.append(_median(of_arm, name, index))
    layout = {
        **NO_FIGURE,
        "showlegend": True,
        "legend": LEGEND,
        "xaxis": {"title": {"text": "Time since the run began (s)"}, "rangemode": "tozero",
                  "tickformat": ",.6~g"},
        "yaxis": {"title": {"text": "Validation accuracy"}, "tickformat": ".2~%"},
    }  # fmt: skip
    if target is not None:
        line = {"color": GREY, "width": 1, "dash": "dot"}
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target,
             "line": line}
        ]  # fmt: skip
    return go.Figure(traces, layout)


def pareto(spots: Sequence[Spot], x_title: str, y_title: str) -> go.Figure:
    """Arms as points; those that none beats on both scales are joined by a line."""
    traces: list[dict[str, Any]] = []
    for group in dict.fromkeys(spot.group for spot in spots):
        of_group = [spot for spot in spots if spot.group == group]
        unbeaten = cost.front({spot.arm: (spot.x, spot.y) for spot in of_group})
        on_front = sorted(spot for spot in of_group if spot.arm in unbeaten)
        on_front.sort(key=lambda spot: spot.x)
        traces.append(_front(on_front, group))
        traces += [_spot(spot, spot.arm in unbeaten) for spot in of_group]
    axis = {"rangemode": "tozero", "tickformat": ",.3~g"}
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": True,
            "legend": LEGEND,
            "xaxis": axis | {"title": {"text": x_title}},
            "yaxis": axis | {"title": {"text": y_title}},
        },
    )


def three_scales(
    known: Mapping[str, tuple[float, float, float]], unbeaten: Sequence[str], arms: Sequence[str]
) -> go.Figure:
    """Each scale as a share of its highest arm, an arm a line: lower is better, everywhere."""
    highest = [max(values) for values in zip(*known.values(), strict=True)]
    traces = []
    for arm, values in known.items():
        shares = [value / top if top else 0.0 for value, top in zip(values, highest, strict=True)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "uid": uid_of(f"three-{arm}"),
                "name": literal(shortened(arm)),
                "x": ["Time", "Energy", "Cost"],
                "y": shares,
                "line": {"color": color(arms.index(arm)), "width": 2,
                         "dash": "solid" if arm in unbeaten else "dot"},
                "text": [f"{values[0]:,.4g} s", f"{values[1]:,.4g} J", f"${values[2]:,.4g}"],
                "hovertemplate": f"{literal(arm)}<br>%{{x}}: %{{text}}<extra></extra>",
            }
        )  # fmt: skip
    return go.Figure(
        traces,
        {
            **NO_FIGURE,
            "showlegend": True,
            "legend": LEGEND,
            "xaxis": {"type": "category"},
            "yaxis": {"title": {"text": "Share of the highest"}, "tickformat": ".0%",
                      "rangemode": "tozero"},
        },
    )  # fmt: skip


def _reach(found: Roofline) -> tuple[float, float]:
    """The span of intensities, with room on both sides and every ridge within."""
    seen = [p.intensity for p in (*found.points, *found.bounds)]
    seen += [roof.flops_per_s / roof.bytes_per_s for roof in found.roofs]
    return (min(seen) / 4, max(seen) * 4) if seen else (0.1, 100.0)


def _roof(roof: Roof, reach: tuple[float, float], is_measured: bool) -> dict[str, Any]:
    left, right = reach
    ridge = roof.flops_per_s / roof.bytes_per_s
    peak = roof.flops_per_s / 1e9
    return {
        "type": "scatter",
        "mode": "lines",
        "uid": uid_of(f"roof-{roof.name}"),
        "name": literal(shortened(f"Roof: {roof.name}")),
        "x": [left, ridge, right],
        "y": [left * roof.bytes_per_s / 1e9, peak, peak],
        "line": {"color": GREY, "width": 1.5, "dash": "solid" if is_measured else "dash"},
        "hovertemplate": f"{literal(roof.name)}<br>{literal(roof.source)}<br>"
        "%{y:,.4~g} GFLOP/s<extra></extra>",
    }


def _measured(point: Point, index: int) -> dict[str, Any]:
    return _dot(
        point.arm, point.intensity, point.flops_per_s, {"size": 11, "color": color(index)}, "arm"
    )


def _bound(bound: Bound, place: int) -> dict[str, Any]:
    marker = {"size": 12, "symbol": "diamond-open", "color": color(9 - place), "line": {"width": 2}}
    return _dot(bound.name, bound.intensity, bound.flops_per_s, marker, "bound")


def _dot(
    name: str, intensity: float, flops_per_s: float, marker: dict[str, Any], kind: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": uid_of(f"{kind}-{name}"),
        "name": literal(shortened(name)),
        "x": [intensity],
        "y": [flops_per_s / 1e9],
        "marker": marker,
        "hovertemplate": f"{literal(name)}<br>%{{x:.3~g}} FLOPs/byte<br>%{{y:,.4~g}} GFLOP/s"
        "<extra></extra>",
    }


def _repeat(one: Learning, name: str, index: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(one.at_s) == 1 else "lines",
        "uid": uid_of(f"repeat-{one.run_id}"),
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "x": one.at_s,
        "y": one.accuracy,
        "opacity": FAINT,
        "line": {"color": color(index), "width": 1},
        "hovertemplate": f"run {one.run_id}<br>%{{x:,.3~g}} s, %{{y:.1%}}<extra></extra>",
    }


def _median(of_arm: Sequence[Learning], name: str, index: int) -> dict[str, Any]:
    """Over repeats, epoch by epoch, as far as all of them got."""
    epochs = min(len(one.at_s) for one in of_arm)
    at = np.median([one.at_s[:epochs] for one in of_arm], axis=0)
    accuracy = np.median([one.accuracy[:epochs] for one in of_arm], axis=0)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "uid": uid_of(f"median-{name}"),
        "name": name,
        "legendgroup": name,
        "x": at,
        "y": accuracy,
        "line": {"color": color(index), "width": 2},
        "marker": {"size": 6},
        "hovertemplate": f"{name}, median<br>%{{x:,.3~g}} s, %{{y:.1%}}<extra></extra>",
    }


def _front(on_front: Sequence[Spot], group: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "uid": uid_of(f"front-{group}"),
        "name": literal(shortened(f"Nothing is better on both{f' ({group})' if group else ''}")),
        "x": [spot.x for spot in on_front],
        "y": [spot.y for spot in on_front],
        "line": {"color": GREY, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _spot(spot: Spot, is_unbeaten: bool) -> dict[str, Any]:
    shade = color(spot.color_index)
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": uid_of(f"spot-{spot.arm}"),
        "name": literal(shortened(spot.arm)),
        "x": [spot.x],
        "y": [spot.y],
        "marker": {"size": 12, "color": shade, "symbol": "circle" if is_unbeaten else "circle-open",
                   "line": {"width": 2, "color": shade}},
        "hovertemplate": f"{literal(spot.arm)}<br>%{{x:,.4~g}}; %{{y:,.4~g}}<extra></extra>",
    }  # fmt: skip
