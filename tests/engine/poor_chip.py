"""A trainer on two TPU chips, the second of which cannot hold the data.

    python -m tests.engine.poor_chip RUN_DIR

There are no chips here: what counts them is a stand-in, of torch_xla too, since its parent wants
nothing else of it; and each of its processes is told that it has a CPU. They share nothing, so the
first one trains on, as one that waits for its peer would wait.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from engine import frameworks, trainer
from engine.config import RunConfig
from engine.frameworks import Replica, processes
from engine.job import Job

TOO_LARGE = {"name": "synthetic", "height": 1024, "width": 1024, "channels": 16,
             "train_samples": 10_000_000}  # fmt: skip


def main(job: Job, replica: Replica) -> None:
    os.environ["PJRT_DEVICE"] = "CPU"
    if replica.rank == 1:
        raw = job.config.model_dump(mode="json") | {"dataset": TOO_LARGE}
        job = replace(job, config=RunConfig.parse(raw))
    trainer.run(job, replica)


def stand_in(name: str, **has: Any) -> ModuleType:
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(has)
    return module


if __name__ == "__main__":
    tpu = stand_in("torch_xla._internal.tpu", num_local_processes=lambda: 2)
    stand_in("torch_xla._internal", tpu=tpu)
    processes.GRACE_S = 1.0
    frameworks.load("torch_xla").launch(main, Job.load(Path(sys.argv[1])))
