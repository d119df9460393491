"""The fragment that follows a run: it draws what the store holds until the run is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import streamlit as st

from dashboard import (
    alerts_view,
    curves,
    links,
    pages,
    performance_view,
    readings_view,
    run_edit,
    store,
    tpu_view,
    words,
)
from dashboard.components.plot import plot
from dashboard.header import header
from dashboard.words import plain
from engine import launch
from engine.config import flatten
from engine.describe import device_names, remaining_s, throughput, took
from engine.failures import title
from engine.format import duration, figure, metric
from storage import runs
from storage.database import Database
from storage.runs import Run

POLL_S = 1.0
CHART_HEIGHT = 260
LOG_LINES = 400
AGAIN = {
    "Resume": "A new run that goes on from the last checkpoint of this one.",
    "Retry": "A new run of the same configuration, from the beginning.",
}
PHASES = {
    "import": "Importing the framework",
    "data": "Loading the data set",
    "build": "Building the model",
    "compile": "Compiling: the first steps",
    "train": "Training",
    "evaluate": "Validating",
}


def follow(run_id: str) -> None:
    """Draw the run now, and every second while it is not over."""
    with store.opened() as db:
        active = launch.find(db, run_id).active
    st.fragment(_draw, run_every=POLL_S if active else None)(run_id, active)


def _draw(run_id: str, was_active: bool) -> None:
    with store.opened() as db:
        run = launch.find(db, run_id)
        if was_active and not run.active:
            st.rerun()
        if run.active:
            store.warn_if_unsupervised()
        _header(run, runs.all_tags(db))
        _state(run, _doing(db, run))
        _figures(run, {key: curves.latest(db, run, key) for key in ("validation_accuracy",
                       "validation_loss", "samples_per_s", "epoch_s")})  # fmt: skip
        x_axis = _x_axis()
        grid = st.grid(2, min_column_width=340)
        for name, keys in curves.PANELS.items():
            with grid.cell(), st.container(border=True, gap="small", key=f"panel-{keys[0]}"):
                st.markdown(f"**{name}**")
                drawn = curves.of_run(db, run, keys, x_axis)
                plot(
                    drawn,
                    key=f"plot-{run.id}-{keys[0]}",
                    height=CHART_HEIGHT,
                    alt=f"{name} by {x_axis}",
                )
    _details(run)


def _header(run: Run, tags: list[str]) -> None:
    with header(run.name, kicker=f"Run {run.id}"):
        if run.active:
            st.button(
                "Stopping" if run.stop_requested_at else "Stop",
                icon=":material/stop:",
                key="stop",
                disabled=run.stop_requested_at is not None,
                on_click=_stop,
                args=(run.id,),
            )
        else:
            if run.status != "SUCCEEDED" and "checkpoint" in run.facts:
                _new_run_button("Resume", "resume", launch.resume, run)
            _new_run_button("Retry", "replay", launch.retry, run)
        if st.button("Clone", icon=":material/content_copy:", key="clone"):
            st.switch_page(pages.NEW, query_params={"clone": run.id})
        if st.button(
            "Study", icon=":material/science:", key="study", help="On which hardware, how large?"
        ):
            st.switch_page(pages.STUDIES, query_params={"clone": run.id})
        if st.button("Compare", icon=":material/stacked_line_chart:", key="compare"):
            st.switch_page(pages.COMPARE, query_params={"runs": [run.id]})
        if run.status == "SUCCEEDED":
            alerts_view.reference_control(run)
        run_edit.controls(run, tags)


def _stop(run_id: str) -> None:
    try:
        launch.stop(store.configured(), run_id, by=launch.this_user())
    except launch.NotPossible as error:
        st.toast(plain(str(error)))


def _new_run_button(label: str, icon: str, make: Callable[..., str], run: Run) -> None:
    if not st.button(label, icon=f":material/{icon}:", key=label.lower(), help=AGAIN[label]):
        return
    try:
        new_id = make(store.configured(), run.id, by=launch.this_user())
    except (launch.ConfigError, launch.NotPossible) as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        st.switch_page(pages.RUN, query_params={"id": new_id})


def _state(run: Run, doing: str) -> None:
    """Where the run is: one line, a bar while it is not over, and the failure if it failed."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words.status_badge(run.status)
        st.text(doing)
    if run.failure:
        st.error(
            f"**{plain(title(run.failure_kind or ''))}.** {plain(run.failure)}",
            icon=":material/error:",
        )
    if run.resumed_epoch is not None and run.cloned_from:
        link = f"[{run.cloned_from}](/run?id={run.cloned_from})"
        st.caption(f"Goes on from run {link} after its epoch {run.resumed_epoch:,}.")
    if run.damaged_lines:
        st.warning(
            f"{run.damaged_lines} lines of the run's journal could not be read; what they said is "
            "missing from the curves.",
            icon=":material/warning:",
        )
    if run.active:
        st.progress(min(1.0, run.step / run.total_steps))


