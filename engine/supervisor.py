"""The supervisor: queue -> devices -> launchers -> records. One for each store.

All it knows is in the store and the journals: killed at any point, the next one goes on from
there. Stopping it stops no trainer.
"""

from __future__ import annotations

import errno
import socket
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from engine import (
    checkpoints,
    devices,
    events,
    ingest,
    journal,
    oom_killer,
    out_of_memory,
    queue,
    quiet,
    seams,
    telemetry,
    verdict,
    workloads,
)
from engine.config import FRAMEWORK_NAMES, RunConfig
from engine.failures import FailureKind
from engine.job import Job
from engine.launchers import Exit, Launcher, Trainer
from engine.launchers.local import LocalLauncher
from engine.problems import ConfigError
from engine.settings import Settings
from engine.studies import giving_up
from engine.verdict import Overdue
from storage import database, runs, studies
from storage.database import Database
from storage.runs import Run

TICK_S = 0.2
BESIDE_A_RUN_S = 0.5  # each tick takes its time from runs on this host
RETRY_S = 1.0
WARM_FOR_S = 3600.0  # since the last run
DYING_S = 30.0  # from being killed to being gone
LINGER_S = 30.0  # between a trainer's last word and its exit
HARDWARE_TTL_S = 10.0
DEVICE_MISSING_S = 300.0  # a driver that restarts takes its devices away for a while
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Watched:
    """A trainer in hand. `heard_at` and `asked_at` are on the clock that only counts forward."""

    trainer: Trainer
    heard_at: float
    has_ended: bool = False  # its last word is in the journal
    asked_at: float | None = None
    because: Overdue | None = None
    oom_kills: int | None = field(default_factory=oom_killer.kills)
    oom_killed_at: float | None = None

    def poll(self, now: float) -> Exit | None:
        """None while it runs; then how it ended, and whether the kernel killed just before.

        A process that is killed takes a while to be gone.
        """
        exited, kills = self.trainer.poll(), oom_killer.kills()
        if kills is not None and self.oom_kills is not None and kills > self.oom_kills:
            self.oom_killed_at = now
        self.oom_kills = kills
        if exited is None or kills is None:
            return exited
        killed_at = self.oom_killed_at
        return replace(exited, by_oom_killer=killed_at is not None and now - killed_at < DYING_S)


