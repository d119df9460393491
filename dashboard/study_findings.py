"""What to do next on the Study page: each finding, what would test it, and whether it held."""

from __future__ import annotations

import streamlit as st

from dashboard import pages, store
from dashboard.words import plain
from engine import launch
from engine.problems import ConfigError
from engine.studies import actions, advice
from engine.studies.advice import Outcome
from engine.studies.findings import Finding
from engine.studies.question import Question, in_words
from engine.studies.report import Report

HELD_ICONS = {True: "check_circle", False: "cancel", None: "science"}


def draw(shown: Report) -> None:
    st.markdown("**What to do next**")
    if not shown.findings and not shown.tests:
        st.caption("No rule found anything that stands out.")
    told: list[Outcome] = []
    for index, finding in enumerate(shown.findings):
        tests = [t for t in shown.tests if (t.arm, t.rule) == (finding.arm, finding.rule)]
        with st.container(border=True, gap="small", key=f"finding-{index}"):
            st.markdown(f"**{plain(finding.arm)}.** {plain(finding.sentence)}")
            for test in tests:
                outcome(test)
            if finding.changes:
                with_it = in_words(finding.both | finding.changes)
                label = f"Test it {'again ' if tests else ''}with {with_it}"
                if st.button(plain(label), key=f"test-{index}", icon=":material/science:"):
                    _test(shown, finding)
        told += tests
    for test in shown.tests:
        if test not in told:  # what was advised is found no longer
            outcome(test)


def outcome(test: Outcome) -> None:
    """With a link to the study that tested it."""
    link = f"[Study {test.study_id}](/study?id={test.study_id})"
    st.markdown(f":material/{HELD_ICONS[test.held]}: {plain(test.sentence)} {link}")


def tested(shown: Report) -> None:
    """On the page of a test: where its advice is from."""
    asked = shown.question.advice
    if asked and asked.study:
        link = f"[study {asked.study}](/study?id={asked.study})"
        st.caption(f"Tests what {link} advised for {plain(asked.arm)}: {plain(asked.rule)}.")


def _test(shown: Report, finding: Finding) -> None:
    """Start a study of the arm as it was against the arm as the finding would have it."""
    raw = advice.question(shown.study, shown.question, finding)
    try:
        question: Question = actions.check(raw, store.configured(), store.hardware())
    except ConfigError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    new_id = actions.submit(store.configured(), question, by=launch.this_user())
    st.switch_page(pages.STUDY, query_params={"id": new_id})
