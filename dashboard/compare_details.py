"""Parts of the Compare page under its charts: figures, what differs, parameters and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import streamlit as st

from dashboard import compare_charts, compare_table, comparison, distinct, downloads, links
from dashboard.compare_charts import Axis
from dashboard.compare_view import Compared, followed
from dashboard.comparison import METRIC, Column, End
from dashboard.components.plot import plot
from dashboard.words import plain
from storage.fields import ENDS

EXPLORED_PX = 340
MOST_AXES = 12
FIRST_AXES = 4


def legend(shown: Compared) -> None:
    """Whose curve is which, for all charts at once; pointed at, a name lights its curves up."""
    groups = [(f"{name} ({len(runs)} runs)" if len(runs) > 1 else name, runs)
              for name, runs in shown.groups.items()] if shown.group else []  # fmt: skip
    each = [(shown.names[run.id], [run]) for run in shown.picked]
    st.html(f"<style>{compare_table.STYLE}</style>{compare_table.legend(groups or each)}")
    if groups:
        st.caption(compare_table.BAND)


def results(shown: Compared) -> Compared:
    """How the runs ended: the best and the worst marked, with distances from the base.

    Returns what is compared, with the end of the metrics that was chosen here.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Results**", width="stretch")
        chosen = st.segmented_control(
            "Which value", ENDS, default=shown.end, key="compare-end", required=True,
            label_visibility="collapsed", format_func=str.capitalize,
        )  # fmt: skip
        links.put(end=None if chosen == ENDS[0] else chosen)
        shown = replace(shown, end=cast(End, chosen or shown.end))
        columns = comparison.results(shown.picked, shown.base, shown.end)
        order = _order(columns)
        downloads.table("compare-results", lambda: comparison.results_frame(shown.picked, columns))
    st.html(
        compare_table.results(
            shown.picked, shown.base, shown.names, columns, colors=shown.colors, order=order
        )
    )
    return shown


def _order(columns: Sequence[Column]) -> Sequence[int]:
    """By a figure, the best first; as the runs were picked if none is chosen."""
    titles = {"": "As picked"} | {column.key: f"By {column.title.lower()}" for column in columns}
    given = st.query_params.get("sort", "")
    chosen = st.selectbox(
        "Order", titles, index=list(titles).index(given) if given in titles else 0,
        key="compare-sort", format_func=titles.__getitem__, width=210,
        label_visibility="collapsed",
    )  # fmt: skip
    links.put(sort=chosen or None)
    return comparison.order(columns, chosen)


def differences(shown: Compared) -> None:
    """Configuration and environment, a row a key."""
    found = comparison.differences(shown.picked)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**What differs**", width="stretch")
        search = st.text_input(
            "Key", value=st.query_params.get("key", ""), key="compare-key", width=200,
            label_visibility="collapsed", placeholder="Search keys",
        )  # fmt: skip
        every = st.toggle("All keys", value=st.query_params.get("all") == "1", key="compare-all")
        links.put(key=search or None, all="1" if every else None)
        rows = comparison.wanted(found, every=every, search=search)
        downloads.table(
            "compare-differences", lambda: comparison.differences_frame(rows, shown.picked)
        )
    if rows:
        st.html(
            compare_table.differences(
                rows, shown.picked, shown.base, shown.names, colors=shown.colors
            )
        )
    else:
        st.caption(plain(_why_none(shown, search, every)))


def _why_none(shown: Compared, search: str, every: bool) -> str:
    if len(shown.picked) < 2:
        return "Add a second run to see what differs."
    if search.strip():
        return f"No key that {'they have' if every else 'differs'} matches {search[:60]!r}."
    return "Nothing: these runs are repeats of one configuration in one environment."


def explore(shown: Compared) -> list[Axis]:
    """Any parameter against any metric, of two and of many. Returns the axes of the many."""
    parameters, metrics = _explored(shown)
    if len(shown.picked) < 2 or not metrics:
        return []
    st.markdown("**Parameters and metrics**")
    grid = st.grid(2, min_column_width=340)
    with grid.cell(), st.container(border=True, gap="small"):
        _scatter(shown, parameters, metrics)
    with grid.cell(), st.container(border=True, gap="small"):
        return _parallel(shown, [*parameters, *metrics])


def axes(shown: Compared) -> list[Axis]:
    """Those of the address, or those that `explore` begins with."""
    parameters, metrics = _explored(shown)
    if len(shown.picked) < 2 or not metrics:
        return []
    chosen = _given([*parameters, *metrics]) or _first(shown)
    return [_axis(shown, word) for word in chosen]


def _explored(shown: Compared) -> tuple[list[str], list[str]]:
    keys = comparison.metric_keys(shown.picked)
    return comparison.parameters(shown.picked), [f"{METRIC}{key}" for key in keys]


def _scatter(shown: Compared, parameters: list[str], metrics: list[str]) -> None:
    with st.container(horizontal=True):
        words = [*parameters, *metrics]
        first = comparison.telling_number(shown.picked) or parameters[0]
        x = _axis_choice(shown, "Horizontal", "px", words, first)
        y = _axis_choice(shown, "Vertical", "py", [*metrics, *parameters], metrics[0])
    figure = compare_charts.scatter(shown.named, _axis(shown, x), _axis(shown, y))
    plot(figure, key="plot-compare-scatter", height=EXPLORED_PX,
         alt=f"{_title(shown, y)} by {_title(shown, x)}")  # fmt: skip


def _parallel(shown: Compared, words: list[str]) -> list[Axis]:
    default = _first(shown)
    begins_anew = followed("dims", default)
    chosen = st.multiselect(
        "Axes", words, default=None if begins_anew else _given(words) or default,
        key="compare-dims",
        format_func=lambda word: _title(shown, word), max_selections=MOST_AXES,
    )  # fmt: skip
    links.put(dims=None if chosen == default else chosen)
    axes = [_axis(shown, word) for word in chosen]
    if len(axes) < 2:
        st.caption("Choose two axes or more.")
        return axes
    figure = compare_charts.parallel(shown.named, axes)
    plot(figure, key="plot-compare-parallel", height=EXPLORED_PX,
         alt="Parameters and metrics of each run")  # fmt: skip
    return axes


def _given(words: Sequence[str]) -> list[str]:
    given = dict.fromkeys(st.query_params.get_all("dims"))
    return [word for word in given if word in words][:MOST_AXES]


def _first(shown: Compared) -> list[str]:
    """What differs, in the order in which it is said of runs elsewhere, then the first metric."""
    differ = comparison.differing(shown.picked)
    ordered = dict.fromkeys((*distinct.FIRST, *differ))
    differing = [word for word in ordered if word in differ and word != "seed"]
    return [*differing[:FIRST_AXES], f"{METRIC}{comparison.metric_keys(shown.picked)[0]}"]


def _axis_choice(
    shown: Compared, label: str, parameter: str, words: list[str], default: str
) -> str:
    given = st.query_params.get(parameter, default)
    index = words.index(given) if given in words else words.index(default)
    index = 0 if followed(parameter, default) else index
    chosen = st.selectbox(
        label,
        words,
        index=index,
        key=f"compare-{parameter}",
        format_func=lambda word: _title(shown, word),
    )
    chosen = chosen or default
    links.put(**{parameter: None if chosen == default else chosen})
    return chosen


def _axis(shown: Compared, word: str) -> Axis:
    return Axis(_title(shown, word), comparison.values(shown.picked, word, shown.end))


def _title(shown: Compared, word: str) -> str:
    return comparison.title(word, shown.end)
