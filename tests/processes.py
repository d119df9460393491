"""Real stores, supervisors and dashboards for tests; each process that is started is ended."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from engine import devices, journal, launch, supervisor
from engine.datasets import DEBIAN_FOLDER
from engine.events import Metrics
from engine.launchers.local import identity_of
from engine.settings import PROJECT, Settings
from storage import database, metrics, runs
from storage.runs import Run
from tests import measured

T = TypeVar("T")
CACHED = Settings().data_dir / "fashion-mnist"
HAS_FASHION_MNIST = DEBIAN_FOLDER.exists() or CACHED.exists()

# Learnable in a second or two by any framework.
SMALL = {
    "framework": "torch",
    "accelerator": "cpu",
    "workload": {"name": "mlp", "width": 16},
    "dataset": {"name": "synthetic", "height": 8, "width": 8, "train_samples": 2048,
                "test_samples": 256},
    "epochs": 2,
    "batch_size": 64,
}  # fmt: skip
ENDLESS = SMALL | {"epochs": 100_000}


def eventually(check: Callable[[], T], within_s: float = 60.0, every_s: float = 0.05) -> T:
    """The first true result of `check`; fails after `within_s` seconds without one."""
    give_up = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > give_up:
            raise AssertionError(f"Not within {within_s} s; the last result was {found!r}")
        time.sleep(every_s)


class Lab:
    """A store of its own, with what is needed to run things in it and to look.

    `is_measured`: with the coverage of its supervisors and their trainers.
    """

    def __init__(self, store: Path, is_measured: bool = False, **overrides: Any) -> None:
        overrides = {"warm": "none"} | overrides
        self.settings = Settings(store=store, **overrides)
        self.store = store
        self.env = os.environ | {"ACCELBOARD_STORE": str(store)}
        self.env |= {f"ACCELBOARD_{k.upper()}": str(v) for k, v in overrides.items()}
        self._is_measured = is_measured
        self._started: list[subprocess.Popen[bytes]] = []
        database.prepare(store)

    def submit(self, raw: dict[str, Any], **details: Any) -> str:
        """Into the queue, without starting a supervisor."""
        config, _ = launch.check(raw, {}, self.settings, devices.find())
        with database.opened(self.store) as db:
            return runs.create(
                db,
                name=details.get("name", "test"),
                config=config.model_dump(mode="json"),
                total_steps=config.total_steps,
                submitted_by="test",
                priority=details.get("priority", 0),
                tags=details.get("tags", ()),
            )

    def supervise(self, wait: bool = True) -> subprocess.Popen[bytes]:
        process = self.start("-m", "engine", "supervisor", is_measured=self._is_measured)
        if wait:
            eventually(lambda: launch.supervisor_pid(self.settings) == process.pid, 30)
        return process

    def start(self, *arguments: str, is_measured: bool = False) -> subprocess.Popen[bytes]:
        """A Python process of the project, ended with the lab."""
        with self._output(len(self._started)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=PROJECT,
                env=self.env | (measured.environment() if is_measured else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def output_of(self, process: subprocess.Popen[bytes]) -> str:
        """What a process that was started has printed up to now."""
        return self._output(self._started.index(process)).read_text()

    def _output(self, number: int) -> Path:
        return self.store / f"process-{number}.log"

    def cli(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine", *arguments],
            cwd=PROJECT,
            env=self.env | measured.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def run(self, run_id: str) -> Run:
        with database.opened(self.store) as db:
            found = runs.get(db, run_id)
        assert found is not None
        return found

    def count(self) -> int:
        """How many runs the store has."""
        with database.opened(self.store) as db:
            return sum(runs.counts(db).values())

    def over(self, run_id: str, within_s: float = 90.0) -> Run:
        return eventually(lambda: (r := self.run(run_id)) and not r.active and r, within_s)

    def begun(self, run_id: str) -> Run:
        """The run once its trainer's first event is in the store: before it imports a framework."""
        return eventually(lambda: (r := self.run(run_id)).last_seq >= 1 and r)

    def training(self, run_id: str, epochs: float = 1.0) -> Run:
        """The run once it has trained for that many epochs and its process is known.

        From then on it leaves the cores to who needs them: it may train for as long as a test.
        """
        found = eventually(lambda: (r := self.run(run_id)).pid and r.epoch >= epochs and r, 90)
        with suppress(psutil.NoSuchProcess):
            psutil.Process(found.pid).nice(10)
        return found

    def journal(self, run_id: str) -> Path:
        return supervisor.run_dir_of(self.store, run_id) / "events.jsonl"

    def journaled(self, run_id: str) -> dict[tuple[str, int], float | None]:
        """(key, step) -> value, as the journal has it."""
        records = journal.read(self.journal(run_id), 0).records
        return {
            (key, record.event.step): value
            for record in records
            if isinstance(record.event, Metrics)
            for key, value in record.event.values.items()
        }

    def stored(self, run_id: str) -> dict[tuple[str, int], float | None]:
        """(key, step) -> value, as SQLite has it."""
        with database.opened(self.store) as db:
            query = "SELECT key, step, value FROM metrics WHERE run_id = ?"
            return {(key, step): value for key, step, value in db.execute(query, [run_id])}

    def assert_intact(self, run_id: str) -> None:
        """The store has what the journal has, each event once: nothing lost, nothing doubled."""
        records = journal.read(self.journal(run_id), 0).records
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        values: dict[str, list[float | None]] = {}
        for record in records:
            if isinstance(record.event, Metrics):
                for key, value in record.event.values.items():
                    values.setdefault(key, []).append(value)
        run = self.run(run_id)
        assert run.last_seq == len(records)
        assert self.stored(run_id) == self.journaled(run_id)
        # Points that replace each other leave one row; the series counts each that was written.
        counted = {key: (s.points, s.last, s.min, s.max) for key, s in run.metrics.items()}
        assert counted.keys() == values.keys()
        for key, every in values.items():  # SQLite writes JSON with 15 digits
            assert counted[key] == pytest.approx(_summary(every), rel=1e-12), key

    def curve(self, run_id: str, key: str) -> metrics.Curve:
        with database.opened(self.store) as db:
            return metrics.curve(db, run_id, key)

    def end(self) -> None:
        """End what was started here, and what that started."""
        leaving = launch.supervisor_pid(self.settings) if self._is_measured else None
        if leaving:  # in order, as one that is killed keeps nothing of its coverage
            os.kill(leaving, signal.SIGTERM)
            eventually(lambda: not alive(leaving))
        pids = [process.pid for process in self._started if process.poll() is None]
        pids.append(launch.supervisor_pid(self.settings) or 0)
        with database.opened(self.store) as db:
            trainers = [run.process for run in runs.running(db) if run.process]
        pids += [t["pid"] for t in trainers if identity_of(t["pid"]) == t]
        for pid in filter(None, pids):  # none of a process that is gone: another may have it now
            kill(pid)
        for process in self._started:
            process.wait()


def _summary(values: list[float | None]) -> tuple[int, float | None, float | None, float | None]:
    """Of one key: how many, the last, the least and the greatest."""
    known = [value for value in values if value is not None]
    last = known[-1] if known else None
    return len(values), last, min(known, default=None), max(known, default=None)


@contextmanager
def lab(store: Path, is_measured: bool = False, **overrides: Any) -> Iterator[Lab]:
    made = Lab(store, is_measured, **overrides)
    try:
        yield made
    finally:
        made.end()


def kill(pid: int) -> None:
    """End a process and its group for good; it may be gone."""
    for end in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGKILL)):
        try:
            end()
        except ProcessLookupError:
            continue


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(port: int, path: str = "") -> bool:
    health = f"http://127.0.0.1:{port}{path}/_stcore/health"
    try:
        with urllib.request.urlopen(health, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """As by a program that writes for long."""
    other = sqlite3.connect(database.path_of(store), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@contextmanager
def mounted(place: Path, *how: str) -> Iterator[Path]:
    """Something mounted on a new folder."""
    place.mkdir()
    done = subprocess.run(["mount", *how, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(filler: Path) -> None:
    """Write until the disk is full."""
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while file.write(bytes(1 << 16)):
            pass
