"""Parts of the Compare page: what to draw, the results, and what differs between the runs."""

from __future__ import annotations

import json
from typing import cast

import pandas as pd
import streamlit as st

from dashboard import links
from dashboard.links import XAxis
from engine import efficiency, metrics
from engine.config import flatten
from engine.describe import device_names, throughput, took
from engine.format import UNKNOWN, duration, metric
from storage.runs import Run

FIRST_METRICS = ("validation_accuracy", "validation_loss", "train_loss", "samples_per_s")


def label(run: Run) -> str:
    """A run in a list: its name, cut short, and its id."""
    name = " ".join(run.name.split())
    return f"{name[:40]}{'…' if len(name) > 40 else ''} ({run.id})"


def controls(picked: list[Run]) -> tuple[str, XAxis, bool]:
    """Which metric, against what, on which scale; all of it in the address."""
    keys = sorted({key for run in picked for key in run.metrics}, key=_order) or [FIRST_METRICS[0]]
    asked = st.query_params.get("metric", "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox(
            "Metric",
            keys,
            index=keys.index(asked) if asked in keys else 0,
            format_func=lambda k: metrics.describe(k).title,
            key="compare-metric",
            width=260,
        )
        x_axis = st.segmented_control(
            "Against", links.X_AXES, default=links.x_axis(), key="compare-x", required=True,
            format_func=str.capitalize,
        )  # fmt: skip
        log_y = st.toggle("Log scale", value=st.query_params.get("log") == "1", key="compare-log")
    key, x_axis = key or keys[0], cast(XAxis, x_axis or "epoch")
    links.put(
        metric=None if key == keys[0] else key,
        x=None if x_axis == "epoch" else x_axis,
        log="1" if log_y else None,
    )
    return key, x_axis, log_y


def results(picked: list[Run]) -> None:
    """The end of each run, a column a run."""
    rows: dict[str, list[str]] = {
        "Status": [run.status.capitalize() for run in picked],
        "Took": [duration(took(run)) for run in picked],
    }
    for key in sorted({key for run in picked for key in run.metrics}, key=_order):
        described = metrics.describe(key)
        prefix = {"max": "Best ", "min": "Best ", None: "Last "}[described.best]
        values = [_end(run, key) for run in picked]
        if key == "samples_per_s":
            prefix, values = "Steady ", [throughput(run) for run in picked]
        rows[f"{prefix}{described.title.lower()}"] = [metric(key, value) for value in values]
    shares = [efficiency.of(run.facts).mfu for run in picked]
    if any(shares):
        rows["MFU"] = [UNKNOWN if mfu is None else f"{100 * mfu:.1f} %" for mfu in shares]
    _table(rows, picked, alt="Results of each run")


def differences(picked: list[Run]) -> None:
    """Each field of configuration and environment in which the runs are not all alike."""
    told = [_told(run) for run in picked]
    names = list(dict.fromkeys(name for facts in told for name in facts))
    rows = {name: [facts.get(name, UNKNOWN) for facts in told] for name in names}
    differing = {name: values for name, values in rows.items() if len(set(values)) > 1}
    if differing:
        _table(differing, picked, alt="What differs between the runs")
    else:
        st.caption(
            "Nothing: these runs are repeats of one configuration in one environment."
            if len(picked) > 1
            else "Add a second run to see what differs."
        )


def _told(run: Run) -> dict[str, str]:
    facts = flatten(run.config) | {"device": device_names(run)}
    for name, value in run.environment.items():
        if isinstance(value, dict):
            facts |= {f"{name}.{inner}": str(of) for inner, of in value.items()}
        else:
            facts[name] = json.dumps(value) if not isinstance(value, str) else value
    return facts


def _end(run: Run, key: str) -> float | None:
    summary = run.metrics.get(key)
    if summary is None:
        return None
    best = metrics.best(key, summary.min, summary.max)
    return summary.last if best is None else best


def _order(key: str) -> tuple[int, str]:
    return (FIRST_METRICS.index(key) if key in FIRST_METRICS else len(FIRST_METRICS), key)


def _table(rows: dict[str, list[str]], picked: list[Run], *, alt: str) -> None:
    """Facts down, runs across. Runs of one name are told apart by their ids."""
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[label(run) for run in picked])
    st.dataframe(frame, alt=alt, height="content")
