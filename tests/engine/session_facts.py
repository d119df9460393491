"""What a framework's session does, as JSON: a process of its own, since frameworks do not mix.

    python -m tests.engine.session_facts RUN_DIR

RUN_DIR/job.json says which framework. The facts go to RUN_DIR/facts.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from engine import datasets, frameworks, randomness, schedules, workloads
from engine.config import RunConfig
from engine.frameworks import Framework, Replica, Session
from engine.job import Job


def main() -> None:
    job = Job.load(Path(sys.argv[1]))
    framework = frameworks.load(job.config.framework)
    framework.launch(lambda job, replica: write(facts(framework, job, replica), job.run_dir), job)


def write(found: dict[str, Any], folder: Path) -> None:
    (folder / "facts.json").write_text(json.dumps(found), encoding="utf-8")


def facts(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    framework.environment()
    return {
        "parcelled": parcelled(framework, job, replica),
        "losses": {
            name: losses(framework, changed(job, optimizer=name), replica)
            for name in ("adam", "adamw", "sgd")
        },
        "bf16": losses(framework, changed(job, precision="bf16"), replica),
        "diverged": losses(framework, changed(job, optimizer="adamw", learning_rate=1000), replica),
        "logits": logits(job) if job.config.framework != "torch_xla" else None,
        "out_of_memory": is_out_of_memory(framework, job.config.framework),
        "agreed": session_of(framework, job, replica).agree(7),
    }


def changed(job: Job, **config: Any) -> Job:
    raw = job.config.model_dump(mode="json") | config
    return Job(job.run_id, RunConfig.parse(raw), job.devices, job.run_dir, job.data_dir)


def session_of(framework: Framework, job: Job, replica: Replica) -> Session:
    data = datasets.load(job.config.dataset, job.data_dir)
    return framework.session(job, data, replica)


def order(config: RunConfig, epoch: int) -> Any:
    samples = config.dataset.train_samples
    return randomness.epoch_order(config.seed, epoch, samples, config.batch_size)


def parcelled(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    """Each epoch's sums, taken in parcels of many sizes, and what was compiled for that."""
    session = session_of(framework, job, replica)
    totals, compiles = [], [session.compiles()]
    for epoch in range(job.config.epochs):
        session.begin_epoch(order(job.config, epoch), schedules.rates(job.config, epoch))
        left = job.config.steps_per_epoch
        for parcel in (1, 1, 3, 7, left - 12):
            last = session.run(parcel)
        totals.append(last)
        compiles.append(session.compiles())
    evaluations = [session.evaluate() for _ in range(2)]
    return {"totals": totals, "compiles": compiles, "evaluations": evaluations}


def losses(framework: Framework, job: Job, replica: Replica) -> list[float]:
    session = session_of(framework, job, replica)
    found = []
    for epoch in range(2):
        session.begin_epoch(order(job.config, epoch), schedules.rates(job.config, epoch))
        found.append(session.run(job.config.steps_per_epoch).mean_loss)
    return found


def logits(job: Job) -> list[list[float]]:
    """The untrained model's, for the first test images."""
    config = job.config
    workload = workloads.load(config.workload.name)
    images = datasets.load(config.dataset, job.data_dir).test_images[:5]
    if config.framework == "keras":
        model = workload.keras_model(config.workload, config.dataset, config.seed)
        return np.asarray(model(images)).tolist()
    import torch

    model = workload.torch_model(config.workload, config.dataset, config.seed)
    return model.eval()(torch.tensor(images)).tolist()


def is_out_of_memory(framework: Framework, name: str) -> bool:
    """Ask for 8 EB, and show the framework its own error."""
    try:
        if name == "keras":
            import tensorflow as tf

            tf.zeros([1 << 60])
        else:
            import torch

            torch.zeros(1 << 60)
    except Exception as error:  # noqa: BLE001  which kind it is, is the question
        return framework.is_out_of_memory(error)
    raise AssertionError("There was room for 8 EB")


if __name__ == "__main__":
    main()
