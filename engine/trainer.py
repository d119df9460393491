"""The trainer process.

    python -m engine.trainer RUN_DIR
    python -m engine.trainer --standby FRAMEWORK

It reads RUN_DIR/job.json and appends events to RUN_DIR/events.jsonl. What it and its framework
print goes to the log. SIGTERM asks it to stop after the steps in hand.

On standby it imports the framework, says `ready` and waits for one line of standard input: a JSON
object with the `run_dir` to train, and the `environment` to do it in. Without one, it leaves.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine import events, oom_killer, out_of_memory, stopping
from engine.environment import gpus_in_use, process_age_s
from engine.failures import RunFailed
from engine.job import EXIT_FAILED, EXIT_JOURNAL_LOST, READY, STANDBY, Job
from engine.journal import Writer
from engine.ledger import Ledger

if TYPE_CHECKING:
    from engine.frameworks import Replica

OUT_OF_MEMORY = {
    "device": "The device ran out of memory. Try a smaller batch size, a lower precision or a "
    "smaller model.",
    "host": "The host ran out of memory. Try fewer or smaller samples, a smaller batch size or a "
    "smaller model.",
}

_began_at = time.time() - process_age_s()  # Unix time; on standby: when it got its run


def run(job: Job, replica: Replica) -> None:
    """Train, and journal all that happens; exit with a status if it did not end well.

    One of several leaves its failure to the parent of all, who knows which was the first.
    """
    from engine import training

    writer = Writer(job.journal) if replica.rank == 0 else None
    ledger = open_ledger(job)
    failed = False
    try:
        for event in training.train(job, replica, stopping.was_asked, ledger):
            with ledger.aside("idle"):
                if writer:
                    writer.append(event)
    except Exception as error:  # noqa: BLE001  whatever ends a run is the run's outcome
        traceback.print_exc()
        failed = True
        if writer:
            writer.append(events.Facts({"ledger": ledger.seconds()}))
        told = Writer(job.last_words(replica.rank)) if replica.world > 1 else writer
        if told:
            told.append(failure_of(error))
    if writer and not writer.drain():
        sys.exit(EXIT_JOURNAL_LOST)
    if failed:
        sys.exit(EXIT_FAILED)


def open_ledger(job: Job) -> Ledger:
    """With what passed before: until the run's first process began, and since then until now."""
    ledger, now, entered_at = Ledger(), time.time(), job.entered_at or _began_at
    ledger.credit("idle", entered_at - (job.begun_at or entered_at))
    ledger.credit("import", now - entered_at)
    return ledger


def failure_of(error: Exception) -> events.Failed:
    """Which kind of failure an exception is, in a sentence."""
    if isinstance(error, RunFailed):
        return events.Failed(error.kind, error.sentence)
    if whose := out_of_memory.of(error):
        return events.Failed("out_of_memory", OUT_OF_MEMORY[whose])
    first_line = next(iter(str(error).strip().splitlines()), "")
    said = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return events.Failed("framework_error", f"{said[:300]} (The log has the whole message.)")


def stand_by(framework: str) -> Path:
    """Wait, with everything imported, for a run; its folder. Leave if none will come."""
    global _began_at
    from engine import frameworks, training  # noqa: F401  what a run imports

    with frameworks.importing():
        frameworks.load(framework).warm_up()
    print(READY, flush=True)
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    _began_at, assigned = time.time(), json.loads(line)
    os.environ.update(assigned["environment"])
    return Path(assigned["run_dir"])


def _print_to(log: Path) -> None:
    """Send what this process prints, also below Python, to the run's log."""
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)


def main(arguments: list[str]) -> None:
    stopping.listen()
    oom_killer.come_first()
    on_standby = arguments[0] == STANDBY
    job = Job.load(stand_by(arguments[1]) if on_standby else Path(arguments[0]))
    if on_standby:
        _print_to(job.log)
    places = ", ".join(f"{device.id} ({device.name})" for device in job.devices)
    print(f"Run {job.run_id}: {job.config.framework} on {places}", flush=True)
    from engine import frameworks

    job = replace(job, entered_at=_began_at, gpus_before=gpus_in_use(job.devices))
    frameworks.load(job.config.framework).launch(run, job)


if __name__ == "__mp_main__":  # a replica's process: spawned, it imports what its parent ran
    stopping.listen()
if __name__ == "__main__":
    main(sys.argv[1:])
