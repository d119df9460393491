"""The New run form's widgets, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import streamlit as st

from dashboard.form_state import (
    CHOICES,
    INPUT_NAMES,
    KEY,
    LAST_BATCHES,
    LOADER,
    PINNED,
    defaults,
    dotted,
    held,
    keep_among,
    section_fields,
)
from dashboard.words import plain
from engine import devices, launch
from engine.config import (
    ACCELERATOR_NAMES,
    DATASET_NAMES,
    DATASETS,
    DEFAULT_BATCH_SIZE,
    FRAMEWORK_NAMES,
    PRECISIONS,
    WORKLOADS,
    RunConfig,
    Section,
    Synthetic,
)
from engine.describe import VIRTUAL, setting_name
from engine.devices import Hardware
from engine.settings import Settings


def what() -> None:
    """Which model learns from which data."""
    model, data = st.columns(2)
    model.selectbox(
        "Workload",
        CHOICES["workload"],
        key=KEY + "workload",
        help=" ".join(f"{name}: {_first_line(kind)}" for name, kind in WORKLOADS.items()),
        on_change=_workload_changed,
    )
    with model.container(horizontal=True, gap="small"):
        _section_numbers("workload", WORKLOADS[held("workload")])
    data.selectbox(
        "Data set",
        CHOICES["dataset"],
        key=KEY + "dataset",
        format_func=DATASET_NAMES.__getitem__,
        help=" ".join(f"{DATASET_NAMES[n]}: {_first_line(kind)}" for n, kind in DATASETS.items()),
    )
    if held("dataset") == "synthetic":
        with data.container(horizontal=True, gap="small"):
            _section_numbers("dataset", Synthetic)
    else:
        _keep([f"dataset.{name}" for name in Synthetic.model_fields])


def _keep(names: Iterable[str]) -> None:
    """What fields hold that are not shown now, for when they are again."""
    for name in names:
        if (key := KEY + name) in st.session_state:
            st.session_state[key] = st.session_state[key]


def _section_numbers(section: str, kind: type[Section]) -> None:
    for name in section_fields(kind):
        label = setting_name(f"{section}.{name}").capitalize()
        _number(st, label, f"{section}.{name}", kind.model_fields[name].description, width=130)


def _number(where: Any, label: str, name: str, help_text: str | None, **options: Any) -> None:
    """A field of text: one of numbers makes 0 of nothing, and 1 of 1e9, where nobody is told."""
    where.text_input(label, key=KEY + name, help=help_text, autocomplete="off", **options)


def _first_line(kind: type[Section]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _workload_changed() -> None:
    """Another workload has other parameters, or others of the same name."""
    for name, text in dotted("workload", WORKLOADS[held("workload")]).items():
        st.session_state[KEY + name] = text


def where(settings: Settings, hardware: Hardware) -> None:
    """Whose loop, on which hardware: what this host can do, and why it cannot do the rest."""
    reasons = {
        name: why
        for name in FRAMEWORK_NAMES
        if (why := devices.framework_missing(name, settings.interpreter(name)))
    }
    offered = [name for name in FRAMEWORK_NAMES if name not in reasons]
    keep_among(offered, "framework")
    st.segmented_control(
        "Framework",
        offered,
        format_func=FRAMEWORK_NAMES.__getitem__,
        key=KEY + "framework",
        required=True,
        on_change=_framework_changed,
        args=(st.session_state.get(KEY + "framework"), hardware),
    )
    for name, why in reasons.items():
        _cannot(FRAMEWORK_NAMES[name], why)
    _accelerator(hardware)


def _accelerator(hardware: Hardware) -> None:
    possible, reasons = launch.accelerators_of(held("framework"), hardware)
    keep_among(possible, "accelerator")
    st.segmented_control(
        "Accelerator",
        possible,
        format_func=lambda name: _accelerator_label(held("framework"), name),
        key=KEY + "accelerator",
        required=True,
    )
    for name, why in reasons.items():
        _cannot(ACCELERATOR_NAMES[name], why)
    here = {device.id: device for device in hardware.of(held("accelerator"))}
    chosen = [name for name in held("devices") or [] if name in here]
    st.session_state[KEY + "devices"] = chosen
    named, counted = st.columns([3, 1])
    named.multiselect(
        "Devices",
        list(here),
        key=KEY + "devices",
        format_func=lambda name: f"{name}: {here[name].name}" if name in here else name,
        placeholder="Any free one",
        help="Leave empty for any free one. The run has its devices to itself.",
    )
    _how_many(counted)


def _how_many(where: Any) -> None:
    """Of any free devices; of a CPU, into how many it is divided."""
    on_cpu = held("accelerator") == "cpu"
    _number(
        where,
        "Virtual devices" if on_cpu else "How many",
        "count",
        "1 is the CPU as it is. More divide it and train data-parallel." if on_cpu else
        "Devices that train together, each on its share of a batch.",
        disabled=bool(held("devices")),
    )  # fmt: skip
    count = held("count")
    if on_cpu and not held("devices") and count.isdecimal() and count not in ("0", "1"):
        st.caption(f":material/info: {count} virtual devices on one CPU: {VIRTUAL}.")


def how() -> None:
    """The numbers of the training."""
    grid = st.grid(3)
    _number(grid, "Epochs", "epochs", _help("epochs"))
    _number(grid, "Batch size", "batch_size", _help("batch_size"))
    _number(grid, "Learning rate", "learning_rate", _help("learning_rate"))
    grid.selectbox(
        "Optimizer", CHOICES["optimizer"], key=KEY + "optimizer", help=_help("optimizer")
    )
    grid.selectbox("Schedule", CHOICES["schedule"], key=KEY + "schedule", help=_help("schedule"))
    offered = PRECISIONS[held("accelerator") or "cpu"]
    keep_among(offered, "precision")
    grid.selectbox("Precision", offered, key=KEY + "precision", help=_help("precision"))
    grid.selectbox(
        "Input",
        CHOICES["input"],
        key=KEY + "input",
        format_func=INPUT_NAMES.__getitem__,
        help=_help("input"),
    )
    if held("input") == "host_loader":
        _loader(grid)
    else:
        _keep(LOADER)
    grid.selectbox(
        "Batches",
        CHOICES["keep_last_batch"],
        key=KEY + "keep_last_batch",
        format_func=LAST_BATCHES.__getitem__,
        help=_help("keep_last_batch"),
    )
    _number(grid, "Seed", "seed", _help("seed"))


def _loader(grid: Any) -> None:
    """How the host makes batches."""
    _number(grid, "Loader workers", "loader_workers", _help("loader_workers"))
    prefetch = _help("loader_prefetch")
    _number(grid, "Prefetch, batches", "loader_prefetch", prefetch, placeholder="Auto")
    if held("accelerator") == "gpu" or held("loader_pinned"):
        grid.selectbox(
            "Page-locked memory",
            list(PINNED),
            format_func=PINNED.__getitem__,
            key=KEY + "loader_pinned",
            help=_help("loader_pinned"),
        )


def called(known_tags: list[str]) -> None:
    """What people call the run."""
    st.text_input("Name", key=KEY + "name", placeholder="Says what runs where, if left empty")
    st.multiselect(
        "Tags",
        sorted({*known_tags, *(held("tags") or [])}),
        key=KEY + "tags",
        accept_new_options=True,
        placeholder="Choose or type",
    )
    st.text_area("Notes", key=KEY + "notes", height=68, placeholder="Why this run?")
    with st.expander("Queue and limits"):
        left, right = st.columns(2)
        _number(left, "Priority", "priority", "Higher goes first, -100 to 100.")
        _number(right, "Time limit, s", "timeout_s", _help("timeout_s"), placeholder="None")


def _framework_changed(before: str | None, hardware: Hardware) -> None:
    """Another framework has another default batch size; one that was chosen stays."""
    now = held("framework")
    if before and held("batch_size") == str(DEFAULT_BATCH_SIZE[before]):
        st.session_state[KEY + "batch_size"] = str(DEFAULT_BATCH_SIZE[now])
        if DEFAULT_BATCH_SIZE[now] != DEFAULT_BATCH_SIZE[before]:
            st.toast(
                f"Batch size is {DEFAULT_BATCH_SIZE[now]} now, {FRAMEWORK_NAMES[now]}'s usual."
            )
    st.session_state[KEY + "accelerator"] = defaults(now, hardware)["accelerator"]


def _accelerator_label(framework: str, accelerator: str) -> str:
    on_cpu = (framework, accelerator) == ("torch_xla", "cpu")
    return "XLA on CPU" if on_cpu else ACCELERATOR_NAMES[accelerator]


def _cannot(what: str, why: str) -> None:
    st.caption(f":material/block: {what}: {plain(why)}")


def _help(field: str) -> str | None:
    return RunConfig.model_fields[field].description
