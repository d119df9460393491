"""The New study form: widgets -> a question; `actions.check` judges it, as for the command line."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.config import (
    ACCELERATOR_NAMES,
    DATASET_NAMES,
    DATASETS,
    FRAMEWORK_NAMES,
    PRECISIONS,
    WORKLOADS,
    RunConfig,
)
from engine.describe import VIRTUAL
from engine.devices import Hardware
from engine.studies import report
from engine.studies.question import KIND_NAMES, Question, usual_workers
from storage.runs import Run

OFFERED = ("run_on", "scaling", "saturation", "input")
ASKS = {
    "run_on": "Which hardware and which framework should this be trained on?",
    "scaling": "What do more devices give?",
    "saturation": "How large a batch is worth it, and where does memory end?",
    "input": "What does the input pipeline cost?",
}
MODES = {"strong": "Strong: keep the batch", "weak": "Weak: keep each device's"}
PINNED = {True: "Pinned", False: "Not pinned"}
KEY = "study."


def question(cloned: Run | None, hardware: Hardware) -> dict[str, Any]:
    """Draw the form; what it asks, for `Question.parse`."""
    kind = st.segmented_control(
        "Kind", OFFERED, default=OFFERED[0], format_func=KIND_NAMES.__getitem__,
        key=f"{KEY}kind", required=True,
    ) or OFFERED[0]  # fmt: skip
    st.caption(ASKS[kind])
    base = _base(cloned)
    raw: dict[str, Any] = {"kind": kind, "base": base}
    left, right = st.columns(2)
    raw["frameworks"] = _frameworks(left, kind, base)
    raw["devices"] = _devices(right, kind, base, hardware)
    if kind == "scaling":
        raw |= _counts(raw["devices"] == ["cpu"])
    if kind == "saturation":
        raw |= _sizes(raw["devices"])
    if kind == "input":
        raw |= _loaders(raw["devices"] == ["gpu"])
    return raw | _repeats()


def with_baseline(asked: Question) -> Question:
    """Compared with the arm that is chosen; where there is a choice."""
    labels = report.baselines(asked)
    if len(labels) < 2:
        return asked
    chosen = st.selectbox(
        "Compare with", labels, key=f"{KEY}baseline",
        help="The baseline: speed-ups are against this arm. The report can take another one.",
    )  # fmt: skip
    return asked.model_copy(update={"baseline": chosen or ""})


def _base(cloned: Run | None) -> dict[str, Any]:
    """The config that is studied: a run's, or one made of the most telling fields."""
    if cloned is not None:
        st.caption(f"Studies the configuration of run {cloned.id}.")
        return RunConfig.parse(cloned.config).model_dump(mode="json")
    usual = RunConfig()
    grid = st.grid(4, min_column_width=130)
    workload = grid.selectbox("Workload", list(WORKLOADS), key=f"{KEY}workload")
    dataset = grid.selectbox(
        "Data set", list(DATASETS), format_func=DATASET_NAMES.__getitem__, key=f"{KEY}dataset"
    )
    epochs = grid.number_input("Epochs", value=3.0, step=1.0, format="%g", key=f"{KEY}epochs")
    batch = grid.number_input(
        "Batch size", value=float(usual.batch_size), step=1.0, format="%g", key=f"{KEY}batch"
    )
    return {
        "workload": {"name": workload},
        "dataset": {"name": dataset},
        "epochs": epochs,
        "batch_size": batch,
    }


def _frameworks(where: Any, kind: str, base: dict[str, Any]) -> list[str]:
    names = list(FRAMEWORK_NAMES)
    if kind == "run_on":
        return where.multiselect(
            "Frameworks", names, default=["torch", "keras"],
            format_func=FRAMEWORK_NAMES.__getitem__, key=f"{KEY}frameworks",
        )  # fmt: skip
    return [
        where.selectbox(
            "Framework",
            names,
            index=names.index(base.get("framework", "torch")),
            format_func=FRAMEWORK_NAMES.__getitem__,
            key=f"{KEY}framework",
        )
    ]


