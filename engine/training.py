"""The timed loop: epochs, steps and the clock, the same for every framework.

No database, network or logging in here: what happens is yielded as events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import (
    checkpoints,
    datasets,
    environment,
    events,
    flops,
    footprint,
    frameworks,
    peak_memory,
    peaks,
    randomness,
    schedules,
)
from engine.config import RunConfig
from engine.failures import RunFailed
from engine.frameworks import WARM_UP_STEPS, Replica, Session, Totals
from engine.job import Job
from engine.ledger import Account, Ledger
from engine.saving import Saver

SUMMARY_INTERVAL_S = 1.0
MOST_WINDOWS = 256  # that a run keeps the times of; even


def train(
    job: Job, replica: Replica, stopping: Callable[[], bool], ledger: Ledger
) -> Iterator[events.Event]:
    """Yield what happens, in order; raise `RunFailed` or what the framework raises."""
    ledger.switch("import")
    yield events.PhaseStarted("import")
    with frameworks.importing():
        framework = frameworks.load(job.config.framework)
        packages = framework.environment()
    yield events.Started(environment.of_trainer(job) | {"packages": packages})
    yield events.Facts({"before": {"gpus": job.gpus_before}})
    ledger.switch("data")
    yield events.PhaseStarted("data")
    if too_large := footprint.too_large_now(job.config):
        raise RunFailed("out_of_memory", too_large)
    data = datasets.load(job.config.dataset, job.data_dir)
    if replica.rank == 0:
        yield events.Facts({"data_sha256": datasets.digest(data)})
    ledger.switch("build")
    yield events.PhaseStarted("build")
    session = framework.session(job, data, replica)
    del data  # the session has what it needs of it
    first_epoch = _resumed(job, session) if job.resumes else 0
    yield from Training(job, replica, session, ledger, stopping).epochs(first_epoch)


def _resumed(job: Job, session: Session) -> int:
    """Put the session where the checkpoint left off; how many epochs are done."""
    try:
        origin, state = checkpoints.load(checkpoints.path_in(job.run_dir), job.config)
    except checkpoints.Unusable as error:
        raise RunFailed("checkpoint_unusable", str(error)) from None
    session.restore(state)
    return origin.epoch


class Trained(NamedTuple):
    """One epoch's sums. `samples_per_s` is of its steady steps: None if it had none."""

    totals: Totals
    seconds: float
    samples_per_s: float | None


