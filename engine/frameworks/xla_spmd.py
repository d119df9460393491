"""PyTorch/XLA on several virtual devices of one CPU: SPMD, data parallelism in one program.

XLA divides the program over a mesh of devices by how its inputs lie: each has its share of every
batch, and the weights lie on all. Sums over the batch stay sums over all of it, also those of batch
normalisation. On a TPU each chip has a process instead: `xla`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from engine.config import RunConfig
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import Replica
from engine.frameworks.xla import XlaSession

if TYPE_CHECKING:
    import torch


def divide_cpu(devices: int) -> None:
    """To be called before torch_xla first looks for devices, which importing it does not."""
    os.environ["CPU_NUM_DEVICES"] = str(devices)


def session(config: RunConfig, data: Data) -> SpmdSession:
    import torch_xla
    import torch_xla.runtime as xr

    xr.use_spmd()
    found = xr.global_runtime_device_count()
    if found != config.device_count:
        raise RunFailed(
            "device_missing",
            f"The run asks for {config.device_count} virtual devices and PyTorch/XLA made {found}.",
        )
    return SpmdSession(config, data, Replica(), torch_xla.device())


class SpmdSession(XlaSession):
    def __init__(
        self, config: RunConfig, data: Data, replica: Replica, device: torch.device
    ) -> None:
        import torch_xla.distributed.spmd as xs

        self._devices = config.device_count
        self._mesh = xs.Mesh(np.arange(self._devices), (self._devices,), ("data",))
        super().__init__(config, data, replica, device)
        for images, labels in self._test:
            if len(labels) % self._devices == 0:
                self._share(images, 0)
                self._share(labels, 0)

    def _share(self, value: torch.Tensor, batch: int) -> None:
        """Divide the tensor over the devices along its dimension `batch`."""
        import torch_xla.distributed.spmd as xs

        axes = tuple("data" if axis == batch else None for axis in range(value.dim()))
        xs.mark_sharding(value, self._mesh, axes)  # pyright: ignore[reportPrivateImportUsage]

    def _lay_out(self, order: torch.Tensor) -> None:
        super()._lay_out(order)
        for part in self._batches:
            self._share(part, 1)

    def _next_from_loader(self) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = super()._next_from_loader()
        self._share(images, 0)
        self._share(labels, 0)
        return images, labels
