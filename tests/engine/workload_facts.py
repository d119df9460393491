"""What one framework makes of every workload, as JSON: a process of its own for each framework.

    python -m tests.engine.workload_facts RUN_DIR

RUN_DIR/job.json says which framework. The facts go to RUN_DIR/facts.json.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from engine import checkpoints, flops, frameworks, schedules, workloads
from engine.config import RunConfig
from engine.frameworks import Framework, Replica
from engine.job import Job
from tests.engine import session_facts

# Small ones of each, of the shape of Fashion-MNIST's pictures and of a shape with odd sides.
WORKLOADS = {
    "mlp": {"name": "mlp", "width": 8, "depth": 2},
    "convnet": {"name": "convnet", "width": 4, "depth": 2},
    "resnet": {"name": "resnet", "width": 4, "depth": 1},
    "vit": {"name": "vit", "width": 12, "depth": 1, "heads": 3},
}
SAMPLES = {"train_samples": 256, "test_samples": 40}
DATASETS = {
    "fashion": {"name": "synthetic", **SAMPLES},
    "odd": {"name": "synthetic", "height": 9, "width": 15, "channels": 5, "classes": 7, **SAMPLES},
}
# Whole runs resume mlp, in every framework. In Keras, vit takes long to compile.
RESUMED = {"torch": ("convnet", "resnet", "vit"), "keras": ("convnet", "resnet")}
HAND_OVER = "aten::_local_scalar_dense"
PATCHES = {"fashion": 4, "odd": 3}


def main() -> None:
    job = Job.load(Path(sys.argv[1]))
    framework = frameworks.load(job.config.framework)
    framework.launch(
        lambda job, replica: session_facts.write(facts(framework, job, replica), job.run_dir), job
    )


def facts(framework: Framework, job: Job, replica: Replica) -> dict[str, Any]:
    """Models of each shape; training of the odd one only, since compiling takes its time."""
    with frameworks.importing():
        framework.environment()
    again = {name: [] for name in RESUMED.get(job.config.framework, ())}
    found = {
        name: trained(framework, case(job, name, "odd"), replica, again.get(name))
        for name in WORKLOADS
    }
    if job.config.framework == "torch_xla":
        return {"trained": found}  # its models are PyTorch's, and so is how they are restored
    models = {
        f"{name}-{shape}": model(case(job, name, shape)) for name in WORKLOADS for shape in DATASETS
    }
    found = {"trained": found, "models": models, "resumed": again}
    if job.config.framework == "torch":
        cases = {name: case(job, name, "odd") for name in WORKLOADS}
        for optimizer in ("sgd", "adamw"):
            cases[optimizer] = session_facts.changed(cases["mlp"], optimizer=optimizer)
        cases["host_loader"] = session_facts.changed(cases["mlp"], input="host_loader")
        found["replayed"] = {name: replayed(framework, job, replica) for name, job in cases.items()}
        found["unrecordable"] = unrecordable()
    return found


def case(job: Job, workload: str, shape: str) -> Job:
    config = WORKLOADS[workload] | ({"patch": PATCHES[shape]} if workload == "vit" else {})
    return session_facts.changed(job, workload=config, dataset=DATASETS[shape], batch_size=16)


def model(job: Job) -> dict[str, Any]:
    return {
        "parameters": parameters(job.config),
        "logits": session_facts.logits(job),
        "kept_bytes": kept_bytes(job.config) if job.config.framework == "torch" else None,
        "moved_bytes": moved_bytes(job) if job.config.framework == "torch" else None,
    }


def moved_bytes(job: Job) -> dict[str, int]:
    """By precision, of a step whose batch outweighs the weights."""
    return {
        precision: flops.count(
            session_facts.changed(job, precision=precision, batch_size=128).config
        ).bytes
        for precision in ("fp32", "bf16")
    }


def kept_bytes(config: RunConfig) -> int:
    """What PyTorch keeps of a forward pass for the backward pass, but for the parameters."""
    import torch

    workload = workloads.load(config.workload.name)
    model = workload.torch_model(config.workload, config.dataset, config.seed)
    images = torch.zeros((config.batch_size, *config.dataset.shape), dtype=torch.uint8)
    known = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(images)
    assert logits.requires_grad
    return sum(kept.values())


def trained(
    framework: Framework, job: Job, replica: Replica, digests: list[str] | None
) -> dict[str, Any]:
    """One epoch, in parcels, two looks at what came of it, and two epochs more.

    `digests` gets those of the state after the second: here, and in a session that was restored
    after the first.
    """
    session = session_facts.session_of(framework, job, replica)
    compiles = [session.compiles()]
    session.begin_epoch(session_facts.order(job.config, 0), schedules.rates(job.config, 0))
    for steps in (2, 6, job.config.steps_per_epoch - 8):
        totals = session.run(steps)
        compiles.append(session.compiles())
    evaluations = [session.evaluate().mean_loss for _ in range(2)]
    after_first = deepcopy(session.state())
    second_loss = session_facts.train_epoch(session, job.config, 1)
    if digests is not None:
        digests.append(checkpoints.digest(session.state()))
    third_loss = session_facts.train_epoch(session, job.config, 2)
    told = {
        "loss": totals.mean_loss,
        "evaluations": evaluations,
        "later_losses": [second_loss, third_loss],
        "compiles": compiles,
        "fallbacks": fallbacks(job.config),
    }
    if digests is not None:
        other = session_facts.session_of(framework, job, replica)
        other.restore(after_first)
        session_facts.train_epoch(other, job.config, 1)
        digests.append(checkpoints.digest(other.state()))
    return told


def replayed(framework: Framework, job: Job, replica: Replica) -> list[bool]:
    """Chunk by chunk, whether a recording does what single steps do, to the last bit: sums, and
    all that a checkpoint holds.
    """
    from engine.frameworks.torch import TorchSession

    recorded, stepping = (session_facts.session_of(framework, job, replica) for _ in range(2))
    assert isinstance(stepping, TorchSession)
    stepping.is_recorded = False
    alike = []
    for session in (recorded, stepping):
        session.begin_epoch(session_facts.order(job.config, 0), schedules.rates(job.config, 0))
    for steps in (1, 1, 2, 5):
        totals = [session.run(steps) for session in (recorded, stepping)]
        states = [checkpoints.digest(session.state()) for session in (recorded, stepping)]
        alike.append(totals[0] == totals[1] and states[0] == states[1])
    return [*alike, (recorded.compiles(), stepping.compiles()) == (1, 0)]


def unrecordable() -> dict[str, str]:
    """What steps that a recording would not repeat are refused with, and that they were taken."""
    import torch

    from engine.frameworks.torch_recorded import NotRecordable, Recording

    total, elsewhere = torch.zeros(2), torch.ones(2)

    def with_a_number() -> None:
        total.add_(total.sum().item() + 1)

    def with_a_stranger() -> None:
        total.add_(elsewhere)

    def with_a_list_of_its_own() -> None:
        made = [total + 1, total + 2]
        torch._foreach_add_(made, 1.0)
        total.add_(made[0])

    found = {}
    for step in (with_a_number, with_a_stranger, with_a_list_of_its_own):
        total.zero_()
        try:
            Recording(step, [total])
        except NotRecordable as why:
            found[step.__name__] = f"{why} {total.tolist()}"
    return found


def parameters(config: RunConfig) -> int:
    """How many numbers are trained."""
    workload = workloads.load(config.workload.name)
    given = config.workload, config.dataset, config.seed
    if config.framework == "keras":
        trained = workload.keras_model(*given).trainable_variables
        return sum(int(np.prod(variable.shape)) for variable in trained)
    return sum(parameter.numel() for parameter in workload.torch_model(*given).parameters())


def fallbacks(config: RunConfig) -> list[str]:
    """Operations that PyTorch/XLA left to PyTorch, but for handing a number to Python."""
    if config.framework != "torch_xla":
        return []
    from torch_xla.debug import metrics

    return [name for name in metrics.executed_fallback_ops() if name != HAND_OVER]


if __name__ == "__main__":
    main()
