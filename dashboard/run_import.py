"""Add a run that another Accelboard exported, from its file."""

from __future__ import annotations

import streamlit as st

from dashboard import clicks, pages, store
from dashboard.words import plain
from engine import launch, transfer

MOST_MB = 200
ALONE = "Which studies and reference jobs a run belongs to does not travel with it."


def control() -> None:
    menu = st.popover("Import", icon=":material/upload:", key="import-menu", on_change="rerun")
    if menu.open:
        with menu:
            _form()


def _form() -> None:
    given = st.file_uploader(
        "The file of an exported run", type="zip", key="import-file", max_upload_size=MOST_MB
    )
    st.caption(
        f"Up to {MOST_MB} MB; a larger one with `python -m engine import FILE`. The run keeps its "
        f"id. {ALONE}"
    )
    if given is None or not st.button("Import", type="primary", key="import-run"):
        return
    with clicks.in_words():
        try:
            run_id = transfer.load(store.configured(), given, by=launch.this_user())
        except transfer.BadFile as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            clicks.go_to(pages.RUN, id=run_id)
