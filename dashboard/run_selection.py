"""Which runs are selected, over all pages of the table, and that a header's click sorts by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import links, run_columns

KEY, TURN, TABLE = "selected", "selection-turn", "table-of-runs"
NO_TABLE = "none"
FIRST_UP = ("name", "id", "status", "framework", "accelerator", "workload", "dataset", "user",
            "host", "device", "tag", "notes", "failure")  # fmt: skip


def ids() -> list[str]:
    return list(st.session_state.get(KEY, []))


def put(run_ids: Sequence[str]) -> None:
    """Select these and no others; the table is a new one, since it keeps a selection itself."""
    st.session_state[KEY] = list(run_ids)
    st.session_state[TURN] = turn() + 1


def keep(there: Collection[str]) -> None:
    """Only those of the selected that are there still."""
    kept = [run_id for run_id in ids() if run_id in there]
    if len(kept) < len(ids()):
        put(kept)


def turn() -> int:
    return st.session_state.get(TURN, 0)


def rows(listed: Sequence[str]) -> list[int]:
    """Which rows of a page are selected."""
    selected = set(ids())
    return [row for row, run_id in enumerate(listed) if run_id in selected]


def table(listed: Sequence[str], shown: tuple[object, ...]) -> str:
    """The key of the table of these runs; `shown` is what else makes it another table.

    Streamlit knows selected rows by position. So the table is a new one, with the selection moved
    along, when its runs are others while some are selected. Else it is the one that is there, and
    stays where it was scrolled to.
    """
    _, _, before = st.session_state.get(TABLE, (NO_TABLE, 0, listed))
    if listed != before and ids():
        put(ids())
    key = f"runs-{hash((shown, turn()))}"
    st.session_state[TABLE] = (key, turn(), listed)
    return key


def take() -> None:
    """What is selected in the table as it was drawn; what is on other pages stays selected."""
    key, at, listed = st.session_state.get(TABLE, (NO_TABLE, 0, []))
    if at != turn() or key not in st.session_state:
        return
    here, chosen = set(listed), st.session_state[key]["selection"]["rows"]
    st.session_state[KEY] = [run_id for run_id in ids() if run_id not in here] + [
        listed[row] for row in chosen if row < len(listed)
    ]


def sort_by_header(state: Any, sort: str, words: Mapping[str, str] | None = None) -> None:
    """Sort all that is found by the column whose header was clicked; again: the other way round.

    `words` are those that columns are sorted by, where that is not their name.
    """
    known = run_columns.SORTED_BY | dict(words or {})
    clicked = [known.get(c, c) for c in state["selection"].get("columns", []) if _is_sortable(c)]
    if not clicked:
        return
    word = clicked[0]
    other_way = {word: f"-{word}", f"-{word}": word}
    links.put(sort=other_way.get(sort, word if word in FIRST_UP else f"-{word}"), page=None)
    st.rerun()


def _is_sortable(column: str) -> bool:
    return column not in ("open", "runs") and not column.startswith("Δ")
