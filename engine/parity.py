"""Whether the frameworks do the same job: their training losses, side by side, from one seed.

Each framework trains in a process of its own, through the same sessions as any run.

    python -m engine.parity < CONFIGS

is that process: each line of its answer is one config's losses by epoch.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine import footprint
from engine.config import WORKLOADS, RunConfig, unflatten
from engine.job import Device, Job
from engine.problems import ConfigError, Problem
from engine.settings import PROJECT, Settings

FRAMEWORKS = ("torch", "keras", "torch_xla")
REFERENCE = "torch"
EPOCHS = 3
# Largest relative difference of the mean training loss of an epoch, by the epoch's number.
WANTED = {1: 1e-3, 3: 1e-2}
DEFAULTS = {"batch_size": "128"}
# What the comparison itself settles, and why.
SETTLED = {
    "framework": "every framework is compared",
    "accelerator": "all are compared on the CPU",
    "devices": "all are compared on one device",
    "epochs": f"always {EPOCHS} are compared",
    "schedule": "all train at a constant rate",
    "timeout_s": "nothing here is timed",
}


class Failed(RuntimeError):
    """A framework's process ended without its losses; the message has its last words."""


@dataclass(frozen=True)
class Figure:
    """How far a framework's loss of one epoch is from PyTorch's."""

    workload: str
    framework: str
    epoch: int
    samples: int  # of each epoch
    loss: float
    reference: float

    @property
    def difference(self) -> float:
        """Relative to PyTorch's loss; infinite where there is nothing to compare."""
        if not self.reference or not math.isfinite(self.loss) or not math.isfinite(self.reference):
            return math.inf
        return abs(self.loss - self.reference) / abs(self.reference)

    @property
    def wanted(self) -> float:
        return WANTED[self.epoch]

    @property
    def is_met(self) -> bool:
        return self.difference <= self.wanted


def configs_of(
    names: Sequence[str], given: Mapping[str, str], samples: int
) -> tuple[list[RunConfig], int]:
    """A config for each workload, of which `given` says the rest, and how many samples an epoch
    has. Raise `ConfigError`.
    """
    raw = unflatten(DEFAULTS | dict(given))
    section = raw.pop("workload", {})
    named = section.pop("name") if "workload" in given else None
    section.pop("name", None)
    problems = [
        Problem(name, f"{name} is not for parity to vary: {why}. Leave it out.")
        for name, why in SETTLED.items()
        if name in raw
    ]
    if problems:
        raise ConfigError(problems)
    chosen = names or ([named] if named else tuple(WORKLOADS))
    configs = [RunConfig.parse(raw | {"workload": section | {"name": name}}) for name in chosen]
    total = psutil.virtual_memory().total
    if too_large := list(filter(None, (footprint.too_large(each, total) for each in configs))):
        raise ConfigError(too_large[:1])
    samples = min(samples, configs[0].dataset.train_samples)
    if samples < configs[0].batch_size:
        sentence = (
            f"{samples:,} samples make no batch of {configs[0].batch_size:,}. Take more samples, "
            "or a smaller batch_size."
        )
        raise ConfigError([Problem("samples", sentence)])
    return configs, samples


def figures(settings: Settings, configs: Sequence[RunConfig], samples: int) -> Iterator[Figure]:
    """Train each config on the CPU in every framework, three epochs each; raise `Failed`.

    An epoch is one pass over the first `samples` samples.
    """
    configs = [config.model_copy(update={"epochs": EPOCHS}) for config in configs]
    reference = _losses(settings, REFERENCE, configs, samples)
    for framework in FRAMEWORKS:
        losses = (
            reference if framework == REFERENCE else _losses(settings, framework, configs, samples)
        )
        for config, ours, theirs in zip(configs, losses, reference, strict=True):
            for epoch in WANTED:
                losses_of_epoch = ours[epoch - 1], theirs[epoch - 1]
                yield Figure(config.workload.name, framework, epoch, samples, *losses_of_epoch)


def _losses(
    settings: Settings, framework: str, configs: Sequence[RunConfig], samples: int
) -> list[list[float]]:
    """Mean training loss by config and epoch."""
    asked = [config.model_dump(mode="json") | {"framework": framework} for config in configs]
    done = subprocess.run(
        [str(settings.interpreter(framework)), "-m", "engine.parity"],
        cwd=PROJECT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(PROJECT)},
        input=json.dumps(
            {"configs": asked, "samples": samples, "data_dir": str(settings.data_dir)}
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last_words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Failed(f"{framework} ended with status {done.returncode}: {last_words[:300]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def _train(config: RunConfig, samples: int, data_dir: Path) -> list[float]:
    from engine import datasets, frameworks, randomness
    from engine.frameworks import Replica

    framework, found = frameworks.load(config.framework), list[float]()

    def train(job: Job, replica: Replica) -> None:
        session = framework.session(job, datasets.load(config.dataset, data_dir), replica)
        for epoch in range(config.epochs):
            order = randomness.epoch_order(config.seed, epoch, samples, config.batch_size)
            session.begin_epoch(order, np.full(len(order), config.learning_rate))
            found.append(session.run(len(order)).mean_loss)

    cpu = Device("cpu:0", "cpu", "CPU", "parity")
    with tempfile.TemporaryDirectory() as folder:
        framework.launch(train, Job("parity", config, (cpu,), Path(folder), data_dir))
    return found


def _answer(asked: dict[str, Any]) -> None:
    for raw in asked["configs"]:
        losses = _train(RunConfig.parse(raw), asked["samples"], Path(asked["data_dir"]))
        sys.stdout.write(json.dumps(losses) + "\n")


if __name__ == "__main__":
    _answer(json.load(sys.stdin))
