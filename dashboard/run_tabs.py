"""What is known of a run beside its curves, a tab each; only the one that is open is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import (
    links,
    performance_view,
    readings_view,
    run_columns,
    run_files,
    store,
    tables,
    tpu_view,
    words,
)
from dashboard.polls import polled
from engine import launch
from engine.describe import configuration, flattened, leaves
from storage.runs import Run

POLL_S = 3.0
Draw = Callable[[Run], None]


def draw(run: Run) -> None:
    """What grows while the run is not over is drawn again at intervals, as long as it is open."""
    every_s = POLL_S if run.active else None
    bodies = (
        (run_files.log, every_s),
        (performance_view.draw, every_s),
        (readings_view.draw, every_s),
        (_configuration, None),
        (_environment, None),
        (run_files.draw, None),
        (tpu_view.of_run, None),
    )
    for tab, (body, poll_s) in zip(
        st.tabs(links.TABS, key="tab", on_change="rerun", bind="query-params"), bodies, strict=True
    ):
        if tab.open:
            with tab:
                polled(_of_now, poll_s)(run.id, body) if poll_s else body(run)


def _of_now(run_id: str, body: Draw) -> None:
    with store.opened() as db:
        run = launch.find(db, run_id)
    body(run)


def _configuration(run: Run) -> None:
    if run.notes.strip():
        st.markdown("**Notes**")
        words.as_written(run.notes)
    about = {"tags": ", ".join(run.tags), "submitted by": run.submitted_by}
    told = configuration(run)
    values = {key: run_columns.setting(run, key) for key in told}
    raw = {"notes": run.notes, "tags": list(run.tags), "submitted_by": run.submitted_by} | values
    _facts(f"configuration-{run.id}", about | told, raw)


def _environment(run: Run) -> None:
    named = {f"device {d['id']}": f"{d['name']}, found by {d['found_by']}" for d in run.devices}
    raw = {f"device.{d['id']}.{key}": d[key] for d in run.devices for key in ("name", "found_by")}
    _facts(
        f"environment-{run.id}",
        named | flattened(run.environment),
        raw | leaves(run.environment),
    )


def _facts(name: str, told: dict[str, str], raw: dict[str, Any]) -> None:
    shown = {key: value for key, value in told.items() if value != ""}
    tables.facts(name, shown, alt="What is known of the run", raw=raw)
