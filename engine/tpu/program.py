"""Which program a config makes on a TPU: what of it the compiler gets to see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from engine import workloads
from engine.config import RunConfig

ON_TPU = {"fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp16": "bf16"}


def config_of(raw: Mapping[str, Any]) -> RunConfig:
    """A config on a TPU unless it says otherwise; raise `ConfigError`."""
    framework = raw.get("framework", "torch_xla")
    on_tpu = {"accelerator": "tpu"} if framework == "torch_xla" else {}
    return RunConfig.parse({"framework": framework, **on_tpu, **raw})


def on_tpu(config: RunConfig) -> RunConfig:
    """The same run under PyTorch/XLA on a TPU, which has no tf32 and no fp16."""
    changed = {
        "framework": "torch_xla",
        "accelerator": "tpu",
        "devices": config.device_count,
        "precision": ON_TPU[config.precision],
    }
    return RunConfig.parse(config.model_dump(mode="json") | changed)


def key(config: RunConfig) -> str:
    """The same for two configs whose steps on a TPU are one program.

    Seeds, rates and epochs are the program's arguments, or say how often it runs. A workload whose
    model has changed makes another program.
    """
    there = on_tpu(config)
    parts = {
        "workload": workloads.identity(there.workload),
        "shape": there.dataset.shape,
        "classes": there.dataset.classes,
        "samples": (there.dataset.train_samples, there.dataset.test_samples),
        "batch_size": there.batch_size,
        "devices": there.device_count,
        "optimizer": there.optimizer,
        "precision": there.precision,
        "input": there.input,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
