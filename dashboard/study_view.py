"""Parts of the Studies and Study pages: the list, and a report that is drawn while it grows."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import (
    clicks,
    clock,
    downloads,
    links,
    pages,
    saved_views,
    store,
    study_charts,
    study_cost,
    study_file,
    study_findings,
    study_pipeline,
    study_plan,
    study_scaling,
    study_sections,
    study_table,
    tables,
    words,
)
from dashboard.components.plot import plot
from dashboard.header import header
from dashboard.performance_view import ACCOUNTS
from dashboard.words import plain
from engine import launch
from engine.format import duration
from engine.studies import actions, arms, cost, report, scaling
from engine.studies.comparable import Check
from engine.studies.cost import Prices
from engine.studies.question import KIND_NAMES
from engine.studies.report import Report
from storage import runs, studies

POLL_S = 2.0
NEWEST = 200
CHART_PX, ARM_PX, LEGEND_PX = 130, 44, 40
LEVEL_COLORS = {"green": "green", "amber": "orange", "red": "red"}
LEVEL_ICONS = {"green": "check_circle", "amber": "warning", "red": "block"}
LEVEL_WORDS = {
    "green": "These arms can be compared",
    "amber": "These arms can be compared, with reserve",
    "red": "Not all of these arms can be compared",
}


def listed() -> None:
    """The newest studies; a click opens one."""
    with store.opened() as db:
        rows = [
            (study, studies.latest(studies.trials(db, study.id)))
            for study in studies.list_newest(db, NEWEST)
        ]
    if not rows:
        st.info("No studies yet. Ask the first one above.", icon=":material/science:")
    for study, latest in rows:
        over = sum(trial.status in runs.FINAL for trial in latest)
        submitted = clock.at(study.submitted_at)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            words.status_badge(arms.status_of(study, latest))
            if st.button(plain(study.name), key=f"open-{study.id}", type="tertiary"):
                clicks.go_to(pages.STUDY, id=study.id)
            st.caption(
                f"{KIND_NAMES[study.kind]} · {over:,} of {len(latest):,} runs · "
                f"{submitted:%d %b %Y, %H:%M} by {plain(study.submitted_by)}"
            )


def follow(study_id: str) -> None:
    """Draw the report now, and every two seconds while runs are active."""
    with store.opened() as db:
        study = actions.find(db, study_id)
        active = arms.status_of(study, studies.latest(studies.trials(db, study_id)))
    is_active = active in runs.ACTIVE
    st.fragment(_draw, run_every=POLL_S if is_active else None)(study_id, is_active)


def _draw(study_id: str, was_active: bool) -> None:
    with store.opened() as db:
        shown = report.of(db, actions.find(db, study_id), links.baseline())
    if was_active != (shown.status in runs.ACTIVE):
        st.rerun()  # its runs are over, or were resumed: how often it is drawn changes
    _header(shown)
    with st.container():  # what is below keeps its place when more, or less, is said here
        _state(shown)
        if notice := scaling.notice(shown.question):
            st.warning(plain(notice), icon=":material/info:")
        asked = links.baseline()
        if asked and asked not in report.baselines(shown.question):
            st.warning(plain(links.not_taken("baseline", "an arm of the study", asked)),
                       icon=":material/link_off:")  # fmt: skip
        study_findings.tested(shown)
        study_plan.told(shown.setup)
    if shown.is_too_early:
        st.info(
            "Runs are under way. The verdict and the figures come once two arms have a measured "
            "run that is over; warm-ups come first.",
            icon=":material/hourglass_top:",
        )
        return
    with st.container():
        _verdict(shown)
        _answer(shown)
    prices = _report_card(shown)
    with st.container():
        _scaling(shown)
        _pipeline(shown)
    _charts(shown)
    _trade_offs(shown, prices)
    study_findings.draw(shown)
    _runs(shown)


def _header(shown: Report) -> None:
    study_id = shown.study.id
    with header(shown.study.name, kicker=f"{KIND_NAMES[shown.study.kind]} study {study_id}"):
        if st.context.is_embedded:
            return  # who reads it in another page came to look
        if shown.status in runs.ACTIVE:
            is_stopping = shown.study.stopped_at is not None
            st.button("Stopping" if is_stopping else "Stop", icon=":material/stop:",
                      key="stop-study", disabled=is_stopping, on_click=_do,
                      args=(actions.stop, study_id))  # fmt: skip
        else:
            if shown.status != "SUCCEEDED" or shown.progress.failed:
                st.button("Resume", icon=":material/resume:", key="resume-study", on_click=_do,
                          args=(actions.resume, study_id),
                          help="Runs what has not succeeded; repeats nothing.")  # fmt: skip
            st.button("Extend", icon=":material/add:", key="extend-study", on_click=_do,
                      args=(actions.extend, study_id), kwargs={"seeds": 1},
                      help="One more repeat of each arm.")  # fmt: skip
        prices = links.prices()  # a download is made where the address is not known
        st.download_button(
            "Report (HTML)",
            lambda: study_file.page(shown, prices),
            file_name=f"study-{study_id}.html",
            mime="text/html",
            icon=":material/download:",
            on_click="ignore",
            key="download-report",
        )
        saved_views.control("study")


def _do(action: Callable[..., object], study_id: str, **more: int) -> None:
    with clicks.in_words():
        action(store.configured(), study_id, by=launch.this_user(), **more)


def _state(shown: Report) -> None:
    progress, predicted = shown.progress, shown.study.predicted_s
    told = f"{progress.over:,} of {progress.runs:,} runs over, warm-ups included"
    if shown.status in runs.ACTIVE:
        left = progress.remaining_s
        if shown.study.stopped_at is not None:
            told += " · stopping"
        else:
            told += " · time left not known yet" if left is None else f" · {duration(left)} left"
    elif progress.actual_s is not None:
        told += f" · {duration(progress.actual_s)} of runs"
    told += f" · predicted: {duration(predicted)}" if predicted else " · no time was predicted"
    if shown.prediction_error is not None:
        told += f", {100 * shown.prediction_error:+.0f} % off"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words.status_badge(shown.status)
        st.text(told)
    if shown.status in runs.ACTIVE:
        st.progress(progress.over / max(1, progress.runs))
    if shown.study.stopped_because:
        st.warning(plain(shown.study.stopped_because), icon=":material/stop_circle:")


def _verdict(shown: Report) -> None:
    """First of all: whether the figures below may be compared."""
    level = shown.verdict.level
    with st.container(border=True, gap="small", key="verdict"):
        st.badge(
            f"Comparability: {level}",
            icon=f":material/{LEVEL_ICONS[level]}:",
            color=LEVEL_COLORS[level],  # pyright: ignore[reportArgumentType]
        )
        st.markdown(f"**{LEVEL_WORDS[level]}**")
        good = [check for check in shown.verdict.checks if check.level == "green"]
        for check in shown.verdict.checks:
            if check not in good:
                _check(check)
        if good:
            with st.expander(
                f"{len(good)} checks found nothing against it", key="checks", on_change="rerun",
                bind="query-params",
            ):  # fmt: skip
                for check in good:
                    _check(check)


def _check(check: Check) -> None:
    color = LEVEL_COLORS[check.level]
    st.caption(f":{color}[:material/{LEVEL_ICONS[check.level]}:] {plain(check.sentence)}")


def _answer(shown: Report) -> None:
    if shown.answer:
        is_good = shown.advice is None or shown.advice.held
        (st.success if is_good else st.info)(plain(shown.answer), icon=":material/lightbulb:")


def _report_card(shown: Report) -> Prices:
    """Its last rows are by the prices that are given below it."""
    head = st.container(horizontal=True, vertical_alignment="center")
    table = st.container()
    prices = study_cost.prices(shown.cards)
    rows = study_table.rows(shown.cards, prices)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[c.arm for c in shown.cards])
    with head:
        st.markdown("**Report card**", width="stretch")
        _baseline(shown)
        downloads.table(
            f"study-{shown.study.id}", lambda: pd.DataFrame(study_table.raw(shown.cards, prices))
        )
    with table:
        tables.show("arms", frame, alt="Figures of each arm", height="content", raw=None)
        st.caption(
            "Medians over repeats with bootstrapped 95 % intervals; warm-up runs are left out. "
            f"Speed-up is of samples/s, against {plain(shown.question.baseline_label())}."
        )
        for told in study_table.notes(shown.cards, prices):
            st.caption(plain(told))
    return prices


def _baseline(shown: Report) -> None:
    """Which arm the others are compared with; the address has one that is not the study's own."""
    labels = report.baselines(shown.question)
    if len(labels) < 2:
        return
    key, now = "baseline", shown.question.baseline_label()
    if st.session_state.get(key) not in labels:
        st.session_state[key] = now
    chosen = st.selectbox(
        "Compared with", labels, key=key, label_visibility="collapsed", width=280,
        format_func=lambda arm: f"Against {arm}",
    )  # fmt: skip
    if chosen != now:
        own = report.own_baseline(shown.study)
        links.put(baseline=None if chosen == own else chosen)
        st.rerun()


