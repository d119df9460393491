"""The New run form's address: how it fills the form, and how the form fills it.

What it asks for is judged as the command line judges it. What the form does not show as it was
asked for is refused: nothing starts before the reader accepts the form as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import streamlit as st

from dashboard.form_state import (
    DETAILS,
    FIRST_FRAMEWORK,
    FIRST_WORKLOAD,
    KEY,
    LOADER,
    base,
    devices_of,
    held,
    keep_offered,
    offered,
    raw_config,
    raw_details,
    text_of,
)
from engine import launch
from engine.config import RunConfig, flatten, unflatten
from engine.devices import Hardware
from engine.problems import ConfigError, Problem, cut
from engine.settings import Settings
from storage.runs import Run

LONGEST = 1000  # characters of one field
OTHERS = ("clone", "tpu")  # of the address, what is no field of the form


def begin(cloned: Run | None, settings: Settings, hardware: Hardware) -> list[Problem]:
    """Fill the widgets from the address if it is new; what of it the form does not show."""
    if _is_new():
        asked = _asked()
        framework = asked.get("framework", FIRST_FRAMEWORK)
        workload = asked.get("workload", cloned.workload if cloned else FIRST_WORKLOAD)
        usual = base(framework, workload, cloned, hardware)
        values = _values(asked, cloned, usual.keys())
        for name, value in (usual | values).items():
            st.session_state[KEY + name] = value
        keep_offered(settings, hardware)
        found = _problems(asked, cloned, settings, hardware)
        refused = _refused(asked, values, found, settings, hardware)
        st.session_state[KEY + "refused"] = [(one, _widgets(one.field)) for one in refused]
        _note()
    refused = st.session_state[KEY + "refused"]
    standing = [(problem, was) for problem, was in refused if not _is_changed(problem.field, was)]
    st.session_state[KEY + "refused"] = standing
    return [problem for problem, _ in standing]


def accept() -> None:
    st.session_state[KEY + "refused"] = []


def _widgets(field: str) -> dict[str, str]:
    """What a field's widgets hold, as text."""
    return {
        name: str(value)
        for name, value in st.session_state.items()
        if isinstance(name, str) and name.removeprefix(KEY).partition(".")[0] == field
    }


def _is_changed(field: str, was: Mapping[str, str]) -> bool:
    """Whether the reader has set a field since the address was read."""
    now = _widgets(field)
    return any(now.get(name, text) != text for name, text in was.items())


def _asked() -> dict[str, str]:
    """The address's own fields as flat text; of its tags, see `_tags`."""
    asked = {name: st.query_params.get_all(name)[-1] for name in st.query_params}
    for name in OTHERS:
        asked.pop(name, None)
    if "devices" in asked:
        asked["devices"] = ",".join(st.query_params.get_all("devices"))
    return asked


def _tags() -> list[str]:
    return [tag for tag in st.query_params.get_all("tags") if tag.strip()]


def _raw(asked: dict[str, str], cloned: Run | None) -> dict[str, Any]:
    """The config that is asked for: that of the run that is cloned, and the fields on top."""
    flat = {name: text for name, text in asked.items() if name not in DETAILS}
    onto = RunConfig.parse(cloned.config).model_dump(mode="json") if cloned else {}
    if flat.get("input", "host_loader") != "host_loader":
        onto = {name: value for name, value in onto.items() if name not in LOADER}
    return onto | unflatten(flat, onto)


def _values(asked: dict[str, str], cloned: Run | None, fields: Set[str]) -> dict[str, Any]:
    """What the widgets hold of it, as far as they can."""
    try:
        flat = RunConfig.parse(_raw(asked, cloned)).flat()
        asked = {k: text if k in DETAILS else flat.get(k, "") for k, text in asked.items()}
    except ConfigError:
        pass  # it is as it was written, and said below
    values: dict[str, Any] = {}
    for name in asked.keys() & fields:
        try:
            values |= _held_as(name, asked[name])
        except ValueError:
            continue  # the form begins with what it usually has
    return values


def _held_as(name: str, text: str) -> dict[str, Any]:
    if name == "tags":
        return {name: _tags()}
    return devices_of(text) if name == "devices" else {name: offered(name, text)}


