"""What can be done to selected runs: compare, tag, archive, restore, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import links, pages, store
from dashboard.words import plain
from engine import launch
from engine.problems import ConfigError
from storage.runs import Run


def of_selected(chosen: Sequence[Run], baseline: str) -> None:
    ids = [run.id for run in chosen]
    if st.button(
        f"Compare {len(ids)} runs" if len(ids) > 1 else "Compare",
        icon=":material/stacked_line_chart:",
        disabled=len(ids) < 2 or len(ids) > links.MAX_COMPARED,
        help="Select two to fifty runs.",
        key="compare-selected",
    ):
        st.switch_page(pages.COMPARE, query_params={"runs": ids})
    _baseline(ids, baseline)
    if not chosen or st.context.is_embedded:  # who reads it in another page came to look
        return
    with st.popover("Tag", icon=":material/sell:"):
        tag = st.text_input("Add to the selected runs", key="tag-selected-text", max_chars=50)
        if st.button("Add tag", key="tag-selected", disabled=not tag.strip()):
            _each(chosen, lambda run, by: _tag(run, tag, by), "tagged")
    if any(not run.archived for run in chosen) and st.button(
        "Archive", icon=":material/archive:", key="archive-selected"
    ):
        _each([run for run in chosen if not run.archived], _archive, "archived")
    if any(run.archived for run in chosen) and st.button(
        "Restore", icon=":material/unarchive:", key="restore-selected"
    ):
        _each([run for run in chosen if run.archived], _restore, "restored")
    gone = st.popover(
        "Delete", icon=":material/delete:", key="delete-selected-menu", on_change="rerun"
    )
    if gone.open:
        with gone:
            st.caption(plain(launch.what_goes(store.configured(), chosen)))
            if st.button("Delete for good", type="primary", key="delete-selected"):
                _each(chosen, _delete, "deleted")


def _baseline(ids: list[str], baseline: str) -> None:
    """Measure all runs against the selected one, or against none."""
    if len(ids) == 1 and ids != [baseline]:
        if st.button("Baseline", icon=":material/straighten:", key="set-baseline",
                     help="Show each figure with its distance from this run's."):  # fmt: skip
            links.put(baseline=ids[0])
            st.rerun()
    elif baseline and st.button(
        "No baseline", icon=":material/close:", key="drop-baseline", help=f"It is {baseline}."
    ):
        links.put(baseline=None)
        st.rerun()


def _each(chosen: Sequence[Run], change: Callable[[Run, str], None], done: str) -> None:
    """Do it to each, say how it went, and draw the list anew; one that cannot leaves the others."""
    refused = []
    for run in chosen:
        try:
            change(run, launch.this_user())
        except (launch.UnknownRun, launch.NotPossible, ConfigError) as error:
            refused.append(str(error))
    st.toast(f"{len(chosen) - len(refused):,} runs {done}.")
    for sentence in refused[:5]:
        st.toast(plain(sentence), icon=":material/error:")
    st.rerun()


def _tag(run: Run, tag: str, by: str) -> None:
    launch.add_tags(store.configured(), run.id, [tag.strip()], by=by)


def _archive(run: Run, by: str) -> None:
    launch.archive(store.configured(), run.id, by=by)


def _restore(run: Run, by: str) -> None:
    launch.restore(store.configured(), run.id, by=by)


def _delete(run: Run, by: str) -> None:
    launch.delete(store.configured(), run.id, by=by)
