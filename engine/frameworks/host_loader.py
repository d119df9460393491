"""PyTorch's usual input path: a data set that hands out single samples, collated on the host.

Slower than data that lies on the device, by as much as a study of the input pipeline shows. With
workers, processes beside the trainer make the batches ahead of it, in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.config import RunConfig
from engine.datasets import Data

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from engine.frameworks.samples import Batch


class HostLoader:
    """One for a session: its workers live as long, and take a new order for each epoch."""

    def __init__(self, config: RunConfig, data: Data) -> None:
        self._rows = Rows()
        self._loader = _made(config, data, self._rows)

    def epoch(self, order: NDArray[np.int64]) -> Iterator[Batch]:
        """One (images, labels) for each row of `order`, [steps, batch], in host memory."""
        self._rows.order = order
        return iter(self._loader)


class Rows:
    """The samples of each batch: what PyTorch calls a batch sampler."""

    def __init__(self) -> None:
        self.order: NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def __iter__(self) -> Iterator[list[int]]:
        return iter([row.tolist() for row in self.order])

    def __len__(self) -> int:
        return len(self.order)


def _made(config: RunConfig, data: Data, rows: Rows) -> DataLoader[Batch]:
    from torch.utils.data import DataLoader

    from engine.frameworks.samples import Samples, leave_stopping_to_the_trainer

    on_gpu, pinned = config.accelerator == "gpu", config.loader_pinned
    options: dict[str, Any] = {"pin_memory": on_gpu if pinned is None else pinned}
    if config.loader_workers:
        options |= {
            "num_workers": config.loader_workers,
            "prefetch_factor": config.loader_prefetch,
            "persistent_workers": True,
            "worker_init_fn": leave_stopping_to_the_trainer,
            "multiprocessing_context": _start(config),
        }
    samples = Samples(data.train_images, data.train_labels)
    return DataLoader(samples, batch_sampler=rows, **options)


def _start(config: RunConfig) -> str:
    """How workers begin. What CUDA and XLA have started does not survive a fork."""
    is_plain = config.framework == "torch" and config.accelerator == "cpu"
    return "fork" if is_plain and sys.platform == "linux" else "spawn"
