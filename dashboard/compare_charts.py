"""Parameters against metrics -> Plotly figures: pure, like `charts`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from dashboard.charts import MARGIN, Drawing, color, dash, literal, shortened
from engine.format import UNKNOWN, figure

LOG_SPAN = 10.0  # an axis whose largest value is so many times its least is logarithmic
MOST_LEVELS = 12  # of texts on one axis that are written beside it
AXIS_LETTERS = 18
NAME_LETTERS, LEVEL_LETTERS = 10, 13
LINE_PX = 16  # of a label; margins for all lines spare Plotly a second drawing

Values = Sequence[float | str | None]


class Axis(NamedTuple):
    """One value for each run; all of them numbers, or all texts. None is unknown."""

    title: str
    values: Values

    @property
    def is_text(self) -> bool:
        return any(isinstance(value, str) for value in self.values)

    @property
    def is_log(self) -> bool:
        known = [value for value in self.values if isinstance(value, (int, float))]
        return (
            not self.is_text
            and bool(known)
            and min(known) > 0
            and max(known) / min(known) >= LOG_SPAN
        )

    @property
    def is_share(self) -> bool:
        return self.title.endswith("(%)")


class Named(NamedTuple):
    """A run in a chart."""

    run_id: str
    name: str
    color_index: int


def scatter(runs: Sequence[Named], x: Axis, y: Axis) -> Drawing:
    """A point a run; those without one of the two are left out."""
    pairs = zip(runs, x.values, y.values, strict=True)
    known = [(run, at, value) for run, at, value in pairs if None not in (at, value)]
    traces = [
        _trace(run)
        | {
            "x": [literal(at) if isinstance(at, str) else at],
            "y": [literal(value) if isinstance(value, str) else value],
            "mode": "markers",
            "marker": {"size": 10, "color": color(run.color_index), "opacity": 0.85},
            "customdata": [[f"{literal(a.title)} {_told(a, v)}" for a, v in ((x, at), (y, value))]],
            "hovertemplate": "<b>%{text}</b><br>%{customdata[0]}<br>%{customdata[1]}"
            "<extra></extra>",
        }
        for run, at, value in known
    ]
    layout = _LAYOUT | {"margin": MARGIN, "xaxis": _axis(x), "yaxis": _axis(y)}
    layout |= {"meta": {"table": _table(runs, [x, y])}}
    if not known:
        layout |= {"annotations": [_NONE]}
    return {"data": traces, "layout": layout}


def parallel(runs: Sequence[Named], axes: Sequence[Axis]) -> Drawing:
    """A line a run across the axes, each from its least value below to its greatest above.

    Of scatter traces, since Plotly's own parallel coordinates can light up no single line.
    """
    heights = [_heights(axis) for axis in axes]
    names = [_name(axis) for axis in axes]
    lines = 1 + max((name.count("<br>") for name in names), default=0)
    traces = [
        _trace(run)
        | {
            "x": list(range(len(axes))),
            "y": [height[place] for height in heights],
            "customdata": [f"{literal(a.title)} {_told(a, a.values[place])}" for a in axes],
            "mode": "lines+markers",
            "line": {"color": color(run.color_index), "dash": dash(run.color_index), "width": 1.5},
            "marker": {"size": 5},
            "opacity": 0.8,
            "text": [literal(run.name)] * len(axes),
            "hovertemplate": "<b>%{text}</b><br>%{customdata}<extra></extra>",
        }
        for place, run in enumerate(runs)
    ]
    layout = _LAYOUT | {
        "meta": {"table": _table(runs, axes)},
        "margin": {"l": 4, "r": 8, "t": 8, "b": 6 + LINE_PX * lines},
        "shapes": [_LINE | {"x0": at, "x1": at} for at in range(len(axes))],
        "annotations": [
            note | (_beside(at, len(axes)) if axis.is_text else {})
            for at, axis in enumerate(axes)
            for note in _ticks(axis, at)
        ],
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": names,
            "range": [-0.3, len(axes) - 1 + 0.3],
            "showgrid": False,
            "ticklabeloverflow": "allow",
            "autotickangles": [0, 90],
        },
        "yaxis": {"visible": False, "range": [-0.14, 1.2]},
    }
    return {"data": traces, "layout": layout}


def _table(runs: Sequence[Named], axes: Sequence[Axis]) -> list[Values]:
    """The chart's data as a file has it: a row a run, values as they are."""
    head = ["run", "name", *(axis.title.removesuffix(" (%)") for axis in axes)]
    values = zip(*(axis.values for axis in axes), strict=True)
    return [head, *([run.run_id, run.name, *of] for run, of in zip(runs, values, strict=True))]


