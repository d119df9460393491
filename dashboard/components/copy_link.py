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
    link: str = "",
    embed: bool = False,
) -> None:
    """Say "Copied" for two seconds; the script does not run again.

    With a public address, this page's link begins with that in place of the browser's own; with
    `embed`, it leads to the page without menus. A `link` is copied instead of this page's.
    """
    data = {"label": label, "address": public_address, "link": link, "embed": embed}
    _mount(key=key, data=data, width="content")