class Training:
    """The epochs of one run, each: steps, validation, checkpoint."""

    def __init__(
        self,
        job: Job,
        replica: Replica,
        session: Session,
        ledger: Ledger,
        stopping: Callable[[], bool],
    ) -> None:
        self._job, self._config, self._replica = job, job.config, replica
        self._session, self._ledger, self._stopping = session, ledger, stopping
        self._pace, self._saver = Pace(session.warm_up_steps), Saver(job, session)
        self._told_at, self._has_told_costs = float("-inf"), False
        self._recompiles, self._recompile_s = 0, 0.0

    def epochs(self, first: int) -> Iterator[events.Event]:
        try:
            yield from self._epochs(first)
        except Exception:
            yield from self._save_what_is_kept()
            raise

    def _epochs(self, first: int) -> Iterator[events.Event]:
        for epoch in range(first, self._config.epochs):
            trained = yield from self.steps_of(epoch)
            if trained is None:
                yield from self._save_what_is_kept()
                self._export_what_is_saved()
                yield self._summary()
                yield events.Finished("STOPPED")
                return
            yield from self._evaluate(epoch, trained)
            yield from self._checkpoint(epoch + 1)
            if epoch == first and flops.is_at_hand(self._config, self._job.data_dir):
                yield from self._costs()
            if time.perf_counter() - self._told_at > SUMMARY_INTERVAL_S:
                yield self._summary()
        self._ledger.switch("checkpoint")
        if self._replica.rank == 0:
            self._saver.export()
        yield from self._costs()
        yield self._summary()
        yield events.Facts({"step_windows": self._pace.windows.told()})
        yield events.Finished("SUCCEEDED")

    def steps_of(self, epoch: int) -> Generator[events.Event, None, Trained | None]:
        """Take the epoch's steps, a chunk at a time; return None if asked to stop before."""
        config, pace = self._config, self._pace
        begun, steady_before = time.perf_counter(), pace.steady
        done, totals = 0, Totals(0.0, 0, 0)
        yield events.PhaseStarted("compile" if pace.is_warming_up else "train")
        rates = schedules.rates(config, epoch)
        for order in _orders(config, epoch):
            self._ledger.switch("input_wait")
            self._session.begin_epoch(order, rates[done : done + len(order)])
            taken = yield from self._take(epoch, order, done, totals)
            if taken is None:
                return None
            done, totals = done + len(order), taken
        rate = pace.steady.since(steady_before).steps_per_s
        seconds = time.perf_counter() - begun
        return Trained(totals, seconds, rate and rate * config.batch_size)

    def _take(
        self, epoch: int, order: NDArray[np.int64], done: int, before: Totals
    ) -> Generator[events.Event, None, Totals | None]:
        """Steps of one batch size; the epoch's sums up to their end. None if asked to stop.

        A smaller batch is no steady step: it is left out of samples/s.
        """
        config, pace, session = self._config, self._pace, self._session
        steps, end, totals = config.steps_per_epoch, done + len(order), before
        is_full = order.shape[1] == config.batch_size
        while done < end:
            chunk = pace.next_chunk(end - done) if is_full else 1
            chunk = session.agree(0 if self._stopping() else chunk)
            if not chunk:
                return None
            earlier, was_warming_up = totals, pace.is_warming_up
            with self._measured("warm_up" if was_warming_up else "compute"):
                mine = pace.timed(session.run, chunk) if is_full else session.run(chunk)
            totals = before.plus(mine)
            done += chunk
            loss = totals.since(earlier).mean_loss
            _check_finite(loss, epoch, done, config)
            yield events.Metrics(epoch * steps + done, epoch + done / steps, {"step_loss": loss})
            if was_warming_up and done < steps and not pace.is_warming_up:
                yield events.PhaseStarted("train")
        return totals

    def _evaluate(self, epoch: int, trained: Trained) -> Iterator[events.Event]:
        config, session = self._config, self._session
        yield events.PhaseStarted("evaluate")
        with self._measured("evaluation"):
            validation = session.evaluate()
        values = {
            "train_loss": trained.totals.mean_loss,
            "train_accuracy": trained.totals.accuracy,
            "validation_loss": events.finite(validation.mean_loss),
            "validation_accuracy": validation.accuracy,
            "learning_rate": float(schedules.rates(config, epoch)[-1]),
            "epoch_s": trained.seconds,
            "samples_per_s": trained.samples_per_s,
            "compiles": session.compiles(),
        }
        yield events.Metrics((epoch + 1) * config.steps_per_epoch, epoch + 1, values)

    def _checkpoint(self, epochs_done: int) -> Iterator[events.Event]:
        if self._replica.rank:
            return
        with self._ledger.aside("checkpoint"):
            saved = self._saver.take(epochs_done)
        yield from _saved(saved)

    def _save_what_is_kept(self) -> Iterator[events.Event]:
        """Of a run that ends early: so it can be resumed from its last epoch."""
        with self._ledger.aside("checkpoint"):
            saved = self._saver.save_kept()
        yield from _saved(saved)

    def _export_what_is_saved(self) -> None:
        if self._replica.rank == 0 and self._session.has_own_format:
            with self._ledger.aside("checkpoint"):
                self._saver.export_saved()

    def _costs(self) -> Iterator[events.Event]:
        """What a step takes and the device can do, told once: after the first epoch, not to delay
        it; or after the last, where it takes a process of its own to find out.
        """
        if self._replica.rank or self._has_told_costs:
            return
        self._has_told_costs = True
        config, cache = self._config, self._job.data_dir
        self._ledger.switch("idle")
        rate, number = self._pace.steady.steps_per_s, config.leased
        with peak_memory.of_this_process.left_out():
            counted = flops.of(config, cache)
            achieved = counted and rate and counted.flops * rate / number
            peak = peaks.of(self._job.devices[0], config.precision, cache, achieved)
        yield events.Facts(
            {
                "parameters": counted and counted.parameters,
                "flops_per_step": counted and counted.flops,
                "bytes_per_step": counted and counted.bytes,
                "peak_flops_per_s": peak.flops_per_s and peak.flops_per_s * number,
                "peak_bytes_per_s": peak.bytes_per_s and peak.bytes_per_s * number,
                "peak_source": peak.source,
            }
        )

    @contextmanager
    def _measured(self, account: Account) -> Iterator[None]:
        """The block's seconds go to `account`, and all of them to `compile` if it compiled.

        What it waited for samples goes to `input_wait`.
        """
        session, ledger = self._session, self._ledger
        compiled, waited = session.compiles(), session.input_wait_s()
        ledger.switch(account)
        yield
        waited = session.input_wait_s() - waited
        ledger.move(waited, "input_wait")
        if (programs := session.compiles() - compiled) > 0:
            spent = ledger.lap() - waited
            ledger.move(spent, "compile")
            if account == "compute":
                self._recompiles += programs
                self._recompile_s += spent
        ledger.switch("idle")

    def _summary(self) -> events.Facts:
        """Where the run's time has gone up to now, and its figures as a whole."""
        self._told_at = time.perf_counter()
        steady = self._pace.steady
        rate = steady.steps_per_s
        return events.Facts(
            {
                "ledger": self._ledger.seconds(),
                "compiles": self._session.compiles(),
                "recompiles": self._recompiles,
                "recompile_s": self._recompile_s,
                "peak_memory_bytes": self._session.peak_memory_bytes(),
                "steady_steps": steady.steps,
                "steady_s": steady.seconds,
                "steady_samples_per_s": rate and rate * self._config.batch_size,
            }
        )


