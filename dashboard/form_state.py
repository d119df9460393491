"""The New run form's state: fields <-> widgets' values <-> address.

The address holds what differs from the defaults, or from the run that is cloned. Widgets take any
value and `launch.check` judges it, so that form, address and command line say the same.
"""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from engine import launch
from engine.config import (
    ACCELERATOR_NAMES,
    DATASETS,
    FRAMEWORK_NAMES,
    PRECISIONS,
    WORKLOADS,
    InputPath,
    Optimizer,
    RunConfig,
    RunDetails,
    Schedule,
    Section,
    Synthetic,
)
from engine.devices import Hardware
from engine.problems import ConfigError, Problem
from engine.settings import Settings
from storage.runs import Run

KEY = "new."
FIRST_FRAMEWORK, FIRST_WORKLOAD = "torch", "mlp"
LOADER = ("loader_workers", "loader_prefetch", "loader_pinned")
PLAIN, REAL = ("epochs", "batch_size", "seed"), ("learning_rate", "timeout_s")
WHOLE = (*PLAIN, "priority", *LOADER[:2])
DETAILS = ("name", "tags", "notes", "priority")
CHOICES = {
    "workload": tuple(WORKLOADS),
    "dataset": tuple(DATASETS),
    "framework": tuple(FRAMEWORK_NAMES),
    "accelerator": tuple(ACCELERATOR_NAMES),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "input": get_args(InputPath),
    "precision": PRECISIONS["gpu"],
}
PINNED = {"": "As the framework does", "True": "Yes", "False": "No"}
INPUT_NAMES = {"device_resident": "Data set on the device", "host_loader": "Loader on the host"}
DATASET_NAMES = {"fashion_mnist": "Fashion-MNIST", "synthetic": "Synthetic"}
OFFERED_HERE = ("framework", "accelerator", "devices", "precision")
LONGEST_IN_ADDRESS = 1000


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
    details: dict[str, Any] = {"name": "", "tags": (), "notes": "", "priority": 0}
    if cloned is not None:
        config = RunConfig.parse(cloned.config)
        flat |= config.flat()
        details = launch.details_of(cloned)
        if details["name"] == launch.default_name(config):
            details["name"] = ""  # it was left empty, and is made anew for what the clone will be
    if workload != flat["workload"] and workload in WORKLOADS:
        flat = {name: text for name, text in flat.items() if not name.startswith("workload.")}
        flat |= {"workload": workload} | dotted("workload", WORKLOADS[workload])
    values = {name: _from_texts(name, [text]) for name, text in flat.items()}
    values["count"] = _count([flat["devices"]])
    details |= {"tags": list(details["tags"]), "priority": float(details["priority"])}
    return (
        dict.fromkeys(("timeout_s", "loader_prefetch")) | {"loader_pinned": ""} | values | details
    )


def section_fields(section: type[Section]) -> dict[str, str]:
    """A section's parameters and their defaults, as text."""
    return {name: str(value) for name, value in section() if name != "name"}


def dotted(name: str, section: type[Section]) -> dict[str, str]:
    """The same under the names that a flat config has for them."""
    return {f"{name}.{field}": text for field, text in section_fields(section).items()}


def begin(cloned: Run | None, settings: Settings, hardware: Hardware) -> list[Problem]:
    """Fill the widgets from the address if it is new; what of it the form could not take.

    That stands until the reader accepts the form as it is, and nothing starts before.
    """
    if _address_is_new():
        framework = st.query_params.get("framework", FIRST_FRAMEWORK)
        workload = st.query_params.get("workload", cloned.workload if cloned else FIRST_WORKLOAD)
        values, refused = _read_address(base(framework, workload, cloned, hardware))
        for name, value in values.items():
            st.session_state[KEY + name] = value
        st.session_state[KEY + "refused"] = refused + _not_offered(settings, hardware)
        _note_address()
    return st.session_state[KEY + "refused"]


