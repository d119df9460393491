"""The New study form: widgets -> a question; `actions.check` judges it, as for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import links
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
from engine.problems import ConfigError, Problem
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
PINNED = {"yes": "Pinned", "no": "Not pinned"}
CHOICES: dict[str, Mapping[str, str]] = {
    "kind": {kind: KIND_NAMES[kind] for kind in OFFERED},
    "workload": {name: name for name in WORKLOADS},
    "dataset": DATASET_NAMES,
    **dict.fromkeys(("frameworks", "framework"), FRAMEWORK_NAMES),
    **dict.fromkeys(("devices", "device"), ACCELERATOR_NAMES),
    "mode": MODES,
    "pinned": PINNED,
}
KEY = "study."


def rules() -> dict[str, links.Rule]:
    """What the form's part of the address must be."""
    return {KEY + name: links.one_of((*titles, "")) for name, titles in CHOICES.items()}


def question(cloned: Run | None, hardware: Hardware) -> dict[str, Any]:
    """Draw the form; what it asks, for `Question.parse`."""
    kind = _segment(st, "Kind", "kind")
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
        "Compare with", labels, key=f"{KEY}baseline", bind="query-params",
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
    workload = _one(grid, "Workload", "workload", list(WORKLOADS))
    dataset = _one(grid, "Data set", "dataset", list(DATASETS))
    return {
        "workload": {"name": workload},
        "dataset": {"name": dataset},
        "epochs": _number(grid, "Epochs", "epochs", 3),
        "batch_size": _number(grid, "Batch size", "batch", usual.batch_size),
    }


def _frameworks(where: Any, kind: str, base: dict[str, Any]) -> list[str]:
    names = list(FRAMEWORK_NAMES)
    if kind == "run_on":
        return _some(where, "Frameworks", "frameworks", names, ["torch", "keras"])
    return [_one(where, "Framework", "framework", names, base.get("framework", "torch"))]


def _devices(where: Any, kind: str, base: dict[str, Any], hardware: Hardware) -> list[str]:
    """What this host has: a kind of hardware each."""
    here = [name for name in ACCELERATOR_NAMES if hardware.of(name)]
    if kind == "run_on":
        return _some(where, "Devices", "devices", here, here)
    return [_one(where, "Device", "device", here, base.get("accelerator", here[0]))]


def _counts(on_cpu: bool) -> dict[str, Any]:
    left, right = st.columns(2)
    counts = left.text_input(
        "Virtual devices" if on_cpu else "Devices to train on",
        key=f"{KEY}counts",
        bind="query-params",
        placeholder="1, 2, 4 if left empty",
    )
    mode = _segment(
        right, "Scaling", "mode",
        help="Strong: the same batch is shared by more devices. Weak: each device keeps its "
        "batch, so that the whole grows.",
    )  # fmt: skip
    if on_cpu:
        st.caption(f":material/info: Virtual devices are on one CPU: {VIRTUAL}.")
    return {"device_counts": _parts(counts), "mode": mode}


def _loaders(on_gpu: bool) -> dict[str, Any]:
    """Settings of the loader on the host, each of which is tried with each."""
    fields = RunConfig.model_fields
    grid = st.grid(3 if on_gpu else 2, min_column_width=200)
    told = ", ".join(map(str, usual_workers()))
    workers = grid.text_input(
        "Workers of the loader on the host", key=f"{KEY}workers", bind="query-params", value=told,
        help=fields["loader_workers"].description,
    )  # fmt: skip
    prefetches = grid.text_input(
        "Batches ready ahead", key=f"{KEY}prefetches", bind="query-params",
        placeholder="as the framework chooses",
        help=fields["loader_prefetch"].description,
    )  # fmt: skip
    pinned: list[str] = []
    if on_gpu:
        pinned = _some(
            grid, "Page-locked memory", "pinned", list(PINNED), list(PINNED),
            help=fields["loader_pinned"].description,
        )  # fmt: skip
    return {
        "workers": _parts(workers),
        "prefetches": _parts(prefetches),
        "pinned": [word == "yes" for word in pinned],
    }


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _sizes(devices: list[str]) -> dict[str, Any]:
    left, right = st.columns(2)
    sizes = left.text_input(
        "Batch sizes",
        key=f"{KEY}sizes",
        bind="query-params",
        placeholder="16, 32, 64 … if left empty",
    )
    precisions = right.multiselect(
        "Precisions",
        PRECISIONS[devices[0]],
        key=f"{KEY}precisions",
        bind="query-params",
        placeholder="As configured",
    )
    return {
        "batch_sizes": _parts(sizes),
        "precisions": precisions,
    }