def _saved(epoch: int | None) -> Iterator[events.Event]:
    if epoch is not None:
        yield events.Facts({"checkpoint": {"epoch": epoch}})


def _orders(config: RunConfig, epoch: int) -> Iterator[NDArray[np.int64]]:
    """The epoch's full batches, then the smaller one that ends it, if it is kept."""
    asked = (config.seed, epoch, config.dataset.train_samples, config.batch_size)
    yield randomness.epoch_order(*asked)
    if config.last_batch:
        yield randomness.epoch_rest(*asked)


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

    def __init__(
        self, warm_up_steps: int = WARM_UP_STEPS, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._warm_up_steps, self._clock, self._taken = warm_up_steps, clock, 0
        self.steady, self.windows = Span(), Windows()

    @property
    def is_warming_up(self) -> bool:
        return self._taken < self._warm_up_steps

    def timed(self, run: Callable[[int], Totals], steps: int) -> Totals:
        """Run the steps; they count as steady if none of them was a warm-up step."""
        begun, is_steady = self._clock(), not self.is_warming_up
        totals = run(steps)
        if is_steady:
            seconds = self._clock() - begun
            self.steady = Span(self.steady.steps + steps, self.steady.seconds + seconds)
            self.windows.add(Span(steps, seconds))
        self._taken += steps
        return totals

    def next_chunk(self, left: int) -> int:
        return min(left, self._warm_up_left() or self._steps_of_an_interval())

    def _warm_up_left(self) -> int:
        return max(0, self._warm_up_steps - self._taken)

    def _steps_of_an_interval(self) -> int:
        rate = self.steady.steps_per_s
        interval_s = min(1.0, 0.25 + self.steady.seconds / 500)
        return max(1, math.floor(interval_s * rate)) if rate else 1


class Windows:
    """The steady chunks one by one, as far as there is room: then neighbours become one.

    The device is waited for at a chunk's end only, so no single step has a time of its own.
    """

    def __init__(self, most: int = MOST_WINDOWS) -> None:
        self._most, self._spans, self._of_each, self._open = most, [], 1, []

    def add(self, span: Span) -> None:
        self._open.append(span)
        if len(self._open) < self._of_each:
            return
        self._spans.append(_joined(self._open))
        self._open = []
        if len(self._spans) == self._most:
            self._spans = [_joined(self._spans[at : at + 2]) for at in range(0, self._most, 2)]
            self._of_each *= 2

    def told(self) -> list[tuple[int, float]]:
        """(steps, seconds) of each that is full."""
        return [(span.steps, round(span.seconds, 6)) for span in self._spans]


def _joined(spans: Sequence[Span]) -> Span:
    return Span(sum(span.steps for span in spans), sum(span.seconds for span in spans))


def _check_finite(loss: float, epoch: int, step: int, config: RunConfig) -> None:
    if not math.isfinite(loss):
        raise RunFailed(
            "diverged",
            f"The loss became {'NaN' if math.isnan(loss) else 'infinite'} in epoch {epoch + 1} by "
            f"step {step}. Try a learning rate below {config.learning_rate:g}.",
        )
