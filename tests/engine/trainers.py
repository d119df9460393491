"""Real trainer processes, and what they journaled."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import events, journal
from engine.config import RunConfig
from engine.job import Device, Job
from engine.settings import PROJECT
from tests import measured

CPU = Device("cpu:0", "cpu", "CPU", "test")
TIMEOUT_S = 240

# Not so easy that every loss is 0 at once, and small enough for all frameworks on one core.
SMALL = {
    "workload": {"name": "mlp", "width": 32},
    "dataset": {
        "name": "synthetic",
        "height": 12,
        "width": 12,
        "train_samples": 2048,
        "test_samples": 300,
    },
    "epochs": 3,
    "batch_size": 60,
    "learning_rate": 0.003,
}


@dataclass(frozen=True)
class Outcome:
    """How a trainer ended, and its journal."""

    exit_code: int
    log: str
    records: list[journal.Record]
    folder: Path
    began_at: float

    @property
    def events(self) -> list[events.Event]:
        return [record.event for record in self.records]

    @property
    def phases(self) -> list[str]:
        return [event.phase for event in self.events if isinstance(event, events.PhaseStarted)]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The metrics of each finished epoch."""
        found = [event for event in self.events if isinstance(event, events.Metrics)]
        return [event.values for event in found if "epoch_s" in event.values]


def job(folder: Path, device: Device = CPU, **config: Any) -> Job:
    raw = SMALL | {"accelerator": device.accelerator} | config
    data_dir = folder / "data"
    made = Job("test", RunConfig.parse(raw), (device,), folder, data_dir, begun_at=time.time())
    made.save()
    return made


def start(
    made: Job, module: str = "engine.trainer", *arguments: str, is_measured: bool = False
) -> subprocess.Popen[bytes]:
    with made.log.open("wb") as log:
        command = [sys.executable, "-m", module, str(made.run_dir), *arguments]
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment(made, is_measured),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def environment(made: Job, is_measured: bool = False) -> dict[str, str]:
    """As the launcher has it."""
    gpus = ",".join(device.uuid or "" for device in made.devices)
    beside = {"PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": gpus}
    return os.environ | beside | (measured.environment() if is_measured else {})


def outcome(made: Job, process: subprocess.Popen[bytes]) -> Outcome:
    try:
        code = process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    return _told(made, code)


def _told(made: Job, code: int) -> Outcome:
    records = journal.read(made.journal, 0).records
    return Outcome(
        code, made.log.read_text("utf-8", "replace"), records, made.run_dir, made.begun_at or 0.0
    )


def train(folder: Path, device: Device = CPU, is_measured: bool = False, **config: Any) -> Outcome:
    made = job(folder, device, **config)
    return outcome(made, start(made, is_measured=is_measured))


def trained_once(factory: pytest.TempPathFactory, framework: str) -> Outcome:
    """A whole run on the CPU, for all tests to look at: the first that asks has it trained, in
    whichever worker of the test run it is.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"whole-{framework}"
    folder.mkdir(exist_ok=True)
    code = folder / "exit_code"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not code.exists():
            run = train(folder, framework=framework, is_measured=True)
            code.write_text(str(run.exit_code))
    return _told(Job.load(folder), int(code.read_text()))
