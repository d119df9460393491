"""Readings while runs run: a thread of the supervisor takes them and stores them each second.

It has a database connection of its own and shares nothing with the supervisor's ticks: a driver
that takes its time delays readings, never events. Whatever becomes of it, only readings are lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from engine.settings import Settings
from engine.sources import Missing, Sources
from storage import database, readings, runs
from storage.database import Database
from storage.readings import Reading
from storage.runs import Run

STORE_S = 0.9  # one transaction a second, however short the interval
WAKE_S = 0.2  # to look for runs that started or ended
RETRY_S = 5.0


def start(
    settings: Settings, stopping: threading.Event, say: Callable[[str], None]
) -> threading.Thread | None:
    """Take readings until told to stop; None if they are turned off. It ends with its process."""
    if not settings.readings_s:
        return None
    sampler = Sampler(Sources(say=say))
    thread = threading.Thread(
        target=_sample,
        args=(sampler, settings.store, settings.readings_s, stopping, say),
        name="readings",
        daemon=True,
    )
    thread.start()
    return thread


def _sample(
    sampler: Sampler,
    store: Path,
    interval_s: float,
    stopping: threading.Event,
    say: Callable[[str], None],
) -> None:
    while not stopping.is_set():
        try:
            with database.opened(store) as db:
                _sample_into(db, sampler, interval_s, stopping)
        except Exception as error:  # noqa: BLE001  nobody else would say that there are none
            say(f"Readings are missing: {error}. Trying again.")
            stopping.wait(RETRY_S)


def _sample_into(
    db: Database, sampler: Sampler, interval_s: float, stopping: threading.Event
) -> None:
    stored_at = due_at = time.monotonic()
    while not stopping.wait(max(0.0, min(WAKE_S, due_at - time.monotonic()))):
        now = time.monotonic()
        if now >= due_at or sampler.is_surprised(db):
            sampler.take(db)
        if now >= due_at:
            due_at = max(due_at, now - interval_s) + interval_s  # no catching up
        if now - stored_at >= STORE_S:
            sampler.store(db)
            stored_at = now
    sampler.store(db)


class Sampler:
    """Readings of all runs that run, and one more of each that has just ended.

    The last one lies behind the run's end, so that its energy can be told up to there.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._in_hand: dict[str, Run] = {}
        self._taken: dict[str, list[Reading]] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    def is_surprised(self, db: Database) -> bool:
        """Whether a run started or ended since the last reading.

        Energy is told between two readings, so there should be one near each end of a run.
        """
        return runs.running_ids(db) != self._in_hand.keys()

    def take(self, db: Database) -> None:
        """Read every source once for each run that needs it."""
        running = {run.id: run for run in runs.running(db)}
        ended = [run for run_id, run in self._in_hand.items() if run_id not in running]
        self._in_hand = running
        self._sources.keep(running)
        if not running and not ended:
            return
        of_host = list(self._sources.of_host())
        for run in (*running.values(), *ended):
            found = [*self._sources.of_devices(run.devices), *of_host]
            if run.id in running and run.pid:
                found += self._sources.of_trainer(run.id, run.pid)
            self._taken.setdefault(run.id, []).extend(r for r in found if isinstance(r, Reading))
            if run.id in running:
                self._note(run, [m for m in found if isinstance(m, Missing)])

    def store(self, db: Database) -> None:
        """Write what was taken since the last time, in one transaction; refused, it is dropped."""
        taken, self._taken = self._taken, {}
        facts, self._facts = self._facts, {}
        if not taken:
            return
        with database.transaction(db):
            for run_id, of_run in taken.items():
                readings.add(db, run_id, of_run)
            for run_id, of_run in facts.items():
                runs.note_facts(db, run_id, of_run)

    def _note(self, run: Run, missing: Iterable[Missing]) -> None:
        """Keep with the run which source is missing and why, where that has changed."""
        known, now = run.facts.get("readings", {}), dict(missing)
        changed = {s: now.get(s) for s in (*known, *now) if known.get(s) != now.get(s)}
        if changed:
            self._facts.setdefault(run.id, {})["readings"] = changed
        if self._sources.rapl.ranges_j != run.facts.get("energy_ranges_j", {}):
            self._facts.setdefault(run.id, {})["energy_ranges_j"] = self._sources.rapl.ranges_j
