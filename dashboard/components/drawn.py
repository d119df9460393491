"""Whether the charts of a page are drawn: what is below them can come after that."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

_mount = component(
    "accelboard_drawn",
    html="<span></span>",
    js=Path(__file__).with_name("drawn.js").read_text("utf-8"),
)


def drawn(key: str, charts: int) -> bool:
    """Whether the browser has drawn the page's charts, so many, or said why it could not.

    False at first; the script, or the fragment of it that asks, runs again as soon as it is so.
    It stays so while the page is open.
    """
    known = _mount(
        key=key,
        data={"charts": charts, "isTold": st.session_state.get(key, {}).get("drawn", False)},
        default={"drawn": False},
        on_drawn_change=lambda: None,
        width="content",
        height=1,
    )
    return bool(known.drawn)
