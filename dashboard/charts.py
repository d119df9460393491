"""Rows -> Plotly figures: pure, dense, and safe for names that users chose."""

from __future__ import annotations

import hashlib
import html
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from tsdownsample import M4Downsampler

from dashboard import ranges

XAxis = Literal["epoch", "step", "time", "clock"]

# Okabe and Ito's four that stand out from white and from Streamlit's dark alike (contrast >= 3),
# then six found by search: no two are closer, to any kind of colour blindness (Machado 2009),
# than the closest of those four are to each other. Colours that lie early lie far apart.
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8700ff"),
    *("#964b5a", "#3c96ff", "#c30f00", "#c31e96", "#f04be1"),
)
DASHES = ("solid", "dash", "dot", "dashdot")

MAX_POINTS = 2_000
CHART_POINTS = 24_000  # of all curves: a browser draws that many without a pause
FEWEST_POINTS = 300
# So few points of a curve are marked: a single one would not be seen otherwise. So are of a chart.
MARKED_POINTS, MARKED_IN_CHART = 50, 300
# What labels take as a rule. A margin that has to grow for them has the whole chart drawn twice.
MARGIN = {"l": 54, "r": 18, "t": 8, "b": 42}
FEW_EPOCHS = 12
SHORT_LOG = 7.5  # times from least to greatest: with its margins, the axis is short of ten times
LEGEND_LETTERS = 28
HOVER_LETTERS = 44
TIME_UNITS = (("h", 3600.0, 3 * 3600.0), ("min", 60.0, 180.0))  # name, seconds, used from


@dataclass(frozen=True, eq=False)
class Curve:
    """One line: `y` against `x`, sorted by `x`; in `y` NaN is a gap. `x` of time is in seconds, of
    clock it is dates. A curve that is `faint` lies behind the others and is not in the legend.

    `run_id` and `name` are the line's identity: while they stay, it stays hidden if it was.
    `runs` are those that it tells of: with one of them pointed at anywhere, it stands out.
    `low` and `high`, as long as `y`, make a band around it. `key` names it in a link that hides it.
    """

    name: str
    run_id: str
    x: NDArray[Any]
    y: NDArray[Any]
    color_index: int = 0
    dash: str | None = None
    faint: bool = False
    runs: tuple[str, ...] = ()
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    key: str = ""


# What `plotly.graph_objects.Figure` takes. Such an object is not made of it where a page is drawn
# every second: checking each property takes five times as long as all else.
Drawing = dict[str, Any]


class Part(NamedTuple):
    """Of a whole."""

    name: str
    value: float
    color_index: int


