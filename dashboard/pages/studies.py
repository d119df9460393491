"""Which questions were asked, and which one next?"""

from functools import partial

import streamlit as st

from dashboard import clicks, host, pages, saved_views, store, study_form, study_plan, study_view
from dashboard.header import header, not_found, warn_of_link
from dashboard.words import plain
from engine import launch
from engine.format import counted, duration
from engine.problems import ConfigError
from engine.studies import actions
from storage import studies

settings, hardware = store.configured(), host.hardware()
clone = st.query_params.get("clone")
with store.opened() as db:
    try:
        cloned = launch.find(db, clone) if clone else None
    except launch.UnknownRun as error:
        not_found(f"There is no run to study. {error}")
        st.stop()
    is_first = not studies.list_newest(db, 1)

with header("Studies", kicker=f"Of run {cloned.id}" if cloned else ""):
    saved_views.control("studies")
warn_of_link(study_form.rules())
with st.expander(
    "New study", expanded=is_first or cloned is not None, icon=":material/science:",
    key="new-study", on_change="rerun", bind="query-params",
):  # fmt: skip
    name = st.text_input(
        "Name", key="study.name", bind="query-params",
        placeholder="Says what is asked, if left empty",
    )  # fmt: skip
    try:
        question = actions.check(study_form.question(cloned, hardware), settings, hardware)
        question = study_form.with_baseline(question)
        planned, predicted = actions.preview(settings, question)
    except ConfigError as error:
        question = None
        for problem in error.problems:
            st.error(plain(problem.sentence), icon=":material/error:")
    else:
        arms = question.arms()
        expected = (
            f"about {duration(predicted.seconds)} by this store's history"
            if predicted.seconds is not None
            else f"how long is not known: no run of it yet with {', '.join(predicted.unknown)}"
        )
        st.caption(
            plain(
                f"{counted(len(arms), 'arm')} x {counted(question.seeds, 'seed')} and a warm-up of "
                f"each: {len(planned):,} runs in random order; {expected}."
            )
        )
        study_plan.plan(question, planned)
        for reason in question.left_out():
            st.caption(plain(f"Left out: {reason}."))
    start = st.button("Start study", type="primary", key="start-study", disabled=question is None,
                      icon=":material/play_arrow:")  # fmt: skip
    if question:
        submit = partial(actions.submit, settings, question, by=launch.this_user(), name=name)
        clicks.submit("study", start, submit, pages.STUDY)
study_view.listed()