def _doing(db: Database, run: Run) -> str:
    if run.status == "PENDING":
        return _why_waiting(db, run)
    where = device_names(run)
    if run.status != "RUNNING":
        return f"{where} · took {duration(took(run))}"
    if run.stop_requested_at:
        return f"{where} · stopping, as {run.stop_requested_by} asked"
    phase = PHASES.get(run.phase or "import", run.phase or "")
    if run.phase not in ("train", "evaluate"):
        return f"{where} · {phase}"
    epochs = run.config.get("epochs", 0)
    left = duration(remaining_s(db, run))
    return f"{where} · {phase}, epoch {min(int(run.epoch) + 1, epochs)} of {epochs} · {left} left"


def _why_waiting(db: Database, run: Run) -> str:
    """Whom a PENDING run waits for."""
    key = (-run.priority, run.submitted_at, run.id)
    ahead = sum((-r.priority, r.submitted_at, r.id) < key for r in runs.queue(db))
    users = ", ".join(f"run {user} has {device}" for device, user in runs.leases(db).items())
    place = f"{ahead} runs ahead in the queue" if ahead else "next in the queue"
    return f"Waiting, {place}{f'; {users}' if users else ''}."


def _figures(run: Run, sparklines: dict[str, list[float]]) -> None:
    accuracy, loss = run.metrics.get("validation_accuracy"), run.metrics.get("validation_loss")
    epoch = run.metrics.get("epoch_s")
    cards = (
        ("Best validation accuracy", metric("validation_accuracy", accuracy and accuracy.max),
         "validation_accuracy"),
        ("Best validation loss", metric("validation_loss", loss and loss.min), "validation_loss"),
        ("Throughput, samples/s", figure(throughput(run)), "samples_per_s"),
        ("Last epoch", metric("epoch_s", epoch and epoch.last), "epoch_s"),
    )  # fmt: skip
    grid = st.grid(4, min_column_width=150)
    for label, value, key in cards:
        points = sparklines[key]
        grid.metric(label, value, border=True, chart_data=points if len(points) > 1 else None,
                    height="stretch")  # fmt: skip


def _x_axis() -> links.XAxis:
    chosen = st.segmented_control(
        "Against",
        links.X_AXES,
        default=links.x_axis(),
        key="x",
        required=True,
        label_visibility="collapsed",
        format_func=str.capitalize,
    )
    links.put(x=None if chosen == "epoch" else chosen)
    return cast(links.XAxis, chosen or "epoch")


def _details(run: Run) -> None:
    log, performance, readings, configuration, environment, tpu = st.tabs(
        ["Log", "Performance", "Readings", "Configuration", "Environment", "TPU check"],
        key="tab",
        bind="query-params",
    )
    with log:
        tail = launch.log_tail(store.configured(), run).splitlines()[-LOG_LINES:]
        if tail:
            st.code("\n".join(tail), language=None, height=320, wrap_lines=True)
        else:
            st.caption("The trainer has printed nothing.")
    with performance:
        if performance.open:
            performance_view.draw(run)
    with readings:
        if readings.open:
            readings_view.draw(run)
    with configuration:
        flat = flatten(run.config)
        _facts({"notes": run.notes, "tags": ", ".join(run.tags), "submitted by": run.submitted_by}
               | flat)  # fmt: skip
    with environment:
        named = {f"device {d['id']}": f"{d['name']}, found by {d['found_by']}" for d in run.devices}
        _facts(named | _flat(run.environment))
    with tpu:
        if tpu.open:
            tpu_view.of_run(run)


def _facts(facts: dict[str, str]) -> None:
    shown = {name: value for name, value in facts.items() if value != ""}
    rows = {"": list(shown), "value": list(shown.values())}
    st.dataframe(rows, hide_index=True, width="stretch", height="content")


def _flat(nested: dict[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = "—" if value is None else str(value)
    return flat