def _read_address(values: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The values the widgets begin with, and what of the address no widget can hold."""
    problems = []
    for name, texts in _address().items():
        if name == "clone":
            continue
        try:
            if name == "devices":
                values["count"] = _count(texts)
            values[name] = _from_texts(name, texts) if name in values else None
            if values[name] is None and name != "timeout_s":
                raise ValueError(name)
        except ValueError:
            problems.append(Problem(name, _sentence_for(name, texts[-1])))
    return values, problems


def _not_offered(settings: Settings, hardware: Hardware) -> list[Problem]:
    """What the address asks for and this host does not have: the form will show another choice."""
    try:
        launch.check(raw_config(), {}, settings, hardware)
    except ConfigError as error:
        return [problem for problem in error.problems if problem.field in OFFERED_HERE]
    return []


def accept() -> None:
    st.session_state[KEY + "refused"] = []


def raw_config() -> dict[str, Any]:
    """What the widgets hold, for `RunConfig.parse`."""
    plain_fields = (*PLAIN, *REAL, *CHOICES)
    loader = LOADER if held("input") == "host_loader" else ()
    given = {name: held(name) for name in loader}
    return {name: held(name) for name in plain_fields} | {
        **{name: value for name, value in given.items() if value not in (None, "")},
        "workload": _raw_section("workload", WORKLOADS[held("workload")]),
        "dataset": _raw_section("dataset", DATASETS[held("dataset")]),
        "devices": list(held("devices")) or held("count"),
    }


def _raw_section(name: str, section: type[Section]) -> dict[str, Any]:
    fields = {field: held(f"{name}.{field}") for field in section_fields(section)}
    return {"name": held(name), **fields}


def raw_details() -> dict[str, Any]:
    return {name: held(name) for name in DETAILS}


def write_address(cloned: Run | None, hardware: Hardware) -> None:
    """Put what differs from the base into the address, so that Copy link brings this form back."""
    differing: dict[str, str | list[str]] = {"clone": cloned.id} if cloned else {}
    if held("framework") != (cloned.framework if cloned else FIRST_FRAMEWORK):
        differing["framework"] = held("framework")
    if held("workload") != (cloned.workload if cloned else FIRST_WORKLOAD):
        differing["workload"] = held("workload")
    usually = base(held("framework"), held("workload"), cloned, hardware)
    for name, usual in usually.items():
        value = st.session_state.get(KEY + name)
        if name in ("framework", "workload") or value is None or value == usual:
            continue
        if name == "count":  # how many, where none is named
            if not held("devices"):
                differing["devices"] = _text(value)
            continue
        shown = list(value) if isinstance(value, (list, tuple)) else _text(value)
        if len(shown) <= LONGEST_IN_ADDRESS:
            differing[name] = shown
    st.query_params.from_dict(differing)
    _note_address()


def _address() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _note_address() -> None:
    st.session_state[KEY + "address"] = _address()


def _address_is_new() -> bool:
    """Whether the address was changed by anything but this form, so that it must be read."""
    return st.session_state.get(KEY + "address") != _address() or (
        KEY + "framework" not in st.session_state
    )


def command_line(config: RunConfig, hardware: Hardware) -> str:
    """The same run from a terminal: only what differs from the defaults."""
    flat, usual = config.flat(), defaults(config.framework, hardware)
    usual |= dotted("workload", WORKLOADS[config.workload.name])
    pairs = [f"  --set {k}={v}" for k, v in flat.items() if k != "framework" and usual.get(k) != v]
    command = f".venv/bin/python -m engine submit --framework {flat['framework']}"
    return " \\\n".join([command, *pairs])


def held(name: str) -> Any:
    """What a widget holds; a whole number as such."""
    value = st.session_state.get(KEY + name)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _from_texts(name: str, texts: list[str]) -> Any:
    """A widget's value from the address. Raise `ValueError` if the widget cannot hold it."""
    text = texts[-1]
    if name == "tags":
        return texts
    if name == "devices":
        return [] if text.isdecimal() else [part for one in texts for part in one.split(",")]
    if name in WHOLE or name.startswith(("dataset.", "workload.")):
        return float(_bounded(int(text), 2**53 - 1))
    if name in REAL:
        return _bounded(float(text), 1e300) if text else None
    if name in CHOICES and text not in CHOICES[name]:
        raise ValueError(text)
    return text


def _count(texts: list[str]) -> float:
    """How many devices an address or a config asks for where it names none."""
    return float(_bounded(int(texts[-1]), 2**53 - 1)) if texts[-1].isdecimal() else 1.0


def _bounded(number: float, largest: float) -> float:
    """A browser counts no further."""
    if not abs(number) <= largest:
        raise ValueError(number)
    return number


def _text(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _sentence_for(name: str, text: str) -> str:
    """What the command line says of the same field."""
    section = {"dataset": "synthetic"} if name.startswith("dataset.") else {}
    if name.startswith("workload.") and (chosen := st.query_params.get("workload")) in WORKLOADS:
        section = {"workload": str(chosen)}
    try:
        if name in DETAILS:
            RunDetails.parse({name: text})
        else:
            RunConfig.parse_flat(section | {name: text})
    except ConfigError as error:
        return error.problems[0].sentence
    return f"The form cannot hold {text[:60]!r} as {name}."
