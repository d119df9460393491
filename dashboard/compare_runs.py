"""Which runs are compared: found, added and removed without leaving the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import distinct, links, store
from dashboard.words import plain
from engine import queries
from engine.format import metric
from storage import run_list
from storage.fields import BadQuery
from storage.run_list import Wanted
from storage.runs import Run

FOUND = 10
MARKS = "=<>~"  # with one of these, what is searched for is a query


def asked() -> list[Run]:
    """The runs of the address that there are. What is left out is named."""
    given = links.compared()
    with store.opened() as db:
        found = run_list.of_ids(db, given)
    unknown = sorted(set(given) - {run.id for run in found}, key=given.index)
    if unknown:
        st.warning(
            f"Not in this store, and left out: {plain(', '.join(i[:60] for i in unknown[:5]))}"
            f"{f' and {len(unknown) - 5:,} more' if len(unknown) > 5 else ''}.",
            icon=":material/search_off:",
        )
    if len(found) > links.MAX_COMPARED:
        st.warning(
            f"This link names {len(found):,} runs; {links.MAX_COMPARED} can be compared. The first "
            f"{links.MAX_COMPARED} are shown: remove some to add others.",
            icon=":material/filter_list:",
        )
    return found[: links.MAX_COMPARED]


def chooser(picked: Sequence[Run]) -> None:
    """The chosen runs, each with its control to remove it, and a search for more."""
    ids = [run.id for run in picked]
    if picked:
        names = distinct.labels(picked)
        kept = st.multiselect(
            f"{len(ids)} of up to {links.MAX_COMPARED} runs",
            ids,
            default=ids,
            key=f"runs-{'-'.join(ids)}",
            format_func=lambda run_id: f"{names[run_id]} ({run_id})",
            help="Take one out with its cross, or with Backspace.",
        )
        if kept != ids:
            links.put(runs=kept)
            st.rerun()
    text = st.text_input(
        "Add runs",
        key="compare-find",
        placeholder="Name, tag, id, or accuracy > 0.9 and framework = torch",
    )
    found = _found(text)
    if found is not None:
        _offers([run for run in found.runs if run.id not in ids], found.total, text, ids)


def _found(text: str) -> run_list.Page | None:
    is_query = any(mark in text for mark in MARKS)
    wanted = Wanted(
        text="" if is_query else text, query=text if is_query else "", archived=bool(text),
        vocabulary=queries.vocabulary(),
    )  # fmt: skip
    try:
        with store.opened() as db:
            return run_list.page(db, wanted, limit=links.MAX_COMPARED + FOUND)
    except BadQuery as error:
        st.error(plain(str(error)), icon=":material/filter_alt_off:")
        return None


def _offers(found: Sequence[Run], total: int, text: str, ids: list[str]) -> None:
    room = links.MAX_COMPARED - len(ids)
    if not room:
        st.caption(f"{links.MAX_COMPARED} runs are compared already. Remove one to add another.")
        return
    if not found:
        what = f"No other run matches {text[:60]!r}." if text.strip() else "There is no other run."
        st.caption(plain(what))
        return
    with st.container(gap="xxsmall"):
        _offer_all([run.id for run in found[:room]], total, text, ids)
        for run in found[:FOUND]:
            st.button(
                f"{plain(_name(run))} :gray[{plain(_figures(run))}]", icon=":material/add:",
                key=f"add-{run.id}", type="tertiary", on_click=links.put,
                kwargs={"runs": [*ids, run.id]},
            )  # fmt: skip
    if not text.strip():
        st.caption("The newest runs. Search to find others.")


def _offer_all(several: list[str], total: int, text: str, ids: list[str]) -> None:
    """What was searched for is often a sweep: all of it with one click."""
    if len(several) < 2 or not text.strip():
        return
    told = f"all {len(several)}" if total <= len(several) else f"the newest {len(several)}"
    st.button(
        f"Add {told}", key="add-all", icon=":material/playlist_add:", on_click=links.put,
        kwargs={"runs": [*ids, *several]},
    )  # fmt: skip


def _name(run: Run) -> str:
    name = " ".join(run.name.split())
    return f"{name[:60]}{'…' if len(name) > 60 else ''}"


def _figures(run: Run) -> str:
    accuracy = run.metrics.get("validation_accuracy")
    best = f" · {metric('validation_accuracy', accuracy.max)}" if accuracy else ""
    return f"{run.id} · {run.status.lower()}{best}"
