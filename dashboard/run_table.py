"""The table of runs: filtered, selectable, and kept up to date without losing the selection."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import downloads, links, pages, run_actions, run_columns, run_view, store
from dashboard.run_view import RunView
from dashboard.words import plain
from engine import metrics
from engine.format import metric
from storage import run_list, runs
from storage.database import Database
from storage.fields import BadQuery
from storage.run_list import Group
from storage.runs import Run

POLL_S = 2.0
PAGE_ROWS = 100
MOST_DOWNLOADED = 100_000
ROW_PX, HEADER_PX, MOST_ROWS = 36, 40, 16


def show() -> None:
    """The filters, and under them the table, which is drawn again every two seconds."""
    st.session_state.pop("listed", None)
    _table(run_view.controls())


@st.fragment(run_every=POLL_S)
def _table(view: RunView) -> None:
    try:
        if view.group:
            _groups(view)
        else:
            _runs(view)
    except BadQuery as error:
        st.error(plain(str(error)), icon=":material/filter_alt_off:")


def _runs(view: RunView) -> None:
    number = links.page_number()
    with store.opened() as db:
        begin = (number - 1) * PAGE_ROWS
        found = run_list.page(db, view.wanted, sort=view.sort, limit=PAGE_ROWS, offset=begin)
        total = sum(runs.counts(db).values())
        baseline = runs.get(db, view.baseline) if view.baseline else None
        listed, changed = _kept(db, found.runs)
    if view.baseline and baseline is None:
        st.warning(f"The baseline is no run of this store: {plain(view.baseline[:60])}.")
    if not total:
        _first_time()
    elif not found.total:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
    else:
        if changed and st.button(
            "The list has changed: update it", icon=":material/refresh:", key="update-list"
        ):
            st.session_state.pop("listed")
            st.rerun(scope="fragment")
        chosen = _selectable(listed, view, baseline)
        _under(chosen, found.total, total, number, view)


def _kept(db: Database, found: list[Run]) -> tuple[list[Run], bool]:
    """The runs to show, and whether those that are found are others.

    While a list is longer than the table is high, its figures change but its rows stay, so that
    nobody loses their place because a colleague has started a run.
    """
    ids = [run.id for run in found]
    before: list[str] = st.session_state.get("listed", [])
    if ids == before or min(len(before), len(ids)) <= MOST_ROWS:
        st.session_state["listed"] = ids
        return found, False
    return run_list.of_ids(db, before), True


def _selectable(found: list[Run], view: RunView, baseline: Run | None) -> list[Run]:
    """The table; the selected runs, which stay selected when other runs come or go.

    Streamlit knows selected rows by position. So the table is a new one, with the selection moved
    along, exactly when the list of runs is another.
    """
    ids = [run.id for run in found]
    before = st.session_state.get("selected", [])
    key = f"runs-{hash((*ids, view.columns, view.pinned))}"
    state = st.dataframe(
        pd.DataFrame([_row(run, view.columns, baseline) for run in found]),
        key=key,
        hide_index=True,
        height=HEADER_PX + ROW_PX * min(len(found), MOST_ROWS),
        row_height=ROW_PX,
        column_config=_columns(ids, view, baseline),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(i) for i in before if i in ids]}},
        placeholder="—",
        alt=f"Runs, by {view.sort}",
    )
    chosen = [found[row] for row in state["selection"]["rows"] if row < len(ids)]
    st.session_state["selected"] = [run.id for run in chosen]
    return chosen


def _row(run: Run, columns: tuple[str, ...], baseline: Run | None) -> dict[str, Any]:
    """Its cells, and beside each figure its distance from the baseline's."""
    cells: dict[str, Any] = {"open": run.id}
    for word in columns:
        cells[word] = run_columns.cell(run, word)
        if baseline and run_columns.is_figure(word):
            own, base = cells[word], run_columns.figure(baseline, word)
            cells[f"Δ {word}"] = None if own is None or base is None else own - base
    return cells


