"""What recording costs a run: events, ledger, supervisor and readings, on against off.

    python -m benchmarks.overhead DATA_DIR

trains stretches of epochs in pairs, one recorded and one bare, in changing order, and prints how
much longer the recorded one took. The supervisor is a real one, which takes this process for its
trainer; while a stretch is bare it is halted, and it ticks as soon as it goes on: a stretch is
several ticks long, so that this one does not count for more than it is.
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

from benchmarks.figures import Figure
from engine import datasets, frameworks, launch, randomness, schedules, statistics
from engine.config import RunConfig
from engine.frameworks import Replica, Session
from engine.job import Device, Job
from engine.journal import Writer
from engine.launchers.local import identity_of
from engine.ledger import Ledger
from engine.settings import PROJECT, Settings
from engine.training import Training
from storage import database, runs

PAIRS = 30
STRETCH = 6  # epochs, of about 0.25 s
CPU = Device("cpu:0", "cpu", "CPU", "benchmark")


def figure(data_dir: Path) -> Figure:
    """Per cent of an epoch's steps that recording them takes."""
    command = [sys.executable, "-m", "benchmarks.overhead", str(data_dir)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    lost = json.loads(done.stdout.splitlines()[-1])
    found = statistics.median(lost)
    assert found is not None, "there is a pair at least"
    return Figure(
        "PyTorch: time lost to events, ledger and readings",
        found.value,
        "%",
        "<= 1",
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
        time.sleep(0.05)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _lost(job: Job, session: Session, supervisor_pid: int) -> Iterator[float]:
    """Per cent, for each pair of stretches."""
    training = Training(job, Replica(), session, Ledger(), lambda: False)
    writer = Writer(job.journal)
    for pair in range(PAIRS + 1):
        seconds = {}
        for is_recorded in (True, False) if pair % 2 else (False, True):
            os.kill(supervisor_pid, signal.SIGCONT if is_recorded else signal.SIGSTOP)
            begun = time.perf_counter()
            for epoch in range(pair * STRETCH, (pair + 1) * STRETCH):
                if is_recorded:
                    for event in training.steps_of(epoch):
                        writer.append(event)
                else:
                    _bare(session, job.config, epoch)
            seconds[is_recorded] = time.perf_counter() - begun
        if pair:  # the first warms up
            yield 100 * (seconds[True] / seconds[False] - 1)


def _bare(session: Session, config: RunConfig, epoch: int) -> None:
    samples, batch = config.dataset.train_samples, config.batch_size
    order = randomness.epoch_order(config.seed, epoch, samples, batch)
    session.begin_epoch(order, schedules.rates(config, epoch))
    session.run(config.steps_per_epoch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
