"""Alerts on pages until they are acknowledged, the list of all, and reference jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import streamlit as st

from dashboard import clicks, clock, pages, store, tables
from dashboard.words import plain
from engine import launch, references
from storage import alerts
from storage import references as stored
from storage.alerts import Alert
from storage.runs import Run

MOST_SHOWN, MOST_LISTED = 3, 200


def banner() -> None:
    """Alerts that nobody acknowledged, the newest first; nothing if there are none."""
    with store.opened() as db:
        unseen = alerts.list_newest(db, MOST_LISTED, only_open=True)
    for alert in unseen[:MOST_SHOWN]:
        _alert(alert)
    if len(unseen) > MOST_SHOWN:
        st.caption(f"{len(unseen) - MOST_SHOWN:,} more alerts are on the Hardware page.")


def listed() -> None:
    """Reference jobs with their history, and all alerts."""
    with store.opened() as db:
        jobs = [(job, len(stored.history(db, job.name, "~", references.MOST)))
                for job in stored.list_all(db)]  # fmt: skip
        raised = alerts.list_newest(db, MOST_LISTED)
    st.markdown("**Reference jobs**")
    if jobs:
        rows = [_job_row(job, count) for job, count in jobs]
        tables.show("reference-jobs", rows, raw=lambda: [_job_raw(*of) for of in jobs],
                    alt="Reference jobs and how much history they have")  # fmt: skip
    else:
        st.caption("None yet. More on a run's page names a run one.")
    if raised:
        st.markdown("**Alerts**")
        wide = {"What": st.column_config.TextColumn(width="large")}
        rows = list(map(_alert_row, raised))
        tables.show("alerts", rows, raw=lambda: list(map(_alert_raw, raised)), alt="All alerts",
                    column_config=wide)  # fmt: skip


def reference_control(run: Run) -> None:
    """On a run's page: name it a reference job, or say that it is one."""
    with store.opened() as db:
        named = stored.of_run(db, run.id)
    with st.expander("Reference job", icon=":material/monitor_heart:"):
        if named is not None:
            st.caption(f"This run is the reference job {plain(named)}.")
            if st.button("Watch it no longer", key="reference-remove"):
                _remove(named)
            return
        st.caption(
            "Repeated by `python -m engine reference run`, which alerts when its throughput "
            "leaves the band of its own history."
        )
        longest = references.LONGEST_NAME
        name = st.text_input("Name of the job", value=run.name[:longest],
                             key=f"reference-name-{run.id}", max_chars=longest)  # fmt: skip
        if st.button("Make it a reference job", type="primary", key="reference-add"):
            _add(run, name)


def _alert(alert: Alert) -> None:
    with st.container(key=f"alert-{alert.id}", gap="small"):
        st.warning(plain(alert.sentence), icon=":material/monitor_heart:")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link(pages.RUN, label=f"Run {alert.run_id}", icon=":material/show_chart:",
                         query_params={"id": alert.run_id})  # fmt: skip
            st.button(
                "Acknowledge",
                key=f"acknowledge-{alert.id}",
                icon=":material/check:",
                on_click=_acknowledge,
                args=(alert.id,),
                help="Takes it off the pages; its run counts as history from now on.",
            )
            told = "; ".join(f"{what}: {before} → {now}" for what, before, now in alert.changes)
            st.caption(plain(f"Changed: {told}" if told else references.NOTHING_CHANGED))


def _acknowledge(alert_id: str) -> None:
    with clicks.in_words():
        references.acknowledge(store.configured(), alert_id, by=launch.this_user())


def _add(run: Run, name: str) -> None:
    with clicks.in_words():
        references.add(store.configured(), run.id, by=launch.this_user(), name=name)
        st.rerun()


def _remove(name: str) -> None:
    with clicks.in_words():
        references.remove(store.configured(), name, by=launch.this_user())
        st.rerun()


def _job_row(job: stored.Reference, count: int) -> dict[str, str]:
    enough = "" if count >= references.FEWEST else f" of {references.FEWEST} that make a band"
    return {"Job": job.name, "Of run": job.run_id, "Repeats": f"{count}{enough}",
            "Added by": job.created_by}  # fmt: skip


def _job_raw(job: stored.Reference, count: int) -> dict[str, Any]:
    """Times in Unix seconds."""
    return {"job": job.name, "run_id": job.run_id, "repeats": count,
            "repeats_of_a_band": references.FEWEST, "added_by": job.created_by,
            "added_at": job.created_at}  # fmt: skip


def _alert_raw(alert: Alert) -> dict[str, Any]:
    """Times in Unix seconds."""
    changes = [f"{what}: {before} → {now}" for what, before, now in alert.changes]
    return asdict(alert) | {"changes": changes}


def _alert_row(alert: Alert) -> dict[str, str]:
    at = clock.at(alert.raised_at)
    changed = "; ".join(f"{what}: {before} → {now}" for what, before, now in alert.changes)
    return {
        "Raised": f"{at:%d %b %Y, %H:%M}",
        "What": alert.sentence,
        "Run": alert.run_id,
        "Changed": changed or "—",
        "Sent": alert.sent or "no address is configured",
        "Acknowledged by": alert.acknowledged_by or "nobody",
    }
