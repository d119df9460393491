"""What a study trained, and on what: the same for page, file and command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.config import ACCELERATOR_NAMES, DATASET_NAMES, FRAMEWORK_NAMES, RunConfig, Section
from engine.describe import where
from engine.studies.question import INPUT_NAMES, Arm
from storage.runs import Run

# Of a config: name -> how it is told. What arms differ in stands with the arms.
TOLD = {
    "Model": lambda config: _section(config.workload),
    "Data set": lambda config: (
        f"{_section(config.dataset)}: {config.dataset.train_samples:,} samples"
    ),
    "Framework": lambda config: FRAMEWORK_NAMES[config.framework],
    "Hardware": lambda config: where(config),
    "Epochs": lambda config: f"{config.epochs:,}",
    "Batch": lambda config: f"{config.batch_size:,}",
    "Precision": lambda config: config.precision,
    "Input": lambda config: _input(config),
    "Optimizer": lambda config: (
        f"{config.optimizer}, learning rate {config.learning_rate:g}, {config.schedule}"
    ),
}


def common(arms: Sequence[Arm]) -> dict[str, str]:
    """Name -> value of what all arms have in common."""
    return {
        name: of(arms[0].config)
        for name, of in TOLD.items()
        if len({of(arm.config) for arm in arms}) == 1
    }


def apart(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """Name -> value in each arm, of what the arms differ in."""
    told = {name: [of(arm.config) for arm in arms] for name, of in TOLD.items()}
    return {name: values for name, values in told.items() if len(set(values)) > 1}


def hardware(runs_of: Mapping[str, Sequence[Run]]) -> dict[str, list[str]]:
    """Kind of hardware -> the models of devices that runs were on; hosts of all."""
    found: dict[str, dict[str, None]] = {}
    for run in (run for runs in runs_of.values() for run in runs):
        kind = ACCELERATOR_NAMES.get(run.accelerator, run.accelerator)
        names = [device["name"] for device in run.devices] or [kind]
        found.setdefault(kind, {}).update(dict.fromkeys(names))
        if run.host:
            found.setdefault("Host", {})[run.host] = None
    return {kind: list(names) for kind, names in found.items()}


def rows(arms: Sequence[Arm], runs_of: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    """What all arms share, then the devices by their names."""
    on = hardware(runs_of)
    devices = {name: "; ".join(values) for name, values in on.items()}
    return common(arms) | devices


def _section(section: Section) -> str:
    """`mlp, width 128, depth 1`."""
    return ", ".join(_parts(section))


def _parts(section: Section) -> Iterator[str]:
    for name, value in section:
        if name == "name":
            yield DATASET_NAMES.get(str(value), str(value))
        elif name not in ("train_samples", "test_samples"):
            yield f"{name.replace('_', ' ')} {value:,}"


def _input(config: RunConfig) -> str:
    told = [INPUT_NAMES[config.input]]
    if config.loader_workers:
        told.append(f"{config.loader_workers:,} workers")
    if config.loader_prefetch:
        told.append(f"{config.loader_prefetch:,} ahead")
    if config.keep_last_batch:
        told.append("with a smaller last batch")
    return ", ".join(told)
