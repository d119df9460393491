"""What a framework's session does, as JSON: a process of its own, since frameworks do not mix.

    python -m tests.engine.session_facts RUN_DIR

RUN_DIR/job.json says which framework. The facts go to RUN_DIR/facts.json.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engine import (
    checkpoints,
    datasets,
    frameworks,
    out_of_memory,
    randomness,
    schedules,
    workloads,
)
from engine.config import RunConfig
from engine.failures import RunFailed
from engine.frameworks import Framework, Replica, Session
from engine.job import Job


def main() -> None:
    job = Job.load(Path(sys.argv[1]))
    framework = frameworks.load(job.config.framework)
    framework.launch(lambda job, replica: write(facts(framework, job, replica), job.run_dir), job)


def write(found: dict[str, Any], folder: Path) -> None:
    (folder / "facts.json").write_text(json.dumps(found), encoding="utf-8")


def facts(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    with frameworks.importing():
        framework.environment()
    # TensorFlow waits ten seconds for memory to come free: beside the rest.
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(whose_memory, job.config.framework)
        found = of_sessions(framework, job, replica)
        return found | {"out_of_memory": asked.result()}


def of_sessions(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    in_parcels = parcelled(framework, job, replica)
    of_adam = [totals.mean_loss for totals in in_parcels["totals"][:2]]
    of_adamw = losses(framework, changed(job, optimizer="adamw"), replica)
    return {
        "parcelled": in_parcels,
        "losses": {"adam": of_adam, "adamw": of_adamw},
        "resumed": resumed(framework, job, replica),
        "host_loader": losses(framework, changed(job, input="host_loader"), replica),
        "workers": losses(
            framework,
            changed(job, input="host_loader", loader_workers=2, loader_prefetch=2),
            replica,
        ),
        "ragged": ragged(framework, changed(job, keep_last_batch=True), replica),
        "scheduled": losses(
            framework, changed(job, optimizer="sgd", schedule="one_cycle"), replica
        ),
        "one_cycle": one_cycle(job) if job.config.framework == "torch" else None,
        "bf16": losses(framework, changed(job, precision="bf16"), replica),
        "fp16": fp16(framework, job, replica) if job.config.framework != "torch_xla" else None,
        "diverged": losses(framework, changed(job, optimizer="adamw", learning_rate=1000), replica),
        "logits": logits(job) if job.config.framework != "torch_xla" else None,
        "subnormal": subnormal() if job.config.framework == "torch" else None,
        "gone": gone(framework, job, replica),
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
    """Each epoch's sums, taken in parcels of many sizes, and what was compiled for that. There is a
    checkpoint of before the last one.
    """
    session = session_of(framework, job, replica)
    totals, compiles = [], [session.compiles()]
    for epoch in range(job.config.epochs):
        if epoch == job.config.epochs - 1:
            save(session, job, epoch)
        session.begin_epoch(order(job.config, epoch), schedules.rates(job.config, epoch))
        left = job.config.steps_per_epoch
        for parcel in (1, 1, 3, 7, left - 12):
            last = session.run(parcel)
        totals.append(last)
        compiles.append(session.compiles())
    evaluations = [session.evaluate() for _ in range(2)]
    agreed = session.agree(7)
    return {"totals": totals, "compiles": compiles, "evaluations": evaluations, "agreed": agreed}


def ragged(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    """Losses of each epoch's full batches and of the smaller one that ends it, and the programs
    that were compiled by the end of each epoch.
    """
    session, config = session_of(framework, job, replica), job.config
    found, compiles = list[float](), list[int]()
    for epoch in range(config.epochs):
        asked = (config.seed, epoch, config.dataset.train_samples, config.batch_size)
        rates = schedules.rates(config, epoch)
        for part in (randomness.epoch_order(*asked), randomness.epoch_rest(*asked)):
            session.begin_epoch(part, rates[: len(part)])
            found.append(session.run(len(part)).mean_loss)
        compiles.append(session.compiles())
    return {"losses": found, "compiles": compiles}


def resumed(framework: Framework, job: Job, replica: Replica) -> str:
    """Digest of the state after all epochs, the last of them in a session that was restored."""
    path, last = checkpoint_of(job), job.config.epochs - 1
    session = session_of(framework, changed(job, seed=job.config.seed), replica)
    session.restore(checkpoints.load(path, job.config)[1])
    train_epoch(session, job.config, last)
    save(session, job, last + 1)
    return checkpoints.origin_of(path).digest


def checkpoint_of(job: Job) -> Path:
    return job.run_dir / "facts.safetensors"


def save(session: Session, job: Job, epoch: int) -> None:
    noted = {"run_id": "test", "config": job.config, "at": 0.0}
    checkpoints.write(checkpoint_of(job), session.state(), epoch=epoch, **noted)


def train_epoch(session: Session, config: RunConfig, epoch: int) -> float:
    session.begin_epoch(order(config, epoch), schedules.rates(config, epoch))
    return session.run(config.steps_per_epoch).mean_loss


def one_cycle(job: Job) -> dict[str, list[float]]:
    """PyTorch's own schedule, and ours."""
    import torch

    config = changed(job, schedule="one_cycle").config
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], config.learning_rate)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.total_steps, cycle_momentum=False
    )
    found = []
    for _ in range(config.total_steps):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    ours = [schedules.rates(config, epoch) for epoch in range(config.epochs)]
    return {"theirs": found, "ours": np.concatenate(ours).tolist()}