def _columns(ids: list[str], view: RunView, baseline: Run | None) -> dict[str, Any]:
    columns = view.columns
    open_button = st.column_config.ButtonColumn(
        "Run", type="tertiary", key="open", on_click=_open, args=(ids,), pinned=True, width=116
    )
    shown = {word: run_columns.shown(word, word in view.pinned) for word in columns}
    deltas = {
        f"Δ {word}": st.column_config.NumberColumn(
            f"Δ {run_columns.title(word).lower()}", format="%+.4g"
        )
        for word in columns
        if baseline and run_columns.is_figure(word)
    }
    return {"open": open_button} | shown | deltas


def _all(view: RunView) -> pd.DataFrame:
    """Every run that is found, with the columns that are shown, for a file."""
    with store.opened() as db:
        found = run_list.page(db, view.wanted, sort=view.sort, limit=MOST_DOWNLOADED).runs
    rows = [{"id": run.id} | {w: run_columns.cell(run, w) for w in view.columns} for run in found]
    return pd.DataFrame(rows)


def _open(ids: list[str]) -> None:
    st.session_state["opened"] = ids[st.session_state["open"]["row"]]


def _under(chosen: list[Run], found: int, total: int, number: int, view: RunView) -> None:
    """Under the table: what to do with the selection, which page it is, and how many there are."""
    opened = st.session_state.pop("opened", None)
    if opened:
        st.switch_page(pages.RUN, query_params={"id": opened})
    with st.container(horizontal=True, vertical_alignment="center"):
        run_actions.of_selected(chosen, view.baseline)
        downloads.table("runs", lambda: _all(view))
        last = math.ceil(found / PAGE_ROWS)
        for label, to in (("Previous", number - 1), ("Next", number + 1)):
            if last > 1 and st.button(label, key=f"page-{label}", disabled=not 1 <= to <= last):
                links.put(page=None if to == 1 else str(to))
                st.rerun()
        order = "newest first" if view.sort == run_list.NEWEST else f"by {plain(view.sort)}"
        pages_told = f" Page {number:,} of {last:,}." if last > 1 else ""
        st.caption(f"{found:,} of {total:,} runs, {order}.{pages_told}")


def _groups(view: RunView) -> None:
    """A row a group: how many runs, and the mean of each figure ± its standard deviation."""
    words = [run_columns.SORTED_BY.get(w, w) for w in view.columns]
    words = [word for word in words if run_columns.is_figure(word) and word != "tag"]
    with store.opened() as db:
        found = run_list.groups(db, view.wanted, view.group, words)
        newest = {run.id: run for run in run_list.of_ids(db, [group.newest for group in found])}
    if not found:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
        return
    rows = [_group(group, words, view.group, newest.get(group.newest)) for group in found]
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder="—", alt="Groups of runs")
    st.caption(f"{len(found):,} groups. Mean ± standard deviation over the runs with a value.")


def _group(group: Group, words: list[str], by: str, newest: Run | None) -> dict[str, Any]:
    named = newest.name if by == "repeats" and newest else group.value
    row = {"Group": "—" if named is None else str(named), "Runs": group.count}
    for word, spread in zip(words, group.spreads, strict=True):
        key = run_columns.metric_of(word)[0]
        told = metric(key, spread.mean)
        if spread.variance is not None:
            told += f" ± {metric(key, math.sqrt(spread.variance))}"
        row[f"{metrics.describe(key).title} ({run_columns.metric_of(word)[1]})"] = told
    return row


def _first_time() -> None:
    with st.container(border=True, horizontal_alignment="center", key="first-time"):
        st.markdown("#### No runs yet")
        st.caption(
            "A run trains a model on one kind of hardware and records what it took. The defaults "
            "train a small classifier on Fashion-MNIST in under a minute."
        )
        if st.button("Configure the first run", type="primary", key="first-run"):
            st.switch_page(pages.NEW, query_params={})
