"""Whether the charts of a page are drawn: what is below them can come after that."""

from __future__ import annotations

from pathlib import Path

from streamlit.components.v2 import component

_mount = component(
    "accelboard_drawn",
    html="<span></span>",
    js=Path(__file__).with_name("drawn.js").read_text("utf-8"),
)


def drawn(key: str) -> bool:
    """Whether the browser has drawn every chart that is there, or said why it could not.

    False at first; the script, or the fragment of it that asks, runs again as soon as it is so.
    It stays so while the page is open.
    """
    known = _mount(
        key=key, default={"drawn": False}, on_drawn_change=lambda: None, width="content", height=1
    )
    return bool(known.drawn)