def _repeats() -> dict[str, Any]:
    usual = Question.model_fields
    grid = st.grid(4, min_column_width=150)
    seeds = _number(grid, "Seeds", "seeds", usual["seeds"].default, usual["seeds"].description)
    target = _number(
        grid, "Target accuracy, %", "target", None,
        "Validation accuracy whose time is measured. Leave empty for none.",
    )  # fmt: skip
    tolerance = _number(
        grid, "Accuracy tolerance, points", "tolerance",
        100 * usual["accuracy_tolerance"].default, usual["accuracy_tolerance"].description,
    )  # fmt: skip
    cool_down = _number(
        grid, "Cool-down, s", "cool_down", usual["cool_down_s"].default,
        "Rest of the host before each run. It tells whether the host was quiet.",
    )  # fmt: skip
    return {
        "seeds": seeds,
        "cool_down_s": cool_down,
        "target_accuracy": _fraction("Target accuracy", target, 1) if target else None,
        "accuracy_tolerance": _fraction("Accuracy tolerance", tolerance, 0),
    }


def _number(
    where: Any, label: str, name: str, usual: float | None, help_text: str | None = None
) -> str:
    """A field of text, as on the New run form."""
    return where.text_input(
        label, value="" if usual is None else f"{usual:g}", key=KEY + name, bind="query-params",
        help=help_text, autocomplete="off",
    ).strip()  # fmt: skip


def _fraction(label: str, typed: str, least: float) -> float | str:
    """Of percent or points. What is no number stays as it was typed, and is refused as such.

    Raise `ConfigError` in the field's own unit: 0.9 in a field of percent was hardly meant so.
    """
    try:
        percent = float(typed)
    except ValueError:
        return typed
    if not least <= percent <= 100:
        sentence = f"{label} must be between {least:g} and 100 %, got {percent:g} %."
        raise ConfigError([Problem(label, sentence)])
    return percent / 100


def _one(
    where: Any, label: str, name: str, options: Sequence[str], default: str | None = None
) -> str:
    """One of the options, unless the address has another the usual one."""
    usual = default if default in options else options[0]
    given = st.query_params.get(KEY + name, usual)
    chosen = where.selectbox(
        label, options, index=options.index(given if given in options else usual),
        key=KEY + name, format_func=CHOICES[name].__getitem__,
    )  # fmt: skip
    links.put(**{KEY + name: None if chosen == usual else chosen})
    return chosen


def _segment(where: Any, label: str, name: str, **options: Any) -> str:
    """The first unless the address has another."""
    titles = CHOICES[name]
    usual = next(iter(titles))
    given = st.query_params.get(KEY + name, usual)
    chosen = where.segmented_control(
        label, list(titles), default=given if given in titles else usual, required=True,
        key=KEY + name, format_func=titles.__getitem__, **options,
    ) or usual  # fmt: skip
    links.put(**{KEY + name: None if chosen == usual else chosen})
    return chosen


def _some(
    where: Any, label: str, name: str, options: list[str], usual: list[str], **more: Any
) -> list[str]:
    """Some of the options. The address has an empty word for none of them."""
    given = [one for one in st.query_params.get_all(KEY + name) if one in (*options, "")]
    chosen = where.multiselect(
        label, options, default=[one for one in given if one] if given else usual,
        key=KEY + name, format_func=CHOICES[name].__getitem__, **more,
    )  # fmt: skip
    links.put(**{KEY + name: None if chosen == usual else chosen or [""]})
    return chosen
