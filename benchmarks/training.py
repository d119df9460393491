"""Our training loops against the pattern's, in fresh processes, turn by turn.

    python -m benchmarks.training [--framework torch] [--epochs 15] [--json]

Same model (784-128-10), data, batch size and epochs. Steady samples/s are of whole epochs of
steps, the first left out; time to accuracy counts from before the model is built, compiling and
evaluation with it, imports and data without. Ours run in the environment that the launcher gives
trainers.
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

import click

from benchmarks import overhead, start_to_point
from benchmarks.figures import Figure, ratio, show
from engine import events, journal, settings
from engine.config import FRAMEWORK_NAMES, RunConfig
from engine.job import Device, Job
from engine.launchers.local import HUGE_PAGES
from engine.settings import PROJECT

TARGET_ACCURACY = 0.88
TRAIN_SAMPLES = 60_000
SAME_ACCURACY_POINTS = 0.5
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
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(2, 100))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a figure.")
def main(chosen: tuple[str, ...], epochs: int, as_json: bool) -> None:
    data_dir = settings.load().data_dir
    sys.exit(0 if show(figures(chosen or tuple(PATTERNS), epochs, data_dir), as_json) else 1)


def figures(frameworks: tuple[str, ...], epochs: int, data_dir: Path) -> Iterator[Figure]:
    for framework in frameworks:
        before = ours(framework, epochs, data_dir)
        theirs = pattern(framework, epochs, data_dir)
        yield from compared(framework, [before, ours(framework, epochs, data_dir)], theirs)
    yield overhead.figure(data_dir)
    yield from start_to_point.figures(frameworks)


def compared(framework: str, mine: list[list[Epoch]], theirs: list[Epoch]) -> Iterator[Figure]:
    """Our runs, before the pattern's and after it, with the pattern's one."""
    name, (speed, time_to) = FRAMEWORK_NAMES[framework], WANTED[framework]
    mine_per_s, theirs_per_s = (
        [TRAIN_SAMPLES / epoch.steps_s for run in runs for epoch in run[1:]]
        for runs in (mine, [theirs])
    )
    yield ratio(
        f"{name}: steady samples/s, ours over pattern", mine_per_s, theirs_per_s, wanted=speed
    )
    mine_s, theirs_s = mean_of([reached_s(run) for run in mine]), reached_s(theirs)
    label = f"{name}: time to {TARGET_ACCURACY:.0%} test accuracy, pattern over ours"
    if mine_s is None or theirs_s is None:
        note = (
            f"not reached in {len(theirs)} epochs by {'ours' if mine_s is None else 'the pattern'}"
        )
        yield Figure(label, None, "x", time_to, note=note)
    else:
        note = f"{theirs_s:.1f} s and {mine_s:.1f} s"
        yield Figure(label, theirs_s / mine_s, "x", time_to, note=note)
    points = 100 * abs(best(mine[0]) - best(theirs))  # the seed decides: all of ours are the same
    note = f"{100 * best(mine[0]):.2f} % and {100 * best(theirs):.2f} %"
    wanted = f"<= {SAME_ACCURACY_POINTS}"
    yield Figure(f"{name}: difference in best test accuracy", points, "points", wanted, note=note)


def reached_s(epochs: list[Epoch]) -> float | None:
    return next((epoch.at_s for epoch in epochs if epoch.accuracy >= TARGET_ACCURACY), None)


def mean_of(seconds: list[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) / len(known) if len(known) == len(seconds) else None


def best(epochs: list[Epoch]) -> float:
    return max(epoch.accuracy for epoch in epochs)


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


def ours(framework: str, epochs: int, data_dir: Path) -> list[Epoch]:
    config = RunConfig.parse({"framework": framework, "accelerator": "cpu", "epochs": epochs})
    with tempfile.TemporaryDirectory() as folder:
        job = Job("benchmark", config, (CPU,), Path(folder), data_dir)
        job.save()
        subprocess.run(
            [sys.executable, "-m", "engine.trainer", folder],
            cwd=PROJECT,
            env=HUGE_PAGES | os.environ | {"CUDA_VISIBLE_DEVICES": ""},
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
