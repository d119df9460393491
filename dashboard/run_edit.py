"""Edit, archive, restore and delete one run, in place on its page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import clicks, pages, store
from dashboard.words import plain
from engine import changes, launch
from storage import runs
from storage.runs import Run

SAVED = "edit-saved"  # the id of the run that was just changed


def control(run: Run) -> None:
    """Beside the page's title. An open menu looks up what it needs."""
    edit = st.popover("Edit", icon=":material/edit:", key="edit", on_change="rerun")
    if edit.open:
        with edit, store.opened() as db:
            _form(run, runs.all_tags(db))
    else:
        st.session_state.pop(_seen(run), None)  # whoever opens it again sees what there is then


def removal(run: Run, problems: DeltaGenerator) -> None:
    """Of a run that is over; `problems` is where what goes wrong is said."""
    if run.archived:
        if st.button("Restore", icon=":material/unarchive:", key="restore", width="stretch"):
            _do(changes.restore, run, problems)
    elif st.button("Archive", icon=":material/archive:", key="archive", width="stretch"):
        _do(changes.archive, run, problems)
    gone = st.expander("Delete", icon=":material/delete:", key="delete-menu", on_change="rerun")
    if gone.open:
        with gone:
            _delete_form(run)


def _delete_form(run: Run) -> None:
    st.caption(plain(changes.what_goes(store.configured(), [run])))
    if st.button("Delete for good", type="primary", key="delete"):
        _delete(run)


def _form(run: Run, tags: list[str]) -> None:
    """What the form began with is kept: only what is changed in it is changed in the run."""
    seen = st.session_state.setdefault(
        _seen(run), {"name": run.name, "tags": list(run.tags), "notes": run.notes}
    )
    with st.form(f"edit-{run.id}", border=False):
        name = st.text_input("Name", value=seen["name"], max_chars=200, key=f"edit-name-{run.id}")
        chosen = st.multiselect(
            "Tags", [*dict.fromkeys([*seen["tags"], *tags])], default=seen["tags"],
            accept_new_options=True, key=f"edit-tags-{run.id}",
        )  # fmt: skip
        notes = st.text_area("Notes", value=seen["notes"], height=160, key=f"edit-notes-{run.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            saved = st.form_submit_button("Save", type="primary", key="edit-save")
            if st.session_state.pop(SAVED, None) == run.id and not saved:
                st.caption("Saved.")
    if not saved:
        return
    changed = {"name": name, "tags": chosen, "notes": notes}
    with clicks.in_words():
        changes.edit(
            store.configured(), run.id, by=launch.this_user(), changes=changed, before=seen
        )
        st.session_state[_seen(run)] = changed
        st.session_state[SAVED] = run.id
        st.rerun()


def _seen(run: Run) -> str:
    return f"edit-seen-{run.id}"


def _do(change: Callable[..., None], run: Run, problems: DeltaGenerator) -> None:
    with problems, clicks.in_words():
        change(store.configured(), run.id, by=launch.this_user())
        st.rerun()


def _delete(run: Run) -> None:
    with clicks.in_words():
        changes.delete(store.configured(), run.id, by=launch.this_user())
        clicks.go_to(pages.RUNS)
