"""The words in which people search runs: metrics by their better end, and keys of a config."""

from __future__ import annotations

from functools import cache

from engine.config import (
    ACCELERATOR_NAMES,
    DATASET_NAMES,
    DATASETS,
    FRAMEWORK_NAMES,
    WORKLOADS,
    RunConfig,
)
from engine.metrics import METRICS
from storage.fields import Vocabulary

ALIASES = {
    "accuracy": "validation_accuracy",
    "loss": "validation_loss",
    "throughput": "samples_per_s",
}


@cache
def vocabulary() -> Vocabulary:
    keys = [key for key in RunConfig.model_fields if key not in ("workload", "dataset")]
    return Vocabulary(
        best={key: metric.best for key, metric in METRICS.items()},
        aliases=ALIASES,
        config=keys,
        nested=_nested(),
        choices={
            "framework": FRAMEWORK_NAMES,
            "accelerator": ACCELERATOR_NAMES,
            "dataset": DATASET_NAMES,
        },
    )


@cache
def config_keys() -> tuple[str, ...]:
    """All keys of all configs, those of models and data sets as `workload.width`."""
    return (*vocabulary().config, *vocabulary().nested)


def _nested() -> tuple[str, ...]:
    sections = {"workload": WORKLOADS, "dataset": DATASETS}
    nested = [
        f"{section}.{key}"
        for section, kinds in sections.items()
        for kind in kinds.values()
        for key in kind.model_fields
        if key != "name"
    ]
    return tuple(dict.fromkeys(nested))
