"""The New run form: fields <-> widgets <-> address.

The address holds what differs from the defaults, or from the run that is cloned. Widgets take any
value and `launch.check` judges it, so that form, address and command line say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import streamlit as st

from dashboard.words import plain
from engine import devices, launch
from engine.config import (
    ACCELERATOR_NAMES,
    DATASETS,
    DEFAULT_BATCH_SIZE,
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
from engine.describe import VIRTUAL
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
        | _dotted("dataset", Synthetic)
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
        flat |= {"workload": workload} | _dotted("workload", WORKLOADS[workload])
    values = {name: _from_texts(name, [text]) for name, text in flat.items()}
    values["count"] = _count([flat["devices"]])
    details |= {"tags": list(details["tags"]), "priority": float(details["priority"])}
    return (
        dict.fromkeys(("timeout_s", "loader_prefetch")) | {"loader_pinned": ""} | values | details
    )


def _section_fields(section: type[Section]) -> dict[str, str]:
    """A section's parameters and their defaults, as text."""
    return {name: str(value) for name, value in section() if name != "name"}


def _dotted(name: str, section: type[Section]) -> dict[str, str]:
    """The same under the names that a flat config has for them."""
    return {f"{name}.{field}": text for field, text in _section_fields(section).items()}


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
    loader = LOADER if _value("input") == "host_loader" else ()
    given = {name: _value(name) for name in loader}
    return {name: _value(name) for name in plain_fields} | {
        **{name: value for name, value in given.items() if value not in (None, "")},
        "workload": _raw_section("workload", WORKLOADS[_value("workload")]),
        "dataset": _raw_section("dataset", DATASETS[_value("dataset")]),
        "devices": list(_value("devices")) or _value("count"),
    }


def _raw_section(name: str, section: type[Section]) -> dict[str, Any]:
    fields = {field: _value(f"{name}.{field}") for field in _section_fields(section)}
    return {"name": _value(name), **fields}


def raw_details() -> dict[str, Any]:
    return {name: _value(name) for name in DETAILS}


def write_address(cloned: Run | None, hardware: Hardware) -> None:
    """Put what differs from the base into the address, so that Copy link brings this form back."""
    differing: dict[str, str | list[str]] = {"clone": cloned.id} if cloned else {}
    if _value("framework") != (cloned.framework if cloned else FIRST_FRAMEWORK):
        differing["framework"] = _value("framework")
    if _value("workload") != (cloned.workload if cloned else FIRST_WORKLOAD):
        differing["workload"] = _value("workload")
    usually = base(_value("framework"), _value("workload"), cloned, hardware)
    for name, usual in usually.items():
        value = st.session_state.get(KEY + name)
        if name in ("framework", "workload") or value is None or value == usual:
            continue
        if name == "count":  # how many, where none is named
            if not _value("devices"):
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
        _section_numbers("workload", WORKLOADS[_value("workload")])
    data.selectbox(
        "Data set",
        CHOICES["dataset"],
        key=KEY + "dataset",
        format_func=DATASET_NAMES.__getitem__,
        help=" ".join(f"{DATASET_NAMES[n]}: {_first_line(kind)}" for n, kind in DATASETS.items()),
    )
    if _value("dataset") == "synthetic":
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
    for name in _section_fields(kind):
        label = name.replace("_", " ").capitalize()
        _whole(st, label, f"{section}.{name}", kind.model_fields[name].description, width=130)


def _whole(where: Any, label: str, name: str, help_text: str | None, **options: Any) -> None:
    """A whole number, in a field that takes any: a browser's whole-number field makes 1 of 1e9."""
    where.number_input(label, step=1.0, format="%g", key=KEY + name, help=help_text, **options)


