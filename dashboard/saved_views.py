"""Saved views: the state of a page's address under a name, behind a short link."""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import urlsplit

import streamlit as st

from dashboard import clicks, links, store
from dashboard.components.copy_link import copy_link
from dashboard.words import plain
from engine import changes, launch
from storage import views
from storage.views import View

PAGES = (
    "",
    "compare",
    "run",
    "study",
    "studies",
    "hardware",
    "new",
)  # paths of the pages that have views
MAX_NAME_CHARS = 100
LISTED = 30
RENAMED = "view-renamed"  # the id of the one whose name is being changed
# How a view of each earlier version is read now: a step from each to the next.
UPGRADES: dict[int, Callable[[View], View]] = {}


def control(page: str) -> None:
    """Save the page as it is shown, and the list of what was saved of it."""
    if st.context.is_embedded:
        return
    menu = st.popover("Views", icon=":material/bookmark:", key="views-menu", on_change="rerun")
    if menu.open:
        with menu:
            _save(page)
            _removed()
            _listed(page)
            copy_link("Copy link without menus", key="copy-embed", embed=True,
                      public_address=store.configured().public_address)  # fmt: skip
            st.caption("For another page that shows this one.")


def _save(page: str) -> None:
    name = st.text_input("Name of this view", key="view-name", max_chars=MAX_NAME_CHARS)
    if not st.button("Save view", key="save-view", disabled=not name.strip()):
        return
    state = {key: st.query_params.get_all(key) for key in st.query_params}
    with clicks.in_words():
        view_id = changes.save_view(
            store.configured(), name=name.strip(), page=page, state=state, by=launch.this_user()
        )
        _saved(view_id)


def _saved(view_id: str) -> None:
    link = _link(view_id)
    shown = html.escape(link)  # exactly, for those who copy what they see
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'Saved as <a style="color: inherit" href="{shown}">{shown}</a>', width="stretch")
        copy_link("Copy", key="copy-view", link=link)


def _listed(page: str) -> None:
    """By name; those that do not fit are found by a part of theirs."""
    with store.opened() as db:
        total = views.count(db, page)
        text = ""
        if total > LISTED:
            text = st.text_input("Find a view", key="view-find", placeholder="Part of its name",
                                 max_chars=MAX_NAME_CHARS)  # fmt: skip
            text = text.strip()
        saved, found = views.of_page(db, page, text, LISTED), views.count(db, page, text)
    for view in saved:
        _row(view)
    if found > len(saved):
        st.caption(f"{len(saved):,} of {found:,} views, by name.")
    elif total and not found:
        st.caption("No view has that in its name.")


def _row(view: View) -> None:
    if st.session_state.get(RENAMED) == view.id:
        _rename(view)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(f"[{plain(view.name)}]({_link(view.id)})", width="stretch")
        renamed = st.button(
            "", icon=":material/edit:", key=f"view-rename-{view.id}", type="tertiary",
            help=f"Rename the view {plain(view.name)}; its link stays.",
        )  # fmt: skip
        removed = st.button(
            "", icon=":material/delete:", key=f"view-delete-{view.id}", type="tertiary",
            help=f"Remove the view {plain(view.name)}. Saved by {plain(view.created_by)}.",
        )  # fmt: skip
    if renamed:
        st.session_state[RENAMED] = view.id
        st.rerun()
    if removed:
        with clicks.in_words():
            changes.delete_view(store.configured(), view.id, by=launch.this_user())
            st.session_state["view-removed"] = view
            st.rerun()


def _rename(view: View) -> None:
    name = st.text_input(
        "New name", value=view.name, key=f"view-new-name-{view.id}", max_chars=MAX_NAME_CHARS
    ).strip()
    with st.container(horizontal=True):
        done = st.button("Rename", key="view-rename", disabled=not name)
        left = st.button("Cancel", key="view-rename-cancel", type="tertiary")
    with clicks.in_words():
        if done and name != view.name:
            changes.rename_view(store.configured(), view, name, by=launch.this_user())
        if done or left:
            st.session_state.pop(RENAMED)
            st.rerun()


def _removed() -> None:
    """What was just removed can be brought back, and its link with it."""
    view: View | None = st.session_state.get("view-removed")
    if view is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Removed {plain(view.name)}.", width="stretch")
        undone = st.button("Undo", key="view-undo", icon=":material/undo:", type="tertiary")
    if undone:
        with clicks.in_words():
            changes.restore_view(store.configured(), view, by=launch.this_user())
            st.session_state.pop("view-removed")
            st.rerun()


def _link(view_id: str) -> str:
    """With the address under which others reach this, or else under which the reader does."""
    here = urlsplit(st.context.url or "")
    own = f"{here.scheme}://{here.netloc}" if here.netloc else ""
    return f"{store.configured().public_address or own + links.base()}/v/{view_id}"


def address(view: View) -> str | None:
    """Where a view leads; None if a later version wrote it, or its page is none of ours."""
    if view.version > views.VERSION or view.page not in PAGES:
        return None
    while view.version < views.VERSION:
        view = UPGRADES[view.version](view)
    return links.path(view.page, view.state)
