"""Groups of runs: how many there are in each, and the mean of each figure ± its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import comparison, links, run_columns, run_selection, run_view, store, tables
from dashboard.components.table_keys import table_keys
from dashboard.run_view import RunView
from engine.config import FRAMEWORK_NAMES
from engine.format import UNKNOWN, counted, duration, figure, metric
from storage import run_list, runs, search
from storage.fields import OTHER_NAMES, REPEATS
from storage.run_list import Group, Spread
from storage.runs import Run

MOST = 500
MOST_DOWNLOADED = 100_000
NUMBERS = ("speed", "took", "progress", "priority")  # of a run's own columns, what has a mean


def show(view: RunView) -> None:
    """A row a group; its number of runs leads to them."""
    words = _words(view)
    with store.opened() as db:
        found = run_list.groups(db, view.wanted, view.group, words, sort=view.sort, limit=MOST)
        newest = {run.id: run for run in run_list.of_ids(db, [g.newest for g in found.groups])}
        baseline = runs.get(db, view.baseline) if view.baseline else None
    if not found.groups:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
        return
    means = {word: [g.spreads[place] for g in found.groups] for place, word in enumerate(words)}
    means = {word: spreads for word, spreads in means.items() if _is_told(word, spreads)}
    cells = {
        _by(word): [_name(word, g.values[place], newest.get(g.newest)) for g in found.groups]
        for place, word in enumerate(view.group)
    }
    cells["runs"] = [counted(group.count, "run") for group in found.groups]
    state = tables.show(
        "groups",
        pd.DataFrame(cells | _cells(means, baseline)),
        raw=None,
        alt=f"Groups of runs, by {view.sort}",
        key=f"groups-{hash((view.group, view.sort, *means))}",
        column_config=_columns(view, list(means), found.groups),
        on_select="rerun",
        selection_mode="single-column",
        placeholder=UNKNOWN,
    )
    if st.session_state.pop("group-opened", False):
        st.rerun()
    st.caption(_told(view, len(found.groups), found.total))
    table_keys("group-keys", lambda row: _open(view.group, found.groups, row))
    run_selection.sort_by_header(state, view.sort, {_by(word): word for word in view.group})


def _words(view: RunView) -> list[str]:
    """The columns that can have a mean, as words of the query language."""
    words = [run_columns.SORTED_BY.get(word, word) for word in view.columns]
    return [
        word for word in words
        if word in NUMBERS or word.startswith("config.")
        or (run_columns.is_figure(word) and word != "tag")
    ]  # fmt: skip


def _is_told(word: str, spreads: Sequence[Spread]) -> bool:
    """Keys of a config may be of text, which has no mean."""
    return not word.startswith("config.") or any(one.mean is not None for one in spreads)


def _cells(means: dict[str, list[Spread]], baseline: Run | None) -> dict[str, list[str]]:
    cells = {}
    for word, spreads in means.items():
        cells[word] = [_mean(word, one) for one in spreads]
        if baseline and run_columns.has_distance(word):
            base, unit = run_columns.number(baseline, word), run_columns.unit(word)
            cells[f"Δ {word}"] = [
                comparison.delta(one.mean, base, unit) or UNKNOWN for one in spreads
            ]
    return cells


def _mean(word: str, one: Spread) -> str:
    told = _value(word, one.mean)
    return told if one.variance is None else f"{told} ± {_value(word, math.sqrt(one.variance))}"


def _value(word: str, value: float | None) -> str:
    if word == "took":
        return duration(value)
    if word == "progress":
        return UNKNOWN if value is None else f"{100 * value:.0f} %"
    if run_columns.is_figure(word):
        return metric(run_columns.metric_of(word)[0], value)
    return figure(value)


def _columns(view: RunView, words: list[str], groups: Sequence[Group]) -> dict[str, Any]:
    column = st.column_config
    titles = {word: run_columns.title(word) for word in words}
    deltas = {f"Δ {word}": f"Δ {title.lower()}" for word, title in titles.items()}
    figures = {
        word: column.TextColumn(f"{title}{run_view.arrow(word, view.sort)}", alignment="right")
        for word, title in (titles | deltas).items()
    }
    groups_by = {
        _by(word): column.TextColumn(
            f"{'Repeats of' if word == REPEATS else run_columns.title(word)}"
            f"{run_view.arrow(word, view.sort)}",
            pinned=True,
        )
        for word in view.group
    }
    leads = column.ButtonColumn(
        "Runs", type="tertiary", key="open-group", on_click=_clicked, args=(view.group, groups)
    )
    return groups_by | {"runs": leads} | figures


def _by(word: str) -> str:
    """The column of what runs are grouped by: a figure of that name may stand beside it."""
    return f"by {word}"


def _clicked(by: Sequence[str], groups: Sequence[Group]) -> None:
    _open(by, groups, st.session_state["open-group"]["row"])


def _open(by: Sequence[str], groups: Sequence[Group], row: int) -> None:
    """Show a group's runs: its own conditions are added to the query."""
    group = groups[row]
    before = st.query_params.get("query", "").strip()
    own = " and ".join(
        search.equal(word, group.newest if word == REPEATS else value)
        for word, value in zip(by, group.values, strict=True)
    )
    query = f"({before}) and {own}" if before else own
    st.session_state["query"] = query
    links.put(group=None, page=None)
    st.session_state["group-opened"] = True


def _name(by: str, value: Any, newest: Run | None) -> str:
    if by == REPEATS and newest:
        return newest.name
    if value is None:
        return UNKNOWN
    if by == "framework":
        return FRAMEWORK_NAMES.get(value, str(value))
    return _value(by, value) if isinstance(value, float) else str(value)


def _told(view: RunView, shown: int, total: int) -> str:
    cut = f"The first {shown:,} of {total:,} groups" if shown < total else counted(total, "group")
    order = run_view.in_order(view.sort)
    told = f"{cut}, {order}. Mean ± standard deviation over the runs with a value."
    if shown < total:
        told += " Filter the runs, or download the table, to see the others."
    if "tag" in [OTHER_NAMES.get(word, word) for word in view.group]:
        told += " A run with several tags is in the group of each."
    return told


def raw(view: RunView) -> pd.DataFrame:
    """Every group, values as they are: for a file."""
    words = _words(view)
    with store.opened() as db:
        found = run_list.groups(
            db, view.wanted, view.group, words, sort=view.sort, limit=MOST_DOWNLOADED
        )
        baseline = runs.get(db, view.baseline) if view.baseline else None
    return pd.DataFrame([_raw_row(view.group, group, words, baseline) for group in found.groups])


def _raw_row(
    by: Sequence[str], group: Group, words: list[str], baseline: Run | None
) -> dict[str, Any]:
    row = dict(zip(by, group.values, strict=True))
    row |= {"runs": group.count, "newest_id": group.newest}
    for word, one in zip(words, group.spreads, strict=True):
        name = run_columns.raw_name(word)
        spread = None if one.variance is None else math.sqrt(one.variance)
        row |= {f"{name}_n": one.count, f"{name}_mean": one.mean, f"{name}_sd": spread}
        if baseline and run_columns.has_distance(word):
            base = run_columns.number(baseline, word)
            row[f"delta_{name}_mean"] = (
                None if one.mean is None or base is None else one.mean - base
            )
    return row
