"""The New run form's state: a run's fields <-> widgets' values.

Numbers are text: a field keeps what was typed, and `launch.check` judges it, so that form, address
and command line say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st

from engine import devices, launch
from engine.config import (
    ACCELERATOR_NAMES,
    DATASETS,
    FRAMEWORK_NAMES,
    PRECISIONS,
    WORKLOADS,
    InputPath,
    Optimizer,
    RunConfig,
    Schedule,
    Section,
    Synthetic,
    unflatten,
)
from engine.devices import Hardware
from engine.settings import Settings
from storage.runs import Run

KEY = "new."
FIRST_FRAMEWORK, FIRST_WORKLOAD = "torch", "mlp"
LOADER = ("loader_workers", "loader_prefetch", "loader_pinned")
NUMBERS = ("epochs", "batch_size", "seed", "learning_rate", "timeout_s")
DETAILS = ("name", "tags", "notes", "priority")
CHOICES = {
    "workload": tuple(WORKLOADS),
    "dataset": tuple(DATASETS),
    "framework": tuple(FRAMEWORK_NAMES),
    "accelerator": tuple(ACCELERATOR_NAMES),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "input": get_args(InputPath),
    "keep_last_batch": ("False", "True"),
    "precision": PRECISIONS["gpu"],
}
PINNED = {"": "As the framework does", "True": "Yes", "False": "No"}
LAST_BATCHES = {"False": "Full batches only", "True": "The last one smaller"}
INPUT_NAMES = {"device_resident": "Data set on the device", "host_loader": "Loader on the host"}
LEFT_EMPTY = ("timeout_s", "loader_prefetch", "loader_pinned")


def defaults(framework: str, hardware: Hardware) -> dict[str, str]:
    """The pattern's examples, on the best accelerator that this host offers the framework."""
    if framework not in FRAMEWORK_NAMES:
        framework = FIRST_FRAMEWORK
    possible, _ = launch.accelerators_of(framework, hardware)
    here = {"framework": framework, "accelerator": possible[0] if possible else "cpu"}
    return (
        RunConfig.parse(here).flat()
        | dotted("dataset", Synthetic)
        | dict.fromkeys(("name", "notes"), "")
        | {
            "tags": "",
            "priority": "0",
            "timeout_s": "",
        }
    )


def base(framework: str, workload: str, cloned: Run | None, hardware: Hardware) -> dict[str, Any]:
    """What the widgets hold without an address: the defaults, or the run that is cloned.

    Raise `ConfigError` for a run that this version cannot read.
    """
    flat = defaults(framework, hardware)
    details: dict[str, Any] = {"name": "", "tags": (), "notes": "", "priority": "0"}
    if cloned is not None:
        config = RunConfig.parse(cloned.config)
        flat |= config.flat()
        details = launch.details_of(cloned)
        if details["name"] == launch.default_name(config):
            details["name"] = ""  # it was left empty, and is made anew for what the clone will be
    if workload != flat["workload"] and workload in WORKLOADS:
        flat = {name: text for name, text in flat.items() if not name.startswith("workload.")}
        flat |= {"workload": workload} | dotted("workload", WORKLOADS[workload])
    values = {name: offered(name, text) for name, text in flat.items() if name not in DETAILS}
    values |= devices_of(flat["devices"])
    details |= {"tags": list(details["tags"]), "priority": str(details["priority"])}
    return dict.fromkeys(LEFT_EMPTY, "") | values | details


def section_fields(section: type[Section]) -> dict[str, str]:
    """A section's parameters and their defaults, as text."""
    return {name: str(value) for name, value in section() if name != "name"}


def dotted(name: str, section: type[Section]) -> dict[str, str]:
    """The same under the names that a flat config has for them."""
    return {f"{name}.{field}": text for field, text in section_fields(section).items()}


def raw_config() -> dict[str, Any]:
    """What the widgets hold, for `RunConfig.parse`."""
    loader = LOADER if held("input") == "host_loader" else ()
    return {name: held(name) for name in (*NUMBERS, *CHOICES, *loader)} | {
        "workload": _raw_section("workload", WORKLOADS[held("workload")]),
        "dataset": _raw_section("dataset", DATASETS[held("dataset")]),
        "devices": list(held("devices")) or held("count"),
    }


def _raw_section(name: str, section: type[Section]) -> dict[str, Any]:
    fields = {field: held(f"{name}.{field}") for field in section_fields(section)}
    return {"name": held(name), **fields}


def raw_details() -> dict[str, Any]:
    return {name: held(name) for name in DETAILS}


def command_line(config: RunConfig, hardware: Hardware) -> str:
    """The same run from a terminal: only what differs from the defaults."""
    flat, usual = config.flat(), defaults(config.framework, hardware)
    usual |= dotted("workload", WORKLOADS[config.workload.name])
    pairs = [f"  --set {k}={v}" for k, v in flat.items() if k != "framework" and usual.get(k) != v]
    command = f".venv/bin/python -m engine submit --framework {flat['framework']}"
    return " \\\n".join([command, *pairs])


def held(name: str) -> Any:
    """What a widget holds."""
    return st.session_state.get(KEY + name)


def offered(name: str, text: str) -> str:
    """The text. Raise `ValueError` if the widget offers choices, and this is none of them."""
    if text not in (PINNED if name == "loader_pinned" else CHOICES.get(name, (text,))):
        raise ValueError(text)
    return text


def devices_of(text: str) -> dict[str, Any]:
    """Which devices, and how many where none is named."""
    given = unflatten({"devices": text})["devices"]
    if isinstance(given, list):
        return {"devices": given, "count": "1"}
    return {"devices": [], "count": str(given)}


def text_of(value: Any) -> str:
    """A widget's value as an address has it."""
    return ",".join(value) if isinstance(value, (list, tuple)) else str(value or "")


def keep_offered(settings: Settings, hardware: Hardware) -> None:
    """What this host does not have gives way to what it has, as it does in the widgets."""
    missing = {n: devices.framework_missing(n, settings.interpreter(n)) for n in FRAMEWORK_NAMES}
    keep_among([name for name, why in missing.items() if not why], "framework")
    keep_among(launch.accelerators_of(held("framework"), hardware)[0], "accelerator")
    here = {device.id for device in hardware.of(held("accelerator"))}
    st.session_state[KEY + "devices"] = [name for name in held("devices") or [] if name in here]
    keep_among(PRECISIONS[held("accelerator") or "cpu"], "precision")


def keep_among(offered: Sequence[str], name: str) -> None:
    """A value that is not offered here gives way to the first that is."""
    if held(name) not in offered and offered:
        st.session_state[KEY + name] = offered[0]
