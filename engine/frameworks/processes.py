"""A run's replicas as processes of this host, one for each device, and a parent that watches them.

Replica 0 writes the journal. When one dies, the parent ends the others and says in the journal
which one it was. No framework is imported here: each process imports its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from engine import journal, out_of_memory, stopping
from engine.events import Event, Failed, Finished
from engine.frameworks import Replica
from engine.job import EXIT_FAILED, EXIT_JOURNAL_LOST, Job
from engine.out_of_memory import Whose

EXIT_PEER_LOST = 75  # of a replica that cannot go on, since another is gone
GRACE_S = 20.0  # for the others to end by themselves once one has

Main = Callable[[Job, Replica], None]


def launch(main: Main, job: Job) -> None:
    """Call `main` in a process for each device; return once all did, or exit as the run failed."""
    asked_to_stop, world = stopping.Flag(), job.config.device_count
    _tidy(job)
    spawn = multiprocessing.get_context("spawn")
    replicas = [
        spawn.Process(target=_replica, args=(main, job, Replica(rank, world)))
        for rank in range(world)
    ]

    def hand_on(*_: object) -> None:
        asked_to_stop.raise_()
        for process in replicas:
            if process.pid is not None:
                process.terminate()

    signal.signal(signal.SIGTERM, hand_on)
    for process in replicas:
        process.start()
    if asked_to_stop.is_raised:  # while some had not started
        hand_on()
    fallen = _first_to_fall(replicas)
    told = _told(job, fallen)
    _tidy(job)
    if fallen is not None:
        ran_out = out_of_memory.said_in(job.log)
        failed = told or _words(fallen, replicas, ran_out)
        _fail(job, replicas, failed, asked_to_stop.is_raised)


def _tidy(job: Job) -> None:
    """What replicas tell each other and their parent is of no use to the next ones."""
    rendezvous_of(job.run_dir).unlink(missing_ok=True)
    for rank in range(job.config.device_count):
        job.last_words(rank).unlink(missing_ok=True)


def rendezvous_of(run_dir: Path) -> Path:
    """The file by which a run's replicas find each other."""
    return run_dir / "replicas"


def _replica(main: Main, job: Job, replica: Replica) -> None:
    """What each process does, with its share of the host's cores.

    It listens again, since what else starts with a process, as the measuring of a test's coverage
    does, may have put a handler of its own in place.
    """
    stopping.listen()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // replica.world)))
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    main(job, replica)


def _leave_with_parent() -> None:
    """A replica whose parent was killed trains for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(EXIT_PEER_LOST)


def _first_to_fall(replicas: Sequence[BaseProcess]) -> int | None:
    """Wait until all are over; the rank of the first that ended badly, None if none did.

    From then on the others have `GRACE_S` to end by themselves.
    """
    fallen, give_up = None, None
    while running := [process for process in replicas if process.exitcode is None]:
        left = None if give_up is None else max(0.0, give_up - time.monotonic())
        if not connection.wait([process.sentinel for process in running], left):
            for process in running:
                process.kill()
        for process in running:
            process.join(0)
        if fallen is None:
            fallen = _culprit(replicas)
            give_up = None if fallen is None else time.monotonic() + GRACE_S
    return fallen


def _culprit(replicas: Sequence[BaseProcess]) -> int | None:
    """One that died by itself before one that only lost its peer."""
    codes = {rank: code for rank, p in enumerate(replicas) if (code := p.exitcode)}
    by_itself = [rank for rank, code in codes.items() if code != EXIT_PEER_LOST]
    return next(iter([*by_itself, *codes]), None)


def _told(job: Job, fallen: int | None) -> Failed | None:
    """The failure that the replica left in words of its own."""
    last = None if fallen is None else journal.outcome(job.last_words(fallen))
    if last is None or not isinstance(last.event, Failed):
        return None
    who = f"Process {(fallen or 0) + 1} of the run's {job.config.device_count}"
    return Failed(last.event.kind, f"{who} failed. {last.event.sentence}")


def _fail(job: Job, replicas: Sequence[BaseProcess], failed: Failed, asked_to_stop: bool) -> None:
    """Replica 0 tells its own failures; for one that could not, the journal is ended here."""
    first = replicas[0].exitcode
    if first in (EXIT_FAILED, EXIT_JOURNAL_LOST):
        sys.exit(first)
    end: Event = Finished("STOPPED") if asked_to_stop else failed
    if journal.outcome(job.journal) is None:
        journal.Writer.after_another(job.journal).append(end)
    if not asked_to_stop:
        sys.exit(EXIT_FAILED)


def _words(fallen: int, replicas: Sequence[BaseProcess], ran_out: Whose | None) -> Failed:
    code = replicas[fallen].exitcode or 0
    who = f"Process {fallen + 1} of the run's {len(replicas)}"
    without = "and the others cannot train without it."
    if code == EXIT_FAILED:
        return Failed("crashed", f"{who} failed, {without} The log has its error.")
    if code >= 0:
        return Failed("crashed", f"{who} exited with status {code}, {without}")
    name = signal.Signals(-code).name
    if ran_out:
        said = f"{who} was killed by {name}, when the {ran_out} ran out of memory by the log's last"
        return Failed("out_of_memory", f"{said} lines. Try a smaller batch size or model.")
    hint = (
        "If nobody did that by hand, the host ran out of memory: try fewer devices or a smaller "
        "batch size."
        if name == "SIGKILL"
        else "The log's last lines may say why."
    )
    return Failed("crashed", f"{who} was killed by {name}, {without} {hint}")
