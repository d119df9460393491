"""The top of every page: what it is, what can be done, and its link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import streamlit as st

from dashboard import links, pages, store, words
from dashboard.components.copy_link import copy_link


@contextmanager
def header(title: str, *, kicker: str = "") -> Iterator[None]:
    """The title, and beside it the actions that the block draws, then the page's link."""
    st.set_page_config(page_title=f"{title} · Accelboard")
    with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
        with st.container(width="stretch"):
            words.title(title, kicker=kicker)
        with st.container(
            horizontal=True, width="content", vertical_alignment="center", gap="small"
        ):
            yield
            copy_link(key="copy-link", public_address=store.configured().public_address)


def warn_of_link(rules: Mapping[str, links.Rule]) -> None:
    """Say what of the address is not shown, since it is not what it should be."""
    for sentence in links.misread(rules):
        st.warning(words.plain(sentence), icon=":material/link_off:")


def not_found(what: str, way_back: str = "All runs", to: st.Page = pages.RUNS) -> None:
    """A plain page for a link that leads nowhere, with a way back."""
    with header("Not found"):
        pass
    st.info(words.plain(what), icon=":material/search_off:")
    st.page_link(to, label=way_back, icon=":material/arrow_back:")
