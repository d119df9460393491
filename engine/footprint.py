"""What memory a run takes at least: so that one that cannot fit is refused in a sentence.

Counted from the config alone, before anything is made: the data set with its copies, the model in
training, and what a batch's backward pass needs. What the framework, its kernels and its compiler
take on top is not in it: a run that is let through may still run out of memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil

from engine import workloads
from engine.config import RunConfig, Synthetic
from engine.job import Device
from engine.problems import Problem
from engine.workloads import Size

GIB = 1 << 30
FLOAT_BYTES, HALF_BYTES = 4, 2
LABEL_BYTES = np.dtype(np.int64).itemsize
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}
# Part of a footprint -> what it is called, the config's field that makes it large, the way out.
PARTS = {
    "data": ("the data set", "dataset", "fewer or smaller samples"),
    "model": ("the model in training", "workload", "a smaller model"),
    "batch": ("a batch's activations", "batch_size", "a smaller batch size"),
}


class Footprint(NamedTuple):
    """Bytes."""

    data: int
    model: int
    batch: int


def of_process(config: RunConfig) -> Footprint:
    """Of each of the run's processes, in the host's memory: it loads the data set, and on a CPU
    copies what it trains from, and has the model.
    """
    data = _data_bytes(config, with_training=True)
    if config.accelerator != "cpu":
        return Footprint(max(data, _making_bytes(config)), 0, 0)
    copy = _data_bytes(config, with_training=config.input == "device_resident")
    replicas = config.device_count // _processes(config)
    copies = copy if config.framework == "keras" else replicas * copy
    return Footprint(
        max(data + copies, _making_bytes(config)),
        replicas * _model_bytes(config),
        _batch_bytes(config) // _processes(config),
    )


def on_device(config: RunConfig) -> Footprint:
    """Of each GPU or TPU: it has the data set, unless a loader feeds it, and its share of a batch.

    PyTorch/XLA keeps a second copy of its share of the training split, in the epoch's order.
    """
    data = beside_the_step(config)
    if config.input == "device_resident" and config.framework == "torch_xla":
        data += config.dataset.train_samples * _sample_bytes(config) // config.device_count
    return Footprint(data, _model_bytes(config), _batch_bytes(config) // config.device_count)


def beside_the_step(config: RunConfig) -> int:
    """Bytes of the data set that lie on a device whatever its step works on: as it was loaded."""
    return _data_bytes(config, with_training=config.input == "device_resident")


def too_large(config: RunConfig, host_bytes: int, devices: Sequence[Device] = ()) -> Problem | None:
    """Why the run cannot fit into the host's memory, or into its devices' own.

    `devices` are those that it may get: of more than it asks for, the largest.
    """
    count, of_one = _processes(config), of_process(config)
    found = _excess(Footprint(*(count * part for part in of_one)), host_bytes, "The run", "memory")
    known = sorted((one.memory_bytes for one in devices if one.memory_bytes), reverse=True)
    if found or config.accelerator == "cpu" or not known:
        return found
    where = f"memory on each {config.accelerator.upper()}"
    smallest = known[: config.device_count][-1]
    return _excess(on_device(config), smallest, "The run", where)


def too_large_now(config: RunConfig) -> str | None:
    """Why the process that asks, one of the run's, cannot fit into what is free at the moment."""
    who = "The run" if _processes(config) == 1 else "Each process of the run"
    found = _excess(of_process(config), psutil.virtual_memory().available, who, "free memory")
    return found and found.sentence


def _excess(needed: Footprint, there: int, who: str, where: str) -> Problem | None:
    if sum(needed) <= there:
        return None
    sizes = needed._asdict()
    largest = max(sizes, key=lambda part: sizes[part])
    _, field, way_out = PARTS[largest]
    told = ", ".join(f"{PARTS[part][0]} {_gib(size)}" for part, size in sizes.items() if size)
    return Problem(
        field,
        f"{who} needs {_gib(sum(needed))} of {where} at least ({told}), and there are "
        f"{_gib(there)}. Take {way_out}.",
    )


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"


def _processes(config: RunConfig) -> int:
    """PyTorch takes one for each device, PyTorch/XLA for each TPU chip."""
    on_one = config.framework == "keras" or (config.framework, config.accelerator) == (
        "torch_xla",
        "cpu",
    )
    return 1 if on_one else config.device_count


def _data_bytes(config: RunConfig, *, with_training: bool) -> int:
    dataset = config.dataset
    samples = dataset.test_samples + (dataset.train_samples if with_training else 0)
    return samples * _sample_bytes(config)


def _making_bytes(config: RunConfig) -> int:
    """While a synthetic data set is made: it, and a prototype of each class."""
    dataset = config.dataset
    prototypes = dataset.classes * math.prod(dataset.shape)
    is_made = isinstance(dataset, Synthetic)
    return _data_bytes(config, with_training=True) + prototypes if is_made else 0


def _sample_bytes(config: RunConfig) -> int:
    """As it is stored: a byte a pixel, and the label."""
    return math.prod(config.dataset.shape) + LABEL_BYTES


def _model_bytes(config: RunConfig) -> int:
    """Weights, their gradients and the optimizer's moments: in fp32, whatever the precision."""
    return (2 + MOMENTS[config.optimizer]) * FLOAT_BYTES * _size(config).parameters


def _batch_bytes(config: RunConfig) -> int:
    in_half = config.precision in ("bf16", "fp16")
    kept = config.batch_size * _size(config).kept_of_a_sample
    return kept * (HALF_BYTES if in_half else FLOAT_BYTES)


def _size(config: RunConfig) -> Size:
    return workloads.load(config.workload.name).size(config.workload, config.dataset)
