"""Keys for a table of a page: Enter opens its row, Space selects it, Tab leaves the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

GRIDS_ROW_PX = 35  # of a table that asks for no other
_mount = component(
    "accelboard_table_keys",
    html="<span></span>",
    js=Path(__file__).with_name("table_keys.js").read_text("utf-8"),
)


def table_keys(key: str, on_open: Callable[[int], None], row_px: int = GRIDS_ROW_PX) -> None:
    """For the one table of a page. `on_open` is called with the row in which Enter was pressed."""
    _mount(
        key=key,
        data={"row_px": row_px},
        on_open_change=lambda: on_open(st.session_state[key].open),
        width="content",
    )