def _devices(where: Any, kind: str, base: dict[str, Any], hardware: Hardware) -> list[str]:
    """What this host has: a kind of hardware each."""
    here = [name for name in ACCELERATOR_NAMES if hardware.of(name)]
    if kind == "run_on":
        return where.multiselect(
            "Devices", here, default=here, format_func=ACCELERATOR_NAMES.__getitem__,
            key=f"{KEY}devices",
        )  # fmt: skip
    usual = base.get("accelerator", here[0])
    return [
        where.selectbox(
            "Device",
            here,
            index=here.index(usual) if usual in here else 0,
            format_func=ACCELERATOR_NAMES.__getitem__,
            key=f"{KEY}device",
        )
    ]


def _counts(on_cpu: bool) -> dict[str, Any]:
    left, right = st.columns(2)
    counts = left.text_input(
        "Virtual devices" if on_cpu else "Devices to train on",
        key=f"{KEY}counts",
        placeholder="1, 2, 4 if left empty",
    )
    mode = right.segmented_control(
        "Scaling", list(MODES), default="strong", format_func=MODES.__getitem__, key=f"{KEY}mode",
        required=True, help="Strong: the same batch is shared by more devices. Weak: each device "
        "keeps its batch, so that the whole grows.",
    )  # fmt: skip
    if on_cpu:
        st.caption(f":material/info: Virtual devices are on one CPU: {VIRTUAL}.")
    return {"device_counts": _parts(counts), "mode": mode or "strong"}


def _loaders(on_gpu: bool) -> dict[str, Any]:
    """Settings of the loader on the host, each of which is tried with each."""
    fields = RunConfig.model_fields
    grid = st.grid(3 if on_gpu else 2, min_column_width=200)
    told = ", ".join(map(str, usual_workers()))
    workers = grid.text_input(
        "Workers of the loader on the host", key=f"{KEY}workers", value=told,
        help=fields["loader_workers"].description,
    )  # fmt: skip
    prefetches = grid.text_input(
        "Batches ready ahead", key=f"{KEY}prefetches", placeholder="as the framework chooses",
        help=fields["loader_prefetch"].description,
    )  # fmt: skip
    pinned: list[bool] = []
    if on_gpu:
        pinned = grid.multiselect(
            "Page-locked memory", list(PINNED), default=list(PINNED),
            format_func=PINNED.__getitem__, key=f"{KEY}pinned",
            help=fields["loader_pinned"].description,
        )  # fmt: skip
    return {"workers": _parts(workers), "prefetches": _parts(prefetches), "pinned": pinned}


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _sizes(devices: list[str]) -> dict[str, Any]:
    left, right = st.columns(2)
    sizes = left.text_input(
        "Batch sizes", key=f"{KEY}sizes", placeholder="16, 32, 64 … if left empty"
    )
    precisions = right.multiselect(
        "Precisions", PRECISIONS[devices[0]], key=f"{KEY}precisions", placeholder="As configured"
    )
    return {
        "batch_sizes": _parts(sizes),
        "precisions": precisions,
    }


def _repeats() -> dict[str, Any]:
    usual = Question.model_fields
    grid = st.grid(4, min_column_width=150)
    seeds = grid.number_input(
        "Seeds", value=float(usual["seeds"].default), step=1.0, format="%g", key=f"{KEY}seeds",
        help=usual["seeds"].description,
    )  # fmt: skip
    target = grid.number_input(
        "Target accuracy, %", value=None, step=1.0, format="%g", key=f"{KEY}target",
        help="Validation accuracy whose time is measured. Leave empty for none.",
    )  # fmt: skip
    tolerance = grid.number_input(
        "Accuracy tolerance, points", value=100 * usual["accuracy_tolerance"].default, step=0.5,
        format="%g", key=f"{KEY}tolerance", help=usual["accuracy_tolerance"].description,
    )  # fmt: skip
    cool_down = grid.number_input(
        "Cool-down, s", value=usual["cool_down_s"].default, step=1.0, format="%g",
        key=f"{KEY}cool_down",
        help="Rest of the host before each run. It tells whether the host was quiet.",
    )  # fmt: skip
    return {
        "seeds": seeds,
        "cool_down_s": cool_down,
        "target_accuracy": None if target is None else target / 100,
        "accuracy_tolerance": (tolerance or 0.0) / 100,
    }
