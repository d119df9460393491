"""What recording costs a run: events, ledger, supervisor and readings, on against off.

    python -m benchmarks.overhead DATA_DIR

trains stretches of epochs in pairs, one recorded and one bare, in changing order. The supervisor is
a real one, which takes this process for its trainer; while a stretch is bare it is halted, and it
ticks as soon as it goes on: a stretch is several ticks long, so that this one does not count for
more than it is.

A stretch differs from its twin by several per cent on a machine with other work, a host that shares
its cores above all: more than there is to be told. So two figures are had from each pair. `counted`
is what recording took: seconds of this process outside the steps, beyond those of the bare stretch;
what more calls of `Session.run` cost, since recording parcels the steps out; and the supervisor's
seconds on a core, as if each were one that the steps had to wait for. `wall` is how much longer the
recorded stretch took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

from benchmarks.figures import Figure
from engine import datasets, frameworks, launch, randomness, schedules, statistics
from engine.config import RunConfig
from engine.frameworks import Replica, Session, Totals
from engine.job import Device, Job
from engine.journal import Writer
from engine.launchers.local import identity_of
from engine.ledger import Ledger
from engine.settings import PROJECT, Settings
from engine.training import Training
from storage import database, runs

PAIRS = 30
STRETCH = 6  # epochs, of about 0.25 s
CALLS = 100  # of `run`, to tell what one costs
CPU = Device("cpu:0", "cpu", "CPU", "benchmark")


class Lost(NamedTuple):
    """Per cent of a stretch."""

    counted: float
    wall: float


def figures(data_dir: Path) -> Iterator[Figure]:
    """Per cent of an epoch's steps that recording them takes."""
    command = [sys.executable, "-m", "benchmarks.overhead", str(data_dir)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    lost = [Lost(*pair) for pair in json.loads(done.stdout.splitlines()[-1])]
    for name, values, wanted in (
        (
            "PyTorch: time lost to events, ledger and readings",
            [pair.counted for pair in lost],
            "<= 1",
        ),
        ("  the same by how much longer epochs took", [pair.wall for pair in lost], ""),
    ):
        found = statistics.median(values)
        assert found is not None, "there is a pair at least"
        yield Figure(
            name,
            found.value,
            "%",
            wanted,
            found.low,
            found.high,
            f"{len(lost)} pairs of {STRETCH} epochs",
        )


def main(data_dir: Path) -> None:
    config = RunConfig.parse({"accelerator": "cpu", "epochs": 10_000})
    with tempfile.TemporaryDirectory() as folder:
        given = Settings(store=Path(folder), data_dir=data_dir, warm="none")
        job = _submitted(given, config)
        framework = frameworks.load("torch")
        session = framework.session(job, datasets.load(config.dataset, data_dir), Replica())
        with _supervisor(given) as pid:
            sys.stdout.write(json.dumps(list(_lost(job, session, pid))) + "\n")


def _submitted(given: Settings, config: RunConfig) -> Job:
    """A run of the store whose trainer is this process."""
    database.prepare(given.store)
    with database.opened(given.store) as db:
        run_id = runs.create(
            db,
            name="overhead",
            config=config.model_dump(mode="json"),
            total_steps=config.total_steps,
            submitted_by="benchmark",
        )
        devices = [{"id": CPU.id, "name": CPU.name, "accelerator": CPU.accelerator}]
        runs.claim(db, run_id, host="here", devices=devices, now=time.time())
        identity = identity_of(os.getpid())
        assert identity is not None
        runs.record_process(db, run_id, identity)
    run_dir = given.store / "runs" / run_id
    run_dir.mkdir(parents=True)
    return Job(run_id, config, (CPU,), run_dir, given.data_dir)


@contextmanager
def _supervisor(given: Settings) -> Iterator[int]:
    command = [sys.executable, "-m", "engine", "supervisor", "--store", str(given.store)]
    with (given.store / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
    while launch.supervisor_pid(given) != process.pid:
        assert process.poll() is None, (given.store / "supervisor.log").read_text("utf-8")
        time.sleep(0.05)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


class Timed:
    """A session that knows how long its steps took, and in how many calls."""

    def __init__(self, session: Session) -> None:
        self._session, self.seconds, self.calls = session, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def begin_epoch(self, *asked: Any) -> None:
        with self._timed():
            self._session.begin_epoch(*asked)

    def run(self, steps: int) -> Totals:
        self.calls += 1
        with self._timed():
            return self._session.run(steps)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun


class Stretch(NamedTuple):
    seconds: float
    of_steps: float
    calls: int
    supervisor_s: float

    @property
    def beside(self) -> float:
        return self.seconds - self.of_steps


def _lost(job: Job, session: Session, supervisor_pid: int) -> Iterator[Lost]:
    """Of each pair of stretches."""
    timed = Timed(session)
    same = cast(Session, timed)
    training = Training(job, Replica(), same, Ledger(), lambda: False)
    writer = Writer(job.journal)
    call_s = 0.0
    for pair in range(PAIRS + 1):
        found: dict[bool, Stretch] = {}
        for is_recorded in (True, False) if pair % 2 else (False, True):
            os.kill(supervisor_pid, signal.SIGCONT if is_recorded else signal.SIGSTOP)
            timed.seconds, timed.calls = 0.0, 0
            begun, on_a_core = time.perf_counter(), _on_a_core(supervisor_pid)
            for epoch in range(pair * STRETCH, (pair + 1) * STRETCH):
                if is_recorded:
                    for event in training.steps_of(epoch):
                        writer.append(event)
                else:
                    _bare(same, job.config, epoch)
            seconds = time.perf_counter() - begun
            spent = _on_a_core(supervisor_pid) - on_a_core
            found[is_recorded] = Stretch(seconds, timed.seconds, timed.calls, spent)
        if not pair:  # it warms up
            call_s = _call_s(session, job.config)
            continue
        recorded, bare = found[True], found[False]
        taken = recorded.beside - bare.beside + (recorded.calls - bare.calls) * call_s
        taken += recorded.supervisor_s
        wall = 100 * (recorded.seconds / bare.seconds - 1)
        yield Lost(100 * taken / (recorded.seconds - taken), wall)


def _on_a_core(pid: int) -> float:
    """Seconds of all its threads, by the clock that Linux has of each process; it has no children.

    What /proc tells is in hundredths of a second, as much as a stretch may lose.
    """
    return time.clock_gettime((~pid << 3) | 2)


def _call_s(session: Session, config: RunConfig) -> float:
    """What a call of `run` takes beyond its steps: so many of one step, against one of as many."""
    found = []
    for epoch in range(9):
        _begin(session, config, epoch)
        seconds = []
        for parcels in ([1] * CALLS, [CALLS]):
            begun = time.perf_counter()
            for steps in parcels:
                session.run(steps)
            seconds.append(time.perf_counter() - begun)
        found.append((seconds[0] - seconds[1]) / (CALLS - 1))
    return max(0.0, median(found))


def _bare(session: Session, config: RunConfig, epoch: int) -> None:
    _begin(session, config, epoch)
    session.run(config.steps_per_epoch)


def _begin(session: Session, config: RunConfig, epoch: int) -> None:
    samples, batch = config.dataset.train_samples, config.batch_size
    order = randomness.epoch_order(config.seed, epoch, samples, batch)
    session.begin_epoch(order, schedules.rates(config, epoch))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