def _scaling(shown: Report) -> None:
    found = scaling.of(shown.question, shown.cards)
    if found is None or not found.repeats:
        return
    with st.container(border=True, gap="small"):
        st.markdown(f"**{study_scaling.TITLES[found.mode]}**")
        plot(study_scaling.chart(found), key=f"plot-{shown.study.id}-scaling", height=320,
             alt="Speed-up by the number of devices, against the ideal")  # fmt: skip
        frame = pd.DataFrame.from_dict(
            study_scaling.rows(found), orient="index", columns=[p.arm for p in found.points]
        )
        tables.show(f"scaling-{shown.study.id}", frame, alt="Speed-up and efficiency",
                    height="content", raw=lambda: study_scaling.raw(found))  # fmt: skip
        st.caption(plain(scaling.in_words(found)))


def _pipeline(shown: Report) -> None:
    found = study_pipeline.of(shown)
    if not found:
        return
    st.markdown(f"**{study_pipeline.TITLE}**")
    frame = pd.DataFrame.from_dict(
        study_pipeline.rows(found), orient="index", columns=[probe.arm for probe in found]
    )
    tables.show(f"input-{shown.study.id}", frame, alt="Wait for samples of each loader",
                height="content", raw=lambda: study_pipeline.raw(found))  # fmt: skip
    st.caption(study_pipeline.CAPTION)


