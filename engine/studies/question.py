"""What a study asks: a config, what is varied in it, and how often each variant is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError

from engine.config import (
    ACCELERATOR_NAMES,
    FRAMEWORK_NAMES,
    IMPOSSIBLE_PAIRS,
    InputPath,
    RunConfig,
    Section,
)
from engine.problems import ConfigError, Problem, problems_of

Kind = Literal["run_on", "saturation", "input", "advice"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_NAMES: dict[str, str] = {
    "run_on": "Run on…",
    "saturation": "Saturation",
    "input": "Input pipeline",
    "advice": "Test of an advice",
}
MOST_RUNS = 500
SMALLEST_BATCH, LARGEST_BATCH = 16, 8192
INPUT_NAMES: dict[str, str] = {
    "device_resident": "data set on the device",
    "host_loader": "loader on the host",
}
# Fields of a config that a kind varies on purpose; in all others its arms are alike.
VARIED: dict[str, tuple[str, ...]] = {
    "run_on": ("framework", "accelerator", "devices"),
    "saturation": ("batch_size", "precision"),
    "input": ("input",),
}


class Arm(NamedTuple):
    """One variant; a run of it adds only the seed."""

    label: str
    config: RunConfig


class Advice(Section):
    """What a finding promised: `promised` is a ratio of samples/s, or None if it named none."""

    rule: str
    changes: dict[str, Any]
    promised: float | None = None


class Question(Section):
    """One value, stored as JSON. Lists left empty are filled in by the kind."""

    kind: Kind = Field(default="run_on", description="What is varied.")
    base: dict[str, Any] = Field(default_factory=dict, description="The config that all share.")
    devices: tuple[str, ...] = Field(
        default=(), max_length=64, description="Kinds of hardware (cpu, gpu, tpu) or ids (gpu:1)."
    )
    frameworks: tuple[str, ...] = Field(default=(), max_length=10, description="To run it with.")
    batch_sizes: tuple[int, ...] = Field(default=(), max_length=500, description="To saturate at.")
    precisions: tuple[str, ...] = Field(default=(), max_length=10, description="To saturate in.")
    seeds: int = Field(default=5, description="Repeats of each arm, each with a seed of its own.")
    target_accuracy: float | None = Field(
        default=None, gt=0, le=1, description="Validation accuracy that a run is to reach, 0 to 1."
    )
    accuracy_tolerance: float = Field(
        default=0.02, ge=0, le=1, description="How far the final accuracies may lie apart."
    )
    baseline: str = Field(default="", description="The arm that others are compared with.")
    cool_down_s: float = Field(
        default=2.0, ge=0, le=3600, description="Rest of the host before each run, in seconds."
    )
    order_seed: int = Field(default=0, ge=0, description="Fixes the random order of the runs.")
    advice: Advice | None = None

    @classmethod
    def parse(cls, raw: Any) -> Question:
        """Validate, its arms and its size too; raise `ConfigError`, a sentence a problem."""
        try:
            question = cls.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(problems_of(error, cls)) from None
        labels = [arm.label for arm in question.arms()]
        question.check_size(len(labels))
        if question.baseline and question.baseline not in labels:
            sentence = (
                f"Unknown baseline {question.baseline!r}. Choose one of: {'; '.join(labels)}."
            )
            raise ConfigError([Problem("baseline", sentence)])
        return question

    def arms(self) -> list[Arm]:
        """In the order they were asked for; pairs that cannot be are left out."""
        found = list(_ARMS[self.kind](self))
        if not found:
            reasons = "; ".join(self.left_out()) or "nothing was chosen"
            sentence = f"This study has no arm that can run: {reasons}. Choose others."
            raise ConfigError([Problem("devices", sentence)])
        return found

    def check_size(self, arms: int) -> None:
        runs = arms * self.seeds
        if not 1 <= runs <= MOST_RUNS:
            way_out = "Choose 1 seed at least." if runs < 1 else "Choose fewer arms or seeds."
            sentence = (
                f"A study has 1 to {MOST_RUNS:,} runs, got {runs:,} ({arms:,} arms x "
                f"{self.seeds:,} seeds). {way_out}"
            )
            raise ConfigError([Problem("seeds", sentence)])

    def left_out(self) -> list[str]:
        """Pairs of framework and hardware that were asked for and cannot be, each with why."""
        if self.kind != "run_on":
            return []
        pairs = product(self.chosen_frameworks(), map(accelerator_of, self.chosen_devices()))
        return [IMPOSSIBLE_PAIRS[pair] for pair in pairs if pair in IMPOSSIBLE_PAIRS]

    def baseline_label(self) -> str:
        return self.baseline or self.arms()[0].label

    def varied(self) -> tuple[str, ...]:
        """Fields in which its arms differ on purpose."""
        return tuple(self.advice.changes) if self.advice else VARIED[self.kind]

    def chosen_frameworks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.frameworks)) or (self.base.get("framework", "torch"),)

    def chosen_devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.devices)) or (self.base.get("accelerator", "cpu"),)


def accelerator_of(device: str) -> str:
    """`gpu` of `gpu` and of `gpu:1`."""
    return device.partition(":")[0]


def _settled(question: Question, **changes: Any) -> RunConfig:
    """The base with changes; what a framework's default decides is decided by the base's."""
    base = RunConfig.parse(question.base).model_dump(mode="json")
    return RunConfig.parse(base | changes)


def _on_each(question: Question) -> Iterator[Arm]:
    for framework, device in product(question.chosen_frameworks(), question.chosen_devices()):
        accelerator = accelerator_of(device)
        if (framework, accelerator) in IMPOSSIBLE_PAIRS:
            continue
        placed = [device] if ":" in device else question.base.get("devices", 1)
        config = _settled(question, framework=framework, accelerator=accelerator, devices=placed)
        where = device if ":" in device else ACCELERATOR_NAMES[accelerator]
        yield Arm(f"{FRAMEWORK_NAMES[framework]} on {where}", config)


def _at_each_size(question: Question) -> Iterator[Arm]:
    config = _placed(question)
    sizes = question.batch_sizes or _powers_of_two(config)
    precisions = question.precisions or (config.precision,)
    for precision, size in product(dict.fromkeys(precisions), sorted(set(sizes))):
        arm = config.model_dump(mode="json") | {"batch_size": size, "precision": precision}
        yield Arm(f"batch {size:,} in {precision}", RunConfig.parse(arm))


def _through_each_input(question: Question) -> Iterator[Arm]:
    config = _placed(question).model_dump(mode="json")
    for path in get_args(InputPath):
        yield Arm(INPUT_NAMES[path].capitalize(), RunConfig.parse(config | {"input": path}))


def _with_and_without(question: Question) -> Iterator[Arm]:
    yield Arm("As it was", _settled(question))
    changes = question.advice.changes if question.advice else {}
    if changes:
        told = ", ".join(f"{name} {value}" for name, value in changes.items())
        yield Arm(f"With {told}", _settled(question, **changes))


def _placed(question: Question) -> RunConfig:
    """For kinds of one framework on one device: the first that was named."""
    framework, device = question.chosen_frameworks()[0], question.chosen_devices()[0]
    where: Mapping[str, Any] = {"accelerator": accelerator_of(device)}
    if ":" in device:
        where = {**where, "devices": [device]}
    return _settled(question, framework=framework, **where)


def _powers_of_two(config: RunConfig) -> list[int]:
    """Batch sizes that leave an epoch enough steps to be timed."""
    sizes, size = [], SMALLEST_BATCH
    while size <= min(LARGEST_BATCH, config.dataset.train_samples // 8):
        sizes.append(size)
        size *= 2
    return sizes or [config.batch_size]


_ARMS = {
    "run_on": _on_each,
    "saturation": _at_each_size,
    "input": _through_each_input,
    "advice": _with_and_without,
}
