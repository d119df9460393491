"""The top of a run's page: its name and what can be done with it. Drawn once, not at each poll."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import (
    alerts_view,
    clicks,
    links,
    pages,
    run_edit,
    saved_views,
    store,
    study_findings,
)
from dashboard.header import header
from dashboard.words import plain
from engine import launch
from engine.studies import advice
from storage import studies
from storage.runs import Run

AGAIN = {
    "Resume": "A new run that goes on from the last checkpoint of this one.",
    "Retry": "A new run of the same configuration, from the beginning.",
}
MOST_EPOCHS = 100_000


def draw(run: Run) -> None:
    _buttons(run)
    _study(run)


def _buttons(run: Run) -> None:
    top, problems = st.container(), st.container()
    with top, header(run.name, kicker=f"Run {run.id}"):
        if st.context.is_embedded:
            return  # who reads it in another page came to look
        if run.active:
            _stop_button(run)
        else:
            _again(run, problems)
        if st.button("Clone", icon=":material/content_copy:", key="clone"):
            clicks.go_to(pages.NEW, clone=run.id)
        if st.button("Compare", icon=":material/stacked_line_chart:", key="compare"):
            clicks.go_to(pages.COMPARE, runs=[run.id])
        run_edit.control(run)
        _more(run, problems)
        saved_views.control("run")


def _more(run: Run, problems: DeltaGenerator) -> None:
    """What is done to a run seldom, or once."""
    with st.popover("More", icon=":material/more_horiz:"):
        if st.button(
            "Study",
            icon=":material/science:",
            key="study",
            width="stretch",
            help="On which hardware, how large?",
        ):
            clicks.go_to(pages.STUDIES, clone=run.id)
        if run.status == "SUCCEEDED":
            alerts_view.reference_control(run)
        if not run.active:
            run_edit.removal(run, problems)


def _study(run: Run) -> None:
    """The study that a run belongs to; of one that tests an advice, whether that held."""
    with store.opened() as db:
        study_id = studies.of_run(db, run.id)
        study = studies.get(db, study_id) if study_id else None
        if study is None:
            return
        told = advice.of_study(db, study)
    link = links.path("study", {"id": study.id})
    st.caption(f"A run of study [{plain(study.name)}]({link}).")
    if told:
        study_findings.outcome(told)


def _stop_button(run: Run) -> None:
    st.button(
        "Stopping" if run.stop_requested_at else "Stop",
        icon=":material/stop:",
        key="stop",
        disabled=run.stop_requested_at is not None,
        on_click=_stop,
        args=(run.id,),
    )


def _stop(run_id: str) -> None:
    with clicks.in_words():
        launch.stop(store.configured(), run_id, by=launch.this_user())


def _again(run: Run, problems: DeltaGenerator) -> None:
    """Ways to go on after a run: from its checkpoint, or from the beginning."""
    if "checkpoint" in run.facts and run.status == "SUCCEEDED":
        _more_epochs(run)
    elif "checkpoint" in run.facts:
        clicked = _clicked("Resume", "resume")
        with problems:
            _submit(launch.resume, run, clicked)
    clicked = _clicked("Retry", "replay")
    with problems:
        _submit(launch.retry, run, clicked)


def _clicked(label: str, icon: str) -> bool:
    return st.button(label, icon=f":material/{icon}:", key=label.lower(), help=AGAIN[label])


def _more_epochs(run: Run) -> None:
    """A run that is through goes on only if there is more to train."""
    done = int(run.config.get("epochs", 0))
    if done >= MOST_EPOCHS:
        return
    with st.popover("Train on", icon=":material/resume:", help=AGAIN["Resume"]):
        epochs = st.text_input(
            "Epochs in all", str(min(2 * done, MOST_EPOCHS)), key=f"resume-epochs-{run.id}",
            autocomplete="off",
        )  # fmt: skip
        st.caption(f"A new run that goes on after epoch {done:,}. This one stays as it is.")
        clicked = st.button("Start", type="primary", key="resume")
        _submit(launch.resume, run, clicked, changes={"epochs": epochs})


def _submit(make: Callable[..., str], run: Run, clicked: bool, **more: Mapping[str, Any]) -> None:
    made = partial(make, store.configured(), run.id, by=launch.this_user(), **more)
    clicks.submit(f"{make.__name__}-{run.id}", clicked, made, pages.RUN)