def losses(framework: Framework, job: Job, replica: Replica) -> list[float]:
    session = session_of(framework, job, replica)
    found = []
    for epoch in range(2):
        found.append(train_epoch(session, job.config, epoch))
    return found


def fp16(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    """Losses of two epochs, and what a step does whose scaled gradients are infinite.

    Only a GPU's runs may ask for fp16; where there is none, their session is put on the CPU.
    """
    asked = changed(job, accelerator="gpu", precision="fp16")
    on_gpu = job.config.accelerator == "gpu"
    session = session_of(framework, asked, replica) if on_gpu else fp16_on_cpu(asked.config, job)
    found = [train_epoch(session, asked.config, epoch) for epoch in range(2)]
    raise_scale(session, 2.0**120)
    before = session.state()
    session.begin_epoch(order(asked.config, 2), schedules.rates(asked.config, 2))
    session.run(1)
    after = session.state()
    weights = [name for name in before if name.startswith(checkpoints.WEIGHTS)]
    return {
        "losses": found,
        "kept": all(np.array_equal(before[name], after[name]) for name in weights),
        "scale": scale_of(session),
    }


def fp16_on_cpu(config: RunConfig, job: Job) -> Any:
    data = datasets.load(config.dataset, job.data_dir)
    if config.framework == "torch":
        import torch

        from engine.frameworks.torch import TorchSession

        return TorchSession(config, data, torch.device("cpu"))
    import keras

    from engine.frameworks.keras import POLICIES, KerasSession

    keras.config.set_dtype_policy(POLICIES["fp16"])
    session = KerasSession(config, data, "/CPU:0")
    keras.config.set_dtype_policy(POLICIES["fp32"])
    return session


def raise_scale(session: Any, scale: float) -> None:
    if hasattr(session, "_scaler"):
        session._scaler.update(scale)
    else:
        session._optimizer.dynamic_scale.assign(scale)


def scale_of(session: Any) -> float:
    if hasattr(session, "_scaler"):
        return session._scaler.get_scale()
    return float(session._optimizer.dynamic_scale.numpy())


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


def subnormal() -> int:
    """How many of a million halves of the smallest normal number are not zero, on all threads."""
    import torch

    smallest = torch.full((1_000_000,), torch.finfo(torch.float32).tiny)
    return int((smallest / 2).count_nonzero())


def gone(framework: Framework, job: Job, replica: Replica) -> list[str] | None:
    """How a run fails whose GPU has gone since it was queued; None where it could not go."""
    if job.config.accelerator == "gpu" or job.config.framework == "torch_xla":
        return None
    try:
        session_of(framework, changed(job, accelerator="gpu"), replica)
    except RunFailed as failed:
        return [failed.kind, failed.sentence]
    raise AssertionError("There was a GPU")


def whose_memory(name: str) -> str | None:
    """Ask for 8 EB; whose memory the framework's own error says ran out."""
    try:
        if name == "keras":
            import tensorflow as tf

            tf.zeros([1 << 60])
        else:
            import torch

            torch.zeros(1 << 60)
    except Exception as error:  # noqa: BLE001  which kind it is, is the question
        return out_of_memory.of(error)
    raise AssertionError("There was room for 8 EB")


if __name__ == "__main__":
    main()