def curves(
    drawn: Sequence[Curve],
    *,
    y_title: str,
    unit: str = "",
    x_axis: XAxis,
    log_y: bool = False,
    log_x: bool = False,
    seam: float | None = None,
    legend: bool = True,
    robust: bool = False,
    awaited: bool = True,
    hidden: Collection[str] = (),
) -> Drawing:
    """Curves that share both axes. With unit "%", values are fractions of one.

    `seam` is where on the x axis a run was resumed. Without `legend`, only an exported picture has
    one. With `robust`, outliers do not stretch a linear axis: its edge marks each curve's farthest,
    and `beyond` in the layout's `meta` is how many points lie beyond; of curves with others faint
    behind them, those are what was measured. Curves that are `awaited` may get points yet. The
    reader does not see those of runs that are `hidden`: what is shown has the axis to itself.
    """
    scale, x_unit = _x_unit(drawn, x_axis)
    hover = f"{_x_hover(x_axis, x_unit)}<br>{_y_hover(drawn, unit)}"
    most = max(FEWEST_POINTS, min(MAX_POINTS, CHART_POINTS // max(1, len(drawn))))
    identified = list(zip(drawn, _identities(drawn), strict=True))
    traces = [_band(curve, uid, scale) for curve, uid in identified if curve.low is not None]
    marked = min(MARKED_POINTS, max(1, MARKED_IN_CHART // max(1, len(drawn))))
    traces += [_trace(curve, uid, scale, hover, most, marked) for curve, uid in identified]
    layout = _layout(drawn, y_title, unit, x_axis, x_unit, log_y)
    if log_x and x_axis != "clock":  # a date has no logarithm
        layout["xaxis"] |= _log_ticks([_scaled(curve.x, scale) for curve in drawn])
        layout["xaxis"]["uirevision"] = f"{x_axis} {x_unit} log"
    if not _is_drawn(drawn):
        layout["annotations"] = [_NOTHING | {"text": _why_nothing(drawn, awaited)}]
    layout["showlegend"] = legend and sum(not curve.faint for curve in drawn) > 1
    seen = [one for one in identified if not (one[0].runs and set(one[0].runs) <= set(hidden))]
    extents = _extents([curve for curve, _ in seen])
    within = None if log_y else ranges.shown(extents, unit, robust=robust)
    layout["yaxis"]["autorange"] = within is None  # else Plotly keeps the range of earlier points
    if within:
        layout["yaxis"]["range"] = within
        measured = [one for one in seen if one[0].faint] or seen
        marks, layout["meta"] = _beyond(measured, within, scale, hover)
        traces += marks
    if seam is not None:
        layout["shapes"] = [_SEAM | {"x0": seam / scale, "x1": seam / scale}]
    return {"data": traces, "layout": layout}


def shares(parts: Sequence[Part], *, unit: str) -> go.Figure:
    """One bar of all parts, one after the other, each with its share of the whole."""
    whole = sum(part.value for part in parts) or 1.0
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "uid": uid_of(part.name),
            "name": literal(f"{part.name} {100 * part.value / whole:.0f} %"),
            "x": [part.value],
            "y": [""],
            "marker": {"color": color(part.color_index)},
            "hovertemplate": f"{literal(part.name)}<br>%{{x:,.3~g}} {unit}<extra></extra>",
        }
        for part in parts
    ]
    layout = {
        "template": None,
        "uirevision": "kept",
        "barmode": "stack",
        "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
        "showlegend": True,
        "legend": _LEGEND | {"maxheight": 0.6, "traceorder": "normal"},
        "xaxis": {"title": {"text": f"Time ({unit})"}, "tickformat": ",.6~g"},
        "yaxis": {"visible": False},
    }
    return go.Figure(traces, layout)


def color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def dash(index: int) -> str:
    """Each round through the palette is dashed in its own way."""
    return DASHES[index // len(PALETTE) % len(DASHES)]


def literal(text: str) -> str:
    """Show `text` as it is written: Plotly reads a little HTML in it, and %{…} in some texts."""
    return html.escape(" ".join(text.split()), quote=False).replace("%{", "%&#123;")


def shortened(name: str, letters: int = LEGEND_LETTERS) -> str:
    """Leave out the middle: names of runs tend to differ at the end."""
    name = " ".join(name.split())
    if len(name) <= letters:
        return name
    tail = (letters - 1) * 2 // 5
    return f"{name[: letters - 1 - tail].rstrip()}…{name[-tail:].lstrip()}"


def thinned(
    x: NDArray[Any], y: NDArray[Any], most: int = MAX_POINTS
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Keep about `most`: of each bucket its first, last, least and greatest (M4).

    Between two kept points, one NaN stands for the gap that was there.
    """
    if len(y) <= most:
        return x, y
    finite = np.flatnonzero(np.isfinite(y))
    kept = np.arange(len(finite))
    if len(finite) > most:
        kept = np.unique(M4Downsampler().downsample(y[finite], n_out=most // 4 * 4))
    index = np.sort(np.concatenate([finite[kept], _first_gaps(finite, kept)]))
    return x[index], y[index]


def _first_gaps(finite: NDArray[Any], kept: NDArray[Any]) -> NDArray[Any]:
    """Where a value is missing between one kept point and the next: the first such place."""
    gaps = np.flatnonzero(np.diff(finite) > 1)
    interval = np.searchsorted(kept, gaps, side="right")
    _, first = np.unique(interval, return_index=True)
    return finite[gaps[first]] + 1


def _has_lone(y: NDArray[np.float64]) -> bool:
    """Whether a point has gaps on both sides: no line would show it."""
    known = np.concatenate([[False], np.isfinite(y), [False]])
    return bool((known[1:-1] & ~known[:-2] & ~known[2:]).any())


def _trace(
    curve: Curve, uid: str, scale: float, hover: str, most: int, marked: int
) -> dict[str, Any]:
    x, y = thinned(np.asarray(curve.x), np.asarray(curve.y, dtype=np.float64), most)
    ends = {}
    if curve.low is not None and curve.high is not None and len(curve.low) == len(y):
        spec = hover[hover.rindex("%{y") + 3 :].partition("}")[0]
        hover += f" (%{{customdata[0]{spec}}} to %{{customdata[1]{spec}}})"
        ends = {"customdata": np.column_stack([curve.low, curve.high])}
    return (
        ends
        | {
            "type": "scatter",
            "uid": uid,
            "legendgroup": uid,
            "meta": {
                "runs": curve.runs,
                "name": curve.name,
                "ends": bool(ends),
                "key": curve.key,
            },
            "name": literal(shortened(curve.name)),
            "text": _hover_name(curve.name),  # apart: a template would read %{…} in it
            "x": _scaled(x, scale),
            # Of many points, seven digits are more than a hover shows.
            "y": y if len(y) <= FEWEST_POINTS else y.astype(np.float32),
            "mode": "lines+markers" if len(y) <= marked or _has_lone(y) else "lines",
            "line": {
                "color": color(curve.color_index),
                "dash": curve.dash or dash(curve.color_index),
                "width": 1.75,
            },
            "marker": {"size": 4.5},
            "hoverlabel": {"bordercolor": color(curve.color_index)},
            "hovertemplate": f"<b>%{{fullData.text}}</b><br>{hover}<extra></extra>",
        }
        | (_FAINT if curve.faint else {})
    )


def _band(curve: Curve, uid: str, scale: float) -> dict[str, Any]:
    """What lies between the lowest and the highest, as one shape: up one side, down the other."""
    known = np.isfinite(np.asarray(curve.low, dtype=np.float64))
    x = _scaled(curve.x[known], scale)
    low, high = np.asarray(curve.low)[known], np.asarray(curve.high)[known]
    return {
        "type": "scatter",
        "uid": f"{uid}band",
        "legendgroup": uid,
        "meta": {"runs": curve.runs, "name": curve.name, "of": "band"},
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([low, high[::-1]]).astype(np.float32),
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": _faint(color(curve.color_index)),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _scaled(x: NDArray[Any], scale: float) -> NDArray[Any]:
    return x if scale == 1 else x / scale


def _faint(hexadecimal: str) -> str:
    red, green, blue = (int(hexadecimal[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _extents(drawn: Sequence[Curve]) -> list[NDArray[Any]]:
    return [a for curve in drawn for a in (curve.y, curve.low, curve.high) if a is not None]


def _beyond(
    identified: Sequence[tuple[Curve, str]], within: ranges.Range, scale: float, hover: str
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A mark at the edge for each curve's farthest point beyond it, and how many lie there."""
    marks, count = [], 0
    for curve, uid in identified:
        highest = curve.y if curve.high is None else curve.high
        lowest = curve.y if curve.low is None else curve.low
        for way, values, edge in (("up", highest, within[1]), ("down", lowest, within[0])):
            sign = 1 if way == "up" else -1
            over = sign * (np.asarray(values, dtype=np.float64) - edge)
            places = np.flatnonzero(over > 0)
            if not len(places):
                continue
            count += len(places)
            at = int(places[np.argmax(over[places])])
            mark = _mark(curve, f"{uid}{way}", at, (edge, float(values[at])), scale, hover)
            mark["marker"]["symbol"] = f"triangle-{way}"
            marks.append(mark)
    return marks, {"beyond": count}


def _mark(
    curve: Curve, uid: str, at: int, y: tuple[float, float], scale: float, hover: str
) -> dict[str, Any]:
    """`y` is where it is drawn, and the value that it stands for."""
    return {
        "type": "scatter",
        "uid": uid,
        "meta": {"runs": curve.runs, "name": curve.name, "of": "mark"},
        "text": [_hover_name(curve.name)],
        "x": _scaled(curve.x[at : at + 1], scale),
        "y": [y[0]],
        "customdata": [y[1]],
        "mode": "markers",
        "cliponaxis": False,
        "marker": {"color": color(curve.color_index), "size": 10},
        "hovertemplate": f"<b>%{{text}}</b>, beyond the axis<br>"
        f"{hover.replace('%{y', '%{customdata')}<extra></extra>",
        "showlegend": False,
    }


def _hover_name(name: str) -> str:
    return "<br>".join(map(literal, textwrap.wrap(name, HOVER_LETTERS))) or " "


def _identities(drawn: Sequence[Curve]) -> Iterator[str]:
    """A trace's `uid`, its own even where two curves have one run and one name."""
    seen: dict[str, int] = {}
    for curve in drawn:
        identity = f"{curve.run_id}/{curve.name}"
        seen[identity] = seen.get(identity, 0) + 1
        unique = f"{identity}/{seen[identity]}"
        yield uid_of(unique)


def uid_of(identity: str) -> str:
    """Letters and digits only: Plotly puts it into a CSS selector when a chart goes away."""
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()


def _x_unit(drawn: Sequence[Curve], x_axis: XAxis) -> tuple[float, str]:
    """By what to divide x, and the unit it is then in: "" unless x is time."""
    if x_axis != "time":
        return 1, ""
    longest = _largest(curve.x for curve in drawn)
    for name, seconds, used_from in TIME_UNITS:
        if longest >= used_from:
            return seconds, name
    return 1, "s"


def _largest(arrays: Iterable[NDArray[Any]]) -> float:
    """The largest magnitude that is finite; 0 if there is none."""
    return max((float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in arrays), default=0.0)


def _x_hover(x_axis: XAxis, unit: str) -> str:
    return {
        "epoch": "Epoch %{x:,.2~f}",
        "step": "Step %{x:,.0f}",
        "time": f"After %{{x:,.1~f}} {unit}",
        "clock": "%{x|%e %b, %H:%M:%S}",
    }[x_axis]


def _y_hover(drawn: Sequence[Curve], unit: str) -> str:
    """Five significant digits, and every digit before the point."""
    if unit == "%":
        return "%{y:.2%}"
    largest = _largest(np.asarray(curve.y, dtype=np.float64) for curve in drawn)
    digits = max(5, len(f"{largest:.0f}"))
    return f"%{{y:,.{min(digits, 15)}~g}} {literal(unit)}".rstrip()


def _layout(
    drawn: Sequence[Curve], y_title: str, unit: str, x_axis: XAxis, x_unit: str, log_y: bool
) -> dict[str, Any]:
    """`uirevision` names what a zoom belongs to: new points keep it, another axis drops it."""
    x_title = f"Time ({x_unit})" if x_axis == "time" else x_axis.capitalize()
    empty = not _is_drawn(drawn)
    is_date = x_axis == "clock"
    return {
        "template": None,
        "uirevision": "kept",
        "margin": MARGIN,
        "hovermode": "closest",
        "hoverdistance": -1,
        "legend": _LEGEND,
        "annotations": [],
        "xaxis": {
            "title": {"text": x_title},
            "uirevision": f"{x_axis} {x_unit}",
            "type": "date" if is_date else "linear",
            "tickformat": None if is_date else ",.6~g",
            "dtick": 1 if x_axis == "epoch" and _few_epochs(drawn) else None,
            "visible": not empty,
        },
        "yaxis": {
            "title": {"text": _y_title(y_title, unit)},
            "uirevision": f"{y_title} {unit} {log_y}",
            "tickformat": ",.3~%" if unit == "%" else ",.6~g",
            "type": "linear",
            "visible": not empty,
        }
        | (_log_ticks(_extents(drawn)) if log_y else {}),
    }


def _log_ticks(values: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """With more ticks on an axis of ten times and up, Plotly writes all of 0.1, 0.2 ... 0.9, 1,
    whose last ones lie on each other. With fewer on a shorter one, half of it has none."""
    pooled = np.concatenate([np.asarray(v, dtype=np.float64) for v in values] or [np.empty(0)])
    known = pooled[np.isfinite(pooled) & (pooled > 0)]
    is_short = len(known) > 0 and known.max() / known.min() < SHORT_LOG
    return {"type": "log", "nticks": 4 if is_short else 3, "dtick": None}


def _is_drawn(drawn: Sequence[Curve]) -> bool:
    return any(np.isfinite(curve.y).any() for curve in drawn)


def _why_nothing(drawn: Sequence[Curve], awaited: bool) -> str:
    if any(len(curve.y) for curve in drawn):
        return "No finite values"
    return "No points yet" if awaited else "No points"


def _few_epochs(drawn: Sequence[Curve]) -> bool:
    """So few that each has a tick; half an epoch would be a strange place for one, unless the
    first is not over."""
    return 1 <= _largest(curve.x for curve in drawn) <= FEW_EPOCHS


def _y_title(title: str, unit: str) -> str:
    if unit in ("", "%"):  # a percent sign stands at each tick
        return literal(title)
    return literal(f"{title} ({unit})" if title else unit)


_LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.0,
    "yanchor": "bottom",
    "maxheight": 0.3,
}
_FAINT = {
    "opacity": 0.35,
    "showlegend": False,
    "hoverinfo": "skip",
    "hovertemplate": None,
    "mode": "lines",
}
_SEAM = {
    "type": "line",
    "yref": "paper",
    "y0": 0,
    "y1": 1,
    "line": {"dash": "dot", "width": 1, "color": "#808080"},
    "label": {
        "text": "resumed",
        "textposition": "end",
        "textangle": 0,
        "xanchor": "right",
        "yanchor": "top",
    },
}
_NOTHING = {
    "showarrow": False,
    "xref": "paper",
    "yref": "paper",
    "x": 0.5,
    "y": 0.5,
}
