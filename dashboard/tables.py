"""Tables as pages show them: each can be downloaded, as CSV, JSON or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import downloads

Rows = pd.DataFrame | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]


def show(
    name: str,
    rows: Rows,
    *,
    alt: str,
    raw: Callable[[], Rows] | None,
    **options: Any,
) -> Any:
    """A table, and under it the menu that downloads it; what is selected, if that is asked for.

    `raw` are its values as they are, under names with their units; None: the page has the menu
    elsewhere. `name` is the file's, and one on its page.
    """
    options.setdefault("hide_index", not isinstance(rows, pd.DataFrame) or "key" in options)
    state = st.dataframe(rows, alt=alt, **options)
    if raw is not None:
        with st.container(horizontal=True, horizontal_alignment="right"):
            downloads.table(name, lambda: _frame(raw()), type="tertiary")
    return state


def facts(name: str, told: Mapping[str, str], *, alt: str, raw: Mapping[str, Any]) -> None:
    """A row a fact: what it is, and its value."""
    show(
        name,
        {"What": list(told), "Value": list(told.values())},
        raw=lambda: {"key": list(raw), "value": list(raw.values())},
        alt=alt,
        width="stretch",
        height="content",
        column_config={"What": st.column_config.TextColumn(width="medium")},
    )


def _frame(rows: Rows) -> pd.DataFrame:
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
