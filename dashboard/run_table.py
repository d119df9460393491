"""The table of runs: filtered, selectable, and kept up to date without losing the selection."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import links, pages, store
from engine.config import FRAMEWORK_NAMES
from engine.describe import device_names, throughput, took
from engine.format import duration
from storage import runs
from storage.runs import Run

POLL_S = 2.0
NEWEST = 500
ROW_PX, HEADER_PX, MOST_ROWS = 36, 40, 16
STATUS_MARKS = {
    "PENDING": "◔ Pending",
    "RUNNING": "▶ Running",
    "SUCCEEDED": "✓ Succeeded",
    "FAILED": "✕ Failed",
    "STOPPED": "■ Stopped",
}


def show() -> None:
    """The filters, and under them the table, which is drawn again every two seconds."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search", key="q", bind="query-params", placeholder="Name, tag, id or workload"
        )
        statuses = _filter("status", {status: status.capitalize() for status in runs.STATUSES})
        frameworks = _filter("framework", FRAMEWORK_NAMES)
    _table(text, statuses, frameworks)


def _filter(name: str, titles: dict[str, str]) -> tuple[str, ...]:
    """Some of the choices, or none for any. The address holds their names, not their titles."""
    given = [choice for choice in st.query_params.get_all(name) if choice in titles]
    chosen = st.multiselect(
        name.capitalize(),
        list(titles),
        default=given,
        key=f"filter-{name}",
        format_func=titles.__getitem__,
        placeholder="Any",
    )
    links.put(**{name: chosen})
    return tuple(chosen)


@st.fragment(run_every=POLL_S)
def _table(text: str, statuses: tuple[str, ...], frameworks: tuple[str, ...]) -> None:
    with store.opened() as db:
        found = runs.list_newest(db, NEWEST, statuses, frameworks=frameworks, text=text)
        total = sum(runs.counts(db).values())
    if not total:
        _first_time()
    elif not found:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
    else:
        chosen = _selectable(found)
        _actions(chosen, len(found), total)


def _selectable(found: list[Run]) -> list[str]:
    """The table; ids of the selected runs, which stay selected when other runs come or go.

    Streamlit knows selected rows by position. So the table is a new one, with the selection moved
    along, exactly when the list of runs is another.
    """
    ids = [run.id for run in found]
    before = st.session_state.get("selected", [])
    key = f"runs-{hash(tuple(ids))}"
    state = st.dataframe(
        _frame(found),
        key=key,
        hide_index=True,
        height=HEADER_PX + ROW_PX * min(len(found), MOST_ROWS),
        row_height=ROW_PX,
        column_config=_columns(ids),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(i) for i in before if i in ids]}},
        placeholder="—",
        alt="Runs, newest first",
    )
    chosen = [ids[row] for row in state["selection"]["rows"] if row < len(ids)]
    st.session_state["selected"] = chosen
    return chosen


def _frame(found: list[Run]) -> pd.DataFrame:
    rows = [_row(run) for run in found]
    return pd.DataFrame(rows)


def _row(run: Run) -> dict[str, Any]:
    accuracy, speed = run.metrics.get("validation_accuracy"), throughput(run)
    return {
        "open": run.id,
        "status": STATUS_MARKS[run.status],
        "name": run.name,
        "framework": FRAMEWORK_NAMES.get(run.framework, run.framework),
        "device": device_names(run),
        "progress": min(1.0, run.step / run.total_steps),
        "accuracy": accuracy.max if accuracy else None,
        "speed": round(speed) if speed else None,
        "took": duration(took(run)),
        "submitted": datetime.fromtimestamp(run.submitted_at).astimezone(),
        "tags": list(run.tags),
    }


def _columns(ids: list[str]) -> dict[str, Any]:
    column = st.column_config
    return {
        "open": column.ButtonColumn(
            "Run", type="tertiary", key="open", on_click=_open, args=(ids,)
        ),
        "status": column.TextColumn("Status", width=110),
        "name": column.TextColumn("Name", width="medium"),
        "framework": column.TextColumn("Framework"),
        "device": column.TextColumn("Device"),
        "progress": column.ProgressColumn("Progress", format="percent", width=110),
        "accuracy": column.NumberColumn("Best accuracy", format="percent"),
        "speed": column.NumberColumn("Samples/s", format="localized"),
        "took": column.TextColumn("Took", alignment="right"),
        "submitted": column.DatetimeColumn("Submitted", format="D MMM, HH:mm:ss"),
        "tags": column.ListColumn("Tags"),
    }


def _open(ids: list[str]) -> None:
    st.session_state["opened"] = ids[st.session_state["open"]["row"]]


def _actions(chosen: list[str], shown: int, total: int) -> None:
    opened = st.session_state.pop("opened", None)
    if opened:
        st.switch_page(pages.RUN, query_params={"id": opened})
    with st.container(horizontal=True, vertical_alignment="center"):
        too_many = len(chosen) > links.MAX_COMPARED
        if st.button(
            f"Compare {len(chosen)} runs" if len(chosen) > 1 else "Compare",
            icon=":material/stacked_line_chart:",
            disabled=len(chosen) < 2 or too_many,
            help="Select two to fifty runs.",
            key="compare-selected",
        ):
            st.switch_page(pages.COMPARE, query_params={"runs": chosen})
        more = "the newest " if shown == NEWEST else ""
        st.caption(f"{more}{shown:,} of {total:,} runs, newest first.".capitalize())


def _first_time() -> None:
    with st.container(border=True, horizontal_alignment="center", key="first-time"):
        st.markdown("#### No runs yet")
        st.caption(
            "A run trains a model on one kind of hardware and records what it took. The defaults "
            "train a small classifier on Fashion-MNIST in under a minute."
        )
        if st.button("Configure the first run", type="primary", key="first-run"):
            st.switch_page(pages.NEW, query_params={})
