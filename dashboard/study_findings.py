"""What to do next on the Study page: each finding, what would test it, and whether it held."""

from __future__ import annotations

from functools import partial

import streamlit as st

from dashboard import clicks, host, links, pages, store
from dashboard.words import plain
from engine import launch
from engine.format import counted
from engine.studies import actions, advice
from engine.studies.advice import Outcome
from engine.studies.findings import Finding
from engine.studies.question import in_words
from engine.studies.report import Report

ALIKE = 2  # findings of one rule that are shown at once
HELD_ICONS = {True: "check_circle", False: "cancel", None: "science"}


def draw(shown: Report) -> None:
    st.markdown("**What to do next**")
    if not shown.findings and not shown.tests:
        st.caption("No rule found anything that stands out.")
    of_rule: dict[str, list[Finding]] = {}
    for finding in shown.findings:
        of_rule.setdefault(finding.rule, []).append(finding)
    told: list[Outcome] = []
    for rule, alike in of_rule.items():
        for finding in alike[:ALIKE]:
            told += _finding(shown, finding)
        if more := alike[ALIKE:]:
            with st.expander(f"{counted(len(more), 'more arm')}: {rule}", key=f"more-{rule}"):
                for finding in more:
                    told += _finding(shown, finding)
    for test in shown.tests:
        if test not in told:  # what was advised is found no longer
            outcome(test)


def _finding(shown: Report, finding: Finding) -> list[Outcome]:
    """One, with what tested it, which is returned."""
    tests = [t for t in shown.tests if (t.arm, t.rule) == (finding.arm, finding.rule)]
    index = shown.findings.index(finding)
    with st.container(border=True, gap="small", key=f"finding-{index}"):
        st.markdown(f"**{plain(finding.arm)}.** {plain(finding.sentence)}")
        for test in tests:
            outcome(test)
        if finding.changes:
            with_it = in_words(finding.both | finding.changes)
            runs = 2 * (shown.question.seeds + 1)  # two arms, each with a warm-up
            label = f"Test it {'again ' if tests else ''}with {with_it}: {runs:,} runs"
            clicked = st.button(plain(label), key=f"test-{index}", icon=":material/science:")
            test = partial(_test, shown, finding)
            clicks.submit(f"test-{shown.study.id}-{index}", clicked, test, pages.STUDY)
    return tests


def outcome(test: Outcome) -> None:
    """With a link to the study that tested it."""
    link = f"[Study {test.study_id}]({links.path('study', {'id': test.study_id})})"
    st.markdown(f":material/{HELD_ICONS[test.held]}: {plain(test.sentence)} {link}")


def tested(shown: Report) -> None:
    """On the page of a test: where its advice is from."""
    asked = shown.question.advice
    if asked and asked.study:
        link = f"[study {asked.study}]({links.path('study', {'id': asked.study})})"
        st.caption(f"Tests what {link} advised for {plain(asked.arm)}: {plain(asked.rule)}.")


def _test(shown: Report, finding: Finding) -> str:
    """Start a study of the arm as it was against the arm as the finding would have it; its id."""
    raw = advice.question(shown.study, shown.question, finding)
    question = actions.check(raw, store.configured(), host.hardware())
    return actions.submit(store.configured(), question, by=launch.this_user())