def _problems(
    asked: dict[str, str], cloned: Run | None, settings: Settings, hardware: Hardware
) -> list[Problem]:
    """What is wrong with what is asked for, the first of each field.

    One fault hides others, so what is at fault is left out and the rest is looked at again.
    """
    found: dict[str, Problem] = {}
    while True:
        details: dict[str, Any] = {name: asked[name] for name in DETAILS if name in asked}
        if "tags" in details:
            details["tags"] = _tags()
        try:
            launch.check(_raw(asked, cloned), details, settings, hardware)
            return list(found.values())
        except ConfigError as error:
            for problem in error.problems:
                found.setdefault(problem.field, problem)
        wrong = _at_fault(asked, found.keys())
        right = {k: text for k, text in asked.items() if not {k, k.partition(".")[0]} & wrong}
        if len(right) == len(asked):
            return list(found.values())
        asked = right


def _at_fault(asked: dict[str, str], fields: Set[str]) -> Set[str]:
    """These, and what means nothing without them: devices of an accelerator that is not here."""
    are_named = not asked.get("devices", "1").lstrip("-").isdigit()
    return fields | {"devices"} if "accelerator" in fields and are_named else fields


def _refused(
    asked: dict[str, str],
    values: dict[str, Any],
    found: list[Problem],
    settings: Settings,
    hardware: Hardware,
) -> list[Problem]:
    """Of what is wrong, what the form itself will not say; and what else it does not show."""
    try:
        launch.check(raw_config(), raw_details(), settings, hardware)
        said = set()
    except ConfigError as error:
        said = {problem.sentence for problem in error.problems}
    refused = [problem for problem in found if problem.sentence not in said]
    told = _at_fault(asked, {problem.field for problem in found})
    return refused + [problem for problem in _changed(asked, values) if problem.field not in told]


def _changed(asked: dict[str, str], values: dict[str, Any]) -> Iterator[Problem]:
    """What the form shows otherwise."""
    shown = flatten(raw_config() | raw_details())
    for name, text in asked.items():
        value, now = values.get(name, text), shown.get(name, "")
        if name == "devices" and not value:
            value = values["count"]
        if text_of(value) == now or (name in LOADER and not value):
            continue
        yield Problem(name, f"The form cannot show {name}={cut(text)}; it has {now or 'nothing'}.")


def write(cloned: Run | None, hardware: Hardware) -> list[str]:
    """Put what differs from the base into the address, so that Copy link brings this form back.

    The names of what is too long for that are returned.
    """
    differing: dict[str, str | list[str]] = {"clone": cloned.id} if cloned else {}
    if held("framework") != (cloned.framework if cloned else FIRST_FRAMEWORK):
        differing["framework"] = held("framework")
    if held("workload") != (cloned.workload if cloned else FIRST_WORKLOAD):
        differing["workload"] = held("workload")
    usual = base(held("framework"), held("workload"), cloned, hardware)
    too_long = []
    for name in [name for name in usual if not _is_elsewhere(name)]:
        value = st.session_state.get(KEY + name)
        if value is None or value == usual[name]:
            continue
        if len(text_of(value)) > LONGEST:
            too_long.append(name)
        else:
            differing[name] = list(value) if isinstance(value, list) and value else text_of(value)
    if not held("devices") and (usual["devices"] or held("count") != usual["count"]):
        differing["devices"] = text_of(held("count"))
    if "tpu" in st.query_params:
        differing["tpu"] = st.query_params["tpu"]
    st.query_params.from_dict(differing)
    _note()
    return too_long


def _is_elsewhere(name: str) -> bool:
    """What has its place in the address already, or means nothing with what the form shows now."""
    if name in LOADER:
        return held("input") != "host_loader"
    if name.startswith("dataset."):
        return held("dataset") != "synthetic"
    return name in ("framework", "workload", "count") or (name == "devices" and not held(name))


def _address() -> dict[str, list[str]]:
    return {n: st.query_params.get_all(n) for n in st.query_params if n != "tpu"}


def _note() -> None:
    st.session_state[KEY + "address"] = _address()


def _is_new() -> bool:
    """Whether the address was changed by anything but this form, so that it must be read."""
    return st.session_state.get(KEY + "address") != _address() or (
        KEY + "framework" not in st.session_state
    )