class Supervisor:
    """Call `tick` often. It may be abandoned at any line."""

    def __init__(
        self,
        settings: Settings,
        launcher: Launcher | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._launcher = launcher or LocalLauncher(
            settings.interpreter, settings.store / "supervisor.log"
        )
        self._busy_at, self._pause_s = self._clock(), TICK_S
        self._warm = _can_wait(settings)
        self._watched: dict[str, Watched] = {}
        self._missing_since: dict[str, float] = {}
        self._complaints: dict[str, str] = {}
        self._rest, self._is_alone = quiet.Rest(clock), True
        self._hardware, self._looked_at = devices.Hardware((), {}), float("-inf")

    def run(self, stopping: threading.Event) -> None:
        """Tick until told to stop. What a full disk or a locked store refuses is tried again."""
        telemetry.start(self._settings, stopping, say)
        while not stopping.is_set():
            try:
                with database.opened(self._settings.store) as db:
                    while not stopping.wait(self._pause_s):
                        self.tick(db, time.time())
            except (sqlite3.Error, OSError) as error:
                say(f"Cannot write to {self._settings.store}: {error}. Trying again.")
                stopping.wait(RETRY_S)

    def tick(self, db: Database, now: float) -> None:
        running, waiting = runs.running(db), runs.queue(db)
        for run in running:
            with self._spared(run):
                self._attend(db, run, now)
        self._pause_s = BESIDE_A_RUN_S if running and not waiting else TICK_S
        self._keep_warm(bool(running or waiting))
        self._rest.look()
        if waiting:
            taken = set(runs.leases(db))
            readable = [(r, config) for r in waiting if (config := self._config(db, r, now))]
            self._is_alone = not taken
            rested = list(quiet.rested(readable, self._rest.seconds))
            for placement in queue.place(rested, self._hardware_now(), taken):
                with self._spared(placement.run):
                    self._start(db, placement, now)

    def _keep_warm(self, is_busy: bool) -> None:
        """Between runs, and for a while after the last, have trainers wait for the next."""
        if is_busy:
            self._busy_at = self._clock()
            return
        wanted = self._clock() - self._busy_at < WARM_FOR_S
        self._launcher.keep_warm(self._warm if wanted else ())

    @contextmanager
    def _spared(self, run: Run) -> Iterator[None]:
        """One run's trouble, whatever it is, must not keep the others from being attended to.

        What troubles the whole store goes on up. The same trouble is said once.
        """
        try:
            yield
        except sqlite3.Error:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            complaint = f"{type(error).__name__}: {error}"
            if self._complaints.get(run.id) != complaint:
                say(f"{run.id}: {complaint}\n{traceback.format_exc()}")
            self._complaints[run.id] = complaint

    def _config(self, db: Database, run: Run, now: float) -> RunConfig | None:
        """The run's config; a run whose config this version cannot read fails, and says so."""
        try:
            return RunConfig.parse(run.config)
        except ConfigError as error:
            sentence = f"This version of Accelboard cannot run this configuration: {error}"
            self._fail(db, run, "framework_error", sentence, now)
            return None

    def _attend(self, db: Database, run: Run, now: float) -> None:
        """Copy what is new in the journal; then see whether the trainer ended or should."""
        watched = self._watched.get(run.id) or self._adopt(db, run, now)
        if watched is None:
            return
        exited = watched.poll(self._clock())
        self._ingest(db, run, watched)
        if exited:
            self._finish(db, run.id, exited, now)
            return
        silent_s = self._clock() - watched.heard_at
        late = verdict.overdue(run, now, silent_s, self._settings.stall_s)
        watched.because = watched.because or late
        if late and late.kind == "stalled":
            watched.trainer.kill()
        elif late or run.stop_requested_at or (watched.has_ended and silent_s > LINGER_S):
            self._stop(watched)

    def _adopt(self, db: Database, run: Run, now: float) -> Watched | None:
        """Take over a run that another supervisor started, or say what became of it."""
        run_dir = run_dir_of(self._settings.store, run.id)
        trainer = self._launcher.find(run_dir, run.process)
        if trainer:
            say(f"{run.id}: found its trainer again, pid {trainer.pid}.")
            runs.record_process(db, run.id, trainer.identity)
            ended = journal.outcome(self._journal(run.id)) is not None
            self._watched[run.id] = Watched(trainer, self._clock(), ended)
            return self._watched[run.id]
        self._ingest(db, run, None)
        if runs.unclaim(db, run.id):
            say(f"{run.id}: was never started; back into the queue.")
        else:
            self._finish(db, run.id, Exit(None, watched=False), now)
        return None

    def _stop(self, watched: Watched) -> None:
        if watched.asked_at is None:
            watched.asked_at = self._clock()
            watched.trainer.terminate()
        elif self._clock() - watched.asked_at > self._settings.stop_grace_s:
            watched.trainer.kill()

    def _finish(self, db: Database, run_id: str, exited: Exit, now: float) -> None:
        run, watched = runs.get(db, run_id), self._watched.get(run_id)
        assert run is not None
        ended = journal.outcome(self._journal(run_id))
        log = run_dir_of(self._settings.store, run_id) / "trainer.log"
        because = watched.because if watched else None
        end = verdict.of(run, ended, exited, now, because, out_of_memory.said_in(log))
        if end.failure_kind == "out_of_memory":
            version = workloads.version(run.workload)
            end = verdict.with_what_fitted(end, runs.largest_batch(db, run, version))
        runs.finish(
            db,
            run_id,
            end.status,
            finished_at=end.finished_at,
            failure_kind=end.failure_kind,
            failure=end.failure,
        )
        self._watched.pop(run_id, None)
        self._rest.begin()
        say(f"{run_id}: {end.status} {end.failure or ''}".rstrip())
        self._give_up(db, run_id, now)

    def _give_up(self, db: Database, run_id: str, now: float) -> None:
        """The study of a run that ended may have failed often enough."""
        because = giving_up.after(db, run_id, now)
        if because:
            say(f"The study of {run_id} was given up: {because}")

    def _ingest(self, db: Database, run: Run, watched: Watched | None) -> None:
        last = ingest.ingest(db, run.id, self._journal(run.id), run.journal_offset, run.last_seq)
        if watched and last:
            watched.heard_at = self._clock()
            watched.has_ended = isinstance(last.event, events.Finished | events.Failed)

    def _start(self, db: Database, placement: queue.Placement, now: float) -> None:
        run = placement.run
        if placement.impossible:
            self._wait_for_device(db, run, placement.impossible, now)
            return
        self._missing_since.pop(run.id, None)
        given = [asdict(device) for device in placement.devices]
        if not runs.claim(db, run.id, host=socket.gethostname(), devices=given, now=now):
            return
        before = {"rest_s": round(self._rest.seconds, 1),
                  "host_cpu": self._rest.host_cpu() if self._is_alone else None}  # fmt: skip
        self._is_alone = False
        try:
            job = self._job(placement, now)
            if job.resumes:
                seams.take_over(db, run, job, now)
            # All runs of a study import for themselves: times with the start in them compare.
            trainer = self._launcher.start(job, cold=studies.of_run(db, run.id) is not None)
        except checkpoints.Unusable as error:
            self._fail(db, run, "checkpoint_unusable", str(error), now)
            return
        except OSError as error:
            if error.errno in NO_ROOM:
                raise  # the run is found unstarted at the next tick, and goes back to the queue
            self._fail(db, run, "framework_error", self._why_not_started(run, error), now)
            return
        self._watched[run.id] = Watched(trainer, self._clock())
        runs.record_process(db, run.id, trainer.identity)
        runs.note_facts(db, run.id, {"before": before})
        say(
            f"{run.id}: started on {', '.join(d.id for d in placement.devices)}, pid {trainer.pid}."
        )

    def _job(self, placement: queue.Placement, now: float) -> Job:
        run_dir = run_dir_of(self._settings.store, placement.run.id)
        run_dir.mkdir(parents=True, exist_ok=True)
        return Job(
            run_id=placement.run.id,
            config=placement.config,
            devices=tuple(placement.devices),
            run_dir=run_dir,
            data_dir=self._settings.data_dir,
            begun_at=now,
            resumes=placement.run.resumed_epoch is not None,
        )

    def _wait_for_device(self, db: Database, run: Run, why: str, now: float) -> None:
        """A device that is away for long fails the run; one that comes back does not."""
        since = self._missing_since.setdefault(run.id, self._clock())
        if self._clock() - since > DEVICE_MISSING_S:
            self._fail(db, run, "device_missing", why, now)

    def _why_not_started(self, run: Run, error: OSError) -> str:
        interpreter = self._settings.interpreter(run.framework)
        if error.filename != str(interpreter):
            return f"The trainer could not be started: {error}. Mend that and retry."
        return (
            f"The {FRAMEWORK_NAMES[run.framework]} trainer could not be started with "
            f"{interpreter}: {error.strerror}. Set ACCELBOARD_PYTHON_{run.framework.upper()}."
        )

    def _fail(self, db: Database, run: Run, kind: FailureKind, sentence: str, now: float) -> None:
        runs.finish(db, run.id, "FAILED", finished_at=now, failure_kind=kind, failure=sentence)
        say(f"{run.id}: FAILED {sentence}")
        self._give_up(db, run.id, now)

    def _hardware_now(self) -> devices.Hardware:
        if self._clock() - self._looked_at > HARDWARE_TTL_S:
            self._hardware, self._looked_at = devices.find(), self._clock()
        return self._hardware

    def _journal(self, run_id: str) -> Path:
        return run_dir_of(self._settings.store, run_id) / "events.jsonl"


def _can_wait(settings: Settings) -> tuple[str, ...]:
    """Frameworks whose trainers can be kept warm.

    Importing torch_xla settles what it runs on, so on a TPU host that is left to the run.
    """
    on_tpu = bool(devices.find().of("tpu"))
    return tuple(
        name
        for name in settings.warm_frameworks
        if not devices.framework_missing(name, settings.interpreter(name))
        and not (on_tpu and name == "torch_xla")
    )


def run_dir_of(store: Path, run_id: str) -> Path:
    return store / "runs" / run_id


def say(sentence: str) -> None:
    """One line in the supervisor's log."""
    try:
        print(time.strftime("%Y-%m-%d %H:%M:%S"), sentence, file=sys.stderr, flush=True)
    except OSError:
        return  # the disk that holds the log is full: the store will say so
