"""A trainer whose second replica may take little memory more than it has with PyTorch imported.

python -m tests.engine.poor_replica RUN_DIR
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil

from engine import frameworks, trainer
from engine.frameworks import Replica
from engine.job import Job

MORE_BYTES = 400 << 20


def main(job: Job, replica: Replica) -> None:
    if replica.rank == 1:
        frameworks.load("torch").warm_up()
        most = psutil.Process().memory_info().vms + MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    trainer.run(job, replica)


if __name__ == "__main__":
    frameworks.load("torch").launch(main, Job.load(Path(sys.argv[1])))
