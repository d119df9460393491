"""Our training loops against the pattern's, in fresh processes, turn by turn.

    python -m benchmarks.training [--framework torch] [--epochs 15] [--json]

Same model (784-128-10), data, batch size and epochs. Steady samples/s are of whole epochs of
steps, the first left out; time to accuracy counts from before the model is built, compiling and
evaluation with it, imports and data without. In which epoch a run gets there is chance, so ours run
with several seeds, and the interval goes from the least to the greatest ratio of any two runs.
Ours run in the environment that the launcher gives trainers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import click

from benchmarks import overhead, start_to_point
from benchmarks.figures import Figure, ratio, show
from engine import events, journal, settings
from engine.config import FRAMEWORK_NAMES, RunConfig
from engine.job import Device, Job
from engine.launchers.local import tuned_environment
from engine.settings import PROJECT

TARGET_ACCURACY = 0.88
TRAIN_SAMPLES = 60_000
SAME_ACCURACY_POINTS = 0.5
LEVEL_EPOCHS = 5
CPU = Device("cpu:0", "cpu", "CPU", "benchmark")
PATTERNS = {
    "torch": ["benchmarks.patterns.torch_loader"],
    "keras": ["benchmarks.patterns.keras_fit"],
    "torch_xla": ["benchmarks.patterns.torch_loader", "xla"],
}
# Steady samples/s, time to 88 %.
WANTED = {"torch": (">= 10", ">= 10"), "keras": (">= 3", ">= 5"), "torch_xla": (">= 4", ">= 5")}


@dataclass(frozen=True)
class Epoch:
    """`at_s` seconds after training began, its steps had taken `steps_s`, and it was this good."""

    at_s: float
    steps_s: float
    accuracy: float


@click.command(help=__doc__)
@click.option(
    "--framework", "chosen", multiple=True, type=click.Choice(list(PATTERNS)), help="Only these."
)
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(LEVEL_EPOCHS, 100))
@click.option(
    "--repeats", default=1, show_default=True, type=click.IntRange(1, 10), help="Of the pattern."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a figure.")
def main(chosen: tuple[str, ...], epochs: int, repeats: int, as_json: bool) -> None:
    found = figures(chosen or tuple(PATTERNS), epochs, repeats, settings.load().data_dir)
    sys.exit(0 if show(found, as_json) else 1)


def figures(
    frameworks: tuple[str, ...], epochs: int, repeats: int, data_dir: Path
) -> Iterator[Figure]:
    for framework in frameworks:
        mine, theirs = [ours(framework, epochs, 0, data_dir)], []
        for repeat in range(repeats):
            theirs.append(pattern(framework, epochs, data_dir))
            mine += [ours(framework, epochs, 2 * repeat + extra, data_dir) for extra in (1, 2)]
        yield from compared(framework, mine, theirs)
    yield from overhead.figures(data_dir)
    yield from start_to_point.figures(frameworks)


def compared(
    framework: str, mine: list[list[Epoch]], theirs: list[list[Epoch]]
) -> Iterator[Figure]:
    """Runs of both kinds, which were made turn by turn."""
    name, (speed, time_to) = FRAMEWORK_NAMES[framework], WANTED[framework]
    mine_per_s, theirs_per_s = (
        [TRAIN_SAMPLES / epoch.steps_s for run in runs for epoch in run[1:]]
        for runs in (mine, theirs)
    )
    yield ratio(
        f"{name}: steady samples/s, ours over pattern", mine_per_s, theirs_per_s, wanted=speed
    )
    yield _time_to_target(name, mine, theirs, time_to)
    levels = [100 * median(level(run) for run in runs) for runs in (mine, theirs)]
    note = f"{levels[0]:.2f} % and {levels[1]:.2f} %: mean of the last {LEVEL_EPOCHS} epochs"
    wanted = f"<= {SAME_ACCURACY_POINTS}"
    difference = abs(levels[0] - levels[1])
    yield Figure(f"{name}: difference in test accuracy", difference, "points", wanted, note=note)


def _time_to_target(
    name: str, mine: list[list[Epoch]], theirs: list[list[Epoch]], wanted: str
) -> Figure:
    """Ratio of the medians, between the least and the greatest of any two runs."""
    label = f"{name}: time to {TARGET_ACCURACY:.0%} test accuracy, pattern over ours"
    reached = [[s for run in runs if (s := reached_s(run)) is not None] for runs in (mine, theirs)]
    missed = [len(runs) - len(got) for runs, got in zip((mine, theirs), reached, strict=True)]
    if any(missed):
        epochs = len(theirs[0])
        note = f"not reached in {epochs} epochs by {missed[0]} of ours, {missed[1]} of the pattern"
        return Figure(label, None, "x", wanted, note=note)
    mine_s, theirs_s = reached
    note = (
        f"{median(theirs_s):.1f} s and {median(mine_s):.1f} s; n = {len(theirs_s)}, {len(mine_s)}"
    )
    value, low = median(theirs_s) / median(mine_s), min(theirs_s) / max(mine_s)
    return Figure(label, value, "x", wanted, low, max(theirs_s) / min(mine_s), note)


def reached_s(epochs: list[Epoch]) -> float | None:
    return next((epoch.at_s for epoch in epochs if epoch.accuracy >= TARGET_ACCURACY), None)


def level(epochs: list[Epoch]) -> float:
    """The test accuracy that a run has come to: a single epoch's goes up and down by chance."""
    return mean(epoch.accuracy for epoch in epochs[-LEVEL_EPOCHS:])


def pattern(framework: str, epochs: int, data_dir: Path) -> list[Epoch]:
    module, *options = PATTERNS[framework]
    done = subprocess.run(
        [sys.executable, "-m", module, str(data_dir), str(epochs), *options],
        cwd=PROJECT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PJRT_DEVICE": "CPU"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Epoch(**json.loads(line)) for line in done.stdout.splitlines()]


def ours(framework: str, epochs: int, seed: int, data_dir: Path) -> list[Epoch]:
    raw = {"framework": framework, "accelerator": "cpu", "epochs": epochs, "seed": seed}
    return trained(RunConfig.parse(raw), data_dir)


def trained(config: RunConfig, data_dir: Path) -> list[Epoch]:
    """The epochs of one run, in a fresh trainer process."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job("benchmark", config, (CPU,), Path(folder), data_dir)
        job.save()
        subprocess.run(
            [sys.executable, "-m", "engine.trainer", folder],
            cwd=PROJECT,
            env=tuned_environment() | {"CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return list(_epochs(journal.read(job.journal, 0).records))


def _epochs(records: list[journal.Record]) -> Iterator[Epoch]:
    begun = next(r.at for r in records if r.event == events.PhaseStarted("build"))
    for record in records:
        values = record.event.values if isinstance(record.event, events.Metrics) else {}
        if "epoch_s" in values:
            accuracy, steps_s = values["validation_accuracy"], values["epoch_s"]
            assert accuracy is not None
            assert steps_s is not None
            yield Epoch(record.at - begun, steps_s, accuracy)


if __name__ == "__main__":
    main()
