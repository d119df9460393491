"""What of a config cannot be together: devices that cannot share it, a loader that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.problems import Problem

if TYPE_CHECKING:
    from engine.config import RunConfig

MOST_VIRTUAL = 16  # PyTorch takes a process, and some 400 MB, for each
KERAS_ON_GPU = (
    "Keras/TensorFlow trains on one GPU here: the libraries that it needs for several do "
    "not install beside PyTorch's"
)


def of_devices(config: RunConfig) -> Iterator[Problem]:
    """Why the run cannot be on so many devices."""
    count = config.device_count
    if config.batch_size % count:
        sentence = f"Batch size {config.batch_size:,} cannot be shared evenly by {count} devices."
        yield Problem("batch_size", sentence)
    if config.keep_last_batch and count > 1:
        sentence = (
            f"Keep last batch is for one device, got {count}: a smaller batch cannot be shared "
            "evenly. Leave it out."
        )
        yield Problem("keep_last_batch", sentence)
    if config.virtual_devices > MOST_VIRTUAL:
        sentence = f"A CPU is divided into {MOST_VIRTUAL} virtual devices at most, got {count}."
        yield Problem("devices", sentence)
    if count > 1 and (config.framework, config.accelerator) == ("keras", "gpu"):
        sentence = f"{KERAS_ON_GPU}, got {count}. Take one, or PyTorch."
        yield Problem("devices", sentence)


def of_loader(config: RunConfig) -> Iterator[Problem]:
    """Settings of a loader on the host that the run has no such loader for."""
    given = {
        "loader_workers": config.loader_workers or None,
        "loader_prefetch": config.loader_prefetch,
        "loader_pinned": config.loader_pinned,
    }
    set_ones = {name: value for name, value in given.items() if value is not None}
    if config.input != "host_loader":
        for name, value in set_ones.items():
            sentence = (
                f"{_label(name)} is of a loader on the host, got {value} with input "
                f"{config.input}. Choose input host_loader, or leave it out."
            )
            yield Problem(name, sentence)
        return
    if config.loader_pinned and config.accelerator != "gpu":
        sentence = (
            "Loader pinned is for a GPU, which copies from page-locked memory faster, got True on "
            f"a {config.accelerator.upper()}. Leave it out."
        )
        yield Problem("loader_pinned", sentence)
    if config.loader_prefetch and not config.loader_workers and config.framework != "keras":
        sentence = (
            f"Loader prefetch needs workers to make batches ahead, got {config.loader_prefetch} "
            "with 0 workers. Choose 1 worker or more."
        )
        yield Problem("loader_prefetch", sentence)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
