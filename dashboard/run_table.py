"""The table of runs: filtered, selectable, and kept up to date without losing the selection."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import (
    clicks,
    comparison,
    downloads,
    links,
    pages,
    run_actions,
    run_columns,
    run_groups,
    run_selection,
    run_view,
    store,
    tables,
)
from dashboard.components.table_keys import table_keys
from dashboard.run_view import RunView
from dashboard.words import plain
from engine.format import counted
from storage import run_list, runs
from storage.database import Database
from storage.fields import BadQuery
from storage.run_list import Page
from storage.runs import Run

POLL_S = 2.0
PAGE_ROWS = 100
MOST_DOWNLOADED = 100_000
ROW_PX, HEADER_PX, MOST_ROWS = 36, 40, 16
# What is said above the table comes and goes without moving it, and what can be done with a
# selection stays in sight where the window is lower than the table.
PAPER = [st.get_option(f"theme.{of}.backgroundColor") or "Canvas" for of in ("light", "dark")]
STYLE = f"""<style>
@media (min-width: 640px) {{
  .st-key-list-line {{ min-height: 2.5rem; }}
  [data-testid="stLayoutWrapper"]:has(> .st-key-run-actions) {{
    position: sticky; bottom: 0; z-index: 9; padding: 0.5rem 0;
    background: light-dark({", ".join(PAPER)});
  }}
}}
@media (max-width: 640px) {{ .st-key-q, .st-key-query {{ min-width: 100%; }} }}
</style>"""


def show() -> None:
    """The filters, and under them the table, which is drawn again every two seconds.

    The download is not: of a button that is drawn again, a click may come too late for the old one.
    """
    st.session_state.pop("listed", None)
    run_actions.say_how_it_went()
    st.html(STYLE)
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    view = run_view.controls(bar)
    with bar:
        if view.group:
            downloads.table("groups", lambda: run_groups.raw(view))
        else:
            downloads.table("runs", lambda: _all(view))
    _table(view)


@st.fragment(run_every=POLL_S)
def _table(view: RunView) -> None:
    try:
        if view.group:
            run_groups.show(view)
        else:
            _runs(view)
    except BadQuery as error:
        st.error(plain(str(error)), icon=":material/filter_alt_off:")


def _runs(view: RunView) -> None:
    with store.opened() as db:
        number, found = _page(db, view)
        total = sum(runs.counts(db).values())
        baseline = runs.get(db, view.baseline) if view.baseline else None
        listed, changed = _kept(db, found.runs)
    news = st.container()  # what is said here comes and goes without moving what is below
    if view.baseline and baseline is None:
        news.warning(
            f"No run has the id {plain(repr(view.baseline[:60]))}, so there is no baseline. Select "
            "a run and press Baseline.",
            icon=":material/straighten:",
        )
    if not total:
        _first_time()
    elif not found.total:
        _none_matches(view)
    else:
        line = st.container(horizontal=True, vertical_alignment="center", key="list-line")
        told = line.container()
        if changed and line.button(
            "The list has changed: update it", icon=":material/refresh:", key="update-list"
        ):
            st.session_state.pop("listed")
            st.rerun(scope="fragment")
        ids = [run.id for run in listed]
        _selectable(ids, listed, view, baseline, number)
        _under(ids, found.total, number, view)
        told.caption(_told(found.total, total, number, view.sort, baseline))


def _page(db: Database, view: RunView) -> tuple[int, Page]:
    """The page of the address, or the last one that there is."""
    number = links.page_number()
    found = _read(db, view, number)
    last = max(1, math.ceil(found.total / PAGE_ROWS))
    if number <= last:
        return number, found
    links.put(page=str(last) if last > 1 else None)
    return last, _read(db, view, last)


def _read(db: Database, view: RunView, number: int) -> Page:
    begin = (number - 1) * PAGE_ROWS
    return run_list.page(db, view.wanted, sort=view.sort, limit=PAGE_ROWS, offset=begin)


def _kept(db: Database, found: list[Run]) -> tuple[list[Run], bool]:
    """The runs to show, and whether those that are found are others.

    Figures change in their place. The rows stay while some are selected, while only their order
    is another, or while the list is longer than the table is high, so that nobody loses their
    place because a colleague has started a run.
    """
    ids = [run.id for run in found]
    before: list[str] = st.session_state.get("listed", [])
    run_selection.take()
    if selected := run_selection.ids():
        run_selection.keep(run_list.those_there(db, selected))
    is_long = min(len(before), len(ids)) > MOST_ROWS
    stays = bool(before) and (is_long or set(ids) == set(before) or bool(run_selection.ids()))
    if ids == before or not stays:
        st.session_state["listed"] = ids
        return found, False
    return run_list.of_ids(db, before), True


def _selectable(
    ids: list[str], listed: list[Run], view: RunView, baseline: Run | None, number: int
) -> None:
    """The table; what is selected in it, and by which column it is to be sorted, are taken over."""
    key = run_selection.table(ids, (view.columns, view.pinned, view.sort, number))
    cells = _cells(listed, view.columns, baseline)
    state = tables.show(
        "runs",
        pd.DataFrame(cells),
        raw=None,
        key=key,
        height=HEADER_PX + ROW_PX * min(len(listed), MOST_ROWS),
        row_height=ROW_PX,
        column_config=_columns(ids, cells, view, baseline),
        on_select="rerun",
        selection_mode=["multi-row", "single-column"],
        selection_default={"selection": {"rows": run_selection.rows(ids)}},
        placeholder="—",
        alt=f"Runs, by {view.sort}",
    )
    run_selection.take()
    run_selection.sort_by_header(state, view.sort)


def _cells(
    listed: list[Run], columns: tuple[str, ...], baseline: Run | None
) -> dict[str, list[Any]]:
    """Column by column, and beside each figure its distance from the baseline's."""
    cells: dict[str, list[Any]] = {"open": [run.id for run in listed]}
    for word in columns:
        cells[word] = [run_columns.cell(run, word) for run in listed]
        if run_columns.is_share(word):
            cells[word] = [None if cell is None else 100 * cell for cell in cells[word]]
        if word.startswith("config.") and not run_columns.are_numbers(cells[word]):
            cells[word] = [None if cell is None else str(cell) for cell in cells[word]]
        if baseline and run_columns.has_distance(word):
            base, unit = run_columns.number(baseline, word), run_columns.unit(word)
            own = (run_columns.number(run, word) for run in listed)
            cells[f"Δ {word}"] = [
                comparison.delta(one, base, unit, decimals=2) or None for one in own
            ]
    return cells


