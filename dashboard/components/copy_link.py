"""A button that copies the address of the page as the reader sees it now."""

from __future__ import annotations

from pathlib import Path

from streamlit.components.v2 import component

_HERE = Path(__file__).parent
_mount = component(
    "accelboard_copy_link",
    html=_HERE.joinpath("copy_link.html").read_text("utf-8"),
    css=_HERE.joinpath("copy_link.css").read_text("utf-8"),
    js=_HERE.joinpath("copy_link.js").read_text("utf-8"),
)


def copy_link(
    label: str = "Copy link",
    *,
    key: str,
    public_address: str = "",
    path: str = "",
    embed: bool = False,
) -> None:
    """Say "Copied" for two seconds; the script does not run again.

    With a public address, the link begins with that in place of the browser's own; with a path, it
    leads there instead of to this page; with `embed`, to the page without menus.
    """
    data = {"label": label, "address": public_address, "path": path, "embed": embed}
    _mount(key=key, data=data, width="content")
