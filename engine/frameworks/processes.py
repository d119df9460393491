"""A run's replicas as processes of this host, one for each device, and a parent that watches them.

Replica 0 writes the journal, but for how the run failed: each replica that fails leaves its own
words, since others often fail for want of it. When one is gone, the parent ends the others and
journals what the first one had to say, and which one that was. No framework is imported here:
each process imports its own.
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
from typing import NamedTuple

from engine import journal, out_of_memory, stopping
from engine.events import Event, Failed, Finished
from engine.failures import signal_name
from engine.frameworks import Replica
from engine.job import EXIT_FAILED, EXIT_JOURNAL_LOST, Job
from engine.out_of_memory import Whose

EXIT_PEER_LOST = 75  # of a replica that cannot go on, since another is gone
GRACE_S = 20.0  # for all to end by themselves once one has failed
LOOK_S = 1.0

Main = Callable[[Job, Replica], None]


class Fall(NamedTuple):
    """The first replica that ended badly, and about when; `code` is its exit status."""

    rank: int
    code: int
    at: float


def launch(main: Main, job: Job, world: int | None = None) -> None:
    """Call `main` in `world` processes, of which each device has one if nothing else is said;
    return once all are done, or exit as the run failed.
    """
    asked_to_stop, world = stopping.Flag(), world or job.config.device_count
    _tidy(job, world)
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
    last_words = [job.last_words(rank) for rank in range(world)]
    fall = _first_to_fall(replicas, lambda: any(path.exists() for path in last_words))
    told = fall and _told(job, world, fall)
    _tidy(job, world)
    if fall is not None:
        if replicas[0].exitcode == EXIT_JOURNAL_LOST:
            sys.exit(EXIT_JOURNAL_LOST)
        stopped = Finished("STOPPED") if asked_to_stop.is_raised else None
        _end(job, told or stopped or _words(fall, world, out_of_memory.said_in(job.log)))


def _tidy(job: Job, world: int) -> None:
    """What replicas tell each other and their parent is of no use to the next ones."""
    rendezvous_of(job.run_dir).unlink(missing_ok=True)
    for rank in range(world):
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


def _first_to_fall(
    replicas: Sequence[BaseProcess], has_one_failed: Callable[[], bool]
) -> Fall | None:
    """Wait until all are over; the first that ended badly, None if none did.

    Once one has, or told that it will, all have `GRACE_S` to end by themselves: a framework may
    hang while a process that failed leaves.
    """
    fall, give_up = None, None
    while running := [process for process in replicas if process.exitcode is None]:
        left = LOOK_S if give_up is None else max(0.0, give_up - time.monotonic())
        ended = connection.wait([process.sentinel for process in running], left)
        if give_up is not None and not ended:
            for process in running:
                process.kill()
        for process in running:
            process.join(0)
        fall = fall or _culprit(replicas)
        if give_up is None and (fall or has_one_failed()):
            give_up = time.monotonic() + GRACE_S
    return fall or _culprit(replicas)  # those that ended since the last look, too


def _culprit(replicas: Sequence[BaseProcess]) -> Fall | None:
    """One that died by itself before one that only lost its peer."""
    now = time.time()
    falls = [Fall(rank, code, now) for rank, p in enumerate(replicas) if (code := p.exitcode)]
    by_itself = [fall for fall in falls if fall.code != EXIT_PEER_LOST]
    return next(iter([*by_itself, *falls]), None)


def _told(job: Job, world: int, fall: Fall) -> Failed | None:
    """The failure that was first told of by its replica; None if one was killed before that.

    What all of them say, as of a loss that is no number, is no single one's.
    """
    last = [(rank, journal.outcome(job.last_words(rank))) for rank in range(world)]
    said = [(r.at, rank, r.event) for rank, r in last if r and isinstance(r.event, Failed)]
    if not said:
        return None
    at, rank, first = min(said, key=lambda one: one[:2])
    if fall.code < 0 and fall.at < at:
        return None
    if len(said) == world and all(event == first for _, _, event in said):
        return first
    return Failed(first.kind, f"{_name(rank, world)} failed. {first.sentence}")


def _end(job: Job, end: Event) -> None:
    """Journal how the run ended, unless replica 0 knew that it was done; and exit so."""
    if journal.outcome(job.journal) is None:
        writer = journal.Writer.after_another(job.journal)
        writer.append(end)
        if not writer.drain():
            sys.exit(EXIT_JOURNAL_LOST)
    if isinstance(end, Failed):
        sys.exit(EXIT_FAILED)


def _words(fall: Fall, world: int, ran_out: Whose | None) -> Failed:
    who, code = _name(fall.rank, world), fall.code
    without = "and the others cannot train without it."
    if code == EXIT_FAILED:
        return Failed("crashed", f"{who} failed, {without} The log has its error.")
    if code >= 0:
        return Failed("crashed", f"{who} exited with status {code}, {without}")
    name = signal_name(-code)
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


def _name(rank: int, world: int) -> str:
    return f"Process {rank + 1} of the run's {world}"
