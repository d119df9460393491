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
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import datasets, environment, events, frameworks, randomness
from engine.config import RunConfig
from engine.failures import RunFailed
from engine.frameworks import Framework, Replica, Session, Totals
from engine.job import EXIT_FAILED, EXIT_JOURNAL_LOST, Job
from engine.journal import Writer

WARM_UP_STEPS = 2  # tracing and compiling: left out of samples/s
FULL_DISK_WAIT_S = 60.0


def train(job: Job, replica: Replica, stopping: Callable[[], bool]) -> Iterator[events.Event]:
    """Yield what happens, in order; raise `RunFailed` or what the framework raises."""
    config = job.config
    yield events.PhaseStarted("import")
    framework = frameworks.load(config.framework)
    packages = framework.environment()
    yield events.Started(environment.of_trainer(job) | {"packages": packages})
    yield events.PhaseStarted("data")
    data = datasets.load(config.dataset, job.data_dir)
    yield events.PhaseStarted("build")
    session = framework.session(job, data, replica)
    del data  # the session has what it needs of it
    pace = Pace()
    for epoch in range(config.epochs):
        trained = yield from _train_epoch(session, config, epoch, pace, stopping)
        if trained is None:
            yield events.Finished("STOPPED")
            return
        yield from _evaluate(session, config, epoch, trained)
    yield events.Finished("SUCCEEDED")


class Trained(NamedTuple):
    """One epoch's sums. `samples_per_s` is of its steady steps: None if it had none."""

    totals: Totals
    seconds: float
    samples_per_s: float | None


def _train_epoch(
    session: Session, config: RunConfig, epoch: int, pace: Pace, stopping: Callable[[], bool]
) -> Generator[events.Event, None, Trained | None]:
    """Take the epoch's steps, a chunk at a time; return None if asked to stop before its end."""
    begun, steady_before = time.perf_counter(), pace.steady
    steps, done, totals = config.steps_per_epoch, 0, Totals(0.0, 0, 0)
    yield events.PhaseStarted("compile" if pace.is_warming_up else "train")
    session.begin_epoch(_order(config, epoch))
    while done < steps:
        chunk = session.agree(0 if stopping() else pace.next_chunk(steps - done))
        if not chunk:
            return None
        before, was_warming_up = totals, pace.is_warming_up
        totals = pace.timed(session.run, chunk)
        done += chunk
        step_loss = totals.since(before).mean_loss
        _check_finite(step_loss, epoch, done, config)
        yield events.Metrics(epoch * steps + done, epoch + done / steps, {"step_loss": step_loss})
        if was_warming_up and done < steps and not pace.is_warming_up:
            yield events.PhaseStarted("train")
    rate = pace.steady.since(steady_before).steps_per_s
    seconds = time.perf_counter() - begun
    return Trained(totals, seconds, rate and rate * config.batch_size)


def _order(config: RunConfig, epoch: int) -> NDArray[np.int64]:
    samples = config.dataset.train_samples
    return randomness.epoch_order(config.seed, epoch, samples, config.batch_size)


def _evaluate(
    session: Session, config: RunConfig, epoch: int, trained: Trained
) -> Iterator[events.Event]:
    yield events.PhaseStarted("evaluate")
    validation = session.evaluate()
    values = {
        "train_loss": trained.totals.mean_loss,
        "train_accuracy": trained.totals.accuracy,
        "validation_loss": events.finite(validation.mean_loss),
        "validation_accuracy": validation.accuracy,
        "learning_rate": config.learning_rate,
        "epoch_s": trained.seconds,
        "samples_per_s": trained.samples_per_s,
        "compiles": session.compiles(),
    }
    yield events.Metrics((epoch + 1) * config.steps_per_epoch, epoch + 1, values)


class Span(NamedTuple):
    """Steps, and the seconds that they took."""

    steps: int = 0
    seconds: float = 0.0

    def since(self, earlier: Span) -> Span:
        return Span(self.steps - earlier.steps, self.seconds - earlier.seconds)

    @property
    def steps_per_s(self) -> float | None:
        return self.steps / self.seconds if self.steps else None


class Pace:
    """Times the steps, and from that says how many go between two events.

    Points come at most four times a second, and at least once a second unless a step is longer.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._taken = clock, 0
        self.steady = Span()

    @property
    def is_warming_up(self) -> bool:
        return self._taken < WARM_UP_STEPS

    def timed(self, run: Callable[[int], Totals], steps: int) -> Totals:
        """Run the steps; they count as steady if none of them was a warm-up step."""
        begun, is_steady = self._clock(), not self.is_warming_up
        totals = run(steps)
        if is_steady:
            seconds = self.steady.seconds + self._clock() - begun
            self.steady = Span(self.steady.steps + steps, seconds)
        self._taken += steps
        return totals

    def next_chunk(self, left: int) -> int:
        return min(left, self._warm_up_left() or self._steps_of_an_interval())

    def _warm_up_left(self) -> int:
        return max(0, WARM_UP_STEPS - self._taken)

    def _steps_of_an_interval(self) -> int:
        rate = self.steady.steps_per_s
        interval_s = min(1.0, 0.25 + self.steady.seconds / 500)
        return max(1, math.floor(interval_s * rate)) if rate else 1


def _check_finite(loss: float, epoch: int, step: int, config: RunConfig) -> None:
    if not math.isfinite(loss):
        raise RunFailed(
            "diverged",
            f"The loss became {'NaN' if math.isnan(loss) else 'infinite'} in epoch {epoch + 1} by "
            f"step {step}. Try a learning rate below {config.learning_rate:g}.",
        )


def run(job: Job, replica: Replica) -> None:
    """Train, and journal all that happens; exit with a status if it did not end well."""
    writer = Writer(job.journal) if replica.rank == 0 else None
    failed = False
    try:
        for event in train(job, replica, stop_was_asked):
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


def hold_back_sigterm() -> None:
    """From now on SIGTERM only waits to be asked about, in all threads and in child processes.

    A handler would not do: torch_xla runs replicas in threads, and Python's handlers do not run
    there.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def stop_was_asked() -> bool:
    return signal.SIGTERM in signal.sigpending()


def main() -> None:
    hold_back_sigterm()
    job = Job.load(Path(sys.argv[1]))
    places = ", ".join(f"{device.id} ({device.name})" for device in job.devices)
    print(f"Run {job.run_id}: {job.config.framework} on {places}", flush=True)
    frameworks.load(job.config.framework).launch(run, job)


if __name__ == "__main__":
    main()