def _trace(run: Named) -> dict[str, Any]:
    return {
        "type": "scatter",
        "uid": f"run{run.run_id}",
        "name": literal(shortened(run.name)),
        "text": [literal(run.name)],
        "meta": {"runs": [run.run_id], "name": run.name},
    }


def _axis(axis: Axis) -> dict[str, Any]:
    kind = "category" if axis.is_text else "log" if axis.is_log else "linear"
    title = axis.title.removesuffix(" (%)")
    levels = _levels(axis) if axis.is_text else []
    levels = levels if len(levels) <= MOST_LEVELS else []
    return {
        "title": {"text": literal(title)},
        "type": kind,
        "uirevision": f"{axis.title} {kind}",
        "tickformat": None if axis.is_text else ".3~%" if axis.is_share else ",.6~g",
        "dtick": "D2" if axis.is_log else None,
        "tickvals": list(map(literal, levels)) or None,
        "ticktext": [_level(level, AXIS_LETTERS) for level in levels] or None,
    }


def _name(axis: Axis) -> str:
    """In lines short enough to stand beside the next; a part's name breaks after its dot."""
    lines = textwrap.wrap(axis.title.replace(".", ". "), NAME_LETTERS)
    return "<br>".join(literal(line) for line in lines)


def _level(text: str, letters: int) -> str:
    lines = textwrap.wrap(shortened(text, 2 * letters), letters)
    return "<br>".join(map(literal, lines))


def _beside(at: int, count: int) -> dict[str, Any]:
    """To the right of its axis, with room up to the next; of the last one, to the left."""
    side, shift = ("right", -4) if at == count - 1 else ("left", 4)
    return {"xanchor": side, "align": side, "xshift": shift}


def _heights(axis: Axis) -> list[float | None]:
    """Where each value lies between the least, 0, and the greatest, 1."""
    if axis.is_text:
        levels = _levels(axis)
        places = {level: place / max(1, len(levels) - 1) for place, level in enumerate(levels)}
        return [places.get(str(value)) for value in axis.values]
    scale = math.log if axis.is_log else float
    scaled = [None if v is None else scale(float(v)) for v in axis.values]
    known = [value for value in scaled if value is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return [v if v is None else (v - low) / span if span else 0.5 for v in scaled]


def _levels(axis: Axis) -> list[str]:
    return sorted({str(value) for value in axis.values})


def _ticks(axis: Axis, at: int) -> list[dict[str, Any]]:
    """What stands beside an axis: its ends, or its texts while they are few."""
    if axis.is_text:
        levels = _levels(axis)
        step = max(1, len(levels) - 1)
        shown = levels if len(levels) <= MOST_LEVELS else [levels[0], levels[-1]]
        places = [(levels.index(level) / step, level) for level in shown]
        return [
            _NOTE | {"x": at, "y": y, "text": _level(text, LEVEL_LETTERS), "yanchor": "bottom"}
            for y, text in places
        ]
    known = [value for value in axis.values if isinstance(value, (int, float))]
    ends = sorted({min(known), max(known)}) if known else []
    heights = [(0.5, 10)] if len(ends) == 1 else [(0.0, -10), (1.0, 10)]
    return [
        _NOTE | {"x": at, "y": y, "yshift": shift, "text": _told(axis, value)}
        for value, (y, shift) in zip(ends, heights, strict=False)
    ]


def _told(axis: Axis, value: float | str | None) -> str:
    if isinstance(value, str):
        return literal(value)
    if value is None:
        return UNKNOWN
    return f"{100 * value:.1f} %" if axis.is_share else figure(value, 4)


_LAYOUT: dict[str, Any] = {
    "template": None,
    "uirevision": "kept",
    "hovermode": "closest",
    "showlegend": False,
}
_LINE = {
    "type": "line",
    "y0": 0,
    "y1": 1,
    "line": {"width": 1, "color": "#808080"},
    "layer": "below",
}
_NOTE = {"showarrow": False, "font": {"size": 11}}
_NONE = {
    "text": "No run has both", "showarrow": False,
    "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5,
}  # fmt: skip
