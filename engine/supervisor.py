"""The supervisor: queue -> devices -> launchers -> records. One for each store.

It holds a file lock for its life, so a second one finds it taken and leaves. All it knows is in
the store and the journals: killed at any point, the next one goes on from there. Stopping it
stops no trainer.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlite_utils import Database

from engine import devices, events, journal, queue, verdict
from engine.config import FRAMEWORK_NAMES, RunConfig
from engine.job import Job
from engine.launchers import Exit, Launcher, Trainer
from engine.launchers.local import LocalLauncher
from engine.settings import Settings
from storage import database, metrics, runs
from storage.metrics import Point
from storage.runs import Run

TICK_S = 0.2
RETRY_S = 1.0
LINGER_S = 30.0  # between a trainer's last word and its exit
HARDWARE_TTL_S = 10.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class AlreadySupervised(Exception):
    """Another supervisor has this store."""


def lock_path(store: Path) -> Path:
    return store / "supervisor.lock"


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the store's supervisor lock; raise `AlreadySupervised` if another process does."""
    with lock_path(store).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadySupervised(f"{store} already has a supervisor.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def pid_of(store: Path) -> int | None:
    """PID of the store's supervisor, None if it has none.

    It asks who holds the lock without taking it, so that it never turns a starting one away.
    """
    try:
        inode = lock_path(store).stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        fields = line.split()
        if "FLOCK" in fields and "->" not in fields and fields[5].endswith(f":{inode}"):
            return int(lock_path(store).read_text() or 0) or None
    return None


@dataclass
class Watched:
    """A trainer in hand, and since when it has been asked to stop."""

    trainer: Trainer
    asked_at: float | None = None


class Supervisor:
    """Call `tick` often. It may be abandoned at any line."""

    def __init__(self, settings: Settings, launcher: Launcher | None = None) -> None:
        self._settings = settings
        self._launcher = launcher or LocalLauncher(settings.interpreter)
        self._watched: dict[str, Watched] = {}
        self._hardware, self._looked_at = devices.Hardware((), {}), -HARDWARE_TTL_S

    def run(self, stopping: threading.Event) -> None:
        """Tick until told to stop. What a full disk or a locked store refuses is tried again."""
        while not stopping.is_set():
            wait_s = TICK_S
            try:
                with database.opened(self._settings.store) as db:
                    while not stopping.wait(wait_s):
                        self.tick(db, time.time())
            except (sqlite3.Error, OSError) as error:
                say(f"Cannot write to {self._settings.store}: {error}. Trying again.")
                wait_s = RETRY_S
            stopping.wait(wait_s)

    def tick(self, db: Database, now: float) -> None:
        for run in runs.running(db):
            watched = self._watched.get(run.id) or self._adopt(db, run, now)
            if watched:
                self._follow(db, run, watched, now)
        waiting = runs.queue(db)
        if waiting:
            taken = set(runs.leases(db))
            for placement in queue.place(waiting, self._hardware_now(now), taken):
                self._start(db, placement, now)

    def _adopt(self, db: Database, run: Run, now: float) -> Watched | None:
        """Take over a run that another supervisor started, or say what became of it."""
        run_dir = run_dir_of(self._settings.store, run.id)
        trainer = self._launcher.find(run_dir, run.pid, run.pid_started_at)
        if trainer:
            say(f"{run.id}: found its trainer again, pid {trainer.pid}.")
            runs.record_process(db, run.id, trainer.pid, trainer.started_at)
            self._watched[run.id] = Watched(trainer)
            return self._watched[run.id]
        self._ingest(db, run)
        if runs.unclaim(db, run.id):
            say(f"{run.id}: was never started; back into the queue.")
        else:
            self._finish(db, run.id, Exit(None), now)
        return None

    def _follow(self, db: Database, run: Run, watched: Watched, now: float) -> None:
        """Copy what is new in the journal; then see whether the trainer ended or should."""
        exited = watched.trainer.poll()
        self._ingest(db, run)
        if exited:
            self._finish(db, run.id, exited, now)
            return
        late = verdict.overdue(run, now, self._settings.stall_s)
        if late and late.kind == "stalled":
            watched.trainer.kill()
        elif late or run.stop_requested_at or self._lingers(run, now):
            self._stop(watched, now)

    def _stop(self, watched: Watched, now: float) -> None:
        if watched.asked_at is None:
            watched.asked_at = now
            watched.trainer.terminate()
        elif now - watched.asked_at > self._settings.stop_grace_s:
            watched.trainer.kill()

    def _lingers(self, run: Run, now: float) -> bool:
        """It has said its last word and does not leave."""
        if not run.last_event_at or now - run.last_event_at < LINGER_S:
            return False
        return journal.outcome(self._journal(run.id)) is not None

    def _finish(self, db: Database, run_id: str, exited: Exit, now: float) -> None:
        run = runs.get(db, run_id)
        assert run is not None
        ended = journal.outcome(self._journal(run_id))
        end = verdict.of(run, ended, exited, now, self._settings.stall_s)
        runs.finish(
            db,
            run_id,
            end.status,
            finished_at=end.finished_at,
            failure_kind=end.failure_kind,
            failure=end.failure,
        )
        self._watched.pop(run_id, None)
        say(f"{run_id}: {end.status} {end.failure or ''}".rstrip())

    def _ingest(self, db: Database, run: Run) -> None:
        """Copy the journal's new lines into the store, in reads of bounded size."""
        offset, last_seq = run.journal_offset, run.last_seq
        while True:
            chunk = journal.read(self._journal(run.id), offset)
            if chunk.offset == offset:
                return
            new = [record for record in chunk.records if record.seq > last_seq]
            offset, last_seq = chunk.offset, max([last_seq, *(r.seq for r in new)])
            _store(db, run.id, new, last_seq, chunk)

    def _start(self, db: Database, placement: queue.Placement, now: float) -> None:
        run, config = placement.run, RunConfig.parse(placement.run.config)
        if placement.impossible:
            runs.finish(
                db,
                run.id,
                "FAILED",
                finished_at=now,
                failure_kind="device_missing",
                failure=placement.impossible,
            )
            return
        given = [asdict(device) for device in placement.devices]
        if not runs.claim(db, run.id, host=socket.gethostname(), devices=given, now=now):
            return
        run_dir = run_dir_of(self._settings.store, run.id)
        run_dir.mkdir(parents=True, exist_ok=True)
        job = Job(run.id, config, tuple(placement.devices), run_dir, self._settings.data_dir)
        try:
            trainer = self._launcher.start(job)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise  # the run is found unstarted at the next tick, and goes back to the queue
            self._fail_to_start(db, run, error, now)
            return
        self._watched[run.id] = Watched(trainer)
        runs.record_process(db, run.id, trainer.pid, trainer.started_at)
        say(
            f"{run.id}: started on {', '.join(d.id for d in placement.devices)}, pid {trainer.pid}."
        )

    def _fail_to_start(self, db: Database, run: Run, error: OSError, now: float) -> None:
        interpreter = self._settings.interpreter(run.framework)
        runs.finish(
            db,
            run.id,
            "FAILED",
            finished_at=now,
            failure_kind="framework_error",
            failure=f"The {FRAMEWORK_NAMES[run.framework]} trainer could not be started with "
            f"{interpreter}: {error.strerror}. Set ACCELBOARD_PYTHON_{run.framework.upper()}.",
        )

    def _hardware_now(self, now: float) -> devices.Hardware:
        if now - self._looked_at > HARDWARE_TTL_S:
            self._hardware, self._looked_at = devices.find(), now
        return self._hardware

    def _journal(self, run_id: str) -> Path:
        return run_dir_of(self._settings.store, run_id) / "events.jsonl"


def run_dir_of(store: Path, run_id: str) -> Path:
    return store / "runs" / run_id


def say(sentence: str) -> None:
    """One line in the supervisor's log."""
    try:
        print(time.strftime("%Y-%m-%d %H:%M:%S"), sentence, file=sys.stderr, flush=True)
    except OSError:
        return  # the disk that holds the log is full: the store will say so


def _store(
    db: Database, run_id: str, new: list[journal.Record], last_seq: int, chunk: journal.Chunk
) -> None:
    points = [
        Point(key, event.step, event.epoch, record.at, value)
        for record in new
        if isinstance(event := record.event, events.Metrics)
        for key, value in event.values.items()
    ]
    phases = [r.event.phase for r in new if isinstance(r.event, events.PhaseStarted)]
    started = [r.event.environment for r in new if isinstance(r.event, events.Started)]
    metrics.ingest(
        db,
        run_id,
        points,
        last_seq=last_seq,
        offset=chunk.offset,
        damaged=chunk.damaged,
        at=max((record.at for record in new), default=None),
        phase=phases[-1] if phases else None,
        environment=started[-1] if started else None,
    )
