"""What can be done to selected runs: open, compare, tag, archive, restore, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import clicks, links, pages, store
from dashboard.words import plain
from engine import changes, launch
from engine.format import counted
from storage import run_list, runs
from storage.run_list import Selected
from storage.runs import Run

MOST_OPENED = 3
MOST_WEIGHED = 200  # of which all files are looked at before they are deleted
MOST_REFUSALS = 5
SAID = "said-of-selected"


def of_selected(ids: Sequence[str], baseline: str) -> None:
    """`ids` may be of runs that are on other pages, or gone meanwhile."""
    if st.button(
        f"Compare {len(ids):,} runs" if len(ids) > 1 else "Compare",
        icon=":material/stacked_line_chart:",
        disabled=len(ids) < 2 or len(ids) > links.MAX_COMPARED,
        help="Select two to fifty runs.",
        key="compare-selected",
    ):
        clicks.go_to(pages.COMPARE, runs=list(ids))
    _baseline(list(ids), baseline)
    for run_id in ids if len(ids) <= MOST_OPENED else ():
        st.page_link(pages.RUN, label=f"Open {run_id}", icon=":material/show_chart:",
                     query_params={"id": run_id})  # fmt: skip
    if not ids or st.context.is_embedded:  # who reads it in another page came to look
        return
    with store.opened() as db:
        selected = run_list.outline(db, ids)
    _tags(ids)
    if selected.archived < selected.total and st.button(
        "Archive", icon=":material/archive:", key="archive-selected"
    ):
        _each(_those(ids, lambda run: not run.archived), changes.archive, "archived")
    if selected.archived and st.button(
        "Restore", icon=":material/unarchive:", key="restore-selected"
    ):
        _each(_those(ids, lambda run: run.archived), changes.restore, "restored")
    _deletion(ids, selected)


def _tags(ids: Sequence[str]) -> None:
    """Tags are added and removed one by one, so that those of others stay."""
    menu = st.popover("Tag", icon=":material/sell:", key="tag-selected-menu", on_change="rerun")
    if not menu.open:
        return
    with store.opened() as db:
        there = run_list.tags_of(db, ids)
    with menu:
        tag = st.text_input("Add to the selected runs", key="tag-selected-text", max_chars=50)
        if st.button("Add tag", key="tag-selected", disabled=not tag.strip()):
            _each(ids, lambda s, i, by: changes.add_tags(s, i, [tag], by=by), "tagged")
        gone = st.multiselect("Remove from them", there, key="untag-selected-tags")
        if st.button("Remove tags", key="untag-selected", disabled=not gone):
            _each(ids, lambda s, i, by: changes.remove_tags(s, i, gone, by=by), "changed")


def _deletion(ids: Sequence[str], selected: Selected) -> None:
    menu = st.popover(
        "Delete", icon=":material/delete:", key="delete-selected-menu", on_change="rerun"
    )
    if not menu.open:
        return
    with menu:
        st.caption(plain(_what_goes(ids, selected)))
        if st.button("Delete for good", type="primary", key="delete-selected",
                     disabled=selected.active == selected.total):  # fmt: skip
            _each(_those(ids, lambda run: not run.active), changes.delete, "deleted")


def _what_goes(ids: Sequence[str], selected: Selected) -> str:
    over = selected.total - selected.active
    told = []
    if over > MOST_WEIGHED:
        told = [f"{over:,} runs with all their points, logs and checkpoints go for good."]
        told += changes.who_loses(store.configured(), _not_active(ids))
    elif over:
        with store.opened() as db:
            gone = [run for run in run_list.of_ids(db, ids) if not run.active]
        told = [changes.what_goes(store.configured(), gone)]
    if selected.active:
        told.append(
            f"{counted(selected.active, 'run')} of those selected "
            f"{'is' if selected.active == 1 else 'are'} active and not deleted: stop first what "
            "is to go."
        )
    return " ".join(told)


def _not_active(ids: Sequence[str]) -> list[str]:
    with store.opened() as db:
        active = {run.id for run in (*runs.running(db), *runs.queue(db))}
    return [run_id for run_id in ids if run_id not in active]


def _those(ids: Sequence[str], are_meant: Callable[[Run], bool]) -> list[str]:
    with store.opened() as db:
        return [run.id for run in run_list.of_ids(db, ids) if are_meant(run)]


def _baseline(ids: list[str], baseline: str) -> None:
    """Measure all runs against the selected one, or against none."""
    if len(ids) == 1 and ids != [baseline]:
        if st.button("Baseline", icon=":material/straighten:", key="set-baseline",
                     help="Show each figure with its distance from this run's."):  # fmt: skip
            links.put(baseline=ids[0])
            st.rerun()
    elif baseline and st.button(
        "No baseline",
        icon=":material/close:",
        key="drop-baseline",
        help=f"It is {plain(baseline[:60])}.",
    ):
        links.put(baseline=None)
        st.rerun()


def _each(ids: Sequence[str], change: Callable[..., None], done: str) -> None:
    """Do it to each, say how it went, and draw the list anew; one that cannot leaves the others."""
    changed, refused = 0, []
    with clicks.in_words(lambda: f"{changed:,} of {counted(len(ids), 'run')} {done}."):
        with st.spinner(f"{counted(len(ids), 'run')} …"):
            for run_id in ids:
                try:
                    change(store.configured(), run_id, by=launch.this_user())
                    changed += 1
                except clicks.REFUSED as error:
                    refused.append(str(error))
        said = [f"{counted(changed, 'run')} {done}.", *refused[:MOST_REFUSALS]]
        if len(refused) > MOST_REFUSALS:
            said.append(f"{len(refused) - MOST_REFUSALS:,} more could not be {done}.")
        st.session_state[SAID] = said
        st.rerun()


def say_how_it_went() -> None:
    """Of the last action; by the run of the script that follows it, whose toasts are not lost."""
    for place, sentence in enumerate(st.session_state.pop(SAID, [])):
        st.toast(plain(sentence), icon=":material/error:" if place else None)