def _charts(shown: Report) -> None:
    height = CHART_PX + ARM_PX * len(shown.cards)
    if any(card.repeats for card in shown.cards):
        with st.container(border=True, gap="small"):
            st.markdown("**Every repeat**")
            plot(study_charts.repeats(shown.cards), key=f"plot-{shown.study.id}-repeats",
                 height=height, alt="Throughput of every repeat of each arm")  # fmt: skip
    if any(card.ledger for card in shown.cards):
        with st.container(border=True, gap="small"):
            st.markdown("**Where the time went**")
            plot(study_charts.ledgers(shown.cards, ACCOUNTS), key=f"plot-{shown.study.id}-ledger",
                 height=height + LEGEND_PX,
                 alt="Seconds of each arm by what they were spent on")  # fmt: skip


def _trade_offs(shown: Report, prices: Prices) -> None:
    """From when on an arm is ahead, which arms nothing beats, and the roofs above them."""
    sentences = cost.break_evens(shown.cards, prices)
    if sentences:
        with st.container(border=True, gap="small", key="break-even"):
            st.markdown("**From when on**")
            for sentence in sentences:
                st.text(sentence)
            st.caption(f"{cost.ASSUMING} Costs by: {plain(cost.in_words(prices))}.")
    for title, drawn in study_sections.charts(shown, prices).items():
        with st.container(border=True, gap="small"):
            st.markdown(f"**{title}**")
            plot(drawn.figure, key=f"plot-{shown.study.id}-{drawn.key}", height=drawn.height,
                 alt=title)  # fmt: skip
            for sentence in drawn.told:
                st.caption(plain(sentence))


def _runs(shown: Report) -> None:
    ids = [repeat.run_id for card in shown.cards for repeat in card.repeats]
    if len(ids) > 1 and st.button(
        "Compare these runs", icon=":material/stacked_line_chart:", key="compare-runs"
    ):
        clicks.go_to(pages.COMPARE, runs=ids[:50])
