"""A comparison as one HTML file that needs no network: its charts, its tables, its doubts."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from dashboard import compare_charts, compare_table, comparison
from dashboard.charts import literal
from dashboard.compare_charts import Axis
from dashboard.compare_live import Latest
from dashboard.compare_view import LEVEL_WORDS, Compared, figure_of, outlying
from dashboard.html_file import chart, page, paragraph, reasons, section
from engine.metrics import describe
from engine.studies.comparable import Verdict

CHART_PX = 420
# Of a legend: each name has a column as wide as the longest.
LEGEND_ROW_PX, LETTER_PX, MARK_PX, WIDTH_PX = 22, 7, 46, 900
OWN_STYLE = "@media (max-width:600px){body{padding:0 .5rem}}.cmp{max-height:none}"


def button(latest: Latest) -> None:
    st.download_button(
        "Export (HTML)",
        lambda: written(latest),
        file_name=f"comparison-{len(latest.shown.picked)}-runs.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
        key="compare-export",
        help="One file with these charts and tables, which opens without a network.",
    )


def written(latest: Latest) -> bytes:
    """As the page shows it: curves that its reader hid are there, and hidden until their name in a
    legend is clicked."""
    shown, verdict, axes = latest.shown, latest.verdict, latest.axes
    columns = comparison.results(shown.picked, shown.base, shown.end)
    order = comparison.order(columns, latest.sort)
    differing = [row for row in comparison.differences(shown.picked) if row.differs]
    tables = (shown.picked, shown.base, shown.names)
    own = {"colors": shown.colors, "linked": False}
    parts = [
        _told(shown, latest.hidden),
        _doubts(verdict) if verdict else "",
        *(section(describe(key).title, _chart(shown, key, latest.hidden)) for key in shown.metrics),
        section("Results", compare_table.results(*tables, columns, order=order, **own)),
        section("What differs", compare_table.differences(differing, *tables, **own))
        if differing else "",
        _explored(shown, axes, latest.hidden) if len(axes) > 1 else "",
    ]  # fmt: skip
    title = f"Comparison of {len(shown.picked)} runs"
    return page(title, parts, compare_table.STYLE + OWN_STYLE)


def _told(shown: Compared, hidden: Sequence[str]) -> str:
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    base = f"run {shown.base.id}, {shown.names[shown.base.id]}"
    return (
        f"<p class=told>Written {now}. Distances are from the base: {html.escape(base)}."
        f"{f' {compare_table.BAND}' if shown.group else ''} "
        "Curves of many points are drawn with fewer; peaks are kept."
        f"{' Curves that were hidden show when their name is clicked.' if hidden else ''}</p>"
    )


def _doubts(verdict: Verdict) -> str:
    words = LEVEL_WORDS.get(verdict.level, "Their speeds can be compared.")
    told = reasons((check.level, check.sentence) for check in verdict.checks)
    return f"<h2 class={verdict.level}>{words}</h2>{told}"


def _chart(shown: Compared, key: str, hidden: Sequence[str]) -> str:
    """With a legend of its own, below: on the page, one stands for all charts."""
    drawn = figure_of(shown, key, hidden)
    beyond = drawn["layout"].get("meta", {}).get("beyond", 0)
    for trace in drawn["data"]:  # on the page, a long name is cut and pointed at to read it all
        trace["name"] = literal(trace["meta"]["name"])
        if set(trace["meta"]["runs"]) <= set(hidden):
            trace["visible"] = "legendonly"
    figure = go.Figure(drawn)
    names = list(shown.groups) if shown.group else list(shown.names.values())
    figure.update_layout(
        template="plotly_white", showlegend=len(names) > 1,
        margin={"l": 60, "r": 10, "t": 10, "b": 40},
    )  # fmt: skip
    columns = max(1, WIDTH_PX // (max(map(len, names)) * LETTER_PX + MARK_PX))
    legend_px = LEGEND_ROW_PX * math.ceil(len(names) / columns) if len(names) > 1 else 0
    return chart(figure, CHART_PX + legend_px) + (paragraph(outlying(beyond)) if beyond else "")


def _explored(shown: Compared, axes: Sequence[Axis], hidden: Sequence[str]) -> str:
    drawn = compare_charts.parallel(shown.named, axes)
    drawn["data"] = [trace for trace in drawn["data"] if trace["meta"]["runs"][0] not in hidden]
    figure = go.Figure(drawn)
    figure.update_layout(template="plotly_white", margin={"l": 20, "r": 20, "t": 10, "b": 40})
    return section("Parameters and metrics", chart(figure, CHART_PX))
