"""A trainer whose replicas fail: the second first, which takes longer to leave, or never does.

python -m tests.engine.failing_replicas RUN_DIR [stuck]

Where it is stuck, the first one waits for its peer, and does not fail by itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from engine.events import Failed
from engine.frameworks import Replica, processes
from engine.job import EXIT_FAILED, Job
from engine.journal import Writer

LONGER_S = 0.5
FOR_GOOD_S = 3_600.0


def stuck(job: Job, replica: Replica) -> None:
    if replica.rank == 1:
        Writer(job.last_words(1)).append(Failed("data_missing", "No data."))
    time.sleep(FOR_GOOD_S)


def main(job: Job, replica: Replica) -> None:
    if replica.rank == 0:
        while not job.last_words(1).exists():
            time.sleep(0.01)
    said = (
        ("data_missing", "No data.") if replica.rank else ("framework_error", "The peer is gone.")
    )
    Writer(job.last_words(replica.rank)).append(Failed(*said))
    time.sleep(LONGER_S * replica.rank)
    sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    processes.GRACE_S = 1.0
    processes.launch(stuck if sys.argv[2:] == ["stuck"] else main, Job.load(Path(sys.argv[1])))
