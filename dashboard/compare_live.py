"""The fragment that follows compared runs: it draws what the store holds until all are over."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from dashboard import compare_details, compare_view, comparison
from dashboard.compare_charts import Axis
from dashboard.compare_view import Compared
from dashboard.components.drawn import drawn
from dashboard.polls import polled
from engine.studies.comparable import Verdict

POLL_S = 2.0


@dataclass
class Latest:
    """What the page shows now; whoever exports it may ask long after it was drawn."""

    shown: Compared
    verdict: Verdict | None = None
    axes: list[Axis] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)  # ids of runs whose curves the reader hides
    sort: str = ""  # the figure by which results are ordered; as picked if it is none


def follow(latest: Latest) -> None:
    """Draw the comparison now, and every two seconds while a run is not over."""
    active = any(run.active for run in latest.shown.picked)
    polled(_draw, POLL_S if active else None)(latest, active)


def _draw(latest: Latest, was_active: bool) -> None:
    before = latest.shown
    shown = compare_view.reloaded(before) if was_active else before
    is_over = was_active and not any(run.active for run in shown.picked)
    if is_over or _new_metrics(before, shown):
        st.rerun()
    latest.verdict = compare_view.verdict(shown.picked)
    latest.hidden = st.query_params.get_all("hide")
    with st.container():  # the charts keep their place when more, or less, is said here
        compare_view.told(latest.verdict)
        compare_details.legend(shown)
    with st.container(gap=None):
        compare_view.charts(shown)
        is_drawn = drawn("compare-drawn", len(shown.metrics))
    # The charts are what a reader came for: what is below comes as soon as they stand.
    if shown.metrics and not is_drawn:
        latest.shown, latest.axes = shown, compare_details.axes(shown)
        return
    latest.shown = shown = compare_details.results(shown)
    latest.sort = st.query_params.get("sort", "")
    compare_details.differences(shown)
    latest.axes = compare_details.explore(shown)


def _new_metrics(before: Compared, shown: Compared) -> bool:
    """Then the controls offer more."""
    return comparison.metric_keys(before.picked) != comparison.metric_keys(shown.picked)
