"""The fragment that follows a run: it draws what the store holds until the run is over."""

from __future__ import annotations

from typing import cast

import streamlit as st

from dashboard import curve_controls, curves, host, links, run_header, run_tabs, store, words
from dashboard.components import plot
from dashboard.curves import CurveView
from dashboard.header import warn_of_link
from dashboard.polls import polled
from dashboard.words import plain
from engine import launch
from engine.describe import device_names, remaining_s, throughput, took
from engine.failures import title
from engine.format import counted, duration, figure, metric
from storage import runs
from storage.database import Database
from storage.runs import Run

POLL_S = 1.0
CHART_HEIGHT = 260
LAST_LINES = 12
X_TITLES = {"epoch": "Epoch", "step": "Step", "time": "Time", "clock": "Clock"}
SPARKS = ("validation_accuracy", "validation_loss", "samples_per_s", "epoch_s")
PHASES = {
    "import": "Importing the framework",
    "data": "Loading the data set",
    "build": "Building the model",
    "compile": "Compiling: the first steps",
    "train": "Training",
    "evaluate": "Validating",
}


def follow(run_id: str) -> None:
    """Draw the run now, and every second what may have changed while it is not over.

    What changes seldom is drawn once: a poll costs as much as what it draws.
    """
    with store.opened() as db:
        run = launch.find(db, run_id)
    known = {*run.metrics, *(key for keys in curves.PANELS.values() for key in keys)}
    warn_of_link(links.OF_RUN | {"hide": links.one_of(known, "a curve of this run")})
    links.keep_hidden(f"run {run_id}", known)
    run_header.draw(run)
    polled(_draw, POLL_S if run.active else None)(run_id, _seldom(run))
    run_tabs.draw(run)


def _seldom(run: Run) -> tuple[object, ...]:
    """What the rest of the page is drawn from: when it changes, all is drawn anew."""
    return (run.status, run.stop_requested_at, bool(run.environment), tuple(sorted(run.metrics)))


def _draw(run_id: str, drawn_from: tuple[object, ...]) -> None:
    with store.opened() as db:
        run = launch.find(db, run_id)
        if _seldom(run) != drawn_from:
            st.rerun()
        with st.container():  # the charts keep their place when more, or less, is said here
            if run.active:
                host.warn_if_unsupervised()
            _state(run, _doing(db, run))
        _figures(run, {key: curves.latest(db, run, key) for key in SPARKS})
    view = _view()
    _charts(run, curves.PANELS, view)
    for group, panels in curves.panels(run.metrics).items():
        more = st.expander(
            plain(group), key=f"curves-{group}", on_change="rerun", bind="query-params"
        )
        with more:
            if more.open:
                _charts(run, panels, view)


def _charts(run: Run, panels: dict[str, tuple[str, ...]], view: CurveView) -> None:
    where = store.configured().store
    grid = st.grid(2, min_column_width=340)
    for name, keys in panels.items():
        with grid.cell(), st.container(border=True, gap="small", key=f"panel-{keys[0]}"):
            st.markdown(f"**{plain(name)}**")
            drawn = curves.drawn(
                where, run.id, curves.version(run), keys, view, CHART_HEIGHT,
                f"{name} by {view.x}",
            )  # fmt: skip
            if drawn:  # not of a run that was deleted meanwhile
                key = f"plot-{run.id}-{keys[0]}"
                plot.mount(drawn, key=key, height=CHART_HEIGHT, on_hidden=links.hide)


def _state(run: Run, doing: str) -> None:
    """Where the run is: one line, a bar while it is not over, and the failure if it failed."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words.status_badge(run.status)
        st.text(doing)
    if run.failure:
        _failure(run)
    if run.resumed_epoch is not None and run.cloned_from:
        link = f"[{run.cloned_from}]({links.path('run', {'id': run.cloned_from})})"
        st.caption(f"Goes on from run {link} after its epoch {run.resumed_epoch:,}.")
    if run.damaged_lines:
        st.warning(
            f"{run.damaged_lines} lines of the run's journal could not be read; what they said is "
            "missing from the curves.",
            icon=":material/warning:",
        )
    if run.active:
        st.progress(min(1.0, run.step / run.total_steps))


def _failure(run: Run) -> None:
    """The sentence first, then what the trainer last printed."""
    st.error(
        f"**{plain(title(run.failure_kind or ''))}.** {plain(run.failure or '')}",
        icon=":material/error:",
    )
    tail = launch.log_tail(store.configured(), run).splitlines()[-LAST_LINES:]
    if tail:
        st.code("\n".join(tail), language=None, wrap_lines=True)


def _doing(db: Database, run: Run) -> str:
    if run.status == "PENDING":
        return _why_waiting(db, run)
    where = device_names(run)
    if run.status != "RUNNING":
        return " · ".join(filter(None, [_where_it_ended(run), where, _took(run)]))
    if run.stop_requested_at:
        return f"{where} · stopping, as {run.stop_requested_by} asked"
    phase = PHASES.get(run.phase or "import", run.phase or "")
    if run.phase not in ("train", "evaluate"):
        return f"{where} · {phase}"
    epochs = run.config.get("epochs", 0)
    left = duration(remaining_s(db, run))
    at = min(int(run.epoch) + 1, epochs)
    return f"{where} · {phase}, epoch {at:,} of {epochs:,} · {left} left"


def _where_it_ended(run: Run) -> str:
    """Of a run that did not come to its end."""
    if run.status == "SUCCEEDED":
        return ""
    if run.started_at is None:
        return "before it started"
    done, epochs = int(run.epoch), run.config.get("epochs", 0)
    return (
        f"after epoch {done:,} of {epochs:,}"
        if done
        else f"before the first of {epochs:,} epochs was over"
    )


def _took(run: Run) -> str:
    return f"took {duration(took(run))}" if run.started_at else ""


def _why_waiting(db: Database, run: Run) -> str:
    """Whom a PENDING run waits for."""
    key = (-run.priority, run.submitted_at, run.id)
    ahead = sum((-r.priority, r.submitted_at, r.id) < key for r in runs.queue(db))
    users = ", ".join(f"run {user} has {device}" for device, user in runs.leases(db).items())
    place = f"{counted(ahead, 'run')} ahead in the queue" if ahead else "next in the queue"
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


def _view() -> CurveView:
    """How the curves are drawn, all of it in the address."""
    with st.container(horizontal=True, vertical_alignment="center"):
        x = st.segmented_control(
            "Against", links.X_AXES, default=links.x_axis(), key="x", required=True,
            label_visibility="collapsed", format_func=X_TITLES.__getitem__,
        )  # fmt: skip
        log, smoothing = curve_controls.log_axes(), curve_controls.smoothing()
    links.put(x=None if x == "epoch" else x)
    return CurveView(cast(links.XAxis, x or "epoch"), smoothing, log, st.context.timezone)