def _columns(
    ids: list[str], cells: dict[str, list[Any]], view: RunView, baseline: Run | None
) -> dict[str, Any]:
    open_button = st.column_config.ButtonColumn(
        "Run", type="tertiary", key="open", on_click=_clicked, args=(ids,), pinned=True, width=116
    )
    columns = view.columns
    shown = {word: run_columns.shown(word, cells[word], word in view.pinned) for word in columns}
    deltas = {
        f"Δ {word}": st.column_config.TextColumn(
            f"Δ {run_columns.title(word).lower()}", alignment="right"
        )
        for word in columns
        if baseline and run_columns.has_distance(word)
    }
    for word, column in shown.items():
        column["label"] += run_view.arrow(word, view.sort)
    return {"open": open_button} | shown | deltas


def _all(view: RunView) -> pd.DataFrame:
    """Every run that is found, with the columns that are shown and values as they are: for a
    file."""
    with store.opened() as db:
        found = run_list.page(db, view.wanted, sort=view.sort, limit=MOST_DOWNLOADED).runs
        baseline = runs.get(db, view.baseline) if view.baseline else None
    return pd.DataFrame([run_columns.raw(run, view.columns, baseline) for run in found])


def _clicked(ids: list[str]) -> None:
    _open(ids, st.session_state["open"]["row"])


def _open(ids: list[str], row: int) -> None:
    st.session_state["opened"] = ids[row]


def _under(ids: list[str], found: int, number: int, view: RunView) -> None:
    """Under the table: what to do with the selection, other pages, and how to use the keyboard."""
    opened = st.session_state.pop("opened", None)
    if opened:
        clicks.go_to(pages.RUN, id=opened)
    selected = run_selection.ids()
    with st.container(horizontal=True, vertical_alignment="center", key="run-actions"):
        run_actions.of_selected(selected, view.baseline)
        _select_all(len(selected), found, view)
        last = math.ceil(found / PAGE_ROWS)
        for label, to in (("Previous", number - 1), ("Next", number + 1)):
            if last > 1 and st.button(label, key=f"page-{label}", disabled=not 1 <= to <= last):
                links.put(page=None if to == 1 else str(to))
                st.rerun()
        table_keys("table-keys", lambda row: _open(ids, row), ROW_PX)
    st.caption(
        "A click on a column's title sorts all runs by it. In the table, Enter opens a run, Space "
        "selects it and Tab goes on."
    )


def _select_all(selected: int, found: int, view: RunView) -> None:
    if selected < found and st.button(
        f"Select all {found:,} found", icon=":material/select_all:", key="select-all"
    ):
        with store.opened() as db:
            run_selection.put(run_list.ids(db, view.wanted))
        st.rerun()
    if selected and st.button("Select none", icon=":material/deselect:", key="select-none"):
        run_selection.put([])
        st.rerun()


def _told(found: int, total: int, number: int, sort: str, baseline: Run | None) -> str:
    """Above the table: how many runs there are, which of them are shown, and what Δ is of."""
    last, selected = math.ceil(found / PAGE_ROWS), len(run_selection.ids())
    told = f"{found:,} of {counted(total, 'run')}, {run_view.in_order(sort)}."
    told += f" Page {number:,} of {last:,}." if last > 1 else ""
    told += f" {selected:,} selected{' on all pages' if last > 1 else ''}." if selected else ""
    if baseline:
        told += f" Δ: distance from {plain(baseline.name[:60])} ({baseline.id})."
    return told


def _none_matches(view: RunView) -> None:
    """What was archived a moment ago is not lost: it is said where it is."""
    told, hidden = "No run matches the filters.", 0
    if not view.wanted.archived:
        with store.opened() as db:
            hidden = run_list.page(db, replace(view.wanted, archived=True), limit=1).total
    if hidden:
        told += f" {counted(hidden, 'archived run')} would: Filter, Archived runs too."
    st.info(told, icon=":material/filter_alt_off:")


def _first_time() -> None:
    with st.container(border=True, key="first-time"):
        st.markdown("#### No runs yet")
        st.caption(
            "A run trains a model on one kind of hardware and records what it took. The defaults "
            "train a small classifier on Fashion-MNIST in under a minute."
        )
        if st.button("Configure the first run", type="primary", key="first-run"):
            clicks.go_to(pages.NEW)
