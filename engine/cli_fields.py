"""The fields of a config with their defaults and what each may be, for the command line's help."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import get_args

from pydantic.fields import FieldInfo

from engine.config import DATASETS, DEFAULT_BATCH_SIZE, MOST_DEVICES, WORKLOADS, RunConfig, Section
from engine.problems import bounds

USUAL = dict.fromkeys(RunConfig.model_fields, "") | RunConfig().flat() | {"accelerator": ""}
KINDS = {"workload": WORKLOADS, "dataset": DATASETS}
ELSE = {
    "accelerator": "; the best of this host if left out",
    "batch_size": f"; keras: {DEFAULT_BATCH_SIZE['keras']} if left out",
}


def lines() -> list[str]:
    """One a field, those of each workload and data set last."""
    told = [*_of_config(), *(line for section in KINDS for line in _of_section(section))]
    width = max(len(pair) for pair, _ in told)
    return [f"{pair:<{width}}  {what}" for pair, what in told]


def _of_config() -> Iterator[tuple[str, str]]:
    for name, info in RunConfig.model_fields.items():
        yield f"{name}={USUAL[name]}", _allowed(name, info) + ELSE.get(name, "")


def _of_section(section: str) -> Iterator[tuple[str, str]]:
    kinds: dict[str, type[Section]] = {**KINDS[section]}
    for kind, model in kinds.items():
        for name, info in model.model_fields.items():
            if name != "name":
                yield f"{section}.{name}={info.default}", f"{kind}: {_allowed(name, info)}"


def _allowed(name: str, info: FieldInfo) -> str:
    if name in KINDS:
        return ", ".join(KINDS[name])
    if name == "devices":
        return f"how many, up to {MOST_DEVICES:,}, or ids such as gpu:0,gpu:1"
    types = {*(get_args(info.annotation) or [info.annotation])} - {NoneType}
    if types == {bool}:
        return "true or false"
    if types <= {int, float}:
        return bounds(info)
    return ", ".join(get_args(info.annotation))