def _first_line(kind: type[Section]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _workload_changed() -> None:
    """Another workload has other parameters, or others of the same name."""
    for name, text in _dotted("workload", WORKLOADS[_value("workload")]).items():
        st.session_state[KEY + name] = float(text)


def where(settings: Settings, hardware: Hardware) -> None:
    """Whose loop, on which hardware: what this host can do, and why it cannot do the rest."""
    reasons = {
        name: why
        for name in FRAMEWORK_NAMES
        if (why := devices.framework_missing(name, settings.interpreter(name)))
    }
    offered = [name for name in FRAMEWORK_NAMES if name not in reasons]
    _keep_among(offered, "framework")
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
    possible, reasons = launch.accelerators_of(_value("framework"), hardware)
    _keep_among(possible, "accelerator")
    st.segmented_control(
        "Accelerator",
        possible,
        format_func=lambda name: _accelerator_label(_value("framework"), name),
        key=KEY + "accelerator",
        required=True,
    )
    for name, why in reasons.items():
        _cannot(ACCELERATOR_NAMES[name], why)
    here = {device.id: device for device in hardware.of(_value("accelerator"))}
    chosen = [name for name in _value("devices") or [] if name in here]
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
    on_cpu = _value("accelerator") == "cpu"
    where.number_input(
        "Virtual devices" if on_cpu else "How many",
        step=1.0,
        format="%g",
        key=KEY + "count",
        disabled=bool(_value("devices")),
        help="1 is the CPU as it is. More divide it and train data-parallel." if on_cpu else
        "Devices that train together, each on its share of a batch.",
    )  # fmt: skip
    count = _value("count")
    if on_cpu and not _value("devices") and isinstance(count, int) and count > 1:
        st.caption(f":material/info: {count} virtual devices on one CPU: {VIRTUAL}.")


def how() -> None:
    """The numbers of the training."""
    grid = st.grid(3)
    _whole(grid, "Epochs", "epochs", _help("epochs"))
    _whole(grid, "Batch size", "batch_size", _help("batch_size"))
    grid.number_input(
        "Learning rate",
        format="%g",
        step=1e-4,
        key=KEY + "learning_rate",
        help=_help("learning_rate"),
    )
    grid.selectbox(
        "Optimizer", CHOICES["optimizer"], key=KEY + "optimizer", help=_help("optimizer")
    )
    grid.selectbox("Schedule", CHOICES["schedule"], key=KEY + "schedule", help=_help("schedule"))
    offered = PRECISIONS[_value("accelerator") or "cpu"]
    _keep_among(offered, "precision")
    grid.selectbox("Precision", offered, key=KEY + "precision", help=_help("precision"))
    grid.selectbox(
        "Input",
        CHOICES["input"],
        key=KEY + "input",
        format_func=INPUT_NAMES.__getitem__,
        help=_help("input"),
    )
    if _value("input") == "host_loader":
        _loader(grid)
    else:
        _keep(LOADER)
    _whole(grid, "Seed", "seed", _help("seed"))


def _loader(grid: Any) -> None:
    """How the host makes batches."""
    _whole(grid, "Loader workers", "loader_workers", _help("loader_workers"))
    prefetch = _help("loader_prefetch")
    _whole(grid, "Prefetch, batches", "loader_prefetch", prefetch, value=None, placeholder="Auto")
    if _value("accelerator") == "gpu" or _value("loader_pinned"):
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
        sorted({*known_tags, *(_value("tags") or [])}),
        key=KEY + "tags",
        accept_new_options=True,
        placeholder="Choose or type",
    )
    st.text_area("Notes", key=KEY + "notes", height=68, placeholder="Why this run?")
    with st.expander("Queue and limits"):
        left, right = st.columns(2)
        _whole(left, "Priority", "priority", "Higher goes first, -100 to 100.")
        right.number_input(
            "Time limit, s",
            value=None,
            step=60.0,
            format="%g",
            key=KEY + "timeout_s",
            help=_help("timeout_s"),
        )


def command_line(config: RunConfig, hardware: Hardware) -> str:
    """The same run from a terminal: only what differs from the defaults."""
    flat, usual = config.flat(), defaults(config.framework, hardware)
    usual |= _dotted("workload", WORKLOADS[config.workload.name])
    pairs = [f"  --set {k}={v}" for k, v in flat.items() if k != "framework" and usual.get(k) != v]
    command = f".venv/bin/python -m engine submit --framework {flat['framework']}"
    return " \\\n".join([command, *pairs])


def _framework_changed(before: str | None, hardware: Hardware) -> None:
    """Another framework has another default batch size; one that was chosen stays."""
    now = _value("framework")
    if before and _value("batch_size") == DEFAULT_BATCH_SIZE[before]:
        st.session_state[KEY + "batch_size"] = float(DEFAULT_BATCH_SIZE[now])
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


def _keep_among(offered: Any, name: str) -> None:
    """A value that is not offered here gives way to the first that is; the form says so above."""
    if _value(name) not in offered and offered:
        st.session_state[KEY + name] = offered[0]


def _help(field: str) -> str | None:
    return RunConfig.model_fields[field].description


def _value(name: str) -> Any:
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
