"""What people are told of a run, on pages and on the command line alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.config import ACCELERATOR_NAMES, RunConfig, flatten
from engine.format import UNKNOWN
from storage import metrics
from storage.database import Database
from storage.runs import Run

# What is said wherever figures of virtual devices are shown.
VIRTUAL = "it exercises the code of several devices and says nothing of hardware"


def device_names(run: Run) -> str:
    """`AMD EPYC`; XLA without a TPU, and devices that are none, are labelled as what they are."""
    names = ", ".join(device["name"] for device in run.devices) or (
        ACCELERATOR_NAMES.get(run.accelerator, run.accelerator)
    )
    on_cpu = run.framework == "torch_xla" and run.accelerator == "cpu"
    number = virtual_devices(run)
    labels = [f"{number} virtual devices on one CPU"] if number else []
    labels += ["XLA on CPU"] if on_cpu else []
    return f"{names} ({', '.join(labels)})" if labels else names


def virtual_devices(run: Run) -> int:
    """Into how many the run divides its CPU; 0 for a run on devices of hardware."""
    asked = run.config.get("devices", 1)
    return asked if run.accelerator == "cpu" and isinstance(asked, int) and asked > 1 else 0


def where(config: RunConfig) -> str:
    """`GPU`, `2 GPUs`, `2 virtual devices on one CPU`."""
    name, count = ACCELERATOR_NAMES[config.accelerator], config.device_count
    if config.virtual_devices:
        return f"{count} virtual devices on one CPU"
    return name if count == 1 else f"{count} {name}s"


def took(run: Run, now: float | None = None) -> float | None:
    """Seconds from its start to its end, or to now; None before it starts."""
    if run.started_at is None:
        return None
    end = run.finished_at or (time.time() if now is None else now)
    return max(0.0, end - run.started_at)


def throughput(run: Run) -> float | None:
    """Samples/s over all steady steps of the run; while it has not said: of its last epoch."""
    last = run.metrics.get("samples_per_s")
    return run.facts.get("steady_samples_per_s") or (last.last if last else None)


def remaining_s(db: Database, run: Run, now: float | None = None) -> float | None:
    """Seconds to the last step, at the pace since the first; None before there is a pace.

    Validation is in it, since it lies between the steps; start-up is not.
    """
    taken_over = (run.resumed_epoch or 0) * run.total_steps // run.config.get("epochs", 1)
    ends = metrics.ends(db, run.id, "step_loss", after_step=taken_over)
    if ends is None or ends[1].step == ends[0].step:
        return None
    first, last = ends
    pace_s = (last.at - first.at) / (last.step - first.step)
    since = (time.time() if now is None else now) - last.at
    return max(0.0, (run.total_steps - last.step) * pace_s - since)


def flattened(nested: Mapping[str, Any]) -> dict[str, str]:
    """A run's environment as `{"git.commit": …}`; what is not known is told so."""
    return {key: in_words(value) for key, value in leaves(nested).items()}


def workload_version(run: Run) -> int:
    """Of the model that a run trained, see `workloads.version`; of one that never began, 1."""
    return run.environment.get("workload_version") or 1


def in_words(value: Any) -> str:
    """`yes`, `2, 3`, `size 3, kind a`: nothing is told as the language has it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(part)}" for key, part in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        apart = "; " if any(isinstance(part, (Mapping, list, tuple)) for part in value) else ", "
        return apart.join(map(in_words, value)) or "none"
    return str(value)


def configuration(run: Run) -> dict[str, str]:
    """A run's config, flat; switches as words."""
    words = {str(value): in_words(value) for value in (True, False)}
    return {key: words.get(text, text) for key, text in flatten(run.config).items()}


def setting_name(key: str) -> str:
    """What the last part of a config's key is called: `image width` of data, `width` of models."""
    name = key.rpartition(".")[2].replace("_", " ")
    return f"image {name}" if key in ("dataset.width", "dataset.height") else name


def leaves(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values as they are, by key; a part of a part has both names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
