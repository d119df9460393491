"""Saved views: the state of a page's address under a name, behind a short link."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from dashboard import store
from dashboard.words import plain
from engine import launch
from storage import views
from storage.views import View

PAGES = ("", "compare")  # paths of the pages that have views
MAX_NAME_CHARS = 100


def control(page: str) -> None:
    """Save the page as it is shown, and the list of what was saved of it."""
    with st.popover("Views", icon=":material/bookmark:"):
        name = st.text_input("Name of this view", key="view-name", max_chars=MAX_NAME_CHARS)
        if st.button("Save view", key="save-view", disabled=not name.strip()):
            state = {key: st.query_params.get_all(key) for key in st.query_params}
            view_id = launch.save_view(
                store.configured(), name=name.strip(), page=page, state=state,
                by=launch.this_user(),
            )  # fmt: skip
            st.markdown(f"Saved as [/v/{view_id}](/v/{view_id}).")
        with store.opened() as db:
            saved = views.of_page(db, page)
        for view in saved:
            _row(view)


def _row(view: View) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"[{plain(view.name)}](/v/{view.id})", width="stretch")
        if st.button(
            "", icon=":material/delete:", key=f"view-delete-{view.id}",
            help=f"Remove the view. Saved by {plain(view.created_by)}.", type="tertiary",
        ):  # fmt: skip
            launch.delete_view(store.configured(), view.id, by=launch.this_user())
            st.rerun()


def address(view: View) -> str | None:
    """Where a view leads; None if a later version wrote it, or its page is none of ours."""
    if view.version > views.VERSION or view.page not in PAGES:
        return None
    query = urlencode(view.state, doseq=True)
    return f"/{view.page}{'?' if query else ''}{query}"
