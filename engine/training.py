"""The timed loop: epochs, steps and the clock, the same for every framework.

No database, network or logging in here: what happens is yielded as events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import datasets, environment, events, frameworks, randomness
from engine.config import RunConfig
from engine.failures import RunFailed
from engine.frameworks import Replica, Session, Totals
from engine.job import Job

WARM_UP_STEPS = 2  # tracing and compiling: left out of samples/s


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
