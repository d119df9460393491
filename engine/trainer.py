"""The trainer process: the clock, the loop, the events.

    python -m engine.trainer RUN_DIR

It reads RUN_DIR/job.json and appends events to RUN_DIR/events.jsonl. What it and its framework
print goes to the log. SIGTERM asks it to stop after the steps in hand.
"""

from __future__ import annotations

import math
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from engine import datasets, environment, events, frameworks, randomness
from engine.config import RunConfig
from engine.failures import RunFailed
from engine.frameworks import Framework, Replica, Session, Totals
from engine.job import Job
from engine.journal import Writer

WARM_UP_STEPS = 2  # tracing and compiling: left out of samples/s
FULL_DISK_WAIT_S = 60.0
EXIT_FAILED, EXIT_JOURNAL_LOST = 1, 74


def train(job: Job, replica: Replica, stopping: Callable[[], bool]) -> Iterator[events.Event]:
    """Yield what happens, in order; raise `RunFailed` or what the framework raises."""
    config = job.config
    yield events.PhaseStarted("import")
    framework = frameworks.load(config.framework)
    yield events.Started(environment.of_trainer(job) | {"packages": framework.environment()})
    yield events.PhaseStarted("data")
    data = datasets.load(config.dataset, job.data_dir)
    yield events.PhaseStarted("build")
    session = framework.session(job, data, replica)
    for epoch in range(config.epochs):
        if stopping():
            break
        yield from _epoch(session, config, epoch, stopping)
    yield events.Finished("STOPPED" if stopping() else "SUCCEEDED")


def _epoch(
    session: Session, config: RunConfig, epoch: int, stopping: Callable[[], bool]
) -> Iterator[events.Event]:
    steps = config.steps_per_epoch
    samples = config.dataset.train_samples
    session.begin_epoch(randomness.epoch_order(config.seed, epoch, samples, config.batch_size))
    yield events.PhaseStarted("compile" if epoch == 0 else "train")
    begun = time.perf_counter()
    total, done, timed = Totals(0.0, 0, 0), 0, Timed()
    while done < steps and not stopping():
        chunk = WARM_UP_STEPS if epoch == 0 and done < WARM_UP_STEPS else timed.next_chunk()
        chunk = min(chunk, steps - done)
        before = time.perf_counter()
        sums = session.run(chunk)
        seconds = time.perf_counter() - before
        warm = epoch > 0 or done >= WARM_UP_STEPS
        done, total = done + chunk, total + sums
        _check_finite(sums.mean_loss, epoch, done, config)
        if warm:
            timed.add(seconds, chunk)
        elif done >= WARM_UP_STEPS:
            yield events.PhaseStarted("train")
        step = epoch * steps + done
        yield events.Metrics(step, epoch + done / steps, {"step_loss": sums.mean_loss})
    if done < steps:
        return
    train_s = time.perf_counter() - begun
    yield events.PhaseStarted("evaluate")
    validation = session.evaluate()
    yield events.Metrics(
        (epoch + 1) * steps,
        epoch + 1,
        {
            "train_loss": total.mean_loss,
            "train_accuracy": total.accuracy,
            "validation_loss": events.finite(validation.mean_loss),
            "validation_accuracy": validation.accuracy,
            "learning_rate": config.learning_rate,
            "epoch_s": train_s,
            "samples_per_s": timed.samples_per_s(config.batch_size),
        },
    )


class Timed:
    """Seconds of steady steps, and from them how many steps go between two events.

    Points come at most four times a second, and at least once a second unless a step is longer.
    """

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0

    def add(self, seconds: float, steps: int) -> None:
        self.seconds, self.steps = self.seconds + seconds, self.steps + steps

    def next_chunk(self) -> int:
        if not self.steps:
            return 1
        interval_s = min(1.0, 0.25 + self.seconds / 500)
        return max(1, math.floor(interval_s * self.steps / max(self.seconds, 1e-9)))

    def samples_per_s(self, batch_size: int) -> float | None:
        """None if every step of the epoch was warm-up."""
        return self.steps * batch_size / self.seconds if self.steps else None


def _check_finite(loss: float, epoch: int, step: int, config: RunConfig) -> None:
    if not math.isfinite(loss):
        raise RunFailed(
            "diverged",
            f"The loss became {'NaN' if math.isnan(loss) else 'infinite'} in epoch {epoch + 1} by "
            f"step {step}. Try a learning rate below {config.learning_rate:g}.",
        )


def run(job: Job, replica: Replica) -> None:
    """Train, and journal all that happens; exit with a status if it did not end well."""
    stop = StopSignal()
    writer = Writer(job.journal) if replica.rank == 0 else None
    failed = False
    try:
        for event in train(job, replica, stop):
            if writer:
                writer.append(event)
    except Exception as error:  # noqa: BLE001  whatever ends a run is the run's outcome
        traceback.print_exc()
        failed = True
        if writer:
            writer.append(failure_of(error, frameworks.load(job.config.framework)))
    if writer and not _drain(writer):
        sys.exit(EXIT_JOURNAL_LOST)
    if failed:
        sys.exit(EXIT_FAILED)


def failure_of(error: Exception, framework: Framework) -> events.Failed:
    """Which kind of failure an exception is, in a sentence."""
    if isinstance(error, RunFailed):
        return events.Failed(error.kind, error.sentence)
    if isinstance(error, MemoryError) or framework.is_out_of_memory(error):
        return events.Failed(
            "out_of_memory",
            "The device ran out of memory. Try a smaller batch size, a lower precision or a "
            "smaller model.",
        )
    first_line = next(iter(str(error).strip().splitlines()), "")
    said = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return events.Failed("framework_error", f"{said[:300]} (The log has the whole message.)")


def _drain(writer: Writer) -> bool:
    """Wait for room on a full disk, so that a run that is done is known to be done."""
    give_up = time.monotonic() + FULL_DISK_WAIT_S
    while not writer.flush():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.5)
    return True


class StopSignal:
    """True from the first SIGTERM on."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked


def main() -> None:
    job = Job.load(Path(sys.argv[1]))
    frameworks.load(job.config.framework).launch(run, job)


if __name__ == "__main__":
    main()
