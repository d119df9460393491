"""What a study asks: a config, what is varied in it, and how often each variant is repeated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError

from engine.config import (
    ACCELERATOR_NAMES,
    FRAMEWORK_NAMES,
    IMPOSSIBLE_PAIRS,
    MOST_WORKERS,
    RunConfig,
    Section,
)
from engine.format import counted
from engine.problems import ConfigError, Problem, problems_of

Kind = Literal["run_on", "scaling", "saturation", "input", "advice"]
Mode = Literal["strong", "weak"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_NAMES: dict[str, str] = {
    "run_on": "Run on…",
    "scaling": "Scaling",
    "saturation": "Saturation",
    "input": "Input pipeline",
    "advice": "Test of an advice",
}
MOST_RUNS = 500
USUAL_COUNTS = (1, 2, 4)
SMALLEST_BATCH, LARGEST_BATCH = 16, 8192
INPUT_NAMES: dict[str, str] = {
    "device_resident": "data set on the device",
    "host_loader": "loader on the host",
}
# Fields of a config that a kind varies on purpose; in all others its arms are alike.
VARIED: dict[str, tuple[str, ...]] = {
    "run_on": ("framework", "accelerator", "devices"),
    "scaling": ("devices",),
    "saturation": ("batch_size", "precision"),
    "input": ("input", "loader_workers", "loader_prefetch", "loader_pinned"),
}
NO_LOADER = {"loader_workers": 0, "loader_prefetch": None, "loader_pinned": None}


class Arm(NamedTuple):
    """One variant; a run of it adds only the seed."""

    label: str
    config: RunConfig


class Advice(Section):
    """What a finding promised: `promised` is a ratio of samples/s, or None if it named none.

    `changes` are to the config, but for `cool_down_s`: a longer rest before each run. `study` and
    `arm` are where it was found; empty in tests of before that was kept.
    """

    rule: str
    changes: dict[str, Any]
    promised: float | None = None
    study: str = ""
    arm: str = ""

    @property
    def of_config(self) -> dict[str, Any]:
        return {name: value for name, value in self.changes.items() if name != "cool_down_s"}


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
    device_counts: tuple[int, ...] = Field(
        default=(), max_length=64, description="How many devices to train on, for scaling."
    )
    mode: Mode = Field(
        default="strong",
        description="Scaling: strong keeps the global batch, weak keeps each device's.",
    )
    workers: tuple[int, ...] = Field(
        default=(), max_length=64, description="Workers of the loader on the host, for input."
    )
    prefetches: tuple[int, ...] = Field(
        default=(), max_length=64, description="Batches kept ready by each worker, for input."
    )
    pinned: tuple[bool, ...] = Field(
        default=(), max_length=2, description="Loaders with and without page-locked memory: a GPU."
    )
    seeds: int = Field(default=5, description="Repeats of each arm, each with a seed of its own.")
    target_accuracy: float | None = Field(
        default=None, gt=0, le=1, description="Validation accuracy that a run is to reach, 0 to 1."
    )
    accuracy_tolerance: float = Field(
        default=0.02, ge=0, le=1, description="How far the final accuracies may lie apart."
    )
    baseline: str = Field(default="", description="The arm that others are compared with.")
    cool_down_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Seconds without a run's end before each.",
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
        if question.kind == "scaling" and question.baseline_label() != labels[0]:
            sentence = f"Scaling is measured from the fewest devices: the baseline is {labels[0]}."
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
                f"A study has 1 to {MOST_RUNS:,} runs, got {runs:,} "
                f"({counted(arms, 'arm')} x {counted(self.seeds, 'seed')}). {way_out}"
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
        if self.advice:
            changed = tuple(self.advice.changes)
            return changed + VARIED["input"] if "input" in changed else changed
        return (*VARIED[self.kind], *(["batch_size"] if self.is_weak else []))

    @property
    def is_weak(self) -> bool:
        """Whether the batch grows with the devices."""
        return self.kind == "scaling" and self.mode == "weak"

    def rest_before(self, arm: str) -> float:
        """Seconds of rest before a run of an arm: only an advice has arms that differ in it."""
        advised = self.advice and self.advice.changes.get("cool_down_s")
        return advised if advised and arm == self.arms()[-1].label else self.cool_down_s

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


def _on_so_many(question: Question) -> Iterator[Arm]:
    """The base on each count of devices: at its global batch, or at as much for each device."""
    config = _placed(question)
    counts = sorted(set(question.device_counts or USUAL_COUNTS))
    named = config.devices if isinstance(config.devices, tuple) else ()
    if len(counts) < 2 or named:
        asked = ", ".join(map(str, named or counts))
        sentence = (
            f"Scaling compares two or more counts of devices of one kind, got {asked}. Choose "
            "counts such as 1, 2, 4 and a kind such as cpu."
        )
        raise ConfigError([Problem("device_counts", sentence)])
    share = config.batch_size // config.device_count
    for count in counts:
        batch = share * count if question.is_weak else config.batch_size
        raw = config.model_dump(mode="json") | {"devices": count, "batch_size": batch}
        placed = RunConfig.parse(raw)
        kind = "virtual device" if placed.virtual_devices else "device"
        yield Arm(f"{count:,} {kind}{'' if count == 1 else 's'}", placed)


def _at_each_size(question: Question) -> Iterator[Arm]:
    config = _placed(question)
    sizes = question.batch_sizes or _powers_of_two(config)
    precisions = question.precisions or (config.precision,)
    for precision, size in product(dict.fromkeys(precisions), sorted(set(sizes))):
        arm = config.model_dump(mode="json") | {"batch_size": size, "precision": precision}
        yield Arm(f"batch {size:,} in {precision}", RunConfig.parse(arm))


def _through_each_input(question: Question) -> Iterator[Arm]:
    """The data set on the device, then the loader on the host with each of its settings."""
    raw = _placed(question).model_dump(mode="json")
    resident = raw | NO_LOADER | {"input": "device_resident"}
    yield Arm(INPUT_NAMES["device_resident"].capitalize(), RunConfig.parse(resident))
    name = INPUT_NAMES["host_loader"].capitalize()
    loader = raw | {"input": "host_loader"}
    settings = product(
        sorted(set(question.workers)) or [None],
        sorted(set(question.prefetches)) or [None],
        dict.fromkeys(question.pinned) or [None],
    )
    made: dict[str, RunConfig] = {}
    for workers, prefetch, pinned in settings:
        told, changes = [name], {}
        if workers is not None:
            told.append(f"{workers:,} worker{'' if workers == 1 else 's'}")
            changes["loader_workers"] = workers
        if workers == 0 and raw["framework"] != "keras":
            changes["loader_prefetch"] = None  # nobody makes batches ahead
        elif prefetch is not None:
            told.append(f"{prefetch:,} ahead")
            changes["loader_prefetch"] = prefetch
        if pinned is not None:
            told.append("pinned" if pinned else "not pinned")
            changes["loader_pinned"] = pinned
        made.setdefault(", ".join(told), RunConfig.parse(loader | changes))
    yield from (Arm(label, config) for label, config in made.items())


def usual_workers() -> tuple[int, ...]:
    """Workers to try on this host: none, then doubled up to its logical cores."""
    cores = min(os.cpu_count() or 1, MOST_WORKERS)
    return (0, *(2**power for power in range(cores.bit_length())))


def _with_and_without(question: Question) -> Iterator[Arm]:
    as_it_was = _settled(question)
    advice = question.advice
    if advice is None or not advice.changes:
        yield Arm("As it was", as_it_was)
        return
    freed = NO_LOADER if advice.changes.get("input") == "device_resident" else {}
    changed = _settled(question, **freed | advice.of_config)
    if "accelerator" in advice.changes:
        yield Arm(f"On {ACCELERATOR_NAMES[as_it_was.accelerator]}", as_it_was)
        yield Arm(f"On {ACCELERATOR_NAMES[changed.accelerator]}", changed)
        return
    yield Arm("As it was", as_it_was)
    told = in_words(advice.changes) if advice.study else _as_before(advice.changes)
    yield Arm(f"With {told}", changed)


def _as_before(changes: Mapping[str, Any]) -> str:
    """What an arm was called before it was in words: its runs are found by it."""
    return ", ".join(f"{name} {value}" for name, value in changes.items())


def in_words(changes: Mapping[str, Any]) -> str:
    """`192 epochs`, `the data set on the device`, `mlp of width 512 on GPU`."""
    if "accelerator" in changes:
        rest = {n: v for n, v in changes.items() if n not in ("framework", "devices")}
        place = ACCELERATOR_NAMES[rest.pop("accelerator")]
        return " ".join(filter(None, [in_words(rest), "on", place]))
    return ", ".join(_change(name, value) for name, value in changes.items())


def _change(name: str, value: Any) -> str:
    match name:
        case "cool_down_s":
            return f"{value:g} s of rest before each run"
        case "epochs":
            return f"{value:,} epochs"
        case "batch_size":
            return f"batches of {value:,}"
        case "keep_last_batch":
            return "the last batch kept" if value else "full batches only"
        case "input":
            return f"the {INPUT_NAMES[value]}"
        case "framework":
            return FRAMEWORK_NAMES[value]
        case "workload":
            return f"{value['name']} of width {value['width']:,}"
        case _:
            shown = f"{value:,}" if isinstance(value, int) else value
            return f"{name.replace('_', ' ')} {shown}"


def _placed(question: Question) -> RunConfig:
    """For kinds of one framework on one kind of hardware: the first that was named."""
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
    "scaling": _on_so_many,
    "saturation": _at_each_size,
    "input": _through_each_input,
    "advice": _with_and_without,
}
